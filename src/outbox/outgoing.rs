//! An entry of the queue: [`Outgoing`].

use super::budget::weight;
use super::delivery::{Awaited, Promise};
use super::frames::Piece;
use crate::{DeliveryError, Message};

/// A message, or another entry, that waits for its turn to be written. No larger than a message,
/// the common case.
pub(crate) enum Outgoing {
    Message(Message),
    /// A message with a promise for its sender.
    Tracked(Box<(Message, Promise)>),
    /// Messages to many, framed once.
    Piece(Piece),
    /// A ping in the order of the messages. Its pong confirms that the peer has taken the messages
    /// before it.
    Barrier(Promise),
    /// The place of a message whose fragments wait in the lane.
    Stream,
}

impl Outgoing {
    /// Returns the bytes that it takes of the budget.
    #[inline]
    pub(super) fn weight(&self) -> u64 {
        match self {
            Self::Message(message) => weight(message),
            Self::Tracked(tracked) => weight(&tracked.0),
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
        matches!(self, Self::Message(_) | Self::Tracked(_) | Self::Piece(_))
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
            Self::Tracked(tracked) => {
                let (message, promise) = *tracked;
                (Some(message), promise.resolve(Err(why)))
            }
            Self::Barrier(promise) => (None, promise.resolve(Err(why))),
            Self::Piece(_) | Self::Stream => (None, None),
        }
    }
}
