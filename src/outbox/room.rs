//! Getting room in the queue: taking it, waiting for it, making it.

use std::sync::Arc;
use std::time::Instant;

use super::budget::{Budget, Denied, Place, Reserved, Respect};
use super::{Alarm, Outbox, Wire};
use crate::{SendErrorKind, WaitError};

impl<W: Wire> Outbox<W> {
    /// Reserves room; who finds none pumps first.
    pub(super) fn reserve_now(
        self: &Arc<Self>,
        budget: &Budget,
        weight: u64,
    ) -> Result<Reserved, Denied> {
        match budget.reserve(weight, Respect::Line) {
            Err(Denied::Full) => {
                self.let_all_leave();
                budget.reserve(weight, Respect::Line)
            }
            other => other,
        }
    }

    /// Lets leave what is queued here, and what this thread holds back anywhere.
    fn let_all_leave(self: &Arc<Self>) {
        if let Some(cork) = W::cork() {
            cork.uncork();
        }
        self.pump();
    }

    /// Reserves room in the queue, waiting if there is none, unless nothing can move before this very
    /// thread goes on.
    pub(super) fn wait_for_turn(
        self: &Arc<Self>,
        weight: u64,
        deadline: impl FnOnce() -> Option<Instant>,
    ) -> Result<Reserved, SendErrorKind> {
        match self.reserve_now(&self.budget, weight) {
            Err(Denied::Full) if !self.is_streaming_here() => {
                self.wait_for_room(&self.budget, weight, deadline())
            }
            other => other.map_err(Denied::into_kind),
        }
    }

    /// Waits until nothing is queued any more.
    pub(crate) fn wait_drained(
        self: &Arc<Self>,
        deadline: Option<Instant>,
    ) -> Result<(), WaitError> {
        if self.is_streaming_here() {
            return Err(WaitError::WouldDeadlock);
        }
        self.let_all_leave();
        let drained = self.budget.wait_empty(deadline);
        match self.visit(|pump| pump.undelivered) {
            0 if drained => Ok(()),
            0 => Err(WaitError::Timeout),
            _ => Err(WaitError::Closed),
        }
    }

    /// Stands in line. The first in line waits for the socket itself and pumps.
    pub(super) fn wait_for_room(
        self: &Arc<Self>,
        budget: &Budget,
        weight: u64,
        deadline: Option<Instant>,
    ) -> Result<Reserved, SendErrorKind> {
        let place = budget.line_up();
        loop {
            match place.reserve(weight) {
                Err(Denied::Full) => {}
                other => return other.map_err(Denied::into_kind),
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(SendErrorKind::Timeout);
            }
            if !(place.leads() && self.wait_leading(&place, deadline)) {
                place.wait(weight, deadline);
            }
        }
    }

    /// Waits until a stalled outbox has moved or is closing; returns false at once if it is not
    /// stalled.
    fn wait_leading(self: &Arc<Self>, place: &Place<'_>, deadline: Option<Instant>) -> bool {
        let Some(wire) = self.begin_polling() else {
            return false;
        };
        let alarm = wire.alarm();
        if place.ring_when_closing(alarm.clone().map(|alarm| alarm as Arc<dyn Alarm>)) {
            wire.wait_writable(alarm.as_deref(), deadline);
        }
        self.end_polling(true);
        true
    }

    /// Reserves room at the cost of the oldest queued messages. What is being written stays, and a
    /// message that finds no other to take the place of is queued beyond the limit.
    pub(super) fn displace(self: &Arc<Self>, weight: u64) -> Result<Reserved, Denied> {
        let mut room = self.reserve_now(&self.budget, weight);
        while room == Err(Denied::Full) {
            // It passes those in line, for whom alone nothing is dropped.
            room = match self.budget.reserve(weight, Respect::Limits) {
                Err(Denied::Full) if !self.drop_oldest() => {
                    self.budget.reserve(weight, Respect::Nothing)
                }
                other => other,
            };
        }
        room
    }

    /// Drops the oldest message that waits; returns whether there was one.
    fn drop_oldest(self: &Arc<Self>) -> bool {
        let oldest = self.visit(|pump| {
            let oldest = pump.take_oldest(&self.channel)?;
            // Under the lock: whoever counts there finds it queued or gone, not queued for ever.
            self.budget.release(oldest.weight(), 1);
            Some(oldest)
        });
        let Some(parcel) = oldest else {
            // What may not be dropped has left the channel, and shows as work no more.
            self.pump();
            return false;
        };
        self.drop_parcel(parcel);
        true
    }
}
