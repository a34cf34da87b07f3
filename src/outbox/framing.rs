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
        if self == Self::Own {
            return Form::Itself(Coding::Agreed);
        }
        let compressed = self.compress(message);
        if is_framed_once(message) || compressed.is_some() {
            return Form::Framed(Piece::of(message, compressed.as_deref()));
        }
        // Long, and too short to be compressed or not made shorter: it is not compressed again.
        Form::Itself(Coding::Plain)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Each framing makes its form once, however many connections ask for it.
    #[test]
    fn forms_are_made_once() {
        let settings = DeflateSettings {
            level: 2,
            window_bits: 15,
            memory_level: 8,
        };
        let min_size = 100;
        let compressed = Framing::Compressed { settings, min_size };
        let message = Message::from("x".repeat(1000));
        let mut forms = Forms::of(&message);
        let mut length = |framing| match forms.get(framing) {
            Form::Framed(piece) => Some((piece.as_bytes().as_ptr(), piece.as_bytes().len())),
            Form::Itself(_) => None,
        };
        let of_each = [Framing::Plain, compressed].map(&mut length);
        assert_eq!([Framing::Plain, compressed].map(&mut length), of_each);
        assert_eq!(of_each[0].map(|(_, length)| length), Some(4 + 1000));
        let shrinks = cfg!(feature = "deflate");
        assert_eq!(of_each[1].is_some_and(|(_, length)| length < 100), shrinks);
        assert_eq!(length(Framing::Own), None);
        assert_eq!(forms.made.len(), 3);
    }

    /// A long message leaves as it is where nothing is gained by making it once, and so it does where
    /// it did not shrink: no connection compresses it again.
    #[test]
    fn long_messages_stay_themselves() {
        let long = Message::from(vec![7; 100_000]);
        let is_itself = |framing: Framing, coding| matches!(framing.form(&long), Form::Itself(as_is) if as_is == coding);
        assert!(is_itself(Framing::Plain, Coding::Plain));
        assert!(is_itself(Framing::Own, Coding::Agreed));
        let settings = DeflateSettings {
            level: 2,
            window_bits: 15,
            memory_level: 8,
        };
        let min_size = 100_001;
        let too_short = Framing::Compressed { settings, min_size };
        assert!(is_itself(too_short, Coding::Plain));
    }
}
