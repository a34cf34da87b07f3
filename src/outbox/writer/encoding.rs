//! From messages to the bytes that are written.

use std::mem;
use std::time::Instant;

use bytes::Bytes;

use super::{COMPRESSOR_REST, Large, MIN_UNCOPIED, STEP, Writer};
use crate::Message;
use crate::deflate::Deflater;
use crate::outbox::Wire;
use crate::outbox::compressor::Compressed;
use crate::outbox::frame::{Coding, Frame, FrameKind};
use crate::protocol::{Encoder, Fin, MAX_HEADER, Opcode};

impl<W: Wire> Writer<W> {
    /// Encodes a message as it is sent, in one frame. The writer has no other frames.
    #[inline]
    pub(in crate::outbox) fn encode_early(&mut self, message: &Message, weight: u64) {
        if self.encoded.is_empty() {
            self.encoded.reserve(self.unsent.usual_run() + MAX_HEADER);
        }
        self.encode_in_run(Opcode::of(message), message.as_bytes(), weight);
    }

    #[inline]
    fn encode_in_run(&mut self, opcode: Opcode, payload: &[u8], weight: u64) {
        self.encoder
            .encode(opcode, Fin::Last, payload, &mut self.encoded);
        self.unsent.extend_run(self.encoded.len(), weight);
    }

    /// Encodes the frames that were taken from the queue.
    pub(super) fn encode_batch(&mut self) {
        // Growing step by step would move all before.
        self.encoded.reserve(self.copied_length());
        while let Some(mut frame) = self.batch.pop_front() {
            if let Some(weight) = self.weight_in_run(&frame) {
                self.encode_in_run(frame.opcode, &frame.payload, weight);
                self.spent.push(frame.payload);
                continue;
            }
            let left = if frame.is_framed() {
                self.append_framed(&mut frame.payload)
            } else {
                self.encode(frame.opcode, frame.fin, &mut frame.payload, frame.coding)
            };
            self.unsent.push(left, frame.kind);
            self.spent.push(frame.payload);
        }
    }

    /// Returns how many bytes the frames of the batch have at most that are copied.
    fn copied_length(&self) -> usize {
        let lengths = self.batch.iter().map(|frame| frame.payload.len());
        let copied = lengths.filter(|length| self.copies(*length));
        copied.map(|length| MAX_HEADER + length).sum()
    }

    /// Returns the weight of a short message that may join the run at the beginning of the encoded
    /// frames.
    #[inline]
    fn weight_in_run(&self, frame: &Frame) -> Option<u64> {
        let length = frame.payload.len();
        let is_plain = frame.coding == Coding::Plain || !self.may_compress(length);
        let is_whole = frame.fin == Fin::Last && frame.opcode != Opcode::Continuation;
        let is_short = is_whole && length < MIN_UNCOPIED;
        match frame.kind {
            FrameKind::Message {
                weight,
                promise: None,
            } if is_short && is_plain && self.unsent.may_extend_run() => Some(weight),
            _ => None,
        }
    }

    /// Encodes a frame, compressed if that may be and gains anything. Returns the frame's length.
    #[inline]
    pub(super) fn encode(
        &mut self,
        opcode: Opcode,
        fin: Fin,
        payload: &mut Bytes,
        coding: Coding,
    ) -> usize {
        if self.may_compress(payload.len()) && coding == Coding::Agreed {
            if let Some(compressed) = self.compress(opcode, fin, payload) {
                return self.encode_compressed(opcode, fin, payload.len(), compressed);
            }
        }
        self.encode_plain(opcode, fin, payload)
    }

    #[inline(never)]
    fn compress(&mut self, opcode: Opcode, fin: Fin, payload: &[u8]) -> Option<Compressed> {
        let compressor = self.compressor.as_mut()?;
        let was_loaded = compressor.is_loaded();
        let compressed = compressor.compress(opcode, fin, payload);
        if compressor.is_loaded() && !was_loaded {
            self.wire.wake_by(Instant::now() + COMPRESSOR_REST);
        }
        compressed
    }

    /// Encodes a frame whose payload of this length was compressed.
    fn encode_compressed(
        &mut self,
        opcode: Opcode,
        fin: Fin,
        length: usize,
        mut compressed: Compressed,
    ) -> usize {
        let start = self.encoded.len();
        let payload = &mut compressed.payload;
        let left = if self.copies(length) {
            // Frames that are encoded next would come inside a payload that is not copied.
            self.encoder.encode(opcode, fin, payload, &mut self.encoded);
            self.encoded.len() - start
        } else {
            self.encode_plain(opcode, fin, payload)
        };
        if compressed.begins_message {
            Encoder::mark_compressed(&mut self.encoded[start..]);
        }
        left
    }

    /// Encodes a frame as it is: copies its payload, or takes it if it is large. Returns the frame's
    /// length.
    #[inline]
    pub(super) fn encode_plain(&mut self, opcode: Opcode, fin: Fin, payload: &mut Bytes) -> usize {
        let start = self.encoded.len();
        if self.copies(payload.len()) {
            self.encoder.encode(opcode, fin, payload, &mut self.encoded);
            return self.encoded.len() - start;
        }
        self.encode_large(opcode, fin, mem::take(payload))
    }

    /// Tells whether a payload is copied behind its header. Masking copies it anyway.
    #[inline]
    pub(in crate::outbox) fn copies(&self, payload: usize) -> bool {
        payload < MIN_UNCOPIED || (self.encoder.masks() && payload <= STEP)
    }

    /// Appends frames, or takes them if they are large. Returns their length.
    fn append_framed(&mut self, frames: &mut Bytes) -> usize {
        let length = frames.len();
        if self.copies(length) {
            self.encoded.extend_from_slice(frames);
        } else {
            let payload = mem::take(frames);
            let (taken, key) = (0, None);
            self.large = Some(Box::new(Large {
                payload,
                taken,
                key,
            }));
        }
        length
    }

    #[inline(never)]
    fn encode_large(&mut self, opcode: Opcode, fin: Fin, payload: Bytes) -> usize {
        let (start, length) = (self.encoded.len(), payload.len());
        let (encoder, encoded) = (&self.encoder, &mut self.encoded);
        let key = encoder.encode_header(opcode, fin, length as u64, encoded);
        let header = encoded.len() - start;
        let taken = 0;
        self.large = Some(Box::new(Large {
            payload,
            taken,
            key,
        }));
        self.mask_next_step();
        header + length
    }

    /// Masks the next step of a payload into the encoded bytes. The payload itself is shared, and
    /// is never changed.
    pub(super) fn mask_next_step(&mut self) {
        let Some(large) = &mut self.large else { return };
        let Some(key) = large.key else { return };
        let rest = &large.payload[large.taken..];
        let step = &rest[..rest.len().min(STEP)];
        key.append_masked(&mut self.encoded, step, large.taken);
        large.taken += step.len();
    }

    /// Gives up a compressor that was not used for some time. Returns it, to be dropped where no lock
    /// is held, and the time of the next look at the one that it has.
    pub(in crate::outbox) fn rest_compressor(
        &mut self,
        now: Instant,
    ) -> (Option<Box<Deflater>>, Option<Instant>) {
        let Some(compressor) = &mut self.compressor else {
            return (None, None);
        };
        let given_up = compressor.rest();
        let next = compressor.is_loaded().then(|| now + COMPRESSOR_REST);
        (given_up, next)
    }
}
