//! A message that has come in part: [`Assembly`].

use super::frame::{Header, Opcode};
use super::mask::MaskKey;
use super::read_buffer::{AT_REST, ReadBuffer};
use super::utf8::Utf8Progress;
use super::{Chunk, Violation};
use crate::buffer_pool::LARGE;

/// The first step in which a payload grows that is received directly, in bytes. Later ones double
/// it, unless what came is taken out in chunks. Up to this a payload has room without asking.
const FIRST_STEP: usize = 64 << 10;

/// Collects the payload of a message, over all its frames.
///
/// Memory follows the bytes that came, never the length that a header declares. Beyond the first step
/// it grows only when told to: see [`wanted`](Self::wanted).
#[derive(Debug)]
pub(super) struct Assembly {
    is_text: bool,
    fragments: usize,
    /// What came and was not taken out; while a `recv` fills it directly, possibly more than the
    /// frame has.
    payload: Vec<u8>,
    /// How much of the payload is unmasked and checked.
    done: usize,
    utf8: Utf8Progress,
    /// The newest frame: how long it is, and how much of it is unmasked and checked.
    frame_length: u64,
    frame_done: u64,
    key: Option<MaskKey>,
    is_final: bool,
    /// Whether the first chunk was taken out.
    is_announced: bool,
}

impl Assembly {
    pub(super) fn new(opcode: Opcode) -> Self {
        Self {
            is_text: opcode == Opcode::Text,
            fragments: 0,
            payload: Vec::new(),
            done: 0,
            utf8: Utf8Progress::default(),
            frame_length: 0,
            frame_done: 0,
            key: None,
            is_final: false,
            is_announced: false,
        }
    }

    /// Begins the next frame; the one before must be whole.
    pub(super) fn begin_frame(&mut self, header: &Header) {
        self.fragments += 1;
        self.frame_length = header.length;
        self.frame_done = 0;
        self.key = header.key;
        self.is_final = header.is_final;
    }

    /// Takes what has come of the frame and finds room, unmasks and checks it; returns how many bytes
    /// that is.
    ///
    /// # Errors
    /// 1007 as soon as a text holds a byte that cannot be right, 1009 where there is no memory.
    pub(super) fn absorb(&mut self, input: &mut ReadBuffer) -> Result<usize, Violation> {
        if self.is_frame_whole() {
            return Ok(0);
        }
        self.give_back_surplus(input);
        self.make_first_room(input.unread().len())?;
        let room = self.missing().min(self.room());
        self.payload.extend_from_slice(input.take(room));
        let came = &mut self.payload[self.done..];
        if let Some(key) = self.key {
            key.apply(came, (self.frame_done % 4) as usize);
        }
        let length = came.len();
        self.frame_done += length as u64;
        if self.is_text {
            self.utf8.advance(came)?;
        }
        self.done = self.payload.len();
        Ok(length)
    }

    /// Returns the payload itself to receive into. It has room where nothing is [`wanted`](Self::wanted).
    pub(super) fn spare(&mut self) -> &mut Vec<u8> {
        &mut self.payload
    }

    /// Tells whether to receive into the payload: much of the frame is missing, and what may come with
    /// it from behind the frame is little.
    pub(super) fn is_received_directly(&self, input: &ReadBuffer) -> bool {
        let missing = self.missing();
        missing >= input.capacity() && self.room() <= missing.saturating_add(LARGE)
    }

    /// Returns the capacity that the payload needs before more of the frame can be taken, of which so
    /// much is unread, or received; `None` where it has room.
    pub(super) fn wanted(&self, unread: usize) -> Option<usize> {
        let least = match unread {
            0 if self.payload.is_empty() => FIRST_STEP,
            0 => AT_REST,
            unread => unread,
        };
        if self.room() >= self.missing().min(least) {
            return None;
        }
        let doubled = self.payload.capacity().saturating_mul(2).max(FIRST_STEP);
        let whole = self.payload.len().saturating_add(self.missing());
        // Small frames that others follow are not to move the payload each time.
        Some(if unread == 0 || self.is_final {
            doubled.min(whole)
        } else {
            doubled
        })
    }

    /// Grows the payload to what was [`wanted`](Self::wanted).
    ///
    /// # Errors
    /// 1009 where there is no memory.
    pub(super) fn grow(&mut self, capacity: usize) -> Result<(), Violation> {
        let more = capacity.saturating_sub(self.payload.len());
        let grown = self.payload.try_reserve_exact(more);
        grown.map_err(|_| Violation::NO_MEMORY)
    }

    /// Makes room for what is unread, within the first step.
    fn make_first_room(&mut self, unread: usize) -> Result<(), Violation> {
        let coming = unread.min(self.missing());
        if self.room() >= coming || self.payload.capacity() >= FIRST_STEP {
            return Ok(());
        }
        let enough = self.payload.len() + coming;
        self.grow(enough.max(2 * self.payload.capacity()).min(FIRST_STEP))
    }

    /// Tells whether there is something to take out. The first chunk says that the message has
    /// begun, and the last one that it is complete: they may be empty.
    pub(super) fn has_chunk(&self) -> bool {
        self.done > 0 || self.is_complete() || !self.is_announced
    }

    /// Takes out what has been absorbed.
    ///
    /// # Errors
    /// 1007 at the end of a text whose last character is incomplete.
    pub(super) fn take_chunk(&mut self) -> Result<Chunk, Violation> {
        let is_last = self.is_complete();
        if is_last {
            self.utf8.finish()?;
        }
        self.is_announced = true;
        self.done = 0;
        Ok(Chunk {
            is_text: self.is_text,
            bytes: std::mem::take(&mut self.payload),
            is_last,
        })
    }

    /// Takes the memory of a chunk that is used up, to receive the next one into.
    pub(super) fn reuse(&mut self, mut bytes: Vec<u8>) {
        if self.payload.capacity() == 0 && bytes.capacity() <= FIRST_STEP {
            bytes.clear();
            self.payload = bytes;
        }
    }

    /// Ends the message: tells whether it is a text, and gives up the payload.
    pub(super) fn into_payload(mut self) -> (bool, Vec<u8>) {
        let waste = self.payload.capacity() - self.payload.len();
        if waste > AT_REST && waste > self.payload.len() / 4 {
            self.payload.shrink_to_fit();
        }
        (self.is_text, self.payload)
    }

    pub(super) fn is_frame_whole(&self) -> bool {
        self.frame_done == self.frame_length
    }

    pub(super) fn is_complete(&self) -> bool {
        self.is_final && self.is_frame_whole()
    }

    /// Returns how many bytes of the frame have not come, or as many as can be counted.
    pub(super) fn missing(&self) -> usize {
        let pending = usize::try_from(self.pending()).unwrap_or(usize::MAX);
        pending.saturating_sub(self.payload.len() - self.done)
    }

    /// Returns how many bytes of the message have come and were not taken out.
    pub(super) fn len(&self) -> usize {
        self.done
    }

    pub(super) fn fragments(&self) -> usize {
        self.fragments
    }

    /// Hands on what a direct `recv` brought from behind the frame.
    fn give_back_surplus(&mut self, input: &mut ReadBuffer) {
        if (self.payload.len() - self.done) as u64 > self.pending() {
            let end = self.done + self.pending() as usize;
            input.refill(&self.payload[end..]);
            self.payload.truncate(end);
        }
    }

    fn room(&self) -> usize {
        self.payload.capacity() - self.payload.len()
    }

    /// Returns how many bytes of the frame are not done.
    fn pending(&self) -> u64 {
        self.frame_length - self.frame_done
    }
}
