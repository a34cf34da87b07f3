//! Writing: whoever has taken the writer writes until nothing is left, the socket takes no more, or its
//! turn is over.

use std::sync::Arc;
use std::time::Instant;

use super::aftermath::Aftermath;
use super::queue::{Queue, Seat};
use super::sync::{MutexGuard, Ordering, lock, wait};
use super::writer::{Spent, Writer};
use super::{Outbox, Wire};
use crate::life::Cause;
use crate::transport::wants_input;

/// The bytes that a turn writes for others beyond its own message, so that nobody is conscripted into
/// another's flood and no connection delays another's time.
pub(super) const FAIR_SHARE: u64 = 256 << 10;

/// What the reading end and the background ask at every event: copies of what the queue says,
/// written under its lock.
pub(super) const CLOSING: u8 = 1;
pub(super) const CUT: u8 = 2;
pub(super) const STALLED: u8 = 4;

impl<W: Wire> Outbox<W> {
    /// Takes the lock for a rule of the queue, and does what that asks for after unlocking.
    pub(super) fn with_queue<R>(
        self: &Arc<Self>,
        rule: impl FnOnce(&mut Queue<W>, &mut Aftermath<W>) -> R,
    ) -> R {
        let mut after = Aftermath::new();
        let mut queue = lock(&self.queue);
        let result = rule(&mut queue, &mut after);
        self.unlock(queue, after);
        result
    }

    /// Writes what waits, unless somebody else is writing: that one takes it along.
    pub(super) fn write_waiting(self: &Arc<Self>) {
        if let Some(writer) = self.with_queue(Queue::take_to_write) {
            self.drive(writer, FAIR_SHARE);
        }
    }

    /// Unlocks, and does what is left to be done then.
    pub(super) fn unlock(self: &Arc<Self>, queue: MutexGuard<'_, Queue<W>>, after: Aftermath<W>) {
        self.publish(&queue);
        let observed = queue.observers > 0;
        drop(queue);
        if observed {
            self.moved.notify_all();
        }
        after.run(self);
    }

    fn publish(&self, queue: &Queue<W>) {
        let hints = [
            (!queue.life.is_open(), CLOSING),
            (queue.life.is_cut(), CUT),
            (queue.is_stalled(), STALLED),
        ];
        let set = hints.into_iter().filter(|(is_set, _)| *is_set);
        let hints = set.fold(0, |hints, (_, hint)| hints | hint);
        if self.hints.load(Ordering::Relaxed) != hints {
            self.hints.store(hints, Ordering::Release);
        }
    }

    /// Writes with the writer until it has nothing left, the socket is full, or `share` bytes are
    /// written.
    pub(super) fn drive(self: &Arc<Self>, writer: Box<Writer<W>>, share: u64) {
        let mut turn = Turn {
            outbox: self,
            writer: Some(writer),
            share,
            spent: Spent::default(),
        };
        while turn.write() {}
    }

    /// Ends a wait for writability by the background. A sender that waits for room writes on itself,
    /// if there is one.
    pub(crate) fn resume(self: &Arc<Self>) {
        let writer = self.with_queue(|queue, after| {
            queue.keepers.background = false;
            if queue.stall.is_none() || queue.keepers.pollers > 0 || queue.call_sender(after) {
                return None;
            }
            queue.take_any_writer()
        });
        if let Some(writer) = writer {
            self.drive(writer, FAIR_SHARE);
        }
    }

    /// Tries an unfinished write again, though nobody has been told that the socket takes more. Linux says
    /// so only once half of `TCP_NOTSENT_LOWAT` is free, but takes more from the first byte on: the
    /// windows that a slow peer opens may be smaller.
    pub(crate) fn retry(self: &Arc<Self>) {
        if !self.is_stalled() {
            return;
        }
        if let Some(writer) = self.with_queue(|queue, _| queue.take_stalled_writer()) {
            self.drive(writer, FAIR_SHARE);
        }
    }

