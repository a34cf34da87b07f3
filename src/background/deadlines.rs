//! What is due on a connection: decisions about time, without a clock and without a socket.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::outbox::Writing;
use crate::{Config, Timeout};

/// Keeps the deadlines of one open connection.
///
/// They judge the peer, not the program: a silence counts only if the connection's thread sat in
/// `recv` at its beginning and its end. One that falls due otherwise begins anew.
pub(crate) struct Deadlines {
    config: Arc<Config>,
    next_ping: Option<Instant>,
    pong: Option<Watch>,
    message: Option<(u64, Watch)>,
    close: Option<Watch>,
}

/// Is what is known of a connection at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) now: Instant,
    /// Whether the connection's thread sits in `recv`.
    pub(crate) asleep: bool,
    /// Bytes received so far.
    pub(crate) received: u64,
    /// Which message is half received, if one is.
    pub(crate) mid_message: Option<u64>,
    pub(crate) writing: Writing,
    /// When the patience ends for good, once somebody waits for the end, and what it is called.
    pub(crate) end_by: Option<(Instant, Timeout)>,
}

/// Is what is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing before then, unless something new begins.
    Wait(Option<Instant>),
    /// Send a ping, and ask again.
    Ping,
    /// End the connection.
    Cut(Timeout),
}

/// So many bytes are progress.
const PROGRESS: u64 = 64 << 10;

/// Is a stretch of time in which the peer should have done something.
#[derive(Clone, Copy, Debug)]
struct Watch {
    since: Instant,
    asleep: bool,
    received: u64,
    taken: u64,
}

impl Deadlines {
    pub(crate) fn new(config: &Arc<Config>, now: Instant) -> Self {
        Self {
            config: Arc::clone(config),
            next_ping: config.ping_interval.map(|interval| now + interval),
            pong: None,
            message: None,
            close: None,
        }
    }

    /// Says what is due, or when to ask again.
    pub(crate) fn check(&mut self, facts: &Facts) -> Verdict {
        let dues = [
            self.stop(facts),
            self.write(facts),
            self.closing(facts),
            self.message(facts),
            self.pong(facts),
        ];
        let mut next = self
            .next_ping
            .filter(|_| facts.writing.close_left_at.is_none());
        for due in dues.into_iter().flatten() {
            match due {
                Due::Over(timeout) => return Verdict::Cut(timeout),
                Due::At(at) => next = Some(next.map_or(at, |next| next.min(at))),
            }
        }
        if next.is_some() && self.ping_is_due(facts) {
            return Verdict::Ping;
        }
        Verdict::Wait(next)
    }

    fn stop(&self, facts: &Facts) -> Option<Due> {
        facts
            .end_by
            .map(|(by, timeout)| Due::unless(by <= facts.now, by, timeout))
    }

    fn write(&self, facts: &Facts) -> Option<Due> {
        let by = facts.writing.stalled_since? + self.config.write_timeout;
        Some(Due::unless(by <= facts.now, by, Timeout::Write))
    }

    /// RFC 6455, section 7.1.1: an endpoint MAY close at any time, when the peer does not answer.
    fn closing(&mut self, facts: &Facts) -> Option<Due> {
        let sent = facts.writing.close_left_at?;
        let watch = self.close.get_or_insert(Watch {
            since: sent,
            ..Watch::begin(facts)
        });
        // A peer that keeps us reading and does not close is late as well.
        let reading = facts.received - watch.received >= PROGRESS;
        let facts = &Facts {
            asleep: facts.asleep || reading,
            ..*facts
        };
        watch.asleep |= reading;
        Some(watch.judge(facts, self.config.close_timeout, Timeout::Close, |_| false))
    }

    fn message(&mut self, facts: &Facts) -> Option<Due> {
        let Some(number) = facts.mid_message else {
            self.message = None;
            return None;
        };
        if self.message.is_none_or(|(watched, _)| watched != number) {
            self.message = Some((number, Watch::begin(facts)));
        }
        let (_, watch) = self.message.as_mut()?;
        let progress = |watch: &Watch| facts.received - watch.received >= PROGRESS;
        Some(watch.judge(
            facts,
            self.config.message_timeout,
            Timeout::Message,
            progress,
        ))
    }

