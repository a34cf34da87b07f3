//! The framing of messages to many: [`Framing`], and one message in one of them, [`Form`].

use super::compressor::{Compressor, compress_alone};
use super::frame::Coding;
use super::frames::{Piece, is_framed_once};
use crate::Message;
use crate::deflate::DeflateSettings;
use crate::protocol::Role;

/// The way in which a connection's messages to many are framed. Those that go the same way are the same
/// bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Each connection does it by itself: it masks, or refers back to what it sent before.
    Own,
    Plain,
    /// Messages of this length and more are compressed, each by itself.
    Compressed {
        settings: DeflateSettings,
        min_size: usize,
    },
}

/// A message to many in one framing.
#[derive(Clone)]
pub(super) enum Form {
    Framed(Piece),
    /// The message itself, which each connection frames.
    Itself(Coding),
}

/// The forms of one message, each made when the first connection needs it.
pub(super) struct Forms<'a> {
    message: &'a Message,
    made: Vec<(Framing, Form)>,
}

impl Framing {
    pub(super) fn of(role: Role, compressor: Option<&Compressor>) -> Self {
        match (role, compressor) {
            (Role::Client, _) => Self::Own,
            (Role::Server, None) => Self::Plain,
            (Role::Server, Some(compressor)) => compressor.framing(),
        }
    }

    /// Compresses a message, or returns `None` if it goes plain.
    pub(super) fn compress(self, message: &Message) -> Option<Vec<u8>> {
        match self {
            Self::Compressed { settings, min_size } if message.len() >= min_size => {
                compress_alone(settings, message.as_bytes())
            }
            _ => None,
        }
    }

    fn form(self, message: &Message) -> Form {
        let compressed = self.compress(message);
        match self {
            Self::Plain | Self::Compressed { .. } if is_framed_once(message) => {
                Form::Framed(Piece::of(message, compressed.as_deref()))
            }
            Self::Compressed { .. } if compressed.is_some() => {
                Form::Framed(Piece::of(message, compressed.as_deref()))
            }
            // It did not shrink.
            Self::Compressed { .. } => Form::Itself(Coding::Plain),
            Self::Own | Self::Plain => Form::Itself(Coding::Agreed),
        }
    }
}

impl<'a> Forms<'a> {
    pub(super) fn of(message: &'a Message) -> Self {
        let made = Vec::new();
        Self { message, made }
    }

    pub(super) fn get(&mut self, framing: Framing) -> &Form {
        let at = self.made.iter().position(|(made, _)| *made == framing);
        let at = at.unwrap_or_else(|| {
            self.made.push((framing, framing.form(self.message)));
            self.made.len() - 1
        });
        &self.made[at].1
    }
}
