//! The waits between attempts to connect: [`Backoff`].

use std::time::Duration;

use crate::Error;
use crate::random::Generator;

/// The waits of a client that stays connected, between one attempt and the next.
///
/// The first wait is a random time of up to [`first`](Self::first). With each further attempt in a
/// row that bound grows by the [`factor`](Self::factor), up to the [`ceiling`](Self::ceiling). As
/// all of the time is random ("full jitter"), the clients of a server that comes back do not arrive
/// together. A connection that has [held for a while](Self::reset_after) ends the row; one that was
/// accepted and closed again does not.
///
/// A refusal with 429 or 503 that says when to come again (`Retry-After`, RFC 9110, section 10.2.3)
/// is heeded, up to a [ceiling of its own](Self::retry_after_ceiling): the wait above is added to
/// that time.
///
/// The time is that of a clock that does not jump, [`Instant`](std::time::Instant). It stands still
/// while the machine is suspended, on most systems, so that a wait goes on where it was.
///
/// ```
/// use landline::{Backoff, Client};
/// use std::time::Duration;
///
/// let client = Client::new();
/// let patient = Backoff::new().first(Duration::from_secs(5)).ceiling(Duration::from_secs(600));
/// let sessions = client.sessions("wss://feed.example.com").backoff(patient);
/// # drop(sessions);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Backoff {
    first: Duration,
    factor: f64,
    ceiling: Duration,
    reset_after: Duration,
    retry_after_ceiling: Duration,
    seed: Option<u64>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            factor: 2.0,
            ceiling: Duration::from_secs(60),
            reset_after: Duration::from_secs(30),
            retry_after_ceiling: Duration::from_secs(300),
            seed: None,
        }
    }
}

impl Backoff {
    /// Makes the waits with the default settings.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the longest time of the first wait; 1 s by default.
    #[must_use]
    pub fn first(mut self, wait: Duration) -> Self {
        self.first = wait;
        self
    }

    /// Sets by how much the longest time grows with each attempt; 2 by default.
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Sets the longest time of any wait; 60 s by default.
    #[must_use]
    pub fn ceiling(mut self, wait: Duration) -> Self {
        self.ceiling = wait;
        self
    }

    /// Sets how long a connection must have been open for the next wait to be the first of a row
    /// again; 30 s by default.
    #[must_use]
    pub fn reset_after(mut self, open: Duration) -> Self {
        self.reset_after = open;
        self
    }

    /// Sets the most that counts of the time for which a server asks by `Retry-After`; 5 minutes by
    /// default. No server can silence a client for years.
    #[must_use]
    pub fn retry_after_ceiling(mut self, wait: Duration) -> Self {
        self.retry_after_ceiling = wait;
        self
    }

    /// Sets where the random numbers begin, so that a test sees the same waits each time.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let what = if self.first.is_zero() || self.ceiling.is_zero() {
            "the first wait and the ceiling of a back-off must be more than zero"
        } else if !(1.0..=f64::MAX).contains(&self.factor) {
            "the factor of a back-off must be 1 or more"
        } else {
            return Ok(());
        };
        Err(Error::Invalid(what.into()))
    }
}

/// A row of attempts, and the waits between them.
pub(super) struct Attempts {
    backoff: Backoff,
    /// The longest time of the next wait.
    bound: Duration,
    random: Generator,
}

impl Attempts {
    pub(super) fn new(backoff: Backoff) -> Self {
        Self {
            bound: backoff.first.min(backoff.ceiling),
            random: backoff.seed.map_or_else(Generator::new, Generator::seeded),
            backoff,
        }
    }

    /// Returns the wait behind an attempt that failed. The server may have asked for a time.
    pub(super) fn wait_after_failure(&mut self, asked: Option<Duration>) -> Duration {
        let asked = asked.unwrap_or_default();
        let asked = asked.min(self.backoff.retry_after_ceiling);
        asked.saturating_add(self.draw())
    }

