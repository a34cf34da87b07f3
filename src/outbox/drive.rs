//! Writing: the thread that has taken the writer writes until nothing is left, the socket takes no
//! more, or its turn is over.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::after_unlock::AfterUnlock;
use super::disposal::{dispose, dispose_all};
use super::frame::{Coding, Written};
use super::frames::Piece;
use super::queue::{Queue, Seat};
use super::sync::{MutexGuard, Ordering, wait};
use super::writer::Writer;
use super::{Outbox, Wire};
use crate::Message;
use crate::life::CloseCause;
use crate::protocol::Opcode;

/// The bytes that a turn writes beyond the thread's own message, so that a thread does not write
/// another's flood, and no connection delays another.
pub(super) const FAIR_SHARE: u64 = 256 << 10;

/// Hints for the reading end and the background, which ask at every event: copies of the queue's
/// state, written under its lock.
pub(super) const CLOSING: u8 = 1;
pub(super) const CUT: u8 = 2;
pub(super) const STALLED: u8 = 4;

impl<W: Wire> Outbox<W> {
    /// Takes the lock for a rule of the queue, and does the rule's tasks after unlocking.
    pub(super) fn with_queue<R>(
        self: &Arc<Self>,
        rule: impl FnOnce(&mut Queue<W>, &mut AfterUnlock<W>) -> R,
    ) -> R {
        let mut after = AfterUnlock::new();
        let mut queue = self.lock_queue();
        let result = rule(&mut queue, &mut after);
        self.unlock(queue, after);
        result
    }

    /// Writes the messages that wait, unless another thread is writing: that thread takes them
    /// along.
    pub(super) fn write_waiting(self: &Arc<Self>) {
        self.write_by(Queue::take_to_write);
    }

    /// Unlocks, and does the remaining tasks.
    #[inline]
    pub(super) fn unlock(self: &Arc<Self>, queue: MutexGuard<'_, Queue<W>>, after: AfterUnlock<W>) {
        self.publish(&queue);
        let observed = queue.observers > 0;
        drop(queue);
        if observed {
            self.moved.notify_all();
        }
        after.run(self);
    }

    fn publish(&self, queue: &Queue<W>) {
        let set = |is_set, hint| if is_set { hint } else { 0 };
        let hints = set(!queue.life.is_open(), CLOSING)
            | set(queue.life.is_cut(), CUT)
            | set(queue.is_stalled(), STALLED);
        if self.hints.load(Ordering::Relaxed) != hints {
            self.hints.store(hints, Ordering::Release);
        }
    }

    /// Takes the writer by a rule of the queue, and writes with it.
    pub(super) fn write_by(
        self: &Arc<Self>,
        rule: impl FnOnce(&mut Queue<W>, &mut AfterUnlock<W>) -> Option<Box<Writer<W>>>,
    ) {
        if let Some(writer) = self.with_queue(rule) {
            self.drive(writer, FAIR_SHARE);
        }
    }

    /// Writes with the writer until it has nothing left, the socket is full, or `turn_left` bytes are
    /// written.
    pub(super) fn drive(self: &Arc<Self>, mut writer: Box<Writer<W>>, mut turn_left: u64) {
        // Dropped when the writer is back in its place: the payloads' owners may send here, too.
        let mut spent = Vec::new();
        loop {
            let mut written = Written::default();
            let attempt = || self.write_once(&mut writer, &mut written);
            let result = match catch_unwind(AssertUnwindSafe(attempt)) {
                Ok(result) => result,
                Err(panic) => {
                    self.abandon(writer);
                    dispose_all(spent);
                    resume_unwind(panic);
                }
            };
            writer.take_spent(&mut spent);
            let queue = self.lock_queue();
            match self.settle(queue, writer, result, written, &mut turn_left) {
                Some(kept) => writer = kept,
                None => break,
            }
        }
        dispose_all(spent);
    }

