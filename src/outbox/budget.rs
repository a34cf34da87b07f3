//! How much may wait to be written, and who waits for room.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use super::Alarm;
use super::sync::{AtomicU64, Condvar, Mutex, Ordering, lock, wait};
use crate::{Config, Message};

/// Counts the bytes and messages that are reserved, and carries the closing bit, in one word: a
/// reservation and the test whether the connection is closing are one atomic step, so that what
/// was reserved before a Close goes before it.
///
/// Waiters stand in line: while one does, nobody passes it.
pub(super) struct Budget {
    word: AtomicU64,
    max_bytes: u64,
    max_messages: u64,
    line: Mutex<Line>,
    moved: Condvar,
}

/// No more may be reserved.
const CLOSING: u64 = 1 << 63;
/// Somebody stands in line.
const WAITING: u64 = 1 << 62;
/// The connection is sealed: nothing leaves any more.
const SEALED: u64 = 1 << 61;
/// Somebody waits until nothing is reserved.
const DRAINING: u64 = 1 << 60;
/// One message. The bits below count bytes.
const MESSAGE: u64 = 1 << 38;
const MESSAGES: u64 = DRAINING - MESSAGE;
const BYTES: u64 = MESSAGE - 1;

/// Says why nothing was reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    Closing,
    Full,
}

/// Says what a reservation respects, beside the closing bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Respect {
    /// The limits, and those in line.
    Line,
    /// The limits alone.
    Limits,
    /// Nothing.
    Nothing,
}

/// Tells what a reservation has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reserved {
    /// The bytes now reserved in all.
    pub(super) bytes: u64,
    /// Whether nothing else was reserved.
    pub(super) alone: bool,
}

#[derive(Default)]
struct Line {
    places: VecDeque<u64>,
    next: u64,
    /// How many wait until nothing is reserved.
    drainers: usize,
    /// Wakes the first, who waits for the socket and not for the line.
    alarm: Option<Arc<dyn Alarm>>,
}

impl Budget {
    pub(super) fn new(config: &Config) -> Self {
        Self::bounded(config.max_queue_bytes, config.max_queue_messages)
    }

    pub(super) fn bounded(bytes: usize, messages: usize) -> Self {
        Self {
            word: AtomicU64::new(0),
            max_bytes: (bytes as u64).min(MAX_WEIGHT),
            max_messages: messages.clamp(1, MAX_MESSAGES) as u64,
            line: Mutex::new(Line::default()),
            moved: Condvar::new(),
        }
    }

