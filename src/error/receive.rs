//! Why there is no message: [`RecvError`], [`RecvTimeoutError`], [`TryRecvError`].

use std::fmt;

use crate::CloseEvent;

/// The end of the connection: the only reason why [`Messages::recv`](crate::Messages::recv) has no
/// message, or a [`MessageReader`](crate::MessageReader) not all of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecvError(pub CloseEvent);

/// The reason why [`Messages::recv_timeout`](crate::Messages::recv_timeout) has no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecvTimeoutError {
    /// No message was complete in the given time; the connection stays usable.
    Timeout,
    /// The connection has ended, as the event tells.
    Closed(CloseEvent),
}

/// The reason why [`Messages::try_recv`](crate::Messages::try_recv) has no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// No whole message has come yet; the connection stays usable.
    Empty,
    /// The connection has ended, as the event tells.
    Closed(CloseEvent),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no message in the given time"),
            Self::Closed(event) => event.fmt(f),
        }
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no message has come yet"),
            Self::Closed(event) => event.fmt(f),
        }
    }
}

impl std::error::Error for RecvError {}
impl std::error::Error for RecvTimeoutError {}
impl std::error::Error for TryRecvError {}

impl From<RecvError> for RecvTimeoutError {
    fn from(RecvError(event): RecvError) -> Self {
        Self::Closed(event)
    }
}

impl From<RecvError> for TryRecvError {
    fn from(RecvError(event): RecvError) -> Self {
        Self::Closed(event)
    }
}
