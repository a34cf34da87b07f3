//! The errors: one small type per operation.

mod context;
mod delivery;
mod failure;
mod receive;
mod refusal;
mod send;
mod wait;

use std::fmt;
use std::io;

pub(crate) use self::context::about;
pub use self::delivery::DeliveryError;
pub use self::failure::{Failure, IntoOutcome, Outcome};
pub use self::receive::{RecvError, RecvTimeoutError, TryRecvError};
pub use self::refusal::Refusal;
pub(crate) use self::send::Unsendable;
pub use self::send::{SendError, SendErrorKind};
pub use self::wait::WaitError;
use crate::record::Foreign;
use crate::{CloseCode, CloseEvent, Timeout};

/// The reason why a connection could not be made, a server not be bound, or an open connection
/// failed.
///
/// [`connect`](crate::connect), [`open`](crate::open) and
/// [`bind`](crate::ServerBuilder::bind) return it; [`on_error`](crate::WebSocket::on_error)
/// gets it when a connection fails.
///
/// By `Display` and `Debug` it is one line, without payloads, header values and credentials. The
/// fields hold everything as it came.
#[non_exhaustive]
pub enum Error {
    /// The URL or a builder's setting cannot be used; nothing was sent. The text says which.
    Invalid(String),
    /// The name could not be looked up, or no address could be connected to. The error begins with
    /// the host, and then names the address that failed last. Its kind is `ResourceBusy` while
    /// sixteen abandoned look-ups of other names still run, because the name servers do not answer. What
    /// [`dial_with`](crate::Client::dial_with) fails with is here too.
    Connect(io::Error),
    /// The address could not be bound. The error begins with it.
    Bind(io::Error),
    /// The proxy could not be connected to, or did not connect to the server. The error says which, and
    /// names the proxy. Its kind is `TimedOut` at the deadline, and `PermissionDenied` if a SOCKS5
    /// proxy does not accept the user, or its rules do not allow the connection.
    Proxy(io::Error),
    /// The proxy answered CONNECT with a status other than 2xx: with 407, if it wants a user and a
    /// password, or others than those in its URL.
    ProxyRefused(Box<Refusal>),
    /// The server answered the upgrade request with a status other than 101.
    Refused(Box<Refusal>),
    /// The peer does not speak the WebSocket handshake (RFC 6455, section 4); the connection was
    /// given up. The text says what was wrong.
    Handshake(String),
    /// A deadline passed; the connection was cut.
    Timeout(Timeout),
    /// The connection of a client that stays has ended, as the event tells:
    /// [`Sessions`](crate::Sessions).
    Closed(CloseEvent),
    /// A [`Canceller`](crate::Canceller) ended the wait. If a handshake was under way, its socket was
    /// cut.
    Cancelled,
    /// The peer broke the protocol. It was told by a Close frame with this code, unless our Close had
    /// left before: then it cannot be told any more, and the connection ends with 1006.
    Protocol {
        /// The code of our Close: 1002, 1007 or 1009.
        code: CloseCode,
        /// The violation, in words for people. For a Close with a code that may not be sent it
        /// names the number and the reason.
        what: String,
    },
    /// A callback or handler returned an error or panicked; the peer was told 1011. The text begins
    /// with its name, such as `on_text`.
    Callback(String),
    /// The peer reads too slowly, and the [`Overflow`](crate::Overflow) policy or a
    /// [`Group`](crate::Group) has given it up; it was told 1008, "too slow".
    TooSlow,
    /// A [`MessageWriter`](crate::MessageWriter) was dropped before its end; the peer was told 1011.
    Unfinished,
    /// Reading or writing failed, the server hung up instead of answering the upgrade request or in
    /// the TLS handshake, or a thread could not be started. The connection was given up. The error
    /// begins with its subject.
    Io(io::Error),
    /// TLS failed: the peer's certificate is not trusted, the peer does not speak TLS, the settings
    /// cannot be used, or the feature is off. No application data was sent. The text says what is
    /// wrong, then names the engine and quotes its own text.
    Tls(String),
}

