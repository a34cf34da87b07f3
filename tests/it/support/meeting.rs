//! Landline and a raw peer at the two ends of one connection, in either role.

use std::sync::mpsc::{self, Receiver};

use landline::{Client, Config, Messages, Server, WebSocket};

use super::{RawPeer, RawServer, Recorder, TestServer, next, quiet};

/// Landline's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Server,
    Client,
}

pub(crate) const ROLES: [Role; 2] = [Role::Server, Role::Client];

impl Role {
    /// Tells whether the raw peer masks: clients do (RFC 6455, section 5.1).
    pub(crate) fn peer_masks(self) -> bool {
        self == Self::Server
    }
}

/// An open connection; when dropped, the peer goes first, so that nothing waits for it.
pub(crate) struct Meeting {
    pub(crate) peer: RawPeer,
    pub(crate) ws: WebSocket,
    pub(crate) server: Option<TestServer>,
}

impl Meeting {
    /// Opens a connection whose landline end is set up like this.
    #[track_caller]
    pub(crate) fn of(
        role: Role,
        config: Config,
        set_up: impl Fn(&WebSocket) + Send + Sync + 'static,
    ) -> Self {
        match role {
            Role::Server => Self::of_server(config, set_up, RawPeer::dial),
            Role::Client => Self::of_client(config, set_up, RawServer::new()),
        }
    }

    /// Opens a connection to a peer that takes little unless it reads.
    #[track_caller]
    pub(crate) fn deaf(
        role: Role,
        config: Config,
        set_up: impl Fn(&WebSocket) + Send + Sync + 'static,
    ) -> Self {
        let dial = |server: &Server| RawPeer::dial_with_buffer(server, SMALL);
        match role {
            Role::Server => Self::of_server(config, set_up, dial),
            Role::Client => Self::of_client(config, set_up, RawServer::with_buffer(SMALL)),
        }
    }

    /// Opens a connection all of whose callbacks are recorded.
    #[track_caller]
    pub(crate) fn recorded(role: Role, config: Config) -> (Self, Recorder) {
        Self::recorded_with(role, config, |_| {})
    }

    /// Opens a connection all of whose callbacks are recorded, but those that are set here.
    #[track_caller]
    pub(crate) fn recorded_with(
        role: Role,
        config: Config,
        set_up: impl Fn(&WebSocket) + Send + Sync + 'static,
    ) -> (Self, Recorder) {
        let (set_up, events) = recording(set_up);
        (Self::of(role, config, set_up), next(&events))
    }

    /// Opens a connection that is recorded likewise, to a peer that takes little unless it reads.
    #[track_caller]
    pub(crate) fn deaf_recorded_with(
        role: Role,
        config: Config,
        set_up: impl Fn(&WebSocket) + Send + Sync + 'static,
    ) -> (Self, Recorder) {
        let (set_up, events) = recording(set_up);
        (Self::deaf(role, config, set_up), next(&events))
    }

    #[track_caller]
    fn of_server(
        config: Config,
        set_up: impl Fn(&WebSocket) + Send + Sync + 'static,
        dial: impl FnOnce(&Server) -> RawPeer,
    ) -> Self {
        let (sender, receiver) = mpsc::channel();
        let server = TestServer::with(config, move |ws| {
            set_up(ws);
            let _ = sender.send(ws.clone());
        });
        let mut peer = dial(&server);
        peer.upgrade();
        Self {
            peer,
            ws: next(&receiver),
            server: Some(server),
        }
    }

    #[track_caller]
    fn of_client(config: Config, set_up: impl Fn(&WebSocket), server: RawServer) -> Self {
        let (peer, ws) = server.meet(&Client::new().config(config), set_up);
        Self {
            peer,
            ws,
            server: None,
        }
    }
}

/// Records every callback of each connection, but those that are set here, and gives the recorders
/// out.
fn recording(
    set_up: impl Fn(&WebSocket) + Send + Sync + 'static,
) -> (
    impl Fn(&WebSocket) + Send + Sync + 'static,
    Receiver<Recorder>,
) {
    let (sender, receiver) = mpsc::channel();
    let recording = move |ws: &WebSocket| {
        let events = Recorder::new();
        events.record_all(ws);
        set_up(ws);
        let _ = sender.send(events);
    };
    (recording, receiver)
}

/// A receive buffer of the least size that the system grants.
const SMALL: usize = 2 << 10;

/// Has a client open a connection without keepalive for straight-line code, and returns both ends.
#[track_caller]
pub(crate) fn open_quiet() -> (RawPeer, WebSocket, Messages) {
    RawServer::new().meet_open(&Client::new().config(quiet()))
}
