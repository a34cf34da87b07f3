//! What waits in the queue: [`Outgoing`].

use super::budget::weight;
use super::delivery::{Awaited, Promise};
use crate::{DeliveryError, Message};

/// A message or a place that waits for its turn to be written. No larger than a message, the common case.
pub(crate) enum Outgoing {
    Message(Message),
    /// A message whose sender wants to know what becomes of it.
    Tracked(Box<(Message, Promise)>),
    /// A ping in the order of the messages: its pong says that the peer has taken what went before.
    Barrier(Promise),
    /// The place of a message whose fragments wait in the lane.
    Stream,
}

impl Outgoing {
    /// Returns what it takes of the budget's bytes.
    #[inline]
    pub(super) fn weight(&self) -> u64 {
        match self {
            Self::Message(message) => weight(message),
            Self::Tracked(tracked) => weight(&tracked.0),
            Self::Barrier(_) | Self::Stream => 0,
        }
    }

    /// Tells whether it is or will be a message.
    #[inline]
    pub(super) fn is_message(&self) -> bool {
        !matches!(self, Self::Barrier(_))
    }

    /// Tells whether an overflow policy may drop it.
    #[inline]
    pub(super) fn is_droppable(&self) -> bool {
        matches!(self, Self::Message(_) | Self::Tracked(_))
    }

    /// Records why it will not be written. Returns a payload to be dropped, and who is to be woken,
    /// where no lock is held.
    pub(super) fn give_up(self, why: DeliveryError) -> (Option<Message>, Option<Awaited>) {
        match self {
            Self::Message(message) => (Some(message), None),
            Self::Tracked(tracked) => {
                let (message, promise) = *tracked;
                (Some(message), promise.resolve(Err(why)))
            }
            Self::Barrier(promise) => (None, promise.resolve(Err(why))),
            Self::Stream => (None, None),
        }
    }
}
