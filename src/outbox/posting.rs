//! Messages on their way in: admitted, and then queued or written at once.

use std::sync::Arc;

use super::budget::{Denied, Reserved};
use super::delivery::{Delivery, delivery};
use super::parcel::Parcel;
use super::pump::Spent;
use super::{CORK_FULL, Outbox, Wire};
use crate::{DeliveryError, Message, Overflow, SendError, SendErrorKind};

impl<W: Wire> Outbox<W> {
    /// Queues a message and lets it leave. What a full queue means is said by `overflow`;
    /// [`Close`](Overflow::Close) is the caller's to do when the message comes back.
    pub(crate) fn send(
        self: &Arc<Self>,
        message: Message,
        overflow: Overflow,
    ) -> Result<(), SendError> {
        self.post(Parcel::Message(message), overflow)
            .map_err(into_error)
    }

    /// Queues messages as [`send`](Self::send) does, and lets them leave together; but what the
    /// iterator has given leaves within two milliseconds, however long it takes for the next.
    pub(crate) fn send_all(
        self: &Arc<Self>,
        mut messages: impl Iterator<Item = Message>,
        overflow: Overflow,
    ) -> Result<(), SendError> {
        // What was queued leaves also if the program's iterator panics.
        let _departing = Departing(self);
        messages.try_for_each(|message| {
            let queued = self
                .queue(Parcel::Message(message), overflow)
                .map_err(into_error)?;
            // The iterator may take its time, or even wait for an answer to this one.
            let held = queued < CORK_FULL && (W::hold(self) || W::gather(self));
            if !held {
                self.pump();
            }
            Ok(())
        })
    }

    /// Queues a message as [`send`](Self::send) does, and tells what becomes of it.
    pub(crate) fn send_tracked(
        self: &Arc<Self>,
        message: Message,
        overflow: Overflow,
    ) -> Result<Delivery, SendError> {
        let (promise, delivery) = delivery();
        self.post(Parcel::Tracked(Box::new((message, promise))), overflow)
            .map_err(into_error)?;
        Ok(delivery)
    }

    /// Queues a parcel and lets it leave. One that nothing is before need not pass the channel.
    pub(super) fn post(
        self: &Arc<Self>,
        parcel: Parcel,
        overflow: Overflow,
    ) -> Result<(), (SendErrorKind, Parcel)> {
        match self.reserve_by(overflow, parcel.weight()) {
            Ok(room) if room.alone && !W::is_corked() => self.write_alone(parcel),
            Ok(room) => {
                self.channel.push(parcel);
                self.depart(room.bytes);
            }
            Err(kind) => return self.turn_away(parcel, kind, overflow),
        }
        Ok(())
    }

    /// Queues a parcel, and leaves it to the caller to let it leave. Returns how many bytes wait now.
    fn queue(
        self: &Arc<Self>,
        parcel: Parcel,
        overflow: Overflow,
    ) -> Result<u64, (SendErrorKind, Parcel)> {
        match self.reserve_by(overflow, parcel.weight()) {
            Ok(room) => {
                self.channel.push(parcel);
                Ok(room.bytes)
            }
            Err(kind) => self.turn_away(parcel, kind, overflow).map(|()| 0),
        }
    }

    /// Reserves room, by what the policy does where there is none.
    fn reserve_by(
        self: &Arc<Self>,
        overflow: Overflow,
        weight: u64,
    ) -> Result<Reserved, SendErrorKind> {
        match overflow {
            // No clock is read for a message that need not wait.
            Overflow::Wait => self.wait_for_turn(weight, || W::deadline(self.config.write_timeout)),
            Overflow::DropOldest => self.displace(weight).map_err(Denied::into_kind),
            Overflow::HandBack | Overflow::DropNewest | Overflow::Close => self
                .reserve_now(&self.budget, weight)
                .map_err(Denied::into_kind),
        }
    }

    /// Drops what found no room, if the policy says so, or hands it back.
    fn turn_away(
        &self,
        parcel: Parcel,
        kind: SendErrorKind,
        overflow: Overflow,
    ) -> Result<(), (SendErrorKind, Parcel)> {
        if kind == SendErrorKind::Full && overflow == Overflow::DropNewest {
            self.drop_parcel(parcel);
            return Ok(());
        }
        Err((kind, parcel))
    }

    /// Drops a message, as the program's policy says.
    pub(super) fn drop_parcel(&self, parcel: Parcel) {
        self.count_dropped();
        let mut spent = Spent::default();
        spent.add(parcel.give_up(DeliveryError::Dropped));
        spent.dispose();
    }
}

/// Lets leave what was queued, when dropped.
struct Departing<'a, W: Wire>(&'a Arc<Outbox<W>>);

impl<W: Wire> Drop for Departing<'_, W> {
    fn drop(&mut self) {
        W::leave_gathered();
        self.0.depart(self.0.budget.bytes());
    }
}

/// Hands the message of a parcel back.
fn into_error((kind, parcel): (SendErrorKind, Parcel)) -> SendError {
    // Nobody holds the other end of what is handed back.
    SendError::new(kind, parcel.give_up(DeliveryError::Dropped))
}