    /// Reserves room for a message of `bytes`.
    pub(super) fn reserve(&self, bytes: u64, respect: Respect) -> Result<Reserved, Denied> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            self.admits(word, bytes, respect)?;
            let reserved = word + MESSAGE + bytes;
            match self.word.compare_exchange_weak(
                word,
                reserved,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    return Ok(Reserved {
                        bytes: reserved & BYTES,
                        alone: word & MESSAGES == 0,
                    });
                }
                Err(current) => word = current,
            }
        }
    }

    /// Tells how many messages are reserved and not released.
    pub(super) fn messages(&self) -> u64 {
        (self.word.load(Ordering::Acquire) & MESSAGES) / MESSAGE
    }

    /// Tells how many bytes are reserved and not released.
    pub(super) fn bytes(&self) -> u64 {
        self.word.load(Ordering::Acquire) & BYTES
    }

    pub(super) fn is_closing(&self) -> bool {
        self.word.load(Ordering::Acquire) & CLOSING != 0
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.word.load(Ordering::Acquire) & SEALED != 0
    }

    /// Gives back the room of messages that have left, and lets the line move up.
    pub(super) fn release(&self, bytes: u64, messages: u64) {
        let before = self
            .word
            .fetch_sub(bytes + messages * MESSAGE, Ordering::AcqRel);
        self.call_line(before);
    }

    /// Refuses all further reservations; returns whether this call was the first to.
    pub(super) fn close(&self) -> bool {
        self.set(CLOSING) & CLOSING == 0
    }

    /// Says that nothing leaves any more.
    pub(super) fn seal(&self) {
        self.set(CLOSING | SEALED);
    }

    fn set(&self, bits: u64) -> u64 {
        let before = self.word.fetch_or(bits, Ordering::AcqRel);
        self.call_line(before);
        if before & WAITING != 0 {
            let alarm = lock(&self.line).alarm.clone();
            alarm.inspect(|alarm| alarm.ring());
        }
        before
    }

    /// Wakes those who wait, if there were any: whoever begins to wait later sets its bit first and
    /// then looks at the word, so it sees what was done to it.
    fn call_line(&self, before: u64) {
        if before & (WAITING | DRAINING) != 0 {
            let _line = lock(&self.line);
            self.moved.notify_all();
        }
    }

    /// Waits until nothing is reserved, at most until the deadline; returns whether that is so.
    pub(super) fn wait_empty(&self, deadline: Option<Instant>) -> bool {
        let mut line = lock(&self.line);
        line.drainers += 1;
        self.word.fetch_or(DRAINING, Ordering::AcqRel);
        while self.messages() > 0 && deadline.is_none_or(|deadline| Instant::now() < deadline) {
            line = wait(&self.moved, line, deadline);
        }
        line.drainers -= 1;
        if line.drainers == 0 {
            self.word.fetch_and(!DRAINING, Ordering::AcqRel);
        }
        self.messages() == 0
    }

    /// Gets in line for room.
    pub(super) fn line_up(&self) -> Place<'_> {
        let mut line = lock(&self.line);
        let ticket = line.next;
        line.next += 1;
        line.places.push_back(ticket);
        self.word.fetch_or(WAITING, Ordering::AcqRel);
        Place {
            budget: self,
            ticket,
        }
    }

    /// A message larger than the whole budget is taken while nothing else waits.
    fn admits(&self, word: u64, bytes: u64, respect: Respect) -> Result<(), Denied> {
        if word & CLOSING != 0 {
            return Err(Denied::Closing);
        }
        let messages = (word & MESSAGES) / MESSAGE;
        let fits = messages < self.max_messages && (word & BYTES) + bytes <= self.max_bytes;
        let admitted = match respect {
            Respect::Line => word & WAITING == 0 && (fits || messages == 0),
            Respect::Limits => fits || messages == 0,
            Respect::Nothing => true,
        };
        if admitted { Ok(()) } else { Err(Denied::Full) }
    }
}

/// Stands in line until dropped.
pub(super) struct Place<'a> {
    budget: &'a Budget,
    ticket: u64,
}

impl Place<'_> {
    /// Reserves like [`Budget::reserve`], if this place is the first in line.
    pub(super) fn reserve(&self, bytes: u64) -> Result<Reserved, Denied> {
        if !self.is_first(&lock(&self.budget.line)) && !self.budget.is_closing() {
            return Err(Denied::Full);
        }
        self.budget.reserve(bytes, Respect::Limits)
    }

    pub(super) fn leads(&self) -> bool {
        self.is_first(&lock(&self.budget.line))
    }

    /// Has this alarm rung when no more may be reserved; returns false if that is so already.
    pub(super) fn ring_when_closing(&self, alarm: Option<Arc<dyn Alarm>>) -> bool {
        let before = mem::replace(&mut lock(&self.budget.line).alarm, alarm);
        drop(before);
        !self.budget.is_closing()
    }

    /// Waits until the line may have moved, at most until the deadline.
    pub(super) fn wait(&self, bytes: u64, deadline: Option<Instant>) {
        let line = lock(&self.budget.line);
        let word = self.budget.word.load(Ordering::Acquire);
        let full = self.budget.admits(word, bytes, Respect::Limits) == Err(Denied::Full);
        if full || (!self.is_first(&line) && word & CLOSING == 0) {
            drop(wait(&self.budget.moved, line, deadline));
        }
    }

    fn is_first(&self, line: &Line) -> bool {
        line.places.front() == Some(&self.ticket)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut line = lock(&self.budget.line);
        let first = self.is_first(&line);
        let alarm = line.alarm.take_if(|_| first);
        line.places.retain(|ticket| *ticket != self.ticket);
        if line.places.is_empty() {
            self.budget.word.fetch_and(!WAITING, Ordering::AcqRel);
        }
        self.budget.moved.notify_all();
        drop(line);
        drop(alarm);
    }
}

/// Returns what a message counts.
pub(super) fn weight(message: &Message) -> u64 {
    (message.len() as u64).min(MAX_WEIGHT)
}

/// Keep sums out of the word's other bits.
const MAX_WEIGHT: u64 = BYTES / 4;
const MAX_MESSAGES: usize = 1 << 20;
