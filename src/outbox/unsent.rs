//! What is encoded and not yet with the kernel.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem;

use super::Wire;
use super::delivery::Promise;
use super::stream::Lane;
use super::sync::Arc;
use crate::Message;
use crate::protocol::{Encoder, Fin, MaskKey, Opcode};

/// Holds encoded frames, and behind them at most one large payload that leaves uncopied.
#[derive(Default)]
pub(super) struct Unsent {
    encoded: Vec<u8>,
    written: usize,
    /// Apart, as most connections never have one.
    large: Option<Box<Large>>,
    frames: VecDeque<Frame>,
}

/// What is allocated for encoded bytes at first, and for frames.
const FIRST_BYTES: usize = 1 << 10;
const FIRST_FRAMES: usize = 16;
/// So many encoded bytes are gathered for one write.
const BATCH: usize = 64 << 10;
/// A payload from this size on is not copied behind its header.
const LARGE: usize = 16 << 10;

/// Is a payload that leaves from where it lies; masked, a step at a time.
struct Large {
    message: Message,
    taken: usize,
    key: Option<MaskKey>,
}

/// Is one frame whose last byte the kernel has not taken.
struct Frame {
    left: usize,
    role: Released,
}

/// Says what a frame's end releases.
pub(super) enum Released {
    /// The room that a message had reserved. Who waits for its delivery is told.
    Message {
        weight: u64,
        promise: Option<Promise>,
    },
    /// The room that a fragment had reserved in its lane; the last one's end is its message's.
    Fragment {
        weight: u64,
        lane: Arc<Lane>,
        fin: Fin,
    },
    /// The place that a barrier had among the messages.
    Barrier,
    /// Nothing: a ping or a pong.
    Control,
    /// Our Close is with the kernel.
    Close,
}

impl Released {
    /// Tells whether this ends what one reservation of the budget was for.
    pub(super) fn ends_reservation(&self) -> bool {
        match self {
            Self::Message { .. } | Self::Barrier => true,
            Self::Fragment { fin, .. } => *fin == Fin::Last,
            Self::Control | Self::Close => false,
        }
    }
}

impl Unsent {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Tells how many of the budget's reservations end with what is encoded and not wholly written.
    pub(super) fn reservations(&self) -> u64 {
        self.count(Released::ends_reservation)
    }

    /// Tells how many fragments are encoded and not wholly written.
    pub(super) fn fragments(&self) -> u64 {
        self.count(|role| matches!(role, Released::Fragment { .. }))
    }

    fn count(&self, counts: impl Fn(&Released) -> bool) -> u64 {
        let counted = self.frames.iter().filter(|frame| counts(&frame.role));
        counted.count() as u64
    }

    /// Tells whether more may be encoded before the next write.
    pub(super) fn has_room(&self) -> bool {
        self.large.is_none() && self.encoded.len() - self.written < BATCH
    }

    /// Encodes a frame whose payload is small.
    pub(super) fn push_control(
        &mut self,
        encoder: &mut Encoder,
        opcode: Opcode,
        payload: &[u8],
        role: Released,
    ) {
        self.wake();
        let start = self.encoded.len();
        encoder.encode(opcode, Fin::Last, payload, &mut self.encoded);
        self.frames.push_back(Frame {
            left: self.encoded.len() - start,
            role,
        });
    }

    /// Encodes a data frame with the payload of `message`. Returns that if it was copied, for the
    /// caller to drop where no lock is held.
    pub(super) fn push_data(
        &mut self,
        encoder: &mut Encoder,
        (opcode, fin): (Opcode, Fin),
        message: Message,
        role: Released,
    ) -> Option<Message> {
        self.wake();
        let (start, length) = (self.encoded.len(), message.len());
        let left;
        let spent = if length < LARGE {
            encoder.encode(opcode, fin, message.as_bytes(), &mut self.encoded);
            left = self.encoded.len() - start;
            Some(message)
        } else {
            let key = encoder.encode_header(opcode, fin, length as u64, &mut self.encoded);
            left = self.encoded.len() - start + length;
            self.large = Some(Box::new(Large {
                message,
                taken: 0,
                key,
            }));
            self.mask_next_step();
            None
        };
        self.frames.push_back(Frame { left, role });
        spent
    }

    /// Writes once, as much as the kernel takes, and returns how much that was.
    pub(super) fn write(&mut self, wire: &impl Wire) -> io::Result<usize> {
        if self.encoded.is_empty() {
            self.mask_next_step();
        }
        let encoded = &self.encoded[self.written..];
        let uncopied = match self.large.as_deref() {
            Some(Large {
                message,
                taken,
                key: None,
            }) => &message.as_bytes()[*taken..],
            _ => &[],
        };
        let length = wire.try_send(&[IoSlice::new(encoded), IoSlice::new(uncopied)])?;
        if length == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let of_encoded = length.min(encoded.len());
        self.written += of_encoded;
        if let Some(large) = &mut self.large {
            large.taken += length - of_encoded;
        }
        if self.written == self.encoded.len() {
            self.encoded.clear();
            self.written = 0;
        }
        Ok(length)
    }

    /// Takes the next step of a payload that must be masked into the encoded bytes: the payload
    /// itself is shared, and is never touched.
    fn mask_next_step(&mut self) {
        let Some(Large {
            message,
            taken,
            key: Some(key),
        }) = self.large.as_deref_mut()
        else {
            return;
        };
        let rest = &message.as_bytes()[*taken..];
        let step = &rest[..rest.len().min(BATCH)];
        key.append_masked(&mut self.encoded, step, *taken);
        *taken += step.len();
    }

    /// Counts `length` written bytes off and tells `released` of every frame that they end.
    pub(super) fn advance(&mut self, mut length: usize, mut released: impl FnMut(Released)) {
        while let Some(mut frame) = self.frames.pop_front() {
            if frame.left > length {
                frame.left -= length;
                self.frames.push_front(frame);
                return;
            }
            length -= frame.left;
            released(frame.role);
        }
    }

    /// Gives out the large payload once it has been taken whole.
    pub(super) fn take_spent(&mut self) -> Option<Message> {
        self.large
            .take_if(|large| large.taken == large.message.len())
            .map(|large| large.message)
    }

    /// Gives all memory back. What a connection keeps at rest, many keep; and who sends to one after the
    /// other finds the memory of the last for the next, near in the caches.
    pub(super) fn rest(&mut self) {
        self.encoded = Vec::new();
        self.frames = VecDeque::new();
    }

    /// Takes memory for the first frame and some more.
    fn wake(&mut self) {
        if self.encoded.capacity() == 0 {
            self.encoded.reserve_exact(FIRST_BYTES);
            self.frames.reserve_exact(FIRST_FRAMES);
        }
    }

    /// Throws everything away and tells `released` of it; returns what is to be dropped where no
    /// lock is held.
    pub(super) fn discard(&mut self, released: impl FnMut(Released)) -> Option<Message> {
        self.advance(usize::MAX, released);
        mem::take(self).large.map(|large| large.message)
    }
}