    /// Writes a message that is the only one. Usually it leaves whole, and the call ends.
    #[inline]
    pub(super) fn write_message(
        self: &Arc<Self>,
        mut writer: Box<Writer<W>>,
        message: Message,
        weight: u64,
        coding: Coding,
    ) {
        let opcode = Opcode::of(&message);
        let mut payload = message.into_bytes();
        let mut spent = Vec::new();
        let attempt = || writer.write_whole(opcode, &mut payload, weight, coding);
        match catch_unwind(AssertUnwindSafe(attempt)) {
            Ok(Ok(length)) => {
                // A large payload was written where it is, and must not stay with the writer.
                writer.take_spent(&mut spent);
                writer.rest();
                let mut queue = self.lock_queue();
                if let Some(writer) = queue.settle_alone(writer, length, weight, 1) {
                    let written = Written::message(length, weight);
                    self.go_on(queue, writer, Ok(()), written, weight);
                }
            }
            Ok(Err((result, written))) => {
                self.go_on(self.lock_queue(), writer, result, written, weight);
            }
            Err(panic) => {
                writer.take_lost(weight);
                self.abandon(writer);
                resume_unwind(panic);
            }
        }
        // After the writer is back in its place: the payload's owner may send here, too.
        dispose(payload);
        dispose_all(spent);
    }

    /// Writes messages to many that are the only ones here.
    #[inline]
    pub(super) fn write_piece(self: &Arc<Self>, mut writer: Box<Writer<W>>, piece: &Piece) {
        let (weight, messages) = (piece.weight(), piece.messages());
        match catch_unwind(AssertUnwindSafe(|| writer.write_framed(piece))) {
            Ok(Ok(length)) => {
                let mut queue = self.lock_queue();
                if let Some(writer) = queue.settle_alone(writer, length, weight, messages) {
                    let written = Written::piece(length, piece);
                    self.go_on(queue, writer, Ok(()), written, weight);
                }
            }
            Ok(Err((result, written))) => {
                self.go_on(self.lock_queue(), writer, result, written, weight);
            }
            Err(panic) => {
                writer.take_lost_piece(piece);
                self.abandon(writer);
                resume_unwind(panic);
            }
        }
    }

    /// Counts the result of writing a message of this weight, and writes on if there is more.
    #[inline(never)]
    fn go_on(
        self: &Arc<Self>,
        queue: MutexGuard<'_, Queue<W>>,
        writer: Box<Writer<W>>,
        result: io::Result<()>,
        written: Written,
        weight: u64,
    ) {
        let mut turn_left = weight + FAIR_SHARE;
        if let Some(writer) = self.settle(queue, writer, result, written, &mut turn_left) {
            self.drive(writer, turn_left);
        }
    }

    /// Counts the result of a write, and unlocks. Returns the writer if the turn goes on.
    fn settle(
        self: &Arc<Self>,
        mut queue: MutexGuard<'_, Queue<W>>,
        writer: Box<Writer<W>>,
        result: io::Result<()>,
        written: Written,
        turn_left: &mut u64,
    ) -> Option<Box<Writer<W>>> {
        let mut after = AfterUnlock::new();
        let kept = queue.settle(writer, result, written, turn_left, &mut after);
        self.unlock(queue, after);
        kept
    }

    fn write_once(&self, writer: &mut Writer<W>, written: &mut Written) -> io::Result<()> {
        // A forked child must not end a connection that its parent has open.
        if self.is_closing() && !writer.is_own() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        writer.write(written)
    }

    /// Ends the connection because writing has panicked: without the writer it could never send
    /// again.
    #[cold]
    fn abandon(self: &Arc<Self>, writer: Box<Writer<W>>) {
        self.cut(CloseCause::Aborted);
        self.with_queue(|queue, after| queue.discard_writer(writer, after));
    }

    /// Ends the background's wait for writability. If a sender waits for room, it writes on itself.
    pub(crate) fn resume(self: &Arc<Self>) {
        self.write_by(|queue, after| {
            queue.keepers.background = false;
            if queue.stall.is_none() || queue.keepers.pollers > 0 || queue.call_sender(after) {
                return None;
            }
            queue.take_any_writer()
        });
    }

