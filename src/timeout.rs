//! The deadlines by name: [`Timeout`].

use std::fmt;

/// The deadline that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Timeout {
    /// Connecting and the handshake together took longer than allowed.
    Handshake,
    /// The peer took too few of the bytes to be written.
    Write,
    /// The peer was silent after a ping. It may be gone, or just busy: many libraries answer no
    /// ping while their program works. [`ping_timeout`](crate::Config::ping_timeout) sets how long
    /// it may be silent.
    Pong,
    /// Too few bytes came of a message that had begun.
    Message,
    /// The peer did not answer our Close frame.
    Close,
    /// The server stopped and did not wait any longer.
    Stop,
    /// No message came or went for [`idle_timeout`](crate::Config::idle_timeout): this side closed the
    /// connection.
    Idle,
    /// The connection was open for [`max_lifetime`](crate::Config::max_lifetime): this side closed it.
    Lifetime,
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handshake => "timed out in the handshake",
            Self::Write => "timed out writing to a peer that does not read",
            Self::Pong => "timed out waiting for a sign of life from a peer that is gone, or busy for longer than ping_timeout",
            Self::Message => "timed out in the middle of a message",
            Self::Close => "timed out waiting for the peer's Close",
            Self::Stop => "timed out stopping the server",
            Self::Idle => "idle for idle_timeout",
            Self::Lifetime => "open for max_lifetime",
        })
    }
}
