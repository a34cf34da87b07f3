//! The control frames that wait: pings, pongs and our one Close, which overtake queued messages.

use std::collections::VecDeque;
use std::mem;

use bytes::Bytes;

use crate::protocol::{CloseFrame, Opcode};

/// The control frames that wait for the next frame boundary.
#[derive(Default)]
pub(super) struct Control {
    frames: VecDeque<(Opcode, Bytes)>,
    bytes: usize,
    /// Our Close. Boxed, as most connections have none.
    close: Option<Box<(CloseFrame, Urgency)>>,
}

/// The order of a Close and the messages that were admitted before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// The program's Close: the messages sent before it go first.
    AfterMessages,
    /// A reply or a failure: it overtakes the messages.
    Overtaking,
}

/// The most bytes of waiting pongs. Beyond it a newer pong replaces the newest.
const MAX_BYTES: usize = 4 << 10;
/// The bytes that a frame costs beside its payload.
const OVERHEAD: usize = 16;

impl Control {
    /// Tells whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.close.is_none()
    }

    /// Queues a ping or a pong. If too many wait, it replaces the newest of its kind: a pong
    /// answers the most recent ping (RFC 6455, section 5.5.3).
    pub(super) fn push(&mut self, opcode: Opcode, payload: Bytes) {
        let bytes = payload.len() + OVERHEAD;
        if self.bytes + bytes > MAX_BYTES {
            self.drop_newest(opcode);
        }
        self.bytes += bytes;
        self.frames.push_back((opcode, payload));
    }

    /// Takes the pings and pongs in order.
    pub(super) fn take_frames(&mut self) -> VecDeque<(Opcode, Bytes)> {
        self.bytes = 0;
        mem::take(&mut self.frames)
    }

    /// Queues our Close, unless one waits that this one does not overtake: of two replies or
    /// failures the first is sent.
    pub(super) fn close(&mut self, close: CloseFrame, urgency: Urgency) {
        let waiting = self.close.as_ref().map(|close| close.1);
        let overtakes = urgency == Urgency::Overtaking && waiting != Some(Urgency::Overtaking);
        if waiting.is_none() || overtakes {
            self.close = Some(Box::new((close, urgency)));
        }
    }

    /// Takes our Close if it overtakes, or if `drained` is true: nothing is left before it.
    pub(super) fn take_close(&mut self, drained: bool) -> Option<CloseFrame> {
        let waiting = &mut self.close;
        let close = waiting.take_if(|close| drained || close.1 == Urgency::Overtaking)?;
        Some(close.0)
    }

    /// Discards all waiting frames.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn drop_newest(&mut self, opcode: Opcode) {
        if let Some(position) = self
            .frames
            .iter()
            .rposition(|(queued, _)| *queued == opcode)
        {
            if let Some((_, payload)) = self.frames.remove(position) {
                self.bytes -= payload.len() + OVERHEAD;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(code: u16) -> CloseFrame {
        CloseFrame::cut_to_fit(code.into(), "")
    }

    /// Up to 4 KiB pongs keep their order, beyond that the newest is replaced; pings stay.
    #[test]
    fn newest_pong_is_replaced_beyond_the_limit() {
        let mut control = Control::default();
        control.push(Opcode::Ping, Bytes::from_static(b"ours"));
        for number in 0..1_000_u32 {
            control.push(Opcode::Pong, Bytes::copy_from_slice(&number.to_be_bytes()));
        }
        let frames = control.take_frames();
        assert_eq!(frames.len(), MAX_BYTES / (4 + OVERHEAD));
        assert_eq!(frames[0].0, Opcode::Ping);
        assert_eq!(frames[1].1[..], 0_u32.to_be_bytes());
        assert_eq!(
            frames.back().map(|frame| &frame.1[..]),
            Some(&999_u32.to_be_bytes()[..])
        );
        assert!(control.is_empty());
    }

    /// The program's Close waits for what is before it; a reply or failure takes its place, does not
    /// wait, and keeps that place against another.
    #[test]
    fn close_waits_unless_it_overtakes() {
        let mut control = Control::default();
        control.close(close(1000), Urgency::AfterMessages);
        control.close(close(4000), Urgency::AfterMessages);
        assert_eq!(control.take_close(false), None);
        control.close(close(1002), Urgency::Overtaking);
        control.close(close(1011), Urgency::Overtaking);
        assert_eq!(control.take_close(false), Some(close(1002)));
        assert_eq!(control.take_close(true), None);
    }
}
