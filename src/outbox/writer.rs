//! The encoder and writer of frames: [`Writer`], a value. Only the thread that holds it writes
//! (L2).

mod encoding;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::compressor::Compressor;
use super::frame::{Coding, Frame, FrameKind, Written};
use super::frames::Piece;
use super::unsent::Unsent;
use super::{Sink, Wire};
use crate::protocol::{Encoder, Fin, MaskKey, Opcode};

/// The writing end of a wire. It is taken from the queue, used without a lock, and put back.
pub(super) struct Writer<W: Wire> {
    sink: Arc<W::Sink>,
    wire: Arc<W>,
    encoder: Encoder,
    /// The compression of what is sent, if it is agreed.
    compressor: Option<Box<Compressor>>,
    /// The least length of a frame that may be compressed.
    compressed_from: usize,
    /// The frames that were taken from the queue and are not encoded yet.
    batch: VecDeque<Frame>,
    /// The encoded frames, and the number of their bytes that are written.
    encoded: Vec<u8>,
    written: usize,
    /// The large payload behind the encoded frames. Boxed, as most connections never have one.
    large: Option<Box<Large>>,
    unsent: Unsent,
    /// The flag that the wire has bytes of its own to write.
    needs_flush: bool,
    /// Used payloads. They are dropped where no lock is held.
    spent: Vec<Bytes>,
}

/// The length from which on a payload is not copied behind its header.
pub(super) const MIN_UNCOPIED: usize = 16 << 10;
/// The number of bytes that are masked at a time of a large payload.
const STEP: usize = 64 << 10;

/// The time between two looks whether a connection's compressor is in use.
pub(super) const COMPRESSOR_REST: Duration = Duration::from_secs(30);

/// The most bytes that are kept for the next message.
const MAX_KEPT_CAPACITY: usize = 64;

/// A payload that leaves without a copy or, if it must be masked, in steps.
struct Large {
    payload: Bytes,
    taken: usize,
    key: Option<MaskKey>,
}

/// The result of a message that has not left in one write.
pub(super) type Partly = (io::Result<()>, Written);

impl<W: Wire> Writer<W> {
    pub(super) fn new(encoder: Encoder, wire: Arc<W>) -> Box<Self> {
        Box::new(Self {
            sink: wire.sink(),
            wire,
            encoder,
            compressor: None,
            compressed_from: usize::MAX,
            batch: VecDeque::new(),
            encoded: Vec::new(),
            written: 0,
            large: None,
            unsent: Unsent::default(),
            needs_flush: false,
            spent: Vec::new(),
        })
    }

    /// Compresses messages from now on.
    pub(super) fn compress_with(&mut self, compressor: Box<Compressor>) {
        self.compressed_from = compressor.threshold();
        self.compressor = Some(compressor);
    }

    /// Tells whether a message of this length may be compressed.
    #[inline]
    pub(super) fn may_compress(&self, length: usize) -> bool {
        length >= self.compressed_from
    }

    /// Takes the next frame, which the next write encodes.
    pub(super) fn push(&mut self, frame: Frame) {
        self.batch.push_back(frame);
    }

    /// Makes room for this number of frames.
    pub(super) fn reserve(&mut self, frames: usize) {
        self.batch.reserve(frames);
        self.spent.reserve(frames);
    }

    /// Lets the wire's own bytes leave with the next write.
    pub(super) fn flush_wire(&mut self) {
        self.needs_flush = true;
    }

    /// Tells whether everything it was given is with the kernel.
    pub(super) fn is_done(&self) -> bool {
        self.batch.is_empty() && self.unsent.is_empty() && !self.needs_flush
    }

    /// Tells whether the wire will soon take no more.
    pub(super) fn nears_key_limit(&self) -> bool {
        self.sink.nears_key_limit()
    }

    /// Tells whether the wire is this process's.
    pub(super) fn is_own(&self) -> bool {
        self.sink.is_own()
    }

    /// Writes once, without blocking, and counts what that releases.
    ///
    /// # Errors
    /// `WouldBlock` if the socket takes no more just now. Any other error is the end of the
    /// sending.
    pub(super) fn write(&mut self, written: &mut Written) -> io::Result<()> {
        self.encode_batch();
        let length = self.write_encoded()?;
        self.count_off(length, written);
        Ok(())
    }

    /// Writes a message that is the only one, in one frame, and returns the frame's length. The
    /// payload stays with the caller, unless it is large.
    ///
    /// # Errors
    /// The result, if the message has not left whole.
    #[inline]
    pub(super) fn write_whole(
        &mut self,
        opcode: Opcode,
        payload: &mut Bytes,
        weight: u64,
        coding: Coding,
    ) -> Result<u64, Partly> {
        let left = self.encode(opcode, Fin::Last, payload, coding);
        match self.write_encoded() {
            Ok(length) if length == left => Ok(length as u64),
            result => Err(self.keep_rest(result, left, weight)),
        }
    }

    /// Writes frames that are the only ones, and returns their length.
    ///
    /// # Errors
    /// The result, if they have not left whole.
    #[inline]
    pub(super) fn write_framed(&mut self, piece: &Piece) -> Result<u64, Partly> {
        let bytes = piece.as_bytes();
        match self.send(&[IoSlice::new(bytes)]) {
            Ok(length) if length == bytes.len() => {
                self.needs_flush = false;
                Ok(length as u64)
            }
            result => Err(self.keep_rest_of_piece(result, piece)),
        }
    }

