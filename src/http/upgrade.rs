//! The answer that makes a request a WebSocket.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::header;
use crate::{Config, IntoOutcome, Messages, Outcome, Request, WebSocket};

/// The decision to go on with the upgrade: the contents of the 101, and the code for the
/// connection.
///
/// [`should_upgrade`](crate::ServerBuilder::should_upgrade) returns one; with
/// [`on_request`](crate::ServerBuilder::on_request), it becomes a [`Reply`](crate::Reply).
///
/// ```
/// use landline::{Reply, Request, Upgrade};
///
/// fn answer(request: &mut Request) -> Reply {
///     if request.path() != "/echo" {
///         return Reply::new(404);
///     }
///     let upgrade = Upgrade::new().header("X-Served-By", "landline");
///     upgrade.on_upgrade(|ws, _request| ws.on_text(|ws, text| ws.send(text))).into()
/// }
/// # let builder = landline::Server::builder().on_request(answer);
/// ```
#[derive(Default)]
pub struct Upgrade {
    pub(crate) headers: HeaderMap,
    pub(crate) subprotocol: Option<String>,
    pub(crate) handler: Option<Handler>,
    pub(crate) config: Option<Arc<Config>>,
    pub(crate) invalid: Option<String>,
}

/// The program's code that runs on the connection's thread once the 101 has left.
pub(crate) enum Handler {
    Callbacks(SetUp),
    StraightLine(StraightLine),
}

pub(crate) type SetUp = Box<dyn FnOnce(&WebSocket, Request) -> Outcome + Send>;
pub(crate) type StraightLine = Box<dyn FnOnce(WebSocket, Messages, Request) -> Outcome + Send>;

impl Upgrade {
    /// Makes a plain upgrade.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a header to the 101. Those of the handshake itself are refused: the client gets 500.
    #[must_use]
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: fmt::Display>,
        V: TryInto<HeaderValue, Error: fmt::Display>,
    {
        if let Err(error) = header::append(&mut self.headers, name, value) {
            self.invalid.get_or_insert(error);
        }
        self
    }

    /// Chooses the subprotocol, one that the client offers; the client gets 500 otherwise.
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocol = Some(name.into());
        self
    }

    /// Sets the limits and deadlines of this connection, instead of the server's and of its
    /// route's: one path may take messages of 64 KiB, and another of 64 MiB.
    ///
    /// Three settings are the server's alone, because they apply before there is an upgrade or
    /// after it: `handshake_timeout`, `max_body_size` and `stop_timeout`. Each of them must be the
    /// server's or the default here. Otherwise the client gets 500, as it does for settings that
    /// cannot be used. Both are logged. The [`send_buffer`](Config::send_buffer) and the
    /// [`tcp_notsent_lowat`](Config::tcp_notsent_lowat) of the server hold until the upgrade, and
    /// after it if this sets `None`.
    ///
    /// ```
    /// # use landline::{Config, Server, Upgrade};
    /// let builder = Server::builder()
    ///     .should_upgrade(|request| match request.path() {
    ///         "/upload" => Ok(Upgrade::new().config(Config::new().max_message_size(64 << 20))),
    ///         _ => Ok(Upgrade::new()),
    ///     })
    ///     .on_upgrade(|ws, _request| ws.on_binary(|_, bytes| println!("{} bytes", bytes.len())));
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = Some(Arc::new(config));
        self
    }

    /// Sets the function that sets up the connection, as
    /// [`ServerBuilder::on_upgrade`](crate::ServerBuilder::on_upgrade) does.
    #[must_use]
    pub fn on_upgrade<R: IntoOutcome>(
        mut self,
        set_up: impl FnOnce(&WebSocket, Request) -> R + Send + 'static,
    ) -> Self {
        let set_up = move |ws: &WebSocket, request| set_up(ws, request).into_outcome();
        self.handler = Some(Handler::Callbacks(Box::new(set_up)));
        self
    }

    /// Sets the function that handles the connection with blocking code, as
    /// [`ServerBuilder::serve`](crate::ServerBuilder::serve) does.
    #[must_use]
    pub fn serve(
        mut self,
        handler: impl FnOnce(WebSocket, Messages, Request) -> Outcome + Send + 'static,
    ) -> Self {
        self.handler = Some(Handler::StraightLine(Box::new(handler)));
        self
    }
}

/// A function that gives each upgrade its handler.
pub(crate) type Attach = Box<dyn Fn(Upgrade) -> Upgrade + Send + Sync>;

impl Upgrade {
    /// Makes the function that has `set_up` set the callbacks of each connection.
    pub(crate) fn for_each_set_up<R: IntoOutcome>(
        set_up: impl Fn(&WebSocket, Request) -> R + Send + Sync + 'static,
    ) -> Attach {
        let set_up = Arc::new(set_up);
        Box::new(move |upgrade| {
            let set_up = Arc::clone(&set_up);
            upgrade.on_upgrade(move |ws, request| set_up(ws, request))
        })
    }

    /// Makes the function that has a handler run each connection.
    pub(crate) fn for_each_serve(
        handler: impl Fn(WebSocket, Messages, Request) -> Outcome + Send + Sync + 'static,
    ) -> Attach {
        let handler = Arc::new(handler);
        Box::new(move |upgrade| {
            let handler = Arc::clone(&handler);
            upgrade.serve(move |ws, messages, request| handler(ws, messages, request))
        })
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade")
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("subprotocol", &self.subprotocol)
            .finish_non_exhaustive()
    }
}
