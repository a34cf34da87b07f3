//! Messages on their way in: admitted, in line, or turned away.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Instant;

use super::aftermath::Aftermath;
use super::delivery::{Delivery, delivery};
use super::drive::FAIR_SHARE;
use super::outgoing::Outgoing;
use super::queue::Queue;
use super::sync::{MutexGuard, has_passed, lock, wait};
use super::{Outbox, Wire};
use crate::{DeliveryError, Message, Overflow, SendError, SendErrorKind};

/// With so much gathered, a cork is no longer worth it.
pub(super) const CORK_FULL: u64 = 32 << 10;

/// What did not get in, and why.
type Rejected = (SendErrorKind, Outgoing);

impl<W: Wire> Outbox<W> {
    /// Queues a message and lets it leave. What a full queue means is said by `overflow`, or else by
    /// what was set for the connection.
    pub(crate) fn send(
        self: &Arc<Self>,
        message: Message,
        overflow: Option<Overflow>,
    ) -> Result<(), SendError> {
        self.queue(Outgoing::Message(message), overflow, Leave::Now)
            .map_err(into_error)
    }

    /// Queues a message as [`send`](Self::send) does, and tells what becomes of it.
    pub(crate) fn send_tracked(self: &Arc<Self>, message: Message) -> Result<Delivery, SendError> {
        let (promise, delivery) = delivery();
        let outgoing = Outgoing::Tracked(Box::new((message, promise)));
        self.queue(outgoing, None, Leave::Now).map_err(into_error)?;
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
        messages.try_for_each(|message| {
            self.queue(Outgoing::Message(message), None, Leave::Together)
                .map_err(into_error)
        })
    }

    /// Queues something as the policy says.
    pub(super) fn queue(
        self: &Arc<Self>,
        outgoing: Outgoing,
        overflow: Option<Overflow>,
        leave: Leave,
    ) -> Result<(), Rejected> {
        let held = leave == Leave::Together || W::is_corked();
        let queue = lock(&self.queue);
        let overflow = overflow.unwrap_or(queue.overflow);
        match queue.admits(outgoing.weight(), overflow == Overflow::Wait) {
            Ok(()) => {
                self.take_in(queue, outgoing, held);
                Ok(())
            }
            Err(SendErrorKind::Full) => {
                // What waits for the socket makes no room now.
                let may_leave = queue.has_idle_writer() || overflow == Overflow::Wait;
                drop(queue);
                if may_leave {
                    self.let_all_leave();
                }
                self.queue_when_full(outgoing, overflow)
            }
            Err(kind) => Err((kind, outgoing)),
        }
    }

    /// Queues what was admitted, and writes it, or leaves it to somebody who does.
    fn take_in(
        self: &Arc<Self>,
        mut queue: MutexGuard<'_, Queue<W>>,
        outgoing: Outgoing,
        held: bool,
    ) {
        let weight = outgoing.weight();
        if held && queue.budget.bytes() + weight < CORK_FULL {
            queue.push(outgoing);
            return self.hold(queue);
        }
        let mut after = Aftermath::new();
        let writer = match queue.take_writer_for(outgoing) {
            Ok((mut writer, item)) => {
                drop(queue);
                // Not under the lock: it copies the payload.
                writer.encode(item);
                Some(writer)
            }
            Err(outgoing) => {
                queue.push(outgoing);
                let writer = queue.take_to_write(&mut after);
                self.unlock(queue, after);
                writer
            }
        };
        if let Some(writer) = writer {
            self.drive(writer, weight + FAIR_SHARE);
        }
    }

    /// Has a cork of this thread hold what is queued, unless one holds it already.
    pub(super) fn hold(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue<W>>) {
        let held = std::mem::replace(&mut queue.corked, true);
        drop(queue);
        if !held {
            W::hold(self);
        }
    }

    /// Queues what found the queue full, or does what the policy says.
    // Not inlined: see `Aftermath::run_tasks`.
    #[inline(never)]
    fn queue_when_full(
        self: &Arc<Self>,
        outgoing: Outgoing,
        overflow: Overflow,
    ) -> Result<(), Rejected> {
        if overflow == Overflow::Wait {
            return self.wait_in_line(outgoing, || W::deadline(self.config.write_timeout));
        }
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
                        return Ok(None);
                    }
                    _ => return Err((kind, outgoing)),
                }
            }
            queue.push(outgoing);
            Ok(queue.take_to_write(after))
        });
        match outcome {
            Ok(Some(writer)) => self.drive(writer, FAIR_SHARE),
            Err((SendErrorKind::Full, outgoing)) if overflow == Overflow::Close => {
                self.fail_slow();
                return Err((SendErrorKind::Closed, outgoing));
            }
            Err(rejected) => return Err(rejected),
            Ok(None) => {}
        }
        Ok(())
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
        // Those behind may have moved up.
        let writer = queue.take_to_write(&mut after);
        self.unlock(queue, after);
        if let Some(writer) = writer {
            self.drive(writer, FAIR_SHARE);
        }
        turned_away.map_or(Ok(()), |outgoing| Err((kind, outgoing)))
    }
}

/// When what is queued leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
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
