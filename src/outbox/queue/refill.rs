//! The choice of the next frames: control frames, messages in their order, fragments, and our
//! Close.

use super::{Queue, Seat};
use bytes::Bytes;

use crate::outbox::Wire;
use crate::outbox::after_unlock::AfterUnlock;
use crate::outbox::frame::{Frame, FrameKind};
use crate::outbox::outgoing::Outgoing;
use crate::outbox::split::Split;
use crate::outbox::writer::Writer;
use crate::protocol::{CloseFrame, Fin, Opcode};
use crate::{CloseCode, DeliveryError};

/// The most messages that are taken from the queue for one write.
pub(super) const BATCH_MESSAGES: usize = 1_024;

impl<W: Wire> Queue<W> {
    /// Takes the writer, unless a thread has it or waits for the socket.
    #[inline]
    pub(in crate::outbox) fn take_writer(&mut self) -> Option<Box<Writer<W>>> {
        if self.stall.is_some() {
            return None;
        }
        self.take_any_writer()
    }

    /// Takes the writer for a socket that may be writable again.
    #[inline]
    pub(in crate::outbox) fn take_any_writer(&mut self) -> Option<Box<Writer<W>>> {
        match std::mem::replace(&mut self.writer, Seat::Taken) {
            Seat::Here(writer) => Some(writer),
            other => {
                self.writer = other;
                None
            }
        }
    }

    /// Takes the writer with the waiting frames, if it is there and there are any.
    pub(in crate::outbox) fn take_to_write(
        &mut self,
        after: &mut AfterUnlock<W>,
    ) -> Option<Box<Writer<W>>> {
        let mut writer = self.take_writer()?;
        if self.refill(&mut writer, after) {
            return Some(writer);
        }
        self.writer = Seat::Here(writer);
        None
    }

    /// Tells whether the writer is there and does not wait for the socket.
    pub(in crate::outbox) fn has_idle_writer(&self) -> bool {
        self.stall.is_none() && matches!(self.writer, Seat::Here(_))
    }

    /// Tells whether nothing is to be written before a new message.
    pub(in crate::outbox) fn has_nothing_before(&self) -> bool {
        let no_message = self.channel.is_empty() && self.split.is_none() && !self.streaming;
        no_message && self.control.is_empty() && !self.needs_flush
    }

    /// Gives the writer what leaves next, at a frame boundary. Returns false if there is nothing.
    pub(in crate::outbox) fn refill(
        &mut self,
        writer: &mut Writer<W>,
        after: &mut AfterUnlock<W>,
    ) -> bool {
        if std::mem::take(&mut self.needs_flush) {
            writer.flush_wire();
        }
        if self.life.is_closed() {
            // L5: nothing is written after a Close.
            return !writer.is_done();
        }
        if !self.control.is_empty() {
            for (opcode, payload) in self.control.take_frames() {
                writer.push(Frame::control(opcode, payload, FrameKind::Control));
            }
            self.refill_close(writer, false, after);
        }
        if !self.life.is_closed() {
            self.refill_messages(writer, after);
        }
        !writer.is_done()
    }

    fn refill_messages(&mut self, writer: &mut Writer<W>, after: &mut AfterUnlock<W>) {
        let (mut bytes, mut messages) = (0, 0);
        writer.reserve(self.channel.len().min(BATCH_MESSAGES));
        let batch = self.batch();
        while bytes < batch && messages < BATCH_MESSAGES {
            let Some(frame) = self.next_frame(writer, after) else {
                // Everything that was admitted before our Close has left, or never will.
                let drained = !self.streaming && self.channel.is_empty();
                return self.refill_close(writer, drained, after);
            };
            let length = frame.payload.len();
            let frame_messages = frame.messages();
            writer.push(frame);
            bytes += length as u64;
            messages += frame_messages;
            if !writer.copies(length) {
                // The payload leaves without a copy. Frames that are encoded now would come inside
                // it.
                return;
            }
        }
    }

    fn next_frame(&mut self, writer: &mut Writer<W>, after: &mut AfterUnlock<W>) -> Option<Frame> {
        loop {
            if self.streaming {
                if let Some(fragment) = self.lane.as_mut()?.take() {
                    self.streaming = fragment.fin == Fin::More;
                    return Some(fragment);
                }
                self.abandon_stream(writer, after)?;
                continue;
            }
            if let Some(split) = &mut self.split {
                let fragment = split.take(self.max_frame);
                self.split.take_if(|_| fragment.fin == Fin::Last);
                return Some(fragment);
            }
            match Frame::of(self.channel.pop()?) {
                Ok(frame) if frame.payload.len() > self.max_frame && !frame.is_framed() => {
                    self.split = Some(Box::new(Split::of(frame)));
                }
                Ok(frame) => return Some(frame),
                // The caller of `confirm` has made the pings.
                Err(Outgoing::Barrier(promise)) => {
                    let payload = self.pings.as_mut()?.next(Some(promise));
                    let payload = Bytes::copy_from_slice(&payload);
                    return Some(Frame::control(Opcode::Ping, payload, FrameKind::Barrier));
                }
                Err(_) => self.streaming = true,
            }
        }
    }

    /// Gives up a streamed message whose end will not come, because the connection is closing. If
    /// it has begun, nothing may follow it: the Close goes in its middle (RFC 6455, section 5.4).
    /// Returns `None` if nothing may be written behind it for now.
    fn abandon_stream(&mut self, writer: &mut Writer<W>, after: &mut AfterUnlock<W>) -> Option<()> {
        if self.life.is_open() {
            return None;
        }
        let lane = self.lane.as_mut()?;
        if lane.has_begun() {
            self.refill_close(writer, true, after);
            self.discard(DeliveryError::Lost, after);
            return None;
        }
        lane.discard();
        self.streaming = false;
        self.undelivered += 1;
        self.budget.release(0, 1);
        Some(())
    }

    /// Gives the writer our Close, if it may leave now.
    fn refill_close(&mut self, writer: &mut Writer<W>, drained: bool, after: &mut AfterUnlock<W>) {
        if let Some(close) = self.control.take_close(drained) {
            let code = close.code;
            let payload = payload_of(&close).into();
            writer.push(Frame::control(Opcode::Close, payload, FrameKind::Close));
            self.life.encode_close(close);
            self.discard(DeliveryError::Closed(code), after);
        }
    }

    /// Tells whether nothing is left to be written: our Close has left, or there is none and
    /// everything else has left.
    pub(in crate::outbox) fn is_flushed(&self) -> bool {
        if self.life.is_sending_over() || self.life.close_left_at().is_some() {
            return true;
        }
        let is_idle = matches!(&self.writer, Seat::Here(writer) if writer.is_done());
        is_idle && self.channel.is_empty() && self.control.is_empty() && !self.has_fragment()
    }

    fn has_fragment(&self) -> bool {
        let streamed = self.streaming && self.lane.as_ref().is_some_and(|lane| lane.has_next());
        streamed || self.split.is_some()
    }
}

/// Makes the payload of a Close. RFC 6455, section 7.1.5: 1005 stands for a Close without a code,
/// and is never sent.
fn payload_of(close: &CloseFrame) -> Vec<u8> {
    if close.code == CloseCode::NO_STATUS {
        return Vec::new();
    }
    close.to_payload()
}
