//! What is encoded and not yet with the kernel: [`WriteBuffer`].

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem;

use super::Wire;
use super::delivery::Promise;
use crate::Message;
use crate::protocol::{Encoder, Fin, MaskKey, Opcode};

/// Encoded frames, and behind them at most one large payload that leaves uncopied.
#[derive(Default)]
pub(super) struct WriteBuffer {
    encoded: Vec<u8>,
    written: usize,
    /// Apart, as most connections never have one.
    large: Option<Box<Large>>,
    frames: VecDeque<Frame>,
}

/// What is allocated for encoded bytes at first, and for frames.
const FIRST_BYTES: usize = 1 << 10;
const FIRST_FRAMES: usize = 16;
/// The encoded bytes that are gathered for one write.
const BATCH: usize = 64 << 10;
/// A payload from this size on is not copied behind its header.
pub(super) const LARGE: usize = 16 << 10;

/// A payload that leaves from where it lies; masked, a step at a time.
struct Large {
    message: Message,
    taken: usize,
    key: Option<MaskKey>,
}

/// One frame whose last byte the kernel has not taken.
struct Frame {
    left: usize,
    role: Role,
}

/// What a frame stands for, and so what its end releases.
pub(super) enum Role {
    /// A message: its room. Who waits for its delivery is told.
    Message {
        weight: u64,
        promise: Option<Promise>,
    },
    /// A fragment of a split message, but not the last, which stands for the message.
    Part,
    /// A fragment of a streamed message: its room in the lane; the last one's end is its message's.
    Fragment { weight: u64, fin: Fin },
    /// A ping that has a place among the messages.
    Barrier,
    /// A ping or a pong.
    Control,
    /// Our Close.
    Close,
}

/// What has become of frames: how much was taken, and what that has released.
#[derive(Default)]
pub(super) struct Written {
    /// Bytes of frames.
    pub(super) length: u64,
    /// Bytes and places of the queue's budget.
    pub(super) bytes: u64,
    pub(super) places: u64,
    pub(super) messages: u64,
    pub(super) barriers: u64,
    /// Bytes and fragments of the lane.
    pub(super) fragment_bytes: u64,
    pub(super) fragments: u64,
    /// Whether our Close was among them.
    pub(super) close: bool,
    pub(super) promises: Vec<Promise>,
}

impl Written {
    fn add(&mut self, role: Role) {
        match role {
            Role::Message { weight, promise } => {
                self.bytes += weight;
                self.end_message();
                self.promises.extend(promise);
            }
            Role::Fragment { weight, fin } => {
                self.fragment_bytes += weight;
                self.fragments += 1;
                if fin == Fin::Last {
                    self.end_message();
                }
            }
            Role::Barrier => {
                self.places += 1;
                self.barriers += 1;
            }
            Role::Close => self.close = true,
            Role::Part | Role::Control => {}
        }
    }

    fn end_message(&mut self) {
        self.places += 1;
        self.messages += 1;
    }
}

impl WriteBuffer {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Encodes a frame whose payload is small.
    pub(super) fn push_control(
        &mut self,
        encoder: &mut Encoder,
        opcode: Opcode,
        payload: &[u8],
        role: Role,
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
        role: Role,
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

    /// Writes once, as much as the kernel takes, and returns what that has released.
    pub(super) fn write(&mut self, wire: &impl Wire) -> io::Result<Written> {
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
        Ok(self.count_off(length))
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

    /// Counts `length` bytes off, and what they release.
    fn count_off(&mut self, length: usize) -> Written {
        let mut written = Written {
            length: length as u64,
            ..Written::default()
        };
        let mut rest = length;
        while let Some(mut frame) = self.frames.pop_front() {
            if frame.left > rest {
                frame.left -= rest;
                self.frames.push_front(frame);
                break;
            }
            rest -= frame.left;
            written.add(frame.role);
        }
        written
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

    /// Throws everything away. Returns what that releases, and a payload to be dropped where no lock
    /// is held.
    pub(super) fn discard(&mut self) -> (Written, Option<Message>) {
        let discarded = Written {
            length: 0,
            ..self.count_off(usize::MAX)
        };
        (discarded, mem::take(self).large.map(|large| large.message))
    }
}