    /// Writes on if this thread, which waits for room, has been called to: the socket takes more.
    pub(super) fn answer_call<'a>(
        self: &'a Arc<Self>,
        mut queue: MutexGuard<'a, Queue<W>>,
    ) -> MutexGuard<'a, Queue<W>> {
        while let Some(writer) = queue.answer_call() {
            drop(queue);
            self.drive(writer, FAIR_SHARE);
            queue = lock(&self.queue);
        }
        queue
    }

    /// Promises to wait for writability, if an unfinished write waits for it, and to
    /// [end polling](Self::end_polling) then.
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

    /// Writes on after a wait for writability, or hands the wait on if that is not `writable`.
    pub(crate) fn end_polling(self: &Arc<Self>, writable: bool) {
        let writer = self.with_queue(|queue, after| {
            queue.keepers.pollers -= 1;
            if writable && queue.stall.is_some() {
                return queue.take_any_writer();
            }
            queue.find_keeper(after);
            None
        });
        if let Some(writer) = writer {
            self.drive(writer, FAIR_SHARE);
        }
    }

    /// Writes until nothing is left to be written, or nothing leaves any more; a peer that does not
    /// read is the write deadline's.
    pub(crate) fn flush(self: &Arc<Self>) {
        loop {
            self.write_waiting();
            if let Some(wire) = self.begin_polling() {
                wire.wait_writable();
                self.end_polling(true);
                continue;
            }
            let queue = lock(&self.queue);
            if queue.is_flushed() {
                return;
            }
            if matches!(queue.writer, Seat::Taken) || queue.keepers.input {
                drop(self.observe(queue, None));
            }
        }
    }

    /// Waits until something has happened to the queue, or until the deadline.
    pub(super) fn observe<'a>(
        &'a self,
        mut queue: MutexGuard<'a, Queue<W>>,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, Queue<W>> {
        queue.observers += 1;
        queue = wait(&self.moved, queue, deadline);
        queue.observers -= 1;
        queue
    }
}

/// One thread's turn with the writer.
struct Turn<'a, W: Wire> {
    outbox: &'a Arc<Outbox<W>>,
    writer: Option<Box<Writer<W>>>,
    /// How much is still to be written in this turn.
    share: u64,
    /// Dropped when the writer is back in its place: their owners may send here, too.
    spent: Spent,
}

impl<W: Wire> Turn<'_, W> {
    /// Writes once. Returns whether the turn goes on.
    fn write(&mut self) -> bool {
        let result = self.writer.as_mut().map(|writer| writer.write());
        let Some((mut writer, result)) = self.writer.take().zip(result) else {
            return false;
        };
        self.spent.append(writer.take_spent());
        let mut after = Aftermath::new();
        let mut queue = lock(&self.outbox.queue);
        let refusal = match result {
            Ok(written) => {
                self.share = self.share.saturating_sub(written.length);
                queue.account(written, &mut after);
                if writer.is_worn_out() {
                    queue.retire(&mut after);
                }
                None
            }
            Err(error) => Some(error),
        };
        match refusal {
            _ if queue.life.is_sending_over() => queue.bury(writer, &mut after),
            Some(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                queue.refuse(writer, &mut after);
            }
            Some(error) if wants_input(&error) => {
                self.writer = queue.await_input(writer, &mut after);
            }
            Some(error) => {
                queue.lose(error, &mut after);
                queue.bury(writer, &mut after);
            }
            None if self.share == 0 && !(writer.is_done() && queue.has_nothing_before()) => {
                queue.stall(writer, &mut after);
            }
            None if writer.is_done() && !queue.refill(&mut writer, &mut after) => {
                queue.put_back(writer);
            }
            None => self.writer = Some(writer),
        }
        self.outbox.unlock(queue, after);
        self.writer.is_some()
    }
}

impl<W: Wire> Drop for Turn<'_, W> {
    /// Ends the connection if the writer is still here, as writing has panicked: without it the
    /// connection would be mute for ever.
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            self.outbox.cut(Cause::Aborted);
            self.outbox
                .with_queue(|queue, after| queue.bury(writer, after));
        }
        std::mem::take(&mut self.spent).dispose();
    }
}
