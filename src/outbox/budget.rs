//! How much may wait to be written, and who waits for room.

use std::collections::VecDeque;
use std::time::Instant;

use crate::sync::{AtomicU64, Condvar, Mutex, Ordering, lock, wait};
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
/// One message. The bits below count bytes.
const MESSAGE: u64 = 1 << 40;
const MESSAGES: u64 = SEALED - MESSAGE;
const BYTES: u64 = MESSAGE - 1;

/// Says why nothing was reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    Closing,
    Full,
}

#[derive(Default)]
struct Line {
    places: VecDeque<u64>,
    next: u64,
}

impl Budget {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            word: AtomicU64::new(0),
            max_bytes: (config.max_queue_bytes as u64).min(MAX_WEIGHT),
            max_messages: (config.max_queue_messages.clamp(1, 1 << 20)) as u64,
            line: Mutex::new(Line::default()),
            moved: Condvar::new(),
        }
    }

    /// Reserves room for a message of `bytes` and returns the bytes now reserved in all.
    pub(super) fn reserve(&self, bytes: u64) -> Result<u64, Denied> {
        self.reserve_unless(WAITING, bytes)
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
        before
    }

    /// Wakes those in line, if there were any: whoever gets in line later sets the bit first and
    /// then looks at the word, so it sees what was done to it.
    fn call_line(&self, before: u64) {
        if before & WAITING != 0 {
            let _line = lock(&self.line);
            self.moved.notify_all();
        }
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

    fn reserve_unless(&self, forbidding: u64, bytes: u64) -> Result<u64, Denied> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            self.admits(word, forbidding, bytes)?;
            let reserved = word + MESSAGE + bytes;
            match self.word.compare_exchange_weak(
                word,
                reserved,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(reserved & BYTES),
                Err(current) => word = current,
            }
        }
    }

    /// A message larger than the whole budget is taken while nothing else waits.
    fn admits(&self, word: u64, forbidding: u64, bytes: u64) -> Result<(), Denied> {
        if word & CLOSING != 0 {
            return Err(Denied::Closing);
        }
        let messages = (word & MESSAGES) / MESSAGE;
        let fits = messages < self.max_messages && (word & BYTES) + bytes <= self.max_bytes;
        if word & forbidding == 0 && (fits || messages == 0) {
            Ok(())
        } else {
            Err(Denied::Full)
        }
    }
}

/// Stands in line until dropped.
pub(super) struct Place<'a> {
    budget: &'a Budget,
    ticket: u64,
}

impl Place<'_> {
    /// Reserves like [`Budget::reserve`], if this place is the first in line.
    pub(super) fn reserve(&self, bytes: u64) -> Result<u64, Denied> {
        if !self.is_first(&lock(&self.budget.line)) && !self.budget.is_closing() {
            return Err(Denied::Full);
        }
        self.budget.reserve_unless(0, bytes)
    }

    pub(super) fn leads(&self) -> bool {
        self.is_first(&lock(&self.budget.line))
    }

    /// Waits until the line may have moved, at most until the deadline.
    pub(super) fn wait(&self, bytes: u64, deadline: Option<Instant>) {
        let line = lock(&self.budget.line);
        let word = self.budget.word.load(Ordering::Acquire);
        let full = self.budget.admits(word, 0, bytes) == Err(Denied::Full);
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
        line.places.retain(|ticket| *ticket != self.ticket);
        if line.places.is_empty() {
            self.budget.word.fetch_and(!WAITING, Ordering::AcqRel);
        }
        self.budget.moved.notify_all();
    }
}

/// Returns what a message counts.
pub(super) fn weight(message: &Message) -> u64 {
    (message.len() as u64).min(MAX_WEIGHT)
}

/// Keeps sums of weights out of the word's other bits.
const MAX_WEIGHT: u64 = BYTES / 4;
