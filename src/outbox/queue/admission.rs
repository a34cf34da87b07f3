//! The ways into a queue, and out of the line before it.

use super::{Queue, Seat};
use crate::outbox::Wire;
use crate::outbox::after_unlock::AfterUnlock;
use crate::outbox::budget::weight;
use crate::outbox::outgoing::Outgoing;
use crate::outbox::waiting_senders::Bell;
use crate::outbox::writer::Writer;
use crate::{Message, SendErrorKind};

/// The most bytes of a message that is encoded under the lock, for which others wait.
const MAX_ENCODED_UNDER_LOCK: u64 = 4 << 10;

impl<W: Wire> Queue<W> {
    /// Tells whether a message of this weight is admitted. A sender that would wait for room comes
    /// behind those that wait; one that never waits is judged by the limits alone.
    pub(in crate::outbox) fn admits(&self, weight: u64, waits: bool) -> Result<(), SendErrorKind> {
        if !self.life.is_open() {
            return Err(SendErrorKind::Closed);
        }
        let fits = self.budget.fits(weight) && (!waits || self.line.is_empty());
        if fits {
            Ok(())
        } else {
            Err(SendErrorKind::Full)
        }
    }

    /// Takes the writer for a message of one frame, if nothing else waits or is being written: then
    /// there is room for it, too. Any other has to queue.
    #[inline]
    pub(in crate::outbox) fn take_writer_for(&mut self, weight: u64) -> Option<Box<Writer<W>>> {
        if weight > self.max_frame as u64 {
            return None;
        }
        self.take_idle_writer(weight, 1)
    }

    /// Takes the writer for messages whose frames are made, if nothing else waits or is being written.
    #[inline]
    pub(in crate::outbox) fn take_idle_writer(
        &mut self,
        weight: u64,
        messages: u64,
    ) -> Option<Box<Writer<W>>> {
        let is_alone = self.budget.places() == 0 && self.is_quiet();
        if !is_alone || self.following.is_some() {
            return None;
        }
        let writer = self.take_writer()?;
        self.budget.take(weight, messages);
        Some(writer)
    }

    /// Tells whether the connection is open, and nothing but messages has to be thought of: nothing is to
    /// overtake them, and nobody waits for room or for whatever happens.
    #[inline]
    pub(in crate::outbox) fn is_quiet(&self) -> bool {
        let nothing_overtakes = self.control.is_empty() && !self.needs_flush;
        let nobody_waits = self.line.is_empty() && self.observers == 0;
        self.life.is_open() && nothing_overtakes && nobody_waits
    }

    /// Queues something, whether it fits or not.
    pub(in crate::outbox) fn push(&mut self, outgoing: Outgoing) {
        self.take_room(&outgoing);
        self.channel.push(outgoing);
        self.keep_room_for_burst();
    }

    /// Queues an entry that a cork holds back.
    pub(in crate::outbox) fn push_held(&mut self, outgoing: Outgoing) {
        self.take_room(&outgoing);
        self.channel.push_held(outgoing);
        self.keep_room_for_burst();
    }

    fn take_room(&mut self, outgoing: &Outgoing) {
        self.budget.take(outgoing.weight(), outgoing.places());
        self.barriers += u64::from(!outgoing.is_message());
    }

    /// Encodes a message, if less than `held_below` bytes are queued with it. It does not if the
    /// message has to wait for anything, nor if it may have to be compressed: nothing is compressed
    /// under the lock.
    #[inline]
    pub(in crate::outbox) fn encode_under_lock(
        &mut self,
        message: &Message,
        held_below: u64,
    ) -> bool {
        if !self.has_idle_writer() {
            return false;
        }
        let weight = weight(message);
        let is_short = weight <= MAX_ENCODED_UNDER_LOCK.min(self.max_frame as u64);
        let is_full = self.budget.bytes() + weight >= held_below;
        let waits = self.following.is_some() || !self.has_nothing_before();
        if !is_short || is_full || waits || self.admits(weight, true).is_err() {
            return false;
        }
        if let Seat::Here(writer) = &mut self.writer {
            if writer.may_compress(message.len()) {
                return false;
            }
            writer.encode_early(message, weight);
            self.budget.take(weight, 1);
            return true;
        }
        false
    }

    /// Joins the line with a message that does not fit.
    pub(in crate::outbox) fn join_line(&mut self, outgoing: Outgoing, bell: Bell) -> u64 {
        self.line.join(outgoing, bell)
    }

    pub(in crate::outbox) fn is_in_line(&self, ticket: u64) -> bool {
        self.line.contains(ticket)
    }

    /// Leaves the line, and lets the senders behind move up. Returns the message at the place, or
    /// `None` if it was granted room.
    pub(in crate::outbox) fn leave_line(
        &mut self,
        ticket: u64,
        after: &mut AfterUnlock<W>,
    ) -> Option<Outgoing> {
        let left = self.line.leave(ticket);
        self.grant(after);
        left
    }

    /// Admits senders that wait for room, as many as fit, once the queue is half empty: so not each
    /// message that leaves wakes a sender. It also admits the first one, beyond the limits, if that
    /// has waited for a whole queue's worth of writing.
    pub(in crate::outbox) fn grant(&mut self, after: &mut AfterUnlock<W>) {
        if self.line.is_empty() || !self.life.is_open() {
            return;
        }
        if self.budget.is_low() || self.line.is_overdue(&self.budget) {
            self.grant_room(after);
        }
    }

    pub(in crate::outbox) fn grant_room(&mut self, after: &mut AfterUnlock<W>) {
        while let Some((outgoing, bell)) = self.line.grant(&self.budget) {
            self.push(outgoing);
            after.ring(bell);
        }
    }

    /// Takes the oldest message that waits, to make room for a newer one.
    pub(in crate::outbox) fn drop_oldest(&mut self) -> Option<Outgoing> {
        let oldest = self.channel.pop_droppable()?;
        self.budget.release(oldest.weight(), oldest.places());
        self.dropped += 1;
        Some(oldest)
    }
}
