//! The time in which a server's answer is written: [`AnswerDeadline`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::background::Writing;
use crate::background::{Deadlines, Facts, PROGRESS, STEPS, Verdict};
use crate::transport::Ready;
use crate::{Config, Timeout};

/// The writing of an answer, judged by the same deadline as that of a message: the peer must take
/// 64 KiB within each `write_timeout`, once it has refused something.
pub(crate) struct AnswerDeadline {
    deadlines: Deadlines,
    taken: u64,
    stall: Option<Stall>,
    step: Duration,
}

/// A time in which the socket refuses a part of the answer.
struct Stall {
    since: Instant,
    taken: u64,
}

/// The shortest time between two looks at the socket.
const SHORTEST: Duration = Duration::from_millis(5);

impl AnswerDeadline {
    pub(crate) fn new(config: &Arc<Config>) -> Self {
        Self {
            deadlines: Deadlines::of_answer(config),
            taken: 0,
            stall: None,
            step: (config.write_timeout / STEPS).max(SHORTEST),
        }
    }

    /// Counts what the socket has taken.
    pub(crate) fn note_taken(&mut self, bytes: usize, now: Instant) {
        self.taken += bytes as u64;
        if let Some(stall) = &mut self.stall {
            if self.taken - stall.taken >= PROGRESS {
                stall.since = now;
                stall.taken = self.taken;
            }
        }
    }

    /// Takes note that the socket refuses more. Returns when to look at the socket again.
    pub(crate) fn note_refused(&mut self, now: Instant) -> Instant {
        let taken = self.taken;
        self.stall.get_or_insert(Stall { since: now, taken });
        now + self.step
    }

    /// Takes note that everything is written: nothing is waited for.
    pub(crate) fn note_end(&mut self) {
        self.stall = None;
    }

    /// Says what is due. `ready` is what a look at the socket found, if there was one; `end_by` ends the
    /// writing for good, as the server stops then.
    pub(crate) fn check(
        &mut self,
        now: Instant,
        ready: Option<Ready>,
        end_by: Option<Instant>,
    ) -> Verdict {
        self.deadlines.check(&Facts {
            now,
            ready,
            asleep: false,
            received: 0,
            messages: 0,
            mid_message: None,
            payload: 0,
            writing: Writing {
                relieved: 0,
                stalled_since: self.stall.as_ref().map(|stall| stall.since),
                close_left_at: None,
                has_failed: false,
                delivered: 0,
                unfinished: 0,
            },
            is_closing: false,
            end_by: end_by.map(|by| (by, Timeout::Stop)),
        })
    }
}
