//! Bytes to events and messages to bytes (RFC 6455, sections 5 to 8), without I/O, clock or thread.
//!
//! [`Decoder`] takes what came from the peer and gives [`Event`]s or the one [`Violation`] that ends
//! them; [`Encoder`] makes frames. Both serve both [`Role`]s.

mod assembly;
mod close_frame;
mod decoder;
mod encoder;
mod frame;
mod mask;
mod payloads;
mod read_buffer;
#[cfg(test)]
mod tests;
mod utf8;

use std::borrow::Cow;

use bytes::Bytes;

pub(crate) use close_frame::CloseFrame;
pub(crate) use decoder::Decoder;
pub(crate) use encoder::Encoder;
pub(crate) use frame::{Fin, Opcode};
pub(crate) use mask::MaskKey;

use crate::{CloseCode, Config, Message};

/// Names our side of the connection. It decides who masks (RFC 6455, section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Sends masked frames, takes unmasked ones.
    Client,
    /// Sends unmasked frames, takes masked ones.
    Server,
}

/// Holds what the peer may send: how much in one message, and in which frames.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of payload in a message, all its fragments together.
    pub(crate) max_message_size: usize,
    /// Bytes of payload in a frame.
    pub(crate) max_frame_size: usize,
    /// Frames in a message, at least 1; empty ones count.
    pub(crate) max_fragments: usize,
    /// Whether a server takes frames that are not masked.
    pub(crate) accept_unmasked: bool,
}

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        Self {
            max_message_size: config.max_message_size,
            // Without a limit of its own, a frame is judged by what its message may still have.
            max_frame_size: config.max_frame_size.unwrap_or(usize::MAX),
            max_fragments: config.max_fragments.max(1),
            accept_unmasked: config.accept_unmasked_frames,
        }
    }
}

/// Holds what came from the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Message(Message),
    /// The next piece of a message that was asked for in chunks. Boxed, so that it does not change
    /// how the others are laid out: moving small messages took a third longer.
    Chunk(Box<Chunk>),
    Ping(Bytes),
    Pong(Bytes),
    /// The peer's Close, with a code and a reason if it gave one; nothing comes after it.
    Close(Option<CloseFrame>),
}

/// Holds a piece of a message, or all of it; pieces of a text may split characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) is_text: bool,
    pub(crate) bytes: Vec<u8>,
    /// Whether the message is complete with it.
    pub(crate) is_last: bool,
}

impl From<Message> for Chunk {
    fn from(message: Message) -> Self {
        Self {
            is_text: matches!(message, Message::Text(_)),
            bytes: message.into_bytes().into(),
            is_last: true,
        }
    }
}

/// Says how the peer broke the protocol, and what it is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// 1002, 1007 or 1009.
    pub(crate) code: CloseCode,
    /// What was wrong, for people.
    pub(crate) what: Cow<'static, str>,
}

impl Violation {
    /// The system has no memory for a message.
    const NO_MEMORY: Self = Self {
        code: CloseCode::TOO_BIG,
        what: Cow::Borrowed("there is no memory for the message"),
    };

    /// A message is given up, since peers hold more than the process lets them.
    pub(crate) const NO_ROOM: Self = Self {
        code: CloseCode::TOO_BIG,
        what: Cow::Borrowed("there is no room for the message among those of others"),
    };

    const fn protocol(what: &'static str) -> Self {
        Self {
            code: CloseCode::PROTOCOL_ERROR,
            what: Cow::Borrowed(what),
        }
    }

    const fn utf8(what: &'static str) -> Self {
        Self {
            code: CloseCode::INVALID_PAYLOAD,
            what: Cow::Borrowed(what),
        }
    }

    /// Something is larger than its limit.
    fn too_big(what: &str, size: u64, limit: usize) -> Self {
        Self {
            code: CloseCode::TOO_BIG,
            what: format!("{what}: {size}, at most {limit} are allowed").into(),
        }
    }
}
