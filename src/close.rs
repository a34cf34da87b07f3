//! How connections end: [`CloseCode`] and [`CloseEvent`].

use std::fmt;
use std::sync::Arc;

use crate::Timeout;

/// The status code of a Close frame (RFC 6455, section 7.4; IANA's "WebSocket Close Code Number
/// Registry"). It can be any number, but not every number may be [sent](CloseCode::is_sendable).
///
/// ```
/// use landline::CloseCode;
///
/// assert_eq!(CloseCode::from(1001), CloseCode::GOING_AWAY);
/// assert_eq!(CloseCode::GOING_AWAY.to_string(), "1001 (going away)");
/// assert_eq!(CloseCode::from(4000).to_string(), "4000");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

/// Makes the named codes and their texts from one list.
macro_rules! close_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        impl CloseCode {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// Returns the registry's name of the code, in words, or `None` if it has none.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

close_codes! {
    /// 1000: the purpose of the connection has been fulfilled.
    NORMAL = 1000, "normal closure";
    /// 1001: the endpoint goes away, as a server that stops or a page that is left.
    GOING_AWAY = 1001, "going away";
    /// 1002: the peer broke the protocol.
    PROTOCOL_ERROR = 1002, "protocol error";
    /// 1003: the endpoint cannot accept this kind of data.
    UNSUPPORTED_DATA = 1003, "unsupported data";
    /// 1005: the Close frame carried no code. Never on the wire.
    NO_STATUS = 1005, "no status received";
    /// 1006: the connection was lost without a Close frame. Never on the wire.
    ABNORMAL = 1006, "abnormal closure";
    /// 1007: the payload is not what its kind says, such as text that is not UTF-8.
    INVALID_PAYLOAD = 1007, "invalid payload data";
    /// 1008: a message breaks the endpoint's policy.
    POLICY_VIOLATION = 1008, "policy violation";
    /// 1009: a message is too big to process.
    TOO_BIG = 1009, "message too big";
    /// 1010: the client expected an extension that the server did not agree to.
    MANDATORY_EXTENSION = 1010, "mandatory extension";
    /// 1011: the server met a condition that keeps it from going on.
    INTERNAL_ERROR = 1011, "internal error";
    /// 1012: the service restarts.
    SERVICE_RESTART = 1012, "service restart";
    /// 1013: the service is overloaded; try again later.
    TRY_AGAIN_LATER = 1013, "try again later";
    /// 1014: the server, a gateway, got an invalid answer from upstream.
    BAD_GATEWAY = 1014, "bad gateway";
    /// 1015: the TLS handshake failed. Never on the wire.
    TLS_HANDSHAKE = 1015, "TLS handshake";
}

impl CloseCode {
    /// Returns the number.
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// Tells whether the code may stand in a Close frame: the registered ones but 1005, 1006 and
    /// 1015, and everything from 3000 to 4999 (RFC 6455, section 7.4.2).
    #[must_use]
    pub const fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl From<u16> for CloseCode {
    fn from(code: u16) -> Self {
        Self(code)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

impl PartialEq<u16> for CloseCode {
    fn eq(&self, other: &u16) -> bool {
        self.0 == *other
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} ({name})", self.0),
            None => self.0.fmt(f),
        }
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The end of a connection. [`on_close`](crate::WebSocket::on_close) gets it, and
/// [`wait_closed`](crate::WebSocket::wait_closed) returns it.
// Where a message may come in its place, it is not to take more room.
#[derive(Clone, PartialEq, Eq)]
pub struct CloseEvent(Arc<Ending>);

/// What a [`CloseEvent`] tells.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) code: CloseCode,
    pub(crate) reason: String,
    pub(crate) initiator: Initiator,
    pub(crate) clean: bool,
    pub(crate) sent: Option<CloseCode>,
    pub(crate) received: Option<CloseCode>,
    pub(crate) timeout: Option<Timeout>,
    /// The flag that this side failed the connection, as `on_error` was told.
    pub(crate) failed: bool,
    pub(crate) aborted: bool,
    pub(crate) undelivered: u64,
}

impl From<Ending> for CloseEvent {
    fn from(ending: Ending) -> Self {
        Self(Arc::new(ending))
    }
}

impl CloseEvent {
    /// Returns the code that the connection ended with. After a failure that the peer could be told, it
    /// is the failure's own (1002, 1007, 1008, 1009, 1011), whether or not the peer answered. Otherwise
    /// it is the code of the peer's Close, whichever side began and whether or not ours left (RFC 6455,
    /// section 7.1.5). If none came, it is [`ABNORMAL`](CloseCode::ABNORMAL).
    #[must_use]
    pub fn code(&self) -> CloseCode {
        self.0.code
    }

    /// Returns the reason that belongs to the code: the peer's, our own, or a description of the
    /// peer's violation. It is often empty.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// Returns the side that ended the connection. A connection that was lost without a Close counts as
    /// ended by the peer.
    #[must_use]
    pub fn initiator(&self) -> Initiator {
        self.0.initiator
    }

    /// Tells whether both Close frames were seen, ours sent and the peer's received (RFC 6455,
    /// section 7.1.4).
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.0.clean
    }

    /// Returns the code of our Close frame, or `None` if none was sent.
    #[must_use]
    pub fn sent_code(&self) -> Option<CloseCode> {
        self.0.sent
    }

    /// Returns the code of the peer's Close frame, or `None` if none came. A code that may not be sent is
    /// `None` too: it is a violation, and [`Error::Protocol`](crate::Error::Protocol) names its number
    /// and its reason.
    #[must_use]
    pub fn received_code(&self) -> Option<CloseCode> {
        self.0.received
    }

    /// Returns the deadline that ended the connection, or `None` if none did: the one that cut it; else
    /// [`Idle`](Timeout::Idle) or [`Lifetime`](Timeout::Lifetime) where such a limit closed it in the
    /// ordinary way, with the code that [`sent_code`](Self::sent_code) tells.
    #[must_use]
    pub fn timeout(&self) -> Option<Timeout> {
        self.0.timeout
    }

    /// Returns how many messages were queued and never wholly written to the socket. Those that an
    /// [`Overflow`](crate::Overflow) policy has dropped do not count here.
    #[must_use]
    pub fn undelivered(&self) -> u64 {
        self.0.undelivered
    }

    /// Tells whether nothing went wrong: the connection ended with 1000, 1001 or no code, or the
    /// program asked for its end, by a close, an idle timeout or a greatest lifetime. A failure, a
    /// deadline that cut it and an abort are not ordinary.
    #[must_use]
    pub fn is_ordinary(&self) -> bool {
        let ordinary = [
            CloseCode::NORMAL,
            CloseCode::GOING_AWAY,
            CloseCode::NO_STATUS,
        ];
        let asked = self.0.initiator == Initiator::Local && !self.0.aborted;
        !self.0.failed && (asked || ordinary.contains(&self.0.code))
    }
}

impl fmt::Debug for CloseEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for CloseEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "closed by {}: {}", self.0.initiator, self.0.code)?;
        if !self.0.reason.is_empty() {
            // A reason is the peer's text: escaped, it cannot forge a line of a log.
            write!(f, ", {:?}", self.0.reason)?;
        }
        match self.0.timeout {
            Some(timeout) => write!(f, ", {timeout}")?,
            None if self.0.code == CloseCode::ABNORMAL && !self.0.aborted => {
                f.write_str(", connection lost")?;
            }
            None => {}
        }
        match self.0.undelivered {
            0 => Ok(()),
            1 => f.write_str(", 1 message undelivered"),
            count => write!(f, ", {count} messages undelivered"),
        }
    }
}

/// The side that ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Initiator {
    /// This side: the program, a deadline, or a failure found here.
    Local,
    /// The peer, by a Close frame or by breaking off.
    Remote,
}

impl fmt::Display for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "this side",
            Self::Remote => "the peer",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only registered codes that describe a sent Close, and 3000 to 4999, may be sent.
    #[test]
    fn sendable_codes_are_the_registered_ones() {
        let sendable: Vec<u16> = (0..=u16::MAX)
            .filter(|code| CloseCode::from(*code).is_sendable())
            .collect();
        let named = [
            1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014,
        ];
        let expected: Vec<u16> = named.into_iter().chain(3000..=4999).collect();
        assert_eq!(sendable, expected);
    }
}
