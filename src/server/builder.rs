//! What a server is made of.

use std::fmt;
use std::net::ToSocketAddrs;
use std::sync::Arc;

use super::roster::Roster;
use super::{Server, Shared, start};
use crate::transport::{Listener, Wake, max_connections};
use crate::{Config, Error, IntoOutcome, Messages, Outcome, Request, WebSocket};

/// Gathers what a server needs; [`bind`](Self::bind) starts it.
///
/// Setters never fail; `bind` reports what cannot be used. Exactly one of
/// [`on_upgrade`](Self::on_upgrade) and [`serve`](Self::serve) must be set.
#[must_use = "a server starts with `bind`"]
pub struct ServerBuilder {
    config: Config,
    max_connections: Option<usize>,
    max_handshakes: usize,
    handlers: Vec<Handler>,
}

/// Is what runs on a connection's thread once the upgrade is done.
pub(super) enum Handler {
    Callbacks(Box<SetUp>),
    StraightLine(Box<Serve>),
}

type SetUp = dyn Fn(&WebSocket, Request) -> Outcome + Send + Sync;
type Serve = dyn Fn(WebSocket, Messages, Request) -> Outcome + Send + Sync;

impl ServerBuilder {
    pub(super) fn new() -> Self {
        Self {
            config: Config::new(),
            max_connections: None,
            max_handshakes: 256,
            handlers: Vec::new(),
        }
    }

    /// Sets what is done with a new connection: usually, to set its callbacks. Then its thread
    /// reads it and calls them until it closes.
    ///
    /// It runs on the connection's own thread, once the 101 has left, and nothing is read before it
    /// has returned. An error or a panic closes the connection with 1011.
    ///
    /// ```
    /// # use landline::Server;
    /// let builder = Server::builder().on_upgrade(|ws, request| {
    ///     println!("{} asked for {}", request.peer_addr(), request.path());
    ///     ws.on_text(|ws, text| ws.send(text));
    /// });
    /// # let _ = builder;
    /// ```
    pub fn on_upgrade<R: IntoOutcome>(
        mut self,
        set_up: impl Fn(&WebSocket, Request) -> R + Send + Sync + 'static,
    ) -> Self {
        let set_up = move |ws: &WebSocket, request| set_up(ws, request).into_outcome();
        self.handlers.push(Handler::Callbacks(Box::new(set_up)));
        self
    }

    /// Sets what is done with a new connection as a straight line of blocking code. It runs on the
    /// connection's own thread; when it returns, the connection closes with 1000, or with 1011
    /// after an error or a panic.
    ///
    /// ```
    /// # use landline::Server;
    /// let builder = Server::builder().serve(|ws, messages, _request| {
    ///     for message in messages {
    ///         ws.send(message?)?;
    ///     }
    ///     Ok(())
    /// });
    /// # let _ = builder;
    /// ```
    pub fn serve(
        mut self,
        handler: impl Fn(WebSocket, Messages, Request) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        self.handlers.push(Handler::StraightLine(Box::new(handler)));
        self
    }

    /// Sets the limits and deadlines of the connections. A connection has these settings for life.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets how many connections there may be at once, those in their handshake included; who comes
    /// then gets 503. By default 0.8 of what the system's limits for descriptors, threads and
    /// memory maps allow, read when binding.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// Sets how many handshakes may be under way at once; 256 by default. At the limit the oldest
    /// is cut and the newcomer served.
    pub fn max_handshakes(mut self, handshakes: usize) -> Self {
        self.max_handshakes = handshakes.max(1);
        self
    }

    /// Binds the address and starts to accept, on a thread named `landline-accept`. Returns at
    /// once, unless the address is a name to be looked up. Port 0 lets the system choose;
    /// [`local_addr`](Server::local_addr) tells.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless exactly one handler is set, [`Error::Bind`] for the address,
    /// [`Error::Io`] if no thread can be had.
    #[must_use = "the server stops when the last handle is dropped"]
    pub fn bind(mut self, address: impl ToSocketAddrs) -> Result<Server, Error> {
        let (Some(handler), true) = (self.handlers.pop(), self.handlers.is_empty()) else {
            return Err(Error::Invalid(
                "set exactly one of on_upgrade and serve".into(),
            ));
        };
        let listener = Listener::bind(address).map_err(Error::Bind)?;
        let shared = Shared {
            local_addr: listener.local_addr().map_err(Error::Bind)?,
            config: self.config,
            max_connections: self.max_connections.unwrap_or_else(max_connections),
            max_handshakes: self.max_handshakes,
            handler,
            roster: Roster::default(),
            wake: Wake::new().map_err(Error::Io)?,
        };
        start(listener, Arc::new(shared))
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
