//! Connecting to a server.

mod asking;
mod attempt;
mod backoff;
mod connecting;
mod dial_hook;
mod dialling;
mod getting_there;
mod keeping;
mod kept;
mod proxy;
mod retry_after;
mod session_state;
mod sessions;
mod socket;
mod state_board;
mod target;

use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock};
use std::thread;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

pub use self::backoff::Backoff;
use self::connecting::Connecting;
use self::dialling::Dialling;
pub use self::kept::Kept;
use self::proxy::ProxySetting;
pub use self::session_state::SessionState;
pub use self::sessions::Sessions;
pub use self::socket::Socket;
use crate::connection::callbacks::named;
use crate::connection::reader::Reader;
use crate::connection::thread::as_connection_thread;
use crate::error::about;
use crate::header;
use crate::transport::Connector;
use crate::{Canceller, Config, Error, IntoOutcome, Messages, TlsOptions, WebSocket};

/// Connects with callbacks: `set_up` sets them, then a thread of the connection's own reads and
/// calls them. Blocks until the handshake is done. Short for [`Client::connect`] with the defaults.
///
/// ```no_run
/// let ws = landline::connect("ws://127.0.0.1:9001", |ws| {
///     ws.on_text(|_, text| println!("{text}"));
/// })?;
/// ws.send("hello")?;
/// ws.wait_closed()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// See [`Error`].
pub fn connect<R: IntoOutcome>(
    url: impl AsRef<str>,
    set_up: impl FnOnce(&WebSocket) -> R,
) -> Result<WebSocket, Error> {
    DEFAULT.connect(url, set_up)
}

/// Connects for straight-line code: the handle sends, and the program iterates the [`Messages`] to
/// receive. Blocks until the handshake is done. Short for [`Client::open`] with the defaults.
///
/// ```no_run
/// let (ws, messages) = landline::open("ws://127.0.0.1:9001")?;
/// ws.send("hello")?;
/// for message in messages {
///     println!("{}", message?);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// See [`Error`].
pub fn open(url: impl AsRef<str>) -> Result<(WebSocket, Messages), Error> {
    DEFAULT.open(url)
}

/// The client of [`connect`] and [`open`]: their `wss://` connections share the system's roots.
static DEFAULT: LazyLock<Client> = LazyLock::new(Client::new);

/// A client: its settings, from which connections are made, one or many.
///
/// ```no_run
/// use std::time::Duration;
///
/// let client = landline::Client::new()
///     .header("Authorization", "Bearer 1234")
///     .connect_timeout(Duration::from_secs(3));
/// let (ws, messages) = client.open("ws://127.0.0.1:9001")?;
/// # Ok::<(), landline::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Client {
    config: Arc<Config>,
    headers: HeaderMap,
    subprotocols: Vec<String>,
    sensitive_subprotocols: Vec<String>,
    connect_timeout: Option<Duration>,
    redirects: usize,
    tls: TlsOptions,
    /// Made for the first `wss://`, and shared with clones: reading the system's roots takes longer
    /// than a handshake.
    connector: Arc<OnceLock<Connector>>,
    dialling: Dialling,
    proxy: ProxySetting,
    /// As `connector`, for proxies.
    proxy_connector: Arc<OnceLock<Connector>>,
    /// Shared with clones.
    canceller: Canceller,
    /// The first setting that cannot be used. Setters never fail; connecting reports it.
    invalid: Option<String>,
}

