//! Servers for tests.

use std::net::SocketAddr;
use std::ops::Deref;

use landline::{Config, Server, ServerBuilder, WebSocket};

use super::ms;

/// A server on a port of the system's choice, stopped and waited for when dropped.
pub(crate) struct TestServer(Server);

impl TestServer {
    /// Starts what was built.
    #[track_caller]
    pub(crate) fn start(builder: ServerBuilder) -> Self {
        Self(builder.bind("127.0.0.1:0").unwrap())
    }

    /// Takes over a server that runs.
    pub(crate) fn of(server: Server) -> Self {
        Self(server)
    }

    /// Starts what was built on all of this machine's IPv4 addresses.
    #[track_caller]
    pub(crate) fn start_everywhere(builder: ServerBuilder) -> Self {
        Self(builder.bind("0.0.0.0:0").unwrap())
    }

    /// Starts a server that sends every message back.
    #[track_caller]
    pub(crate) fn echo() -> Self {
        Self::echo_with(Config::new())
    }

    /// Starts a server that sends every message back, with these settings.
    #[track_caller]
    pub(crate) fn echo_with(config: Config) -> Self {
        Self::with(config, |ws| ws.on_message(|ws, message| ws.send(message)))
    }

    /// Starts a server whose connections are set up like this.
    #[track_caller]
    pub(crate) fn with(
        config: Config,
        set_up: impl Fn(&WebSocket) + Send + Sync + 'static,
    ) -> Self {
        Self::start(
            Server::builder()
                .config(config)
                .on_upgrade(move |ws, _| set_up(ws)),
        )
    }

    /// Returns a handle of the server that keeps it running too.
    pub(crate) fn handle(&self) -> Server {
        self.0.clone()
    }
}

/// Returns the address of a server that listens on TCP.
#[track_caller]
pub(crate) fn tcp_addr(server: &Server) -> SocketAddr {
    server.local_addr().socket_addr().unwrap()
}

impl Deref for TestServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.0.stop_within(ms(500));
        // On a connection's thread it cannot be waited for, and need not.
        let _ = self.0.wait();
    }
}
