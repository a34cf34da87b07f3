//! An entry of the queue: [`Outgoing`].

use super::budget::weight;
use super::delivery::{Awaited, Promise};
use super::frame::Coding;
use super::frames::Piece;
use crate::{DeliveryError, Message};

/// A message, or another entry, that waits for its turn to be written. No larger than a message,
/// the common case.
pub(crate) enum Outgoing {
    Message(Message),
    /// A message that is more than usual.
    Marked(Box<Marked>),
    /// Messages to many, framed once.
    Piece(Piece),
    /// A ping in the order of the messages. Its pong confirms that the peer has taken the messages
    /// before it.
    Barrier(Promise),
    /// The place of a message whose fragments wait in the lane.
    Stream,
}

/// A message with a promise for its sender, or with a coding of its own.
pub(crate) struct Marked {
    pub(super) message: Message,
    pub(super) promise: Option<Promise>,
    pub(super) coding: Coding,
}

impl Marked {
    /// Resolves the promise, and returns the message and the delivery to be woken.
    fn give_up(self, why: DeliveryError) -> (Message, Option<Awaited>) {
        let awaited = self.promise.and_then(|promise| promise.resolve(Err(why)));
        (self.message, awaited)
    }
}

impl Outgoing {
    /// Makes the entry of a message of this coding.
    #[inline]
    pub(super) fn of(message: Message, coding: Coding) -> Self {
        match coding {
            Coding::Agreed => Self::Message(message),
            Coding::Plain => Self::Marked(Box::new(Marked {
                message,
                promise: None,
                coding,
            })),
        }
    }

    /// Makes the entry of a message with a promise for its sender.
    pub(super) fn tracked(message: Message, promise: Promise) -> Self {
        Self::Marked(Box::new(Marked {
            message,
            promise: Some(promise),
            coding: Coding::Agreed,
        }))
    }

    /// Returns the bytes that it takes of the budget.
    #[inline]
    pub(super) fn weight(&self) -> u64 {
        match self {
            Self::Message(message) => weight(message),
            Self::Marked(marked) => weight(&marked.message),
            Self::Piece(piece) => piece.weight(),
            Self::Barrier(_) | Self::Stream => 0,
        }
    }

    /// Returns the places that it takes of the budget.
    #[inline]
    pub(super) fn places(&self) -> u64 {
        match self {
            Self::Piece(piece) => piece.messages(),
            _ => 1,
        }
    }

    /// Tells whether it is or will be a message, or several.
    #[inline]
    pub(super) fn is_message(&self) -> bool {
        !matches!(self, Self::Barrier(_))
    }

    /// Tells whether an overflow policy may drop it.
    #[inline]
    pub(super) fn is_droppable(&self) -> bool {
        matches!(self, Self::Message(_) | Self::Marked(_) | Self::Piece(_))
    }

    /// Splits the first of several messages off.
    pub(super) fn split_first(&mut self) -> Option<Self> {
        match self {
            Self::Piece(piece) => piece.split_first().map(Self::Piece),
            _ => None,
        }
    }

    /// Records why it will not be written. Returns the payload to be dropped and the delivery to be
    /// woken after the locks are released.
    pub(super) fn give_up(self, why: DeliveryError) -> (Option<Message>, Option<Awaited>) {
        match self {
            Self::Message(message) => (Some(message), None),
            Self::Marked(marked) => {
                let (message, awaited) = marked.give_up(why);
                (Some(message), awaited)
            }
            Self::Barrier(promise) => (None, promise.resolve(Err(why))),
            Self::Piece(_) | Self::Stream => (None, None),
        }
    }
}
