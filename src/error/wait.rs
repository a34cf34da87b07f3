//! Why a wait is given up: [`WaitError`].

use std::{fmt, io};

/// Why a wait was given up: [`wait_closed`](crate::WebSocket::wait_closed),
/// [`wait_drained`](crate::WebSocket::wait_drained), [`confirm`](crate::WebSocket::confirm),
/// [`Server::wait`](crate::Server::wait).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitError {
    /// What was waited for did not happen in the given time.
    Timeout,
    /// The connection closed first: it can no longer happen.
    Closed,
    /// The wait could never end: this very thread would have to do what it waits for, or nobody reads
    /// the [`Messages`](crate::Messages) of this connection.
    WouldDeadlock,
    /// The server ended by itself, as one of its listening sockets accepts nobody any more: somebody
    /// has shut or closed it.
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
