//! Messages on their way into the queue: admitted, in line, or rejected.

use std::sync::Arc;
use std::time::Instant;

use super::after_unlock::AfterUnlock;
use super::budget::weight;
use super::delivery::{Delivery, delivery};
use super::disposal::dispose;
use super::drive::FAIR_SHARE;
use super::frame::Coding;
use super::outgoing::Outgoing;
use super::queue::Queue;
use super::sync::{MutexGuard, has_passed, wait};
use super::{Outbox, Wire};
use crate::{DeliveryError, Message, Overflow, SendError, SendErrorKind};

/// The number of bytes from which on a cork holds nothing back of what callbacks send.
pub(super) const CORK_FULL: u64 = 32 << 10;

/// A rejected message, and the reason.
type Rejected = (SendErrorKind, Outgoing);

impl<W: Wire> Outbox<W> {
    /// Queues an entry and lets it leave. If the queue is full, the policy is `overflow`, or else
    /// that of the connection.
    pub(super) fn send_outgoing(
        self: &Arc<Self>,
        outgoing: Outgoing,
        overflow: Option<Overflow>,
    ) -> Result<(), SendError> {
        let held_below = held_below(W::is_gathering());
        self.admit_or_wait(self.lock_queue(), outgoing, overflow, held_below)
    }

    /// Sends a message likewise. If it is the only one, it is written directly, past the queue.
    #[inline]
    pub(crate) fn send_message(
        self: &Arc<Self>,
        message: Message,
        overflow: Option<Overflow>,
    ) -> Result<(), SendError> {
        self.send_coded(message, overflow, Coding::Agreed)
    }

    /// Sends a message likewise, which is not compressed, whatever is agreed.
    pub(crate) fn send_plain(
        self: &Arc<Self>,
        message: Message,
        overflow: Option<Overflow>,
    ) -> Result<(), SendError> {
        self.send_coded(message, overflow, Coding::Plain)
    }

    #[inline]
    pub(super) fn send_coded(
        self: &Arc<Self>,
        message: Message,
        overflow: Option<Overflow>,
        coding: Coding,
    ) -> Result<(), SendError> {
        let gathering = W::is_gathering();
        let weight = weight(&message);
        let mut queue = self.lock_queue();
        if !gathering {
            if let Some(writer) = queue.take_writer_for(weight) {
                drop(queue);
                self.write_message(writer, message, weight, coding);
                return Ok(());
            }
        }
        if !queue.encode_under_lock(&message, CORK_FULL) {
            let outgoing = Outgoing::of(message, coding);
            return self.admit_or_wait(queue, outgoing, overflow, held_below(gathering));
        }
        if gathering {
            self.hold(queue);
        } else {
            self.write_with(queue, weight);
        }
        dispose(message);
        Ok(())
    }

    /// Queues a message that leaves with the next ones of the program, at the [end](super::Leaving)
    /// of them, but within two milliseconds, however long the next one takes. A short message is
    /// encoded at once, if the writer is idle and it is not to be compressed.
    pub(crate) fn send_with_next(self: &Arc<Self>, message: Message) -> Result<(), SendError> {
        let mut queue = self.lock_queue();
        let a_write = queue.batch();
        if !queue.encode_under_lock(&message, a_write) {
            return self.admit_or_wait(queue, Outgoing::Message(message), None, a_write);
        }
        self.hold(queue);
        dispose(message);
        Ok(())
    }

    /// Queues an entry, and lets it leave unless a cork is to hold it, which it does while the queue
    /// has fewer bytes than `held_below`.
    #[inline(never)]
    pub(super) fn admit_or_wait(
        self: &Arc<Self>,
        mut queue: MutexGuard<'_, Queue<W>>,
        outgoing: Outgoing,
        overflow: Option<Overflow>,
        held_below: u64,
    ) -> Result<(), SendError> {
        let weight = outgoing.weight();
        let overflow = overflow.unwrap_or(queue.overflow);
        if let Err(kind) = queue.admits(weight, overflow == Overflow::Wait) {
            let rejected = self.retry_full(queue, (kind, outgoing), overflow);
            return rejected.map_err(into_error);
        }
        if queue.budget.bytes() + weight < held_below {
            queue.push_held(outgoing);
            self.hold(queue);
            return Ok(());
        }
        queue.push(outgoing);
        self.write_with(queue, weight);
        Ok(())
    }

