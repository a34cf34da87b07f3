//! A frame between the queue and the kernel: [`Frame`], and the room that its end releases.

use bytes::Bytes;

use super::budget::weight;
use super::delivery::Promise;
use super::frames::Piece;
use super::outgoing::{Marked, Outgoing};
use crate::Message;
use crate::protocol::{Fin, Opcode};

/// A frame that was taken from the queue.
pub(super) struct Frame {
    pub(super) opcode: Opcode,
    pub(super) fin: Fin,
    pub(super) payload: Bytes,
    pub(super) coding: Coding,
    pub(super) kind: FrameKind,
}

/// The coding of a message on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// Compressed, if that is agreed and gains anything.
    Agreed,
    /// Plain, whatever is agreed.
    Plain,
}

/// The meaning of a frame, which decides what its end releases.
#[derive(Default)]
pub(super) enum FrameKind {
    /// A message. Its end releases its room, and resolves its delivery.
    Message {
        weight: u64,
        promise: Option<Promise>,
    },
    /// Frames of messages to many. The end of each releases its room.
    Piece(Piece),
    /// A fragment of a split message, but not the last, which stands for the message.
    Part,
    /// A fragment of a streamed message. Its end releases its room in the lane; the end of the last
    /// one is the message's.
    Fragment { weight: u64, fin: Fin },
    /// A ping that has a place among the messages.
    Barrier,
    /// A ping or a pong.
    #[default]
    Control,
    /// Our Close.
    Close,
}

impl FrameKind {
    /// Makes the kind of a message whose delivery nobody follows.
    pub(super) fn message(weight: u64) -> Self {
        let promise = None;
        Self::Message { weight, promise }
    }
}

impl Frame {
    /// Makes the only frame of a message. Returns other kinds of entries as they are.
    #[inline]
    pub(super) fn of(outgoing: Outgoing) -> Result<Self, Outgoing> {
        match outgoing {
            Outgoing::Message(message) => Ok(Self::message(message, None, Coding::Agreed)),
            Outgoing::Marked(marked) => {
                let Marked {
                    message,
                    promise,
                    coding,
                } = *marked;
                Ok(Self::message(message, promise, coding))
            }
            // The headers are in the payload; this one is not written.
            Outgoing::Piece(piece) => Ok(Self {
                opcode: Opcode::Binary,
                fin: Fin::Last,
                payload: piece.to_bytes(),
                coding: Coding::Plain,
                kind: FrameKind::Piece(piece),
            }),
            other => Err(other),
        }
    }

    #[inline]
    fn message(message: Message, promise: Option<Promise>, coding: Coding) -> Self {
        let weight = weight(&message);
        Self {
            opcode: Opcode::of(&message),
            fin: Fin::Last,
            payload: message.into_bytes(),
            coding,
            kind: FrameKind::Message { weight, promise },
        }
    }

    /// Tells whether the payload is frames already.
    pub(super) fn is_framed(&self) -> bool {
        matches!(self.kind, FrameKind::Piece(_))
    }

    /// Returns how many messages it counts for in a batch.
    pub(super) fn messages(&self) -> usize {
        match &self.kind {
            FrameKind::Piece(piece) => piece.messages() as usize,
            _ => 1,
        }
    }

    /// Makes a control frame.
    pub(super) fn control(opcode: Opcode, payload: Bytes, kind: FrameKind) -> Self {
        Self {
            opcode,
            fin: Fin::Last,
            payload,
            coding: Coding::Plain,
            kind,
        }
    }
}

/// The result of writing frames: the bytes taken, and the room released.
#[derive(Default)]
pub(super) struct Written {
    /// The bytes of frames.
    pub(super) length: u64,
    /// The bytes and places of the queue's budget.
    pub(super) bytes: u64,
    pub(super) places: u64,
    pub(super) messages: u64,
    /// The bytes and fragments of the lane.
    pub(super) fragment_bytes: u64,
    pub(super) fragments: u64,
    /// The flag that our Close was among them.
    pub(super) close: bool,
    pub(super) promises: Vec<Promise>,
}

impl Written {
    /// Counts a message that has left whole.
    pub(super) fn message(length: u64, weight: u64) -> Self {
        let mut written = Self {
            length,
            ..Self::default()
        };
        written.add(FrameKind::message(weight));
        written
    }

    /// Counts messages to many that have left whole.
    pub(super) fn piece(length: u64, piece: &Piece) -> Self {
        let mut written = Self {
            length,
            ..Self::default()
        };
        written.add(FrameKind::Piece(piece.clone()));
        written
    }

    /// Counts a frame that has left whole.
    #[inline]
    pub(super) fn add(&mut self, kind: FrameKind) {
        match kind {
            FrameKind::Message { weight, promise } => {
                self.add_messages(1, weight);
                self.promises.extend(promise);
            }
            FrameKind::Piece(piece) => self.add_messages(piece.messages(), piece.weight()),
            FrameKind::Fragment { weight, fin } => {
                self.fragment_bytes += weight;
                self.fragments += 1;
                if fin == Fin::Last {
                    self.add_messages(1, 0);
                }
            }
            FrameKind::Barrier => self.places += 1,
            FrameKind::Close => self.close = true,
            FrameKind::Part | FrameKind::Control => {}
        }
    }

    /// Returns how many of the places were barriers, and not messages.
    pub(super) fn barriers(&self) -> u64 {
        self.places - self.messages
    }

    /// Counts messages that have left whole.
    #[inline]
    pub(super) fn add_messages(&mut self, messages: u64, weight: u64) {
        self.bytes += weight;
        self.places += messages;
        self.messages += messages;
    }
}
