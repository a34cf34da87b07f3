//! The deadline for writing a server's answer: [`AnswerDeadline`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::background::Writing;
use crate::background::{Deadlines, Facts, PROGRESS, STEPS, Verdict};
use crate::transport::Ready;
use crate::{Config, Timeout};

/// The writing of an answer. It has the deadline of a message: once the socket has refused bytes,
/// the peer must take 64 KiB within each `write_timeout`.
pub(crate) struct AnswerDeadline {
    deadlines: Deadlines,
    taken: u64,
    stall: Option<Stall>,
    step: Duration,
}

/// The time for which the socket has been refusing a part of the answer.
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

    /// Notes that the socket refuses more bytes. Returns when to look at the socket again.
    pub(crate) fn note_refused(&mut self, now: Instant) -> Instant {
        let taken = self.taken;
        self.stall.get_or_insert(Stall { since: now, taken });
        now + self.step
    }

    /// Notes that the whole answer is written, and ends the deadline.
    pub(crate) fn note_end(&mut self) {
        self.stall = None;
    }

    /// Decides whether the deadline has passed. `ready` is the result of a look at the socket, if
    /// there was one. `end_by` ends the writing for good, when the server stops.
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
