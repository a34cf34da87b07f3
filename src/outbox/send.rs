//! Messages on their way in: admitted, in line, or turned away.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Instant;

use super::aftermath::Aftermath;
use super::delivery::{Delivery, delivery};
use super::drive::FAIR_SHARE;
use super::frame::Frame;
use super::outgoing::Outgoing;
use super::queue::Queue;
use super::sync::{MutexGuard, has_passed, lock, wait};
use super::writer::dispose;
use super::{Outbox, Wire};
use crate::{DeliveryError, Message, Overflow, SendError, SendErrorKind};

/// The number of bytes from which on a cork holds nothing back.
pub(super) const CORK_FULL: u64 = 32 << 10;

/// A message that did not get in, and why.
type Rejected = (SendErrorKind, Outgoing);

impl<W: Wire> Outbox<W> {
    /// Queues a message and lets it leave. What a full queue means is said by `overflow`, or else by
    /// what was set for the connection.
    pub(crate) fn send(
        self: &Arc<Self>,
        outgoing: impl Into<Outgoing>,
        overflow: Option<Overflow>,
        leave: Leave,
    ) -> Result<(), SendError> {
        let outgoing = outgoing.into();
        let weight = outgoing.weight();
        let held = leave == Leave::Together || W::is_corked();
        let mut queue = lock(&self.queue);
        let overflow = overflow.unwrap_or(queue.overflow);
        if let Err(kind) = queue.admits(weight, overflow == Overflow::Wait) {
            let rejected = self.retry_full(queue, (kind, outgoing), overflow);
            return rejected.map_err(into_error);
        }
        if held && queue.budget.bytes() + weight < CORK_FULL {
            queue.push_held(outgoing);
            self.hold(queue);
            return Ok(());
        }
        if let Some(writer) = queue.take_writer_for(&outgoing, weight) {
            drop(queue);
            let mut frame = Frame::of(outgoing).ok();
            self.drive(writer, frame.as_mut(), weight + FAIR_SHARE);
            dispose(frame.map(|frame| frame.payload));
            return Ok(());
        }
        queue.push(outgoing);
        let mut after = Aftermath::new();
        let writer = queue.take_to_write(&mut after);
        self.unlock(queue, after);
        if let Some(writer) = writer {
            self.drive(writer, None, weight + FAIR_SHARE);
        }
        Ok(())
    }

    /// Queues a message as [`send`](Self::send) does, and tells what becomes of it.
    pub(crate) fn send_tracked(self: &Arc<Self>, message: Message) -> Result<Delivery, SendError> {
        let (promise, delivery) = delivery();
        let outgoing = Outgoing::Tracked(Box::new((message, promise)));
        self.send(outgoing, None, Leave::Now)?;
        Ok(delivery)
    }

    /// Queues messages as [`send`](Self::send) does, and lets them leave together; but what the
    /// iterator has given leaves within two milliseconds, however long it takes for the next.
    pub(crate) fn send_all(
        self: &Arc<Self>,
        mut messages: impl Iterator<Item = Message>,
    ) -> Result<(), SendError> {
        // What was queued leaves also if the program's iterator panics.
        let _leaving = Leaving::<W>(PhantomData);
        messages.try_for_each(|message| self.send(message, None, Leave::Together))
    }

    /// Has a cork of this thread hold what is queued, unless one holds it already.
    pub(super) fn hold(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue<W>>) {
        let held = std::mem::replace(&mut queue.corked, true);
        drop(queue);
        if !held {
            W::hold(self);
        }
    }

    /// Lets leave what makes room, and queues what found the queue full.
    // Not inlined: see `Aftermath::run_tasks`.
    #[inline(never)]
    fn retry_full(
        self: &Arc<Self>,
        queue: MutexGuard<'_, Queue<W>>,
        (kind, outgoing): Rejected,
        overflow: Overflow,
    ) -> Result<(), Rejected> {
        if kind != SendErrorKind::Full {
            return Err((kind, outgoing));
        }
        let waits = overflow == Overflow::Wait;
        // What waits for the socket makes no room now.
        let may_leave = queue.has_idle_writer() || waits;
        drop(queue);
        if may_leave {
            self.let_all_leave();
        }
        if waits {
            return self.wait_in_line(outgoing, || W::deadline(self.config.write_timeout));
        }
        self.queue_or_drop(outgoing, overflow)
    }

