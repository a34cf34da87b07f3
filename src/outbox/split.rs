//! A message that is too large for one frame: [`Split`].

use bytes::Bytes;

use super::delivery::Promise;
use super::frame::{Coding, Frame, FrameKind};
use super::outgoing::Outgoing;
use crate::Message;
use crate::protocol::{Fin, Opcode};

/// A message whose fragments leave one after the other, and the part of it that is still to be
/// taken. Its room is released with its last fragment.
pub(super) struct Split {
    /// The opcode of the next fragment (RFC 6455, section 5.4).
    opcode: Opcode,
    rest: Bytes,
    weight: u64,
    promise: Option<Promise>,
    coding: Coding,
}

impl Split {
    /// Begins with a frame that is too large.
    pub(super) fn of(frame: Frame) -> Self {
        let (weight, promise) = match frame.kind {
            FrameKind::Message { weight, promise } => (weight, promise),
            _ => (frame.payload.len() as u64, None),
        };
        Self {
            opcode: frame.opcode,
            rest: frame.payload,
            weight,
            promise,
            coding: frame.coding,
        }
    }

    /// Takes the next fragment, of at most `max_frame` bytes.
    pub(super) fn take(&mut self, max_frame: usize) -> Frame {
        let payload = self.rest.split_to(self.rest.len().min(max_frame));
        let opcode = std::mem::replace(&mut self.opcode, Opcode::Continuation);
        let (fin, kind) = if self.rest.is_empty() {
            let (weight, promise) = (self.weight, self.promise.take());
            (Fin::Last, FrameKind::Message { weight, promise })
        } else {
            (Fin::More, FrameKind::Part)
        };
        Frame {
            opcode,
            fin,
            payload,
            coding: self.coding,
            kind,
        }
    }

    /// Returns the bytes that the message takes of the budget.
    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    /// Gives up the rest.
    pub(super) fn into_rest(self) -> Outgoing {
        let rest = Message::Binary(self.rest);
        match self.promise {
            Some(promise) => Outgoing::tracked(rest, promise),
            None => Outgoing::Message(rest),
        }
    }
}
