//! The failures that keep a server from accepting: [`AcceptTrouble`].

use std::fmt::Display;
use std::time::{Duration, Instant};

use crate::record::{debug, info, warn};

/// The failures that keep the accept thread from accepting, and the pauses after them. It logs when
/// they begin and when they are over.
#[derive(Default)]
pub(super) struct AcceptTrouble {
    /// The last pause after a failure of the system.
    pause: Option<Duration>,
    /// The number of newcomers in a row that were lost, and the time of the first.
    lost: u32,
    lost_since: Option<Instant>,
    /// The flag that waiting for newcomers fails.
    wait_fails: bool,
    is_told: bool,
    told_at: Option<Instant>,
}

/// The first pause after a failure that concerns more than one newcomer. It doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_secs(1);
/// The number of newcomers lost in a row, within a second, after which there is a pause. That pause
/// stays short, so that clients that break off do not keep out others for long.
const ROW: u32 = 16;
const ROW_PAUSE: Duration = Duration::from_millis(50);
const ROW_TIME: Duration = Duration::from_secs(1);
/// The time in which a failure that comes and goes is logged once.
const TOLD_AGAIN: Duration = Duration::from_secs(1);

impl AcceptTrouble {
    /// Notes a failure of the process or the system, and returns how long to pause for it.
    pub(super) fn fail(&mut self, error: &dyn Display) -> Duration {
        self.tell(error);
        let doubled = self.pause.map(|before| (before * 2).min(LAST_PAUSE));
        *self.pause.insert(doubled.unwrap_or(FIRST_PAUSE))
    }

    /// Notes that one newcomer is lost, and returns how long to pause after many in a row.
    pub(super) fn lose(&mut self, error: &dyn Display) -> Option<Duration> {
        if !self.is_told {
            debug!("a connection could not be accepted: {error}");
        }
        let pause = self.miss()?;
        self.tell(error);
        Some(pause)
    }

    /// Notes that another process has taken a newcomer from a socket that both have. It returns a
    /// pause like [`lose`](Self::lose), and is no trouble.
    pub(super) fn miss(&mut self) -> Option<Duration> {
        let since = self.lost_since.get_or_insert_with(Instant::now);
        if since.elapsed() > ROW_TIME {
            self.end_row();
        }
        self.lost += 1;
        if self.lost < ROW {
            return None;
        }
        self.end_row();
        Some(ROW_PAUSE)
    }

    /// Notes whether waiting for newcomers works.
    pub(super) fn wait(&mut self, failure: Option<&dyn Display>) {
        self.wait_fails = failure.is_some();
        match failure {
            // The wait itself has taken its time, so there is no pause.
            Some(error) => self.tell(error),
            // There was no connection to accept: accepting as such works.
            None => self.pause = None,
        }
    }

    /// Notes that a connection was accepted, whatever becomes of it.
    pub(super) fn accept(&mut self) {
        self.pause = None;
        self.end_row();
    }

    /// Notes that a connection was accepted and is served.
    pub(super) fn serve(&mut self) {
        if self.is_told && !self.wait_fails {
            self.is_told = false;
            info!("accepting connections again");
        }
    }

    /// Logs once that there are failures.
    pub(super) fn tell(&mut self, error: &dyn Display) {
        let is_fresh = self.told_at.is_some_and(|at| at.elapsed() < TOLD_AGAIN);
        if !self.is_told && !is_fresh {
            self.is_told = true;
            self.told_at = Some(Instant::now());
            warn!("cannot accept connections, trying again: {error}");
        }
    }

    fn end_row(&mut self) {
        self.lost = 0;
        self.lost_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHY: &str = "why";

    /// Pauses double up to a second, and begin anew once a connection was accepted.
    #[test]
    fn pauses_double() {
        let mut trouble = AcceptTrouble::default();
        let pauses: Vec<_> = (0..9).map(|_| trouble.fail(&WHY).as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
        trouble.accept();
        assert_eq!(trouble.fail(&WHY), FIRST_PAUSE);
        trouble.wait(None);
        assert_eq!(trouble.fail(&WHY), FIRST_PAUSE);
    }

    /// Sixteen lost in a row are paused for, over and over; one accepted ends the row.
    #[test]
    fn rows_of_the_lost_are_paused_for() {
        let mut trouble = AcceptTrouble::default();
        let mut paused_at = |number| trouble.lose(&WHY).map(|_| number);
        let paused: Vec<_> = (1..=40).filter_map(&mut paused_at).collect();
        assert_eq!(paused, [16, 32]);
        trouble.accept();
        let paused = (0..15).filter_map(|_| trouble.lose(&WHY));
        assert_eq!(paused.count(), 0);
        trouble.accept();
        assert_eq!(trouble.lose(&WHY), None);
        trouble.accept();
        let paused = (0..40).filter_map(|_| trouble.miss());
        assert_eq!(paused.count(), 2);
    }

    /// Trouble is over when a connection is served, unless waiting still fails.
    #[test]
    fn trouble_ends_when_somebody_is_served() {
        let mut trouble = AcceptTrouble::default();
        trouble.fail(&WHY);
        trouble.accept();
        assert!(trouble.is_told);
        trouble.serve();
        assert!(!trouble.is_told);
        // Trouble that comes back at once is not told anew.
        trouble.tell(&WHY);
        assert!(!trouble.is_told);

        let mut trouble = AcceptTrouble::default();
        trouble.wait(Some(&WHY));
        trouble.serve();
        assert!(trouble.is_told);
        trouble.wait(None);
        trouble.serve();
        assert!(!trouble.is_told);
    }
}