impl Error {
    /// Tells whether trying again later may help.
    ///
    /// | it may | it will not |
    /// |---|---|
    /// | no server listens yet, no route leads there, the name is unknown for now | the URL, a setting or a given descriptor cannot be used |
    /// | a deadline passed: the name servers, the network or the server are silent | the answer is no HTTP, or no right 101 |
    /// | the server hung up instead of answering, or reset the connection, in the TLS handshake too | the TLS handshake failed: an alert, a certificate that is not to be trusted, bytes that are no TLS |
    /// | it answered 408, 429, 500, 502, 503 or 504 | it answered with any other status |
    /// | the proxy is not there, does not answer, or cannot reach the server; it answered with one of these statuses | the proxy does not accept the user, does not allow the connection, or speaks another protocol |
    /// | the connection has ended, with whatever close code | a [`Canceller`](crate::Canceller) ended the wait |
    ///
    /// Of an open connection that has failed, only a deadline and a failed system call are transient.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect(error) => error.kind() != io::ErrorKind::InvalidInput,
            Self::Proxy(error) => !matches!(
                error.kind(),
                io::ErrorKind::InvalidData
                    | io::ErrorKind::InvalidInput
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::Unsupported
            ),
            Self::Timeout(_) | Self::Io(_) | Self::Closed(_) => true,
            Self::Refused(refusal) | Self::ProxyRefused(refusal) => {
                matches!(refusal.status.as_u16(), 408 | 429 | 500 | 502..=504)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(what) => Foreign(what).fmt(f),
            Self::Connect(error) => write!(f, "cannot connect to {}", Foreign(error)),
            Self::Proxy(error) => Foreign(error).fmt(f),
            Self::ProxyRefused(refusal) => refusal.fmt(f),
            Self::Bind(error) => write!(f, "cannot listen on {}", Foreign(error)),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Handshake(what) => write!(f, "handshake failed: {}", Foreign(what)),
            Self::Timeout(timeout) => timeout.fmt(f),
            Self::Closed(event) => event.fmt(f),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Protocol { code, what } => {
                write!(f, "protocol violation: {}, {code}", Foreign(what))
            }
            Self::Callback(what) => write!(f, "callback failed: {}", Foreign(what)),
            Self::TooSlow => f.write_str("the peer reads too slowly"),
            Self::Unfinished => f.write_str("a streamed message was dropped before its end"),
            Self::Io(error) => Foreign(error).fmt(f),
            Self::Tls(what) => write!(f, "TLS: {}", Foreign(what)),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, shown): (_, &dyn fmt::Debug) = match self {
            Self::Invalid(what) => ("Invalid", &Foreign(what)),
            Self::Connect(error) => ("Connect", &Foreign(error)),
            Self::Proxy(error) => ("Proxy", &Foreign(error)),
            Self::ProxyRefused(refusal) => ("ProxyRefused", refusal),
            Self::Bind(error) => ("Bind", &Foreign(error)),
            Self::Refused(refusal) => ("Refused", refusal),
            Self::Handshake(what) => ("Handshake", &Foreign(what)),
            Self::Timeout(timeout) => ("Timeout", timeout),
            Self::Closed(event) => ("Closed", event),
            Self::Cancelled => return f.write_str("Cancelled"),
            Self::Protocol { code, what } => ("Protocol", &(code, Foreign(what))),
            Self::Callback(what) => ("Callback", &Foreign(what)),
            Self::TooSlow => return f.write_str("TooSlow"),
            Self::Unfinished => return f.write_str("Unfinished"),
            Self::Io(error) => ("Io", &Foreign(error)),
            Self::Tls(what) => ("Tls", &Foreign(what)),
        };
        f.debug_tuple(name).field(shown).finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(error) | Self::Proxy(error) | Self::Bind(error) | Self::Io(error) => {
                Some(error)
            }
            _ => None,
        }
    }
}

impl From<Timeout> for Error {
    fn from(timeout: Timeout) -> Self {
        Self::Timeout(timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Errors travel between threads and stay small enough to return by value.
    #[test]
    fn errors_are_small_and_cross_threads() {
        fn crosses<T: Send + Sync + 'static>() {}
        crosses::<Error>();
        crosses::<SendError>();
        crosses::<RecvTimeoutError>();
        assert!(size_of::<Error>() <= 40, "{}", size_of::<Error>());
        assert!(size_of::<SendError>() <= 48, "{}", size_of::<SendError>());
        let size = size_of::<RecvTimeoutError>();
        assert!(size <= 64, "{size}");
    }
}