    #[inline(never)]
    fn keep_rest_of_piece(&mut self, result: io::Result<usize>, piece: &Piece) -> Partly {
        let payload = piece.to_bytes();
        let left = payload.len();
        let taken = *result.as_ref().unwrap_or(&0);
        if taken > 0 {
            self.needs_flush = false;
        }
        self.large = Some(Box::new(Large {
            payload,
            taken,
            key: None,
        }));
        let kind = FrameKind::Piece(piece.clone());
        self.keep(result, left, kind)
    }

    /// Keeps the rest of a message of which not all was written.
    #[inline(never)]
    fn keep_rest(&mut self, result: io::Result<usize>, left: usize, weight: u64) -> Partly {
        self.keep(result, left, FrameKind::message(weight))
    }

    fn keep(&mut self, result: io::Result<usize>, left: usize, kind: FrameKind) -> Partly {
        self.unsent.push(left, kind);
        let mut written = Written::default();
        let result = result.map(|length| self.count_off(length, &mut written));
        (result, written)
    }

    /// Takes a message whose writing has panicked, to be counted among those that were not sent.
    pub(super) fn take_lost(&mut self, weight: u64) {
        self.unsent.push(0, FrameKind::message(weight));
    }

    /// Takes likewise the messages of a piece.
    pub(super) fn take_lost_piece(&mut self, piece: &Piece) {
        self.unsent.push(0, FrameKind::Piece(piece.clone()));
    }

    /// Writes the encoded bytes, or else the wire's own. Returns how many bytes of frames have
    /// left.
    #[inline]
    fn write_encoded(&mut self) -> io::Result<usize> {
        if self.large.is_some() || self.encoded.is_empty() {
            return self.write_parts();
        }
        let encoded = IoSlice::new(&self.encoded[self.written..]);
        let length = self.send(&[encoded])?;
        self.note_written(length);
        Ok(length)
    }

    /// Writes if there is a large payload, or nothing encoded.
    #[inline(never)]
    fn write_parts(&mut self) -> io::Result<usize> {
        if self.encoded.is_empty() {
            self.mask_next_step();
        }
        let encoded = &self.encoded[self.written..];
        let uncopied = match self.large.as_deref() {
            Some(large) if large.key.is_none() => &large.payload[large.taken..],
            _ => &[],
        };
        if encoded.is_empty() && uncopied.is_empty() {
            self.sink.flush()?;
            self.needs_flush = false;
            return Ok(0);
        }
        let parts = [IoSlice::new(encoded), IoSlice::new(uncopied)];
        let of_encoded = encoded.len();
        let length = self.send(&parts)?;
        self.note_written(length.min(of_encoded));
        self.take_uncopied(length.saturating_sub(of_encoded));
        Ok(length)
    }

    #[inline]
    fn send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.sink.try_send(parts) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            result => result,
        }
    }

    /// Counts encoded bytes that the wire has taken.
    #[inline]
    fn note_written(&mut self, length: usize) {
        // The wire's own bytes have left with it.
        self.needs_flush = false;
        self.written += length;
        if self.written == self.encoded.len() {
            self.encoded.clear();
            self.written = 0;
        }
    }

    /// Counts written bytes of the large payload, and gives it up once all of it is taken.
    fn take_uncopied(&mut self, length: usize) {
        if let Some(large) = &mut self.large {
            large.taken += length;
            if large.taken == large.payload.len() {
                let large = self.large.take();
                self.spent.extend(large.map(|large| large.payload));
            }
        }
    }

    /// Counts written bytes, and what they release.
    fn count_off(&mut self, length: usize, written: &mut Written) {
        let (encoder, encoded) = (&self.encoder, &self.encoded);
        self.unsent.count_off(length, encoder, encoded, written);
    }

    /// Frees all memory but that of a short message. Many connections keep at rest what one keeps.
    /// And a thread that sends to one after the other finds the memory of the last for the next,
    /// near in the caches.
    #[inline]
    pub(super) fn rest(&mut self) {
        if self.encoded.capacity() > MAX_KEPT_CAPACITY {
            self.encoded = Vec::new();
        }
        if self.batch.capacity() > 0 {
            self.batch = VecDeque::new();
        }
        self.unsent.rest();
    }

    /// Discards its frames, and returns what that releases.
    pub(super) fn discard(&mut self) -> Written {
        let mut discarded = Written::default();
        self.count_off(usize::MAX, &mut discarded);
        discarded.length = 0;
        for frame in mem::take(&mut self.batch) {
            discarded.add(frame.kind);
            self.spent.push(frame.payload);
        }
        let large = self.large.take();
        self.spent.extend(large.map(|large| large.payload));
        self.encoded = Vec::new();
        self.written = 0;
        self.needs_flush = false;
        discarded
    }

    /// Moves the used payloads out, to be [disposed](super::disposal::dispose) of where no lock is held.
    pub(super) fn take_spent(&mut self, spent: &mut Vec<Bytes>) {
        // With its memory, which would stay with the connection.
        let mut taken = mem::take(&mut self.spent);
        if spent.is_empty() {
            *spent = taken;
        } else {
            spent.append(&mut taken);
        }
    }
}
