//! Where a client that stays connected stands: [`SessionState`].

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::{Error, WebSocket};

/// Where a client that stays connected stands. [`Sessions::on_state`](crate::Sessions::on_state) is
/// told each change, and [`Kept`](crate::Kept) tells it at any time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SessionState {
    /// A connection is being made.
    Connecting,
    /// A connection is open, or has ended and nobody has noticed yet. The handle does not keep it
    /// open.
    Connected(WebSocket),
    /// The next attempt is due at a time.
    Waiting {
        /// The time of the next attempt.
        until: Instant,
        /// Why there is no connection: the error of the last attempt, or the end of the last session
        /// ([`Error::Closed`]).
        because: Arc<Error>,
    },
    /// There will be no further connection, and why. Only a [`Kept`](crate::Kept) client stands here:
    /// [`Sessions`](crate::Sessions) yield the error, and end.
    Stopped(Arc<Error>),
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => f.write_str("connecting"),
            Self::Connected(ws) => write!(f, "connected to {}", ws.peer_addr()),
            Self::Waiting { until, because } => {
                let left = until.saturating_duration_since(Instant::now());
                write!(f, "waiting for {:.1} s: {because}", left.as_secs_f64())
            }
            Self::Stopped(why) => write!(f, "stopped: {why}"),
        }
    }
}
