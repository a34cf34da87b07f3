//! The error of a wait: [`WaitError`].

use std::{fmt, io};

/// The reason why a wait was given up: [`wait_closed`](crate::WebSocket::wait_closed),
/// [`wait_drained`](crate::WebSocket::wait_drained), [`confirm`](crate::WebSocket::confirm),
/// [`Server::wait`](crate::Server::wait).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitError {
    /// The awaited event did not happen in the given time.
    Timeout,
    /// The connection closed first, so the event can no longer happen.
    Closed,
    /// The wait could never end: this very thread would have to cause the event, or no thread reads
    /// the [`Messages`](crate::Messages) of this connection.
    WouldDeadlock,
    /// The server ended by itself, because one of its listening sockets can accept no more
    /// connections: it was shut down or closed.
    ListenerFailed {
        /// The system's error code for the cause, of which
        /// [`io::Error::from_raw_os_error`] makes an error.
        os_error: i32,
    },
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::Timeout => "not in the given time",
            Self::Closed => "the connection closed first",
            Self::WouldDeadlock => {
                "waiting here could never end: this thread is the one that it waits for (in a callback \
                 or handler, or with the Messages or an unfinished MessageWriter of the connection), \
                 or nobody reads the Messages"
            }
            Self::ListenerFailed { os_error } => {
                let cause = io::Error::from_raw_os_error(os_error);
                return write!(f, "the server ended, as a listening socket is dead: {cause}");
            }
        })
    }
}

impl std::error::Error for WaitError {}
