//! The error of a send: [`SendError`].

use std::fmt;

use crate::{CloseCode, Message};

/// The reason why a message was not queued for sending. It hands the message back, if there is one.
#[derive(Clone, PartialEq, Eq)]
pub struct SendError {
    why: Unsent,
    pub(crate) message: Option<Message>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unsent {
    Kind(SendErrorKind),
    Invalid(Unsendable),
}

/// A value that may not be sent. A length that does not fit its type is far too long in any case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsendable {
    /// A ping's payload, with its length in bytes.
    Ping(u32),
    /// A close reason, with its length in bytes.
    Reason(u32),
    Code(CloseCode),
}

/// The ways in which a send can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendErrorKind {
    /// The connection is closing or closed; nothing more can be sent.
    Closed,
    /// A [`Kept`](crate::Kept) client has no connection now; another will follow.
    NotConnected,
    /// The queue is full, and the send does not wait: because
    /// [`try_send`](crate::WebSocket::try_send) or the [`Overflow`](crate::Overflow) policy does
    /// not, or because this thread is writing a streamed message, behind which the queue cannot
    /// move.
    Full,
    /// The queue stayed full for [`write_timeout`](crate::Config::write_timeout), though the peer
    /// read a little. A connection whose peer reads nothing is cut by then, which is `Closed`.
    Timeout,
    /// Another streamed message of this connection is not finished
    /// ([`text_writer`](crate::WebSocket::text_writer)).
    Streaming,
    /// A ping's payload or a close reason is too long, or a close code may not be sent (RFC 6455,
    /// sections 5.5 and 7.4). Nothing was done.
    Invalid,
}

impl SendError {
    pub(crate) fn new(kind: SendErrorKind, message: Option<Message>) -> Self {
        Self {
            why: Unsent::Kind(kind),
            message,
        }
    }

    pub(crate) fn invalid(what: Unsendable) -> Self {
        Self {
            why: Unsent::Invalid(what),
            message: None,
        }
    }

    /// Returns the kind of failure.
    #[must_use]
    pub fn kind(&self) -> SendErrorKind {
        match self.why {
            Unsent::Kind(kind) => kind,
            Unsent::Invalid(_) => SendErrorKind::Invalid,
        }
    }

    /// Returns the message that was not sent; of a batch, the first one that was not. `None` if
    /// there is no message, as after `ping`, `close_with` and `text_writer`.
    #[must_use]
    pub fn into_message(self) -> Option<Message> {
        self.message
    }
}

impl fmt::Debug for SendError {
    /// Shows no payload, only its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError")
            .field("kind", &self.kind())
            .field("message", &self.message.as_ref().map(Message::len))
            .finish()
    }
}

/// The longest close reason, in bytes (RFC 6455, section 5.5).
const MAX_REASON: usize = 123;

impl Unsendable {
    /// Checks that a Close frame may have this code and reason (RFC 6455, sections 5.5 and 7.4).
    pub(crate) fn check_close(code: CloseCode, reason: &str) -> Result<(), Self> {
        if !code.is_sendable() {
            return Err(Self::Code(code));
        }
        if reason.len() > MAX_REASON {
            return Err(Self::Reason(
                u32::try_from(reason.len()).unwrap_or(u32::MAX),
            ));
        }
        Ok(())
    }
}

impl fmt::Display for Unsendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ping(length) => write!(f, "a ping's payload has at most 125 bytes, not {length}"),
            Self::Reason(length) => {
                write!(
                    f,
                    "a close reason has at most {MAX_REASON} bytes, not {length}"
                )
            }
            Self::Code(code) => write!(f, "the close code {code} may not be sent"),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.why {
            Unsent::Kind(kind) => kind,
            Unsent::Invalid(what) => return what.fmt(f),
        };
        f.write_str(match kind {
            SendErrorKind::Closed => "the connection is closed",
            SendErrorKind::NotConnected => "there is no connection now",
            SendErrorKind::Full => "the queue is full",
            SendErrorKind::Timeout => "the queue stayed full: the peer does not read",
            SendErrorKind::Streaming => "another streamed message is not finished",
            SendErrorKind::Invalid => "it may not be sent",
        })
    }
}

impl std::error::Error for SendError {}
