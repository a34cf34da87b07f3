//! The end of a queue: the discarded messages, and their outcomes.

use std::io;

use super::{Queue, Seat};
use crate::life::CloseCause;
use crate::outbox::after_unlock::AfterUnlock;
use crate::outbox::outgoing::Outgoing;
use crate::outbox::writer::Writer;
use crate::outbox::{Urgency, Wire};
use crate::protocol::CloseFrame;
use crate::{CloseCode, DeliveryError, Error, Initiator};

/// The close reason if TLS has used up its keys.
const KEYS_USED_UP: &str = "the keys of this TLS connection are used up";

impl<W: Wire> Queue<W> {
    /// Admits no more messages, and wakes all senders that wait for room. Returns whether this call
    /// began it.
    pub(in crate::outbox) fn close(&mut self, by: Initiator, after: &mut AfterUnlock<W>) -> bool {
        self.leave_burst();
        let first = self.life.close(by);
        if first {
            self.wake_waiting(after);
        }
        first
    }

    /// Fails the connection: the Close overtakes what waits.
    pub(in crate::outbox) fn fail(
        &mut self,
        close: CloseFrame,
        error: Error,
        after: &mut AfterUnlock<W>,
    ) {
        self.close(Initiator::Local, after);
        self.life.fail(error);
        self.overtake(close, after);
    }

    /// Queues a Close that overtakes what waits. That is thrown away at once, as the Close may have to
    /// wait for the socket.
    pub(in crate::outbox) fn overtake(&mut self, close: CloseFrame, after: &mut AfterUnlock<W>) {
        if !self.life.is_closed() {
            let code = close.code;
            self.control.close(close, Urgency::Overtaking);
            self.discard(DeliveryError::Closed(code), after);
        }
    }

    /// Begins the closing handshake before the wire takes no more.
    pub(in crate::outbox) fn retire(&mut self, after: &mut AfterUnlock<W>) {
        if self.close(Initiator::Local, after) {
            let close = CloseFrame::cut_to_fit(CloseCode::GOING_AWAY, KEYS_USED_UP);
            self.control.close(close, Urgency::AfterMessages);
        }
    }

    pub(in crate::outbox) fn wake_waiting(&self, after: &mut AfterUnlock<W>) {
        after.ring_all(self.line.bells());
        after.ring_all(self.lane.as_ref().and_then(|lane| lane.bell()));
    }

    /// Discards the waiting messages, and counts them.
    pub(in crate::outbox) fn discard(&mut self, why: DeliveryError, after: &mut AfterUnlock<W>) {
        let why = *self.unsendable.get_or_insert(why);
        if std::mem::take(&mut self.streaming) {
            self.discard_one(Outgoing::Stream, why, after);
        }
        if let Some(split) = self.split.take() {
            self.budget.release(split.weight(), 1);
            self.undelivered += 1;
            after.give_up(split.into_rest(), why);
        }
        while let Some(outgoing) = self.channel.pop() {
            self.discard_one(outgoing, why, after);
        }
    }

    fn discard_one(&mut self, outgoing: Outgoing, why: DeliveryError, after: &mut AfterUnlock<W>) {
        self.budget.release(outgoing.weight(), outgoing.places());
        if outgoing.is_message() {
            self.undelivered += outgoing.places();
        } else {
            self.barriers -= 1;
        }
        if let (Outgoing::Stream, Some(lane)) = (&outgoing, &mut self.lane) {
            lane.discard();
        }
        after.give_up(outgoing, why);
    }

    /// Ends the sending, unless it has ended. Returns whether this call ended it.
    pub(in crate::outbox) fn end(&mut self, cause: CloseCause, after: &mut AfterUnlock<W>) -> bool {
        let why = cause.undelivered();
        self.leave_burst();
        let ended = self.life.end_sending(cause);
        if ended {
            self.end_unsent(why, after);
        }
        ended
    }

    /// Ends the sending and the reading. Returns whether this call did.
    pub(in crate::outbox) fn cut(&mut self, cause: CloseCause, after: &mut AfterUnlock<W>) -> bool {
        let why = cause.undelivered();
        self.leave_burst();
        let was_over = self.life.is_sending_over();
        let cut = self.life.cut(cause);
        if cut && !was_over {
            self.end_unsent(why, after);
        }
        cut
    }

    /// Throws away all that was not sent, and wakes all who wait.
    pub(in crate::outbox) fn end_unsent(&mut self, why: DeliveryError, after: &mut AfterUnlock<W>) {
        self.discard(why, after);
        self.control.clear();
        self.stall = None;
        self.needs_flush = false;
        self.wake_waiting(after);
        for promise in self.pings.iter_mut().flat_map(|pings| pings.give_up()) {
            after.resolve(promise, Err(why));
        }
        if let Some(writer) = self.take_any_writer() {
            self.discard_writer(writer, after);
        }
    }

    /// Counts what the writer held when the sending ended, and drops the writer.
    pub(in crate::outbox) fn discard_writer(
        &mut self,
        mut writer: Box<Writer<W>>,
        after: &mut AfterUnlock<W>,
    ) {
        let why = self.unsendable.unwrap_or(DeliveryError::Lost);
        let mut discarded = writer.discard();
        self.undelivered += discarded.messages;
        for promise in std::mem::take(&mut discarded.promises) {
            after.resolve(promise, Err(why));
        }
        self.release(&discarded, after);
        self.writer = Seat::Gone;
        after.drop_writer(writer);
    }

    /// Ends the sending after a failed write. Input that has arrived is still read.
    pub(in crate::outbox) fn lose(&mut self, error: io::Error, after: &mut AfterUnlock<W>) {
        if self.end(CloseCause::Lost(Some(error)), after) {
            self.life.fail_sending();
            // From now on silence counts.
            after.expect_look(&self.wire);
        }
    }
}