    /// Any byte received since the ping is life, and so is any byte of ours that was taken.
    fn pong(&mut self, facts: &Facts) -> Option<Due> {
        let watch = self.pong.as_mut()?;
        if watch.received != facts.received || watch.taken != facts.writing.taken {
            self.pong = None;
            return None;
        }
        Some(watch.judge(facts, self.config.ping_timeout, Timeout::Pong, |_| false))
    }

    /// A ping is due every interval, whatever the traffic.
    fn ping_is_due(&mut self, facts: &Facts) -> bool {
        let (Some(at), Some(interval)) = (self.next_ping, self.config.ping_interval) else {
            return false;
        };
        if facts.now < at {
            return false;
        }
        self.next_ping = Some(facts.now + interval);
        true
    }

    /// Watches for a sign of life, once the ping has been handed to the outbox: what the kernel
    /// took of the ping itself is none.
    pub(crate) fn pinged(&mut self, before: &Facts, after: &Facts) {
        match &mut self.pong {
            // A further ping does not put off what the first one waits for.
            Some(watch) if watch.taken == before.writing.taken => watch.taken = after.writing.taken,
            Some(_) => {}
            None => self.pong = Some(Watch::begin(after)),
        }
    }
}

impl Watch {
    fn begin(facts: &Facts) -> Self {
        Self {
            since: facts.now,
            asleep: facts.asleep,
            received: facts.received,
            taken: facts.writing.taken,
        }
    }

    /// Judges a stretch of `length`: over, still running, or begun anew.
    fn judge(
        &mut self,
        facts: &Facts,
        length: Duration,
        timeout: Timeout,
        excused: impl FnOnce(&Self) -> bool,
    ) -> Due {
        if facts.now < self.since + length {
            return Due::At(self.since + length);
        }
        if self.asleep && facts.asleep && !excused(self) {
            return Due::Over(timeout);
        }
        *self = Self::begin(facts);
        Due::At(self.since + length)
    }
}

enum Due {
    At(Instant),
    Over(Timeout),
}

