//! Bytes to events and messages to bytes (RFC 6455, sections 5 to 8), without I/O, clock or thread.
//!
//! [`Decoder`] takes the peer's bytes and gives [`Event`]s, or the one [`Violation`] that ends
//! them. [`Encoder`] makes frames. Both serve both [`Role`]s.

mod assembly;
mod close_frame;
mod decoder;
mod encoder;
mod frame;
mod gathered;
mod inflation;
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
pub(crate) use encoder::{Encoder, MAX_HEADER};
pub(crate) use frame::{Fin, Opcode};
pub(crate) use mask::MaskKey;

use crate::{CloseCode, Config, Message};

/// Our side of the connection. It decides which side masks (RFC 6455, section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Our side sends masked frames and takes unmasked ones.
    Client,
    /// Our side sends unmasked frames and takes masked ones.
    Server,
}

/// The limits to the messages and frames that the peer may send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most bytes of payload in a message, all its fragments together.
    pub(crate) max_message_size: usize,
    /// The most bytes of payload in a frame.
    pub(crate) max_frame_size: usize,
    /// The most frames in a message, at least 1. Empty ones count.
    pub(crate) max_fragments: usize,
    /// The flag that a server takes frames that are not masked.
    pub(crate) accept_unmasked: bool,
}

impl Limits {
    /// Returns the most bytes of a message that comes compressed. One that does not shrink is a little
    /// longer than its payload: by an eighth in the worst case, and more in many short blocks. This
    /// also bounds blocks that put out nothing.
    fn max_compressed_size(&self) -> usize {
        let surplus = self.max_message_size / 8 + 1024;
        self.max_message_size.saturating_add(surplus)
    }
}

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        Self {
            max_message_size: config.max_message_size,
            // A frame without a limit of its own is bounded by the rest that its message may still
            // have.
            max_frame_size: config.max_frame_size.unwrap_or(usize::MAX),
            max_fragments: config.max_fragments.max(1),
            accept_unmasked: config.accept_unmasked_frames,
        }
    }
}

/// An event in the peer's input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Message(Message),
    /// The next piece of a message that was asked for in chunks. Boxed, so that it does not change
    /// the layout of the other variants: moving small messages took a third longer.
    Chunk(Box<Chunk>),
    Ping(Bytes),
    Pong(Bytes),
    /// The peer's Close, with its code and reason if it has one. Nothing follows it.
    Close(Option<CloseFrame>),
}

/// A piece of a message, or all of it. The pieces of a text may split characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) is_text: bool,
    pub(crate) bytes: Vec<u8>,
    /// The flag that the message ends with this piece.
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

/// A violation of the protocol by the peer, and the code for the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The code of our Close: 1002, 1007 or 1009.
    pub(crate) code: CloseCode,
    /// The violation, in words for people.
    pub(crate) what: Cow<'static, str>,
}

impl Violation {
    /// The violation of a message for which the system has no memory.
    const NO_MEMORY: Self = Self {
        code: CloseCode::TOO_BIG,
        what: Cow::Borrowed("there is no memory for the message"),
    };

    /// The violation of a message for which the process's memory budget has no room.
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

    const fn data(what: &'static str) -> Self {
        Self {
            code: CloseCode::INVALID_PAYLOAD,
            what: Cow::Borrowed(what),
        }
    }

    /// Makes the violation of a limit.
    fn too_big(what: &str, size: u64, limit: usize) -> Self {
        Self {
            code: CloseCode::TOO_BIG,
            what: format!("{what}: {size}, at most {limit} are allowed").into(),
        }
    }
}