    /// Lets the messages leave that wait, with one of this weight that the caller has just queued.
    fn write_with(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue<W>>, weight: u64) {
        let mut after = AfterUnlock::new();
        let writer = queue.take_to_write(&mut after);
        self.unlock(queue, after);
        if let Some(writer) = writer {
            self.drive(writer, weight + FAIR_SHARE);
        }
    }

    /// Queues a message as [`send_outgoing`](Self::send_outgoing) does, and returns its delivery.
    pub(crate) fn send_tracked(self: &Arc<Self>, message: Message) -> Result<Delivery, SendError> {
        let (promise, delivery) = delivery();
        let outgoing = Outgoing::tracked(message, promise);
        self.send_outgoing(outgoing, None)?;
        Ok(delivery)
    }

    /// Makes a cork of this thread hold the queue, unless a cork holds it already.
    #[inline]
    pub(super) fn hold(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue<W>>) {
        let held = std::mem::replace(&mut queue.corked, true);
        drop(queue);
        if !held {
            W::hold(self);
        }
    }

    /// Makes room by writing, and queues an entry that found the queue full.
    // Not inlined: see `AfterUnlock::run_tasks`.
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
        // Frames that wait for the socket make no room now.
        let may_leave = queue.has_idle_writer() || waits;
        drop(queue);
        if may_leave {
            self.write_all_held();
        }
        if waits {
            return self.wait_in_line(outgoing, || W::deadline(self.config.write_timeout));
        }
        self.queue_or_drop(outgoing, overflow)
    }

    /// Queues an entry without waiting, or does what the policy says.
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
                        // The frames being written stay: the entry is queued beyond the limit.
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

    /// Lets the messages of this queue leave, and all that this thread holds back.
    pub(super) fn write_all_held(self: &Arc<Self>) {
        W::uncork();
        self.write_waiting();
    }

    /// Waits in line until there is room, unless the queue cannot move before this very thread goes
    /// on.
    pub(super) fn wait_in_line(
        self: &Arc<Self>,
        outgoing: Outgoing,
        deadline: impl FnOnce() -> Option<Instant>,
    ) -> Result<(), Rejected> {
        let mut queue = self.lock_queue();
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
        let waits = |queue: &Queue<W>| {
            queue.is_in_line(ticket) && queue.life.is_open() && !has_passed(deadline)
        };
        queue = self.poll_in_line(queue, waits);
        loop {
            queue = self.answer_call(queue);
            if !waits(&queue) {
                break;
            }
            queue = wait(&bell, queue, deadline);
        }
        let mut after = AfterUnlock::new();
        let turned_away = queue.leave_line(ticket, &mut after);
        let kind = if queue.life.is_open() {
            SendErrorKind::Timeout
        } else {
            SendErrorKind::Closed
        };
        self.unlock(queue, after);
        // The senders behind may have moved up.
        self.write_waiting();
        turned_away.map_or(Ok(()), |outgoing| Err((kind, outgoing)))
    }
}

/// Returns the number of bytes up to which a cork holds what is sent while it gathers.
pub(super) fn held_below(gathering: bool) -> u64 {
    if gathering { CORK_FULL } else { 0 }
}

/// Makes the error, which hands the message back.
fn into_error((kind, outgoing): Rejected) -> SendError {
    // The program has no delivery of a message that is handed back.
    SendError::new(kind, outgoing.give_up(DeliveryError::Dropped).0)
}
