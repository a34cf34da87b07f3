//! A message that has come in part: [`Assembly`].

use super::Violation;
use super::frame::{Header, Opcode};
use super::mask::MaskKey;
use super::read_buffer::{AT_REST, ReadBuffer};
use super::utf8::Utf8Progress;

/// The first step in which a payload grows that is received directly, in bytes. Later ones double
/// it.
const FIRST_STEP: usize = 64 << 10;

/// Collects the payload of a message, over all its frames.
///
/// Memory follows the bytes that came, never the length that a header declares.
#[derive(Debug)]
pub(super) struct Assembly {
    is_text: bool,
    fragments: usize,
    /// What came; while a `recv` fills it directly, possibly more than the frame has.
    payload: Vec<u8>,
    /// How much of the payload is unmasked and checked.
    done: usize,
    utf8: Utf8Progress,
    /// The newest frame: where it begins and ends in the payload.
    frame_start: usize,
    frame_end: usize,
    key: Option<MaskKey>,
    is_final: bool,
}

impl Assembly {
    pub(super) fn new(opcode: Opcode) -> Self {
        Self {
            is_text: opcode == Opcode::Text,
            fragments: 0,
            payload: Vec::new(),
            done: 0,
            utf8: Utf8Progress::default(),
            frame_start: 0,
            frame_end: 0,
            key: None,
            is_final: false,
        }
    }

    /// Begins the next frame; the one before must be whole.
    pub(super) fn begin_frame(&mut self, header: &Header) {
        self.fragments += 1;
        self.frame_start = self.done;
        self.frame_end = self.done + header.length as usize;
        self.key = header.key;
        self.is_final = header.is_final;
    }

    /// Takes what has come of the frame, unmasks and checks it.
    ///
    /// # Errors
    /// 1007 as soon as a text holds a byte that cannot be right.
    pub(super) fn absorb(&mut self, input: &mut ReadBuffer) -> Result<(), Violation> {
        if self.is_frame_whole() {
            return Ok(());
        }
        self.give_back_surplus(input);
        self.payload.extend_from_slice(input.take(self.missing()));
        if let Some(key) = self.key {
            key.apply(&mut self.payload[self.done..], self.done - self.frame_start);
        }
        self.done = self.payload.len();
        if self.is_text {
            self.utf8.advance(&self.payload)?;
        }
        Ok(())
    }

    /// Returns the payload itself to receive into, with room in it.
    pub(super) fn spare(&mut self) -> &mut Vec<u8> {
        let room = self.payload.capacity() - self.payload.len();
        if room < self.missing().min(AT_REST) {
            let step = self.payload.len().max(FIRST_STEP);
            self.payload.reserve_exact(step.min(self.missing()));
        }
        &mut self.payload
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
        self.done == self.frame_end
    }

    pub(super) fn is_complete(&self) -> bool {
        self.is_final && self.is_frame_whole()
    }

    /// Returns how many bytes of the frame have not come.
    pub(super) fn missing(&self) -> usize {
        self.frame_end.saturating_sub(self.payload.len())
    }

    /// Returns how many bytes of the message have come.
    pub(super) fn len(&self) -> usize {
        self.done
    }

    pub(super) fn fragments(&self) -> usize {
        self.fragments
    }

    /// Hands on what a direct `recv` brought from behind the frame.
    fn give_back_surplus(&mut self, input: &mut ReadBuffer) {
        if self.payload.len() > self.frame_end {
            input.refill(&self.payload[self.frame_end..]);
            self.payload.truncate(self.frame_end);
        }
    }
}