impl Client {
    /// Makes a client with the default settings.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the limits and deadlines of its connections.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = Arc::new(config);
        self
    }

    /// Adds a header to the upgrade request. Host, User-Agent and Authorization replace what would be
    /// sent otherwise. A header of the handshake itself is an error when connecting. Names are sent in
    /// the usual capitals, `X-Api-Key`, as some devices compare them to the letter.
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

    /// Sets how `wss://` is spoken.
    #[must_use]
    pub fn tls(mut self, options: TlsOptions) -> Self {
        self.tls = options;
        self.connector = Arc::default();
        self.proxy_connector = Arc::default();
        self
    }

    /// Offers subprotocols, in order of preference (RFC 6455, section 1.9). What the server chose
    /// is [`WebSocket::subprotocol`].
    #[must_use]
    pub fn subprotocols(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Offers subprotocols, after the others, that only the URL's own origin may see: those that carry
    /// a token, as the pages of browsers do, which cannot set headers. A
    /// [redirect](Self::redirects) to another origin leaves them out.
    #[must_use]
    pub fn sensitive_subprotocols(
        mut self,
        names: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.sensitive_subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Sets how long looking the name up and connecting may take. By default they have the
    /// [`handshake_timeout`](Config::handshake_timeout), which covers them too.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Follows at most this many redirects (301, 302, 303, 307, 308 with a Location); none by default.
    /// A redirect that is not followed is [`Error::Refused`].
    ///
    /// Each is a new connection, and all of them together have the one
    /// [`handshake_timeout`](Config::handshake_timeout). Once scheme, host or port change, these are not
    /// sent any more: the headers Authorization, Proxy-Authorization, Cookie and Host, those whose
    /// values are [marked as sensitive](HeaderValue::set_sensitive), the URL's user and password, and
    /// the [sensitive subprotocols](Self::sensitive_subprotocols). A Location that cannot be followed
    /// is an [`Error::Handshake`]: several at once, one that is no URL or has another scheme, and one
    /// that leads from `wss` to `ws` or `http`.
    #[must_use]
    pub fn redirects(mut self, most: usize) -> Self {
        self.redirects = most;
        self
    }

    /// Gives the client another canceller, instead of the one that it shares with its clones and with
    /// the client that it was cloned from.
    #[must_use]
    pub fn with_canceller(mut self, canceller: Canceller) -> Self {
        self.canceller = canceller;
        self
    }

    /// Returns the handle that ends whatever this client and its clones wait for, from another thread.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    /// Connects with callbacks, as [`connect`](crate::connect) does. Blocks until the handshake is
    /// done, at most for [`handshake_timeout`](Config::handshake_timeout). The URL's scheme is `ws`,
    /// `wss`, `http` or `https`, or `ws+unix` or `wss+unix` for a [Unix socket](Self::unix_socket). Its
    /// user and password are sent as Basic credentials (RFC 7617), and its fragment is not sent.
    ///
    /// `set_up` runs on the calling thread, as a callback of the connection. Nothing is read before it
    /// has returned, so no message is missed. Its error or panic closes the connection with 1011.
    /// Clones of the handle that it gets do not keep the connection open; the returned handle does.
    ///
    /// # Errors
    /// [`Error::Callback`] if `set_up` fails; otherwise see [`Error`].
    #[must_use = "the connection closes when the last handle is dropped"]
    pub fn connect<R: IntoOutcome>(
        &self,
        url: impl AsRef<str>,
        set_up: impl FnOnce(&WebSocket) -> R,
    ) -> Result<WebSocket, Error> {
        let mut reader = self.establish(url.as_ref())?;
        let connection = Arc::clone(reader.connection());
        connection.set_driver(Some(thread::current().id()));
        let ws = WebSocket::for_callbacks(&connection);
        let outcome = as_connection_thread(|| named("set_up", || set_up(&ws).into_outcome()));
        if let Err(failure) = outcome {
            let text = failure.text().to_owned();
            reader.fail(failure);
            connection.limit_closing();
            reader.discard_until_closed();
            return Err(Error::Callback(text));
        }
        let apart = reader.spawn(Reader::dispatch);
        apart.map_err(|error| Error::Io(about("starting the connection's thread", error)))?;
        Ok(WebSocket::counted(&connection).0)
    }

    /// Connects for straight-line code, as [`open`](crate::open) does. Blocks and takes URLs as
    /// [`connect`](Self::connect) does. The connection has no thread of its own.
    ///
    /// # Errors
    /// See [`Error`].
    #[must_use = "the connection closes when the handle and the messages are dropped"]
    pub fn open(&self, url: impl AsRef<str>) -> Result<(WebSocket, Messages), Error> {
        let reader = self.establish(url.as_ref())?;
        let (ws, open) = WebSocket::counted(reader.connection());
        Ok((ws, Messages::new(reader, Some(open))))
    }

    /// Returns an iterator of one connection after the other, for a client that stays connected.
    /// Nothing is connected before it is iterated. See [`Sessions`].
    pub fn sessions(&self, url: impl AsRef<str>) -> Sessions {
        Sessions::new(self.clone(), url.as_ref().to_owned())
    }

    fn establish(&self, url: &str) -> Result<Box<Reader>, Error> {
        let connecting = self.connecting(url)?;
        self.canceller.check()?;
        let established = connecting.establish();
        established.map_err(|error| self.canceller.explain(error))
    }

    /// Begins to connect, unless a setting cannot be used.
    fn connecting(&self, url: &str) -> Result<Connecting<'_>, Error> {
        if let Some(invalid) = &self.invalid {
            return Err(Error::Invalid(invalid.clone()));
        }
        self.config.check()?;
        Connecting::new(self, url)
    }

    fn connector(&self) -> Result<&Connector, Error> {
        if let Some(connector) = self.connector.get() {
            return Ok(connector);
        }
        let made = Connector::new(&self.tls)?;
        Ok(self.connector.get_or_init(|| made))
    }

    /// Returns the settings of TLS with a proxy, which need not know who we are to the server.
    fn proxy_connector(&self) -> Result<&Connector, Error> {
        if let Some(connector) = self.proxy_connector.get() {
            return Ok(connector);
        }
        let options = TlsOptions {
            identity: None,
            ..self.tls.clone()
        };
        let made = Connector::new(&options)?;
        Ok(self.proxy_connector.get_or_init(|| made))
    }
}

impl fmt::Debug for Client {
    /// Shows no header values and no subprotocols: they may be credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("config", &self.config)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("subprotocols", &self.subprotocols.len())
            .finish_non_exhaustive()
    }
}
