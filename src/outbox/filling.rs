//! What leaves next: control frames, messages in their order, fragments, and the Close behind them.

use super::budget::weight;
use super::parcel::Parcel;
use super::pump::{Pump, Spent};
use super::stream::Stream;
use super::unsent::{Released, Unsent};
use super::{Outbox, Wire};
use crate::protocol::{Fin, Opcode};
use crate::{CloseCode, DeliveryError, Message};

impl<W: Wire> Outbox<W> {
    /// Encodes what may leave next: control frames, messages, and a Close behind what was reserved
    /// before it.
    pub(super) fn fill(&self, pump: &mut Pump<W>, spent: &mut Spent) {
        self.control.take(|opcode, payload| {
            pump.unsent
                .push_control(&mut pump.encoder, opcode, &payload, Released::Control);
        });
        self.fill_close(pump, |_| false);
        while !pump.closed && pump.unsent.has_room() && self.fill_next(pump, spent) {}
        if pump.closed {
            // L5: nothing is written after a Close.
            self.discard_queued(pump, spent);
        } else if pump.unsent.has_room() {
            // Otherwise a large payload is yet to follow its header: what is encoded now would stand
            // inside it.
            self.fill_close(pump, |unsent| {
                unsent.reservations() == self.budget.messages()
            });
        }
    }

    /// Encodes the next message or fragment; returns whether there may be another.
    fn fill_next(&self, pump: &mut Pump<W>, spent: &mut Spent) -> bool {
        if let Some(stream) = pump.stream.clone() {
            return self.fill_fragment(pump, &stream, spent);
        }
        if self.budget.messages() == 0 {
            // Each has its place there: the channel, which is far away in memory, is not asked.
            return false;
        }
        let Some(parcel) = pump.next_parcel(&self.channel) else {
            return false;
        };
        self.encode(pump, parcel, spent);
        true
    }

    pub(super) fn encode(&self, pump: &mut Pump<W>, parcel: Parcel, spent: &mut Spent) {
        let (message, promise) = match parcel {
            Parcel::Message(message) => (message, None),
            Parcel::Tracked(tracked) => {
                let (message, promise) = *tracked;
                (message, Some(promise))
            }
            Parcel::Barrier(promise) => {
                let payload = self.number_ping(Some(promise));
                let role = Released::Barrier;
                pump.unsent
                    .push_control(&mut pump.encoder, Opcode::Ping, &payload, role);
                return;
            }
            Parcel::Stream(stream) => {
                pump.stream = Some(stream);
                return;
            }
        };
        let kind = (Opcode::of(&message), Fin::Last);
        let role = Released::Message {
            weight: weight(&message),
            promise,
        };
        spent.add(
            pump.unsent
                .push_data(&mut pump.encoder, kind, message, role),
        );
    }

    fn fill_fragment(&self, pump: &mut Pump<W>, stream: &Stream, spent: &mut Spent) -> bool {
        // Before looking: what comes later calls again.
        self.answer_call();
        let Some((opcode, fin, payload)) = stream.take() else {
            return stream.is_abandoned(pump.unsent.fragments()) && self.abandon(pump, stream);
        };
        let role = Released::Fragment {
            weight: payload.len() as u64,
            lane: stream.lane(),
            fin,
        };
        let payload = Message::Binary(payload);
        spent.add(
            pump.unsent
                .push_data(&mut pump.encoder, (opcode, fin), payload, role),
        );
        if fin == Fin::Last {
            pump.stream = None;
        }
        true
    }

    /// Gives up a message whose end will not come, as our Close waits to leave. Of one that has begun
    /// nothing may come behind; the Close goes in its middle (RFC 6455, section 5.4).
    fn abandon(&self, pump: &mut Pump<W>, stream: &Stream) -> bool {
        if stream.has_begun() {
            self.fill_close(pump, |_| true);
            return false;
        }
        pump.stream = None;
        pump.undelivered += 1;
        self.budget.release(0, 1);
        true
    }

    fn fill_close(&self, pump: &mut Pump<W>, drained: impl FnOnce(&Unsent) -> bool) {
        if let Some(close) = self.control.take_close(|| drained(&pump.unsent)) {
            // RFC 6455, section 7.1.5: 1005 stands for a Close without a code, and is never sent.
            let without_code = close.code == CloseCode::NO_STATUS;
            let payload = if without_code {
                Vec::new()
            } else {
                close.to_payload()
            };
            pump.unsent
                .push_control(&mut pump.encoder, Opcode::Close, &payload, Released::Close);
            pump.closed = true;
            pump.give_up(DeliveryError::Closed(close.code));
        }
    }
}