    /// Returns the wait behind a connection that was open for this time.
    pub(super) fn wait_after_session(&mut self, open: Duration) -> Duration {
        if open >= self.backoff.reset_after {
            self.bound = self.backoff.first.min(self.backoff.ceiling);
        }
        self.draw()
    }

    fn draw(&mut self) -> Duration {
        let wait = scaled(self.bound, self.random.fraction());
        let next = scaled(self.bound, self.backoff.factor);
        self.bound = next.min(self.backoff.ceiling);
        wait
    }
}

fn scaled(time: Duration, by: f64) -> Duration {
    Duration::try_from_secs_f64(time.as_secs_f64() * by).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn backoff() -> Backoff {
        Backoff::new().seed(7)
    }

    /// Returns the longest of many first waits, and of the waits that follow each of them.
    fn longest(count: usize) -> Vec<Duration> {
        let mut longest = vec![Duration::ZERO; count];
        for seed in 0..2000 {
            let mut attempts = Attempts::new(backoff().seed(seed));
            for longest in &mut longest {
                *longest = attempts.wait_after_failure(None).max(*longest);
            }
        }
        longest
    }

    /// The waits are random from nothing up to a bound that doubles, up to the ceiling.
    #[test]
    fn waits_grow_up_to_the_ceiling() {
        let bounds = [1, 2, 4, 8, 16, 32, 60, 60].map(|bound| SECOND * bound);
        for (longest, bound) in longest(bounds.len()).into_iter().zip(bounds) {
            assert!(
                longest <= bound && longest >= bound.mul_f64(0.99),
                "{longest:?}"
            );
        }
    }

    /// The same seed gives the same waits, and no seed others each time.
    #[test]
    fn seeds_repeat_the_waits() {
        let waits = |backoff: Backoff| {
            let mut attempts = Attempts::new(backoff);
            [(); 8].map(|()| attempts.wait_after_failure(None))
        };
        assert_eq!(waits(backoff()), waits(backoff()));
        assert_ne!(waits(Backoff::new()), waits(Backoff::new()));
    }

    /// Only a connection that has held ends the row, also behind many that were closed at once.
    #[test]
    fn rows_end_with_a_connection_that_has_held() {
        let mut attempts = Attempts::new(backoff());
        for _ in 0..10 {
            attempts.wait_after_session(SECOND * 29);
        }
        assert_eq!(attempts.bound, SECOND * 60);
        assert!(attempts.wait_after_session(SECOND * 30) <= SECOND);
        assert_eq!(attempts.bound, SECOND * 2);
    }

    /// What a server asks for comes on top of the wait, up to its ceiling.
    #[test]
    fn servers_are_heeded_up_to_the_ceiling() {
        for (asked, heeded) in [(0, 0), (120, 120), (301, 300), (u64::MAX, 300)] {
            let plain = Attempts::new(backoff()).wait_after_failure(None);
            let asked = Some(Duration::from_secs(asked));
            let wait = Attempts::new(backoff()).wait_after_failure(asked);
            assert_eq!(wait, SECOND * heeded + plain);
        }
    }

    /// Settings without sense are an error; endless ones never overflow.
    #[test]
    fn settings_without_sense_are_refused() {
        for wrong in [
            backoff().first(Duration::ZERO),
            backoff().ceiling(Duration::ZERO),
            backoff().factor(0.5),
            backoff().factor(f64::NAN),
            backoff().factor(f64::INFINITY),
        ] {
            assert!(matches!(wrong.check(), Err(Error::Invalid(_))), "{wrong:?}");
        }
        let endless = backoff()
            .ceiling(Duration::MAX)
            .retry_after_ceiling(Duration::MAX)
            .factor(f64::MAX);
        endless.check().unwrap();
        let mut attempts = Attempts::new(endless);
        for _ in 0..3 {
            attempts.wait_after_failure(Some(Duration::MAX));
        }
        assert_eq!(attempts.bound, Duration::MAX);
        let short = backoff().first(SECOND * 9).ceiling(SECOND);
        assert!(Attempts::new(short).wait_after_failure(None) <= SECOND);
    }
}