    /// Queues something without waiting, or does what the policy says.
    fn queue_or_drop(
        self: &Arc<Self>,
        outgoing: Outgoing,
        overflow: Overflow,
    ) -> Result<(), Rejected> {
        let outcome = self.with_queue(|queue, after| {
            while let Err(kind) = queue.admits(outgoing.weight(), false) {
                match (kind, overflow) {
                    (SendErrorKind::Full, Overflow::DropOldest) => match queue.drop_oldest() {
                        Some(oldest) => after.give_up(oldest, DeliveryError::Dropped),
                        // What is being written stays: it is queued beyond the limit.
                        None => break,
                    },
                    (SendErrorKind::Full, Overflow::DropNewest) => {
                        queue.dropped += 1;
                        after.give_up(outgoing, DeliveryError::Dropped);
                        return Ok(());
                    }
                    _ => return Err((kind, outgoing)),
                }
            }
            queue.push(outgoing);
            Ok(())
        });
        if let Err((SendErrorKind::Full, outgoing)) = outcome {
            if overflow == Overflow::Close {
                self.fail_slow();
                return Err((SendErrorKind::Closed, outgoing));
            }
            return Err((SendErrorKind::Full, outgoing));
        }
        self.write_waiting();
        outcome
    }

    /// Lets leave what is queued here, and what this thread holds back anywhere.
    pub(super) fn let_all_leave(self: &Arc<Self>) {
        W::uncork();
        self.write_waiting();
    }

    /// Stands in line until there is room, unless nothing can move before this very thread goes on.
    pub(super) fn wait_in_line(
        self: &Arc<Self>,
        outgoing: Outgoing,
        deadline: impl FnOnce() -> Option<Instant>,
    ) -> Result<(), Rejected> {
        let mut queue = lock(&self.queue);
        match queue.admits(outgoing.weight(), true) {
            Ok(()) => {
                queue.push(outgoing);
                drop(queue);
                self.write_waiting();
                return Ok(());
            }
            Err(SendErrorKind::Full) if !queue.is_streaming_here() => {}
            Err(kind) => return Err((kind, outgoing)),
        }
        let deadline = deadline();
        let bell = Queue::<W>::new_bell();
        let ticket = queue.join_line(outgoing, bell.clone());
        loop {
            queue = self.answer_call(queue);
            if !queue.is_in_line(ticket) || !queue.life.is_open() || has_passed(deadline) {
                break;
            }
            queue = wait(&bell, queue, deadline);
        }
        let mut after = Aftermath::new();
        let turned_away = queue.leave_line(ticket, &mut after);
        let kind = if queue.life.is_open() {
            SendErrorKind::Timeout
        } else {
            SendErrorKind::Closed
        };
        self.unlock(queue, after);
        // Those behind may have moved up.
        self.write_waiting();
        turned_away.map_or(Ok(()), |outgoing| Err((kind, outgoing)))
    }
}

/// When what is queued leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// At once, or with the rest of a burst.
    Now,
    /// With what the program gives next.
    Together,
}

/// Lets leave what this thread holds back, when dropped.
struct Leaving<W: Wire>(PhantomData<W>);

impl<W: Wire> Drop for Leaving<W> {
    fn drop(&mut self) {
        if !W::is_corked() {
            W::uncork();
        }
    }
}

/// Hands the message back.
fn into_error((kind, outgoing): Rejected) -> SendError {
    // Nobody holds the other end of what is handed back.
    SendError::new(kind, outgoing.give_up(DeliveryError::Dropped).0)
}