impl Due {
    fn unless(over: bool, at: Instant, timeout: Timeout) -> Self {
        if over {
            Self::Over(timeout)
        } else {
            Self::At(at)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn config() -> Config {
        Config::new()
            .ping_interval(20 * SECOND)
            .ping_timeout(5 * SECOND)
            .message_timeout(10 * SECOND)
            .close_timeout(5 * SECOND)
            .write_timeout(30 * SECOND)
    }

    fn idle(now: Instant) -> Facts {
        let writing = Writing {
            taken: 0,
            stalled_since: None,
            close_left_at: None,
        };
        Facts {
            now,
            asleep: true,
            received: 0,
            mid_message: None,
            writing,
            end_by: None,
        }
    }

    /// Steps through time from look to look, as the background does, until something is due.
    fn until_due(
        deadlines: &mut Deadlines,
        mut facts: Facts,
        change: impl Fn(&mut Facts),
    ) -> (Duration, Verdict) {
        let start = facts.now;
        for _ in 0..100 {
            change(&mut facts);
            match deadlines.check(&facts) {
                Verdict::Wait(Some(next)) => facts.now = next,
                verdict => return (facts.now - start, verdict),
            }
        }
        panic!("nothing ever became due");
    }

    /// A ping goes out each interval; a peer silent for the timeout after it is cut.
    #[test]
    fn silent_peer_is_pinged_then_cut() {
        let now = Instant::now();
        let mut deadlines = Deadlines::new(&Arc::new(config()), now);
        let (after, verdict) = until_due(&mut deadlines, idle(now), |_| {});
        assert_eq!((after, verdict), (20 * SECOND, Verdict::Ping));
        let facts = idle(now + after);
        deadlines.pinged(&facts, &facts);
        let (after, verdict) = until_due(&mut deadlines, facts, |_| {});
        assert_eq!((after, verdict), (5 * SECOND, Verdict::Cut(Timeout::Pong)));
    }

    /// Any byte received, or taken from us, is life: the next thing due is the next ping.
    #[test]
    fn any_byte_is_life() {
        for change in [
            |facts: &mut Facts| facts.received += 1,
            |facts: &mut Facts| facts.writing.taken += 1,
        ] {
            let now = Instant::now();
            let mut deadlines = Deadlines::new(&Arc::new(config()), now);
            deadlines.pinged(&idle(now), &idle(now));
            let (after, verdict) = until_due(&mut deadlines, idle(now), change);
            assert_eq!((after, verdict), (20 * SECOND, Verdict::Ping));
        }
    }

    /// While a callback runs, no pong is missed; the silence counts from when reading goes on.
    #[test]
    fn busy_program_does_not_count_as_silent_peer() {
        let now = Instant::now();
        let mut deadlines = Deadlines::new(&Arc::new(config().ping_interval(None)), now);
        let facts = Facts {
            asleep: false,
            ..idle(now)
        };
        deadlines.pinged(&facts, &facts);
        let (after, verdict) = until_due(&mut deadlines, facts, |facts| {
            facts.asleep = facts.now > now + 11 * SECOND;
        });
        assert_eq!((after, verdict), (20 * SECOND, Verdict::Cut(Timeout::Pong)));
    }

    /// A half-received message needs 64 KiB in each stretch; a new message starts a new stretch.
    #[test]
    fn message_must_make_progress() {
        let now = Instant::now();
        let config = Arc::new(config().ping_interval(None));
        let start = Facts {
            mid_message: Some(7),
            ..idle(now)
        };

        let mut deadlines = Deadlines::new(&config, now);
        let (after, verdict) = until_due(&mut deadlines, start, |facts| facts.received += 1);
        assert_eq!(
            (after, verdict),
            (10 * SECOND, Verdict::Cut(Timeout::Message))
        );

        let mut deadlines = Deadlines::new(&config, now);
        let (after, verdict) = until_due(&mut deadlines, start, |facts| {
            if facts.now < now + 30 * SECOND {
                facts.received += PROGRESS;
            }
        });
        assert_eq!(
            (after, verdict),
            (30 * SECOND, Verdict::Cut(Timeout::Message))
        );

        let mut deadlines = Deadlines::new(&config, now);
        assert_eq!(
            deadlines.check(&start),
            Verdict::Wait(Some(now + 10 * SECOND))
        );
        let next = Facts {
            now: now + 9 * SECOND,
            mid_message: Some(8),
            ..start
        };
        assert_eq!(
            deadlines.check(&next),
            Verdict::Wait(Some(now + 19 * SECOND))
        );
        assert_eq!(
            deadlines.check(&idle(now + 20 * SECOND)),
            Verdict::Wait(None)
        );
    }

    /// The peer has `close_timeout` to answer our Close, however much else it sends.
    #[test]
    fn close_must_be_answered() {
        let now = Instant::now();
        let mut deadlines = Deadlines::new(&Arc::new(config()), now);
        let mut facts = idle(now);
        facts.writing.close_left_at = Some(now);
        let (after, verdict) = until_due(&mut deadlines, facts, |facts| facts.received += 100);
        assert_eq!((after, verdict), (5 * SECOND, Verdict::Cut(Timeout::Close)));
    }

    /// A stalled write and a stopping server count whether or not a callback runs.
    #[test]
    fn write_and_stop_always_count() {
        let now = Instant::now();
        let busy = Facts {
            asleep: false,
            ..idle(now)
        };
        let mut stalled = busy;
        stalled.writing.stalled_since = Some(now);
        let mut deadlines = Deadlines::new(&Arc::new(config().ping_interval(None)), now);
        let due = until_due(&mut deadlines, stalled, |_| {});
        assert_eq!(due, (30 * SECOND, Verdict::Cut(Timeout::Write)));
        let stopping = Facts {
            end_by: Some((now + SECOND, Timeout::Stop)),
            ..busy
        };
        let due = until_due(&mut deadlines, stopping, |_| {});
        assert_eq!(due, (SECOND, Verdict::Cut(Timeout::Stop)));
    }
}
