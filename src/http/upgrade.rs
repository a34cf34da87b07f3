//! The answer that makes a request a WebSocket.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::header;
use crate::{IntoOutcome, Messages, Outcome, Request, WebSocket};

/// Is the decision to go on with the upgrade: what the 101 carries, and what is done with the
/// connection then.
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
    pub(crate) invalid: Option<String>,
}

/// Is what runs on the connection's thread once the 101 has left.
pub(crate) enum Handler {
    Callbacks(SetUp),
    StraightLine(StraightLine),
}

type SetUp = Box<dyn FnOnce(&WebSocket, Request) -> Outcome + Send>;
type StraightLine = Box<dyn FnOnce(WebSocket, Messages, Request) -> Outcome + Send>;

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

    /// Sets what is done with the connection, as
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

    /// Sets what is done with the connection as a straight line of blocking code, as
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

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade")
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("subprotocol", &self.subprotocol)
            .finish_non_exhaustive()
    }
}
