//! Why a message is not delivered: [`DeliveryError`].

use std::fmt;

use crate::{CloseCode, Timeout};

/// Why a message was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The outcome is not known yet. Only [`wait_timeout`](crate::Delivery::wait_timeout) returns
    /// this.
    Pending,
    /// The queue was full, and the [`Overflow`](crate::Overflow) policy dropped the message.
    Dropped,
    /// A Close frame with this code overtook it: this side failed the connection, or the peer closed.
    Closed(CloseCode),
    /// The connection was cut because a deadline passed.
    Cut(Timeout),
    /// The connection was cut by [`abort`](crate::WebSocket::abort), or because no thread could
    /// read it any more.
    Aborted,
    /// The connection was lost.
    Lost,
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.write_str("not delivered yet"),
            Self::Dropped => f.write_str("dropped, as the queue was full"),
            Self::Closed(code) => write!(f, "not delivered: closed with {code}"),
            Self::Cut(timeout) => write!(f, "not delivered: {timeout}"),
            Self::Aborted => f.write_str("not delivered: the connection was aborted"),
            Self::Lost => f.write_str("not delivered: the connection was lost"),
        }
    }
}

impl std::error::Error for DeliveryError {}
