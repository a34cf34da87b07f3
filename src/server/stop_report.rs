//! How a server has stopped: [`StopReport`].

use std::fmt;
use std::sync::Arc;

use crate::connection::Connection;
use crate::connection::handshake::{self, Opening};
use crate::{Address, WebSocket};

/// The report of how a server has stopped.
#[derive(Clone, Debug)]
pub struct StopReport {
    closed: Vec<WebSocket>,
    cut: Vec<WebSocket>,
    stuck: Vec<StuckThread>,
}

impl StopReport {
    /// Makes the report of a server whose `ended` connections have ended since the stop began.
    pub(super) fn new(ended: Vec<WebSocket>, stuck: Vec<StuckThread>) -> Self {
        let is_clean = |ws: &WebSocket| {
            let event = ws.connection().event();
            event.is_some_and(|event| event.is_clean())
        };
        let (closed, cut) = ended.into_iter().partition(is_clean);
        Self { closed, cut, stuck }
    }

    /// Returns the connections that have closed in order since the stop began: both sides have sent a
    /// Close. Their handles say who they were.
    pub fn closed(&self) -> &[WebSocket] {
        &self.closed
    }

    /// Returns the connections that have ended otherwise since then: cut at the deadline, or lost.
    pub fn cut(&self) -> &[WebSocket] {
        &self.cut
    }

    /// Returns the threads that had not ended by the deadline, the oldest first. Their sockets are cut;
    /// the threads, named `landline-` and the connection's [`id`](StuckThread::id), are left behind.
    #[must_use]
    pub fn stuck(&self) -> &[StuckThread] {
        &self.stuck
    }
}

/// A thread that has not ended by the deadline of a stop. It nearly always runs the program's code.
#[derive(Clone, Debug)]
pub struct StuckThread {
    id: u64,
    peer_addr: Address,
    stage: Stage,
    ws: Option<WebSocket>,
}

/// The stage that a connection's thread has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// It waits for the TLS handshake or the request.
    Handshake,
    /// It runs the program's answer to the request: `should_upgrade`, `on_request`, a plain route's
    /// handler, or middleware.
    Deciding,
    /// It writes the answer, or waits a moment for the peer to read it.
    Answering,
    /// Its connection is open: it runs `on_upgrade`, a callback or a handler.
    Open,
}

impl StuckThread {
    pub(super) fn of_opening(id: u64, opening: &Opening) -> Self {
        Self {
            id,
            peer_addr: opening.peer_addr().clone(),
            stage: match opening.stage() {
                handshake::Stage::Reading => Stage::Handshake,
                handshake::Stage::Deciding => Stage::Deciding,
                handshake::Stage::Answering | handshake::Stage::Done => Stage::Answering,
            },
            ws: None,
        }
    }

    pub(super) fn of_connection(connection: &Arc<Connection>) -> Self {
        Self {
            id: connection.id,
            peer_addr: connection.peer_addr.clone(),
            stage: Stage::Open,
            ws: Some(WebSocket::for_callbacks(connection)),
        }
    }

    /// Returns the number in the thread's name, which is also the id of its connection, if there is
    /// one.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Returns the address of the peer.
    #[must_use]
    pub fn peer_addr(&self) -> Address {
        self.peer_addr.clone()
    }

    /// Returns the stage that it has reached.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Returns the connection, if it was opened.
    #[must_use]
    pub fn websocket(&self) -> Option<&WebSocket> {
        self.ws.as_ref()
    }
}

impl fmt::Display for StuckThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "landline-{}, peer {}: {}",
            self.id, self.peer_addr, self.stage
        )
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handshake => "waits for the handshake",
            Self::Deciding => "runs the program's answer to a request",
            Self::Answering => "writes an answer",
            Self::Open => "runs a callback or a handler",
        })
    }
}