    /// Tries an unfinished write again, without a report that the socket takes more. Linux reports
    /// it only once half of `TCP_NOTSENT_LOWAT` is free, but takes more from the first byte on: the
    /// windows that a slow peer opens may be smaller.
    pub(crate) fn retry(self: &Arc<Self>) {
        if self.is_stalled() {
            self.write_by(|queue, _| queue.take_stalled_writer());
        }
    }

    /// Writes on if this thread, which waits for room, has been called because the socket takes
    /// more.
    pub(super) fn answer_call<'a>(
        self: &'a Arc<Self>,
        mut queue: MutexGuard<'a, Queue<W>>,
    ) -> MutexGuard<'a, Queue<W>> {
        while let Some(writer) = queue.answer_call() {
            drop(queue);
            self.drive(writer, FAIR_SHARE);
            queue = self.lock_queue();
        }
        queue
    }

    /// Promises to wait for writability, if an unfinished write waits for it, and to [end
    /// polling](Self::end_polling) then.
    pub(crate) fn begin_polling(self: &Arc<Self>) -> Option<Arc<W>> {
        self.with_queue(|queue, _| {
            if !queue.is_stalled() {
                return None;
            }
            let wire = queue.wire.clone()?;
            queue.keepers.pollers += 1;
            Some(wire)
        })
    }

    /// Writes on after a wait for writability, or passes the wait on if the socket is not
    /// `writable`.
    pub(crate) fn end_polling(self: &Arc<Self>, writable: bool) {
        self.write_by(|queue, after| {
            queue.keepers.pollers -= 1;
            if writable && queue.stall.is_some() {
                return queue.take_any_writer();
            }
            queue.find_keeper(after);
            None
        });
    }

    /// Waits for the full socket on the thread of a sender that waits for room, and writes on, as long
    /// as the sender `waits` and the socket takes more within a moment. So a peer that reads as fast
    /// as this side writes costs no switches between the sender and the background. Whatever else
    /// frees the sender does so a moment later at most.
    pub(super) fn poll_in_line<'a>(
        self: &'a Arc<Self>,
        mut queue: MutexGuard<'a, Queue<W>>,
        waits: impl Fn(&Queue<W>) -> bool,
    ) -> MutexGuard<'a, Queue<W>> {
        let Some(wire) = queue.wire.clone().filter(|_| queue.has_no_poller()) else {
            return queue;
        };
        queue.keepers.pollers += 1;
        while queue.is_stalled() && waits(&queue) {
            drop(queue);
            let is_writable = wire.wait_a_moment();
            if is_writable {
                self.write_by(|queue, _| queue.stall.and_then(|_| queue.take_any_writer()));
            }
            queue = self.lock_queue();
            if !is_writable {
                break;
            }
        }
        let mut after = AfterUnlock::new();
        queue.keepers.pollers -= 1;
        queue.find_keeper(&mut after);
        self.unlock(queue, after);
        self.lock_queue()
    }

    /// Writes until nothing is left, or nothing leaves any more. The write deadline bounds it if
    /// the peer does not read.
    pub(crate) fn flush(self: &Arc<Self>) {
        loop {
            self.write_waiting();
            if let Some(wire) = self.begin_polling() {
                wire.wait_writable();
                self.end_polling(true);
                continue;
            }
            let queue = self.lock_queue();
            if queue.is_flushed() {
                return;
            }
            if matches!(queue.writer, Seat::Taken) || queue.keepers.input {
                drop(self.observe(queue, None));
            }
        }
    }

    /// Waits until the queue changes, or until the deadline.
    pub(super) fn observe<'a>(
        &'a self,
        mut queue: MutexGuard<'a, Queue<W>>,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, Queue<W>> {
        queue.observers += 1;
        queue = wait(&self.moved, queue, deadline);
        queue.observers -= 1;
        queue.catch_up();
        queue
    }
}
