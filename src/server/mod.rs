//! A server: it accepts connections, and gives each a thread of its own.

mod accept;
mod accept_trouble;
mod access;
mod bind_to;
mod builder;
mod connections;
mod exchange;
mod incoming;
mod lingering;
mod proxy_header;
mod rejection;
mod session;
mod stop_report;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use self::accept::Why;
use self::access::Access;
pub use self::bind_to::BindTo;
pub use self::builder::ServerBuilder;
use self::connections::Connections;
pub use self::incoming::Incoming;
pub use self::stop_report::{Stage, StopReport, StuckThread};
use crate::connection::thread::on_connection_thread;
use crate::error::about;
use crate::http::{Hook, TrustedProxies};
use crate::outbox::uncork_thread;
use crate::process::Process;
use crate::record::{debug, error};
use crate::sync::{Mutex, lock};
use crate::transport::{self, Acceptor, Listener, Wake};
use crate::{
    Address, Config, Error, Message, Reply, ServerCounters, ServerTls, Socket, WaitError, WebSocket,
};

/// A running server, as [`bind`](ServerBuilder::bind) returns it: cheap to clone, safe to share.
///
/// It runs until [`stop`](Self::stop), or until the last handle is dropped, which is the same. The
/// handle that [`Request::server`](crate::Request::server) gives does not count.
///
/// ```no_run
/// let server = landline::Server::builder()
///     .on_upgrade(|ws, _request| {
///         ws.on_text(|ws, text| ws.send(text));
///     })
///     .bind("127.0.0.1:9001")?;
/// server.wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use = "the server stops when the last handle is dropped"]
pub struct Server {
    shared: Arc<Shared>,
    _running: Option<Arc<StopOnDrop>>,
}

impl Server {
    /// Begins the settings of a server.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::new()
    }

    /// Makes a handle that does not keep the server running.
    fn uncounted(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            _running: None,
        }
    }

    /// Makes a server that never ran, for requests that a program makes itself.
    pub(crate) fn detached() -> Self {
        let shared = Arc::new(Shared {
            local_addrs: Vec::new(),
            config: Arc::default(),
            max_connections: 0,
            max_handshakes: 0,
            max_lingering: 0,
            access: Access::default(),
            tls: Mutex::default(),
            hook: Box::new(|_| Reply::forbidden()),
            connections: Connections::default(),
            failure: OnceLock::new(),
            owner: Process::this(),
            wake: None,
        });
        shared.stop(Duration::ZERO);
        Self::uncounted(&shared)
    }

    pub(crate) fn trusted_proxies(&self) -> &TrustedProxies {
        &self.shared.access.proxies
    }

    /// Returns the address that the server listens on, the first of several, with the port that the
    /// system chose; `0.0.0.0:0` for a server that listens nowhere.
    #[must_use]
    pub fn local_addr(&self) -> Address {
        let first = self.shared.local_addrs.first().cloned();
        first.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())
    }

    /// Returns all addresses that the server listens on.
    #[must_use]
    pub fn local_addrs(&self) -> &[Address] {
        &self.shared.local_addrs
    }

    /// Returns the URL that reaches the server, such as `ws://127.0.0.1:9001`: the
    /// [address](Self::local_addr) as it was bound, so on all interfaces `ws://0.0.0.0:9001`. That
    /// of a Unix socket is `ws+unix:/run/app.sock`; a path of the URL goes behind another colon,
    /// `ws+unix:/run/app.sock:/chat`.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.is_tls() { "wss" } else { "ws" };
        let address = self.local_addr();
        match address.path() {
            Some(path) => {
                let path = path.as_os_str().as_encoded_bytes();
                format!("{scheme}+unix:{}", percent_encode(path, IN_URL))
            }
            None if address.is_unix() => format!("{scheme}+{address}"),
            None => format!("{scheme}://{address}"),
        }
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.shared.is_tls()
    }

    /// Shows clients another certificate from their next handshake on, for example when one
    /// expires.
    ///
    /// # Errors
    /// [`Error::Tls`] for a certificate, key or setting that cannot be used, [`Error::Invalid`] if
    /// the server does not speak TLS. The server keeps its certificate then.
    pub fn set_tls(&self, tls: impl Into<ServerTls>) -> Result<(), Error> {
        if !self.is_tls() {
            return Err(Error::Invalid("this server does not speak TLS".into()));
        }
        let acceptor = Acceptor::new(&tls.into())?;
        let before = lock(&self.shared.tls).replace(Arc::new(acceptor));
        drop(before);
        Ok(())
    }

    /// Returns the open connections, the oldest first, to look at them or to close some. These
    /// handles keep no connection open. [`broadcast`](Self::broadcast) sends to all of them.
    #[must_use]
    pub fn connections(&self) -> Vec<WebSocket> {
        let connections = self.shared.connections.list();
        connections.iter().map(WebSocket::for_callbacks).collect()
    }

    /// Sends a message to all open connections, and returns for how many it was queued. It is like a
    /// [`Group`](crate::Group) of them all from [`Group::new`](crate::Group::new): framed once, in
    /// order, gathered during bursts, and without waiting. A connection that has fallen behind is
    /// closed with 1008. For anything else, such as [`SlowPeers::DropOldest`](crate::SlowPeers), make a
    /// group.
    pub fn broadcast(&self, message: impl Into<Message>) -> usize {
        self.shared.connections.send(&message.into())
    }

    /// Returns how many connections are open.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.shared.connections.count()
    }

    /// Returns the server's counters since it was bound. The call costs the connections almost
    /// nothing, and the caller one look at each open connection.
    #[must_use]
    pub fn counters(&self) -> ServerCounters {
        self.shared.connections.counters()
    }

    /// Serves a connection that the program has: one that it has accepted itself, of an SSH tunnel,
    /// or one end of a socketpair in a test. It gets a thread and all the rest like one that the
    /// server accepts, TLS too if the server speaks it. Returns at once.
    ///
    /// # Errors
    /// [`Error::Io`] for a socket that is no connected stream, at a limit of connections, if no
    /// thread can be had, and once the server stops.
    pub fn serve_stream(&self, stream: impl Into<Socket>) -> Result<(), Error> {
        let given = transport::Socket::given(stream.into().into_fd());
        let socket = given.map_err(Error::Io)?;
        if self.shared.connections.is_stopping() || !self.shared.owner.is_this() {
            return Err(Error::Io(io::Error::other("the server has been stopped")));
        }
        accept::serve(socket, &self.shared).map_err(|unserved| {
            Error::Io(match unserved.why {
                Why::Limit(limit) => io::Error::other(limit),
                Why::NoThread(error) => error,
            })
        })
    }

    /// Begins to close the listening sockets, and returns at once, from anywhere. Everything else
    /// goes on: handshakes, open connections, and streams that the program hands in.
    /// [`wait`](Self::wait) then returns when the last connection has ended.
    ///
    /// Connections that wait in a listening socket when it is closed are reset, unless another
    /// process has a copy of the socket.
    pub fn stop_accepting(&self) {
        if self.shared.owner.is_this() {
            self.shared.connections.close();
            self.shared.wake();
        }
    }

    /// Begins to stop, and returns at once, from anywhere: new connections are not accepted,
    /// handshakes whose request has not come get 503, and open connections get 1001 or what
    /// [`stop_close`](Config::stop_close) says. What has not ended after [`stop_timeout`](Config::stop_timeout) is cut, an answer to a slow reader too.
    pub fn stop(&self) {
        self.shared.stop(self.shared.config.stop_timeout);
    }

    /// Begins to stop like [`stop`](Self::stop), with another deadline, this time from now. The
    /// earliest deadline of several stops counts.
    pub fn stop_within(&self, deadline: Duration) {
        self.shared.stop(deadline);
    }

    /// Waits until the server has been stopped and all its connections have ended, at most a moment
    /// longer than the deadline of the stop. After [`stop_accepting`](Self::stop_accepting) alone it
    /// waits for the connections, however long they last.
    ///
    /// # Errors
    /// [`WaitError::ListenerFailed`] if a listening socket is dead, even one of several: the server
    /// then stops by itself, as by [`stop`](Self::stop). A server that went on would be out of
    /// reach for some clients without anyone noticing.
    ///
    /// [`WaitError::WouldDeadlock`] at once on a connection's own thread, in a callback or handler, and
    /// in a process that was forked from the server's.
    pub fn wait(&self) -> Result<StopReport, WaitError> {
        if on_connection_thread() || !self.shared.owner.is_this() {
            return Err(WaitError::WouldDeadlock);
        }
        uncork_thread();
        let report = self.shared.connections.wait_empty();
        match self.shared.failure.get() {
            Some(&os_error) => Err(WaitError::ListenerFailed { os_error }),
            None => Ok(report),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("local_addr", &self.local_addr())
            .field("connections", &self.connection_count())
            .finish_non_exhaustive()
    }
}

/// The bytes that stand for themselves in no path of a URL, or for something else: a colon ends the
/// path of a Unix socket.
const IN_URL: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b':')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`');

/// The state that the threads of a server share.
struct Shared {
    local_addrs: Vec<Address>,
    config: Arc<Config>,
    max_connections: usize,
    max_handshakes: usize,
    /// The number of refused connections that may wait to be closed.
    max_lingering: usize,
    access: Access,
    /// The TLS settings, which can be replaced while the server runs.
    tls: Mutex<Option<Arc<Acceptor>>>,
    hook: Hook,
    connections: Connections,
    /// The system's error code for the failure that ended the server.
    failure: OnceLock<i32>,
    /// The process that bound the server. A forked child has a copy, and nothing to stop.
    owner: Process,
    /// The wake-up of the accept thread, if that ever ran.
    wake: Option<Arc<Wake>>,
}

impl Shared {
    fn is_tls(&self) -> bool {
        lock(&self.tls).is_some()
    }

    fn stop(&self, patience: Duration) {
        if !self.owner.is_this() {
            return;
        }
        let deadline = Instant::now().checked_add(patience);
        self.connections
            .stop(deadline.unwrap_or_else(|| Instant::now() + self.config.stop_timeout));
        self.wake();
    }

    /// Wakes the accept thread, so that it looks whether to go on.
    fn wake(&self) {
        if let Some(wake) = &self.wake {
            wake.wake();
        }
    }

    /// Ends a server whose listening socket can accept no more.
    fn fail(&self, error: &io::Error) {
        error!("the server stops, as a listening socket is dead: {error}");
        let _ = self.failure.set(error.raw_os_error().unwrap_or_default());
        self.stop(self.config.stop_timeout);
    }
}

/// The token that counted handles share: when the last of them is dropped, the server stops.
struct StopOnDrop(Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop(self.0.config.stop_timeout);
    }
}

/// Makes a handle that keeps the server running.
fn counted(shared: Arc<Shared>) -> Server {
    let running = Some(Arc::new(StopOnDrop(Arc::clone(&shared))));
    Server {
        shared,
        _running: running,
    }
}

/// Starts the accept thread.
fn start(listener: Listener, shared: &Arc<Shared>) -> Result<(), Error> {
    let accepting = Arc::clone(shared);
    shared.connections.set_accepting(true);
    let builder = thread::Builder::new().name("landline-accept".into());
    let accept = move || {
        let accepted = accept::run(&listener, &accepting);
        drop(listener);
        if let Err(error) = accepted {
            accepting.fail(&error);
        }
        accepting.connections.set_accepting(false);
    };
    let spawned = builder.spawn(accept);
    spawned.map_err(|error| Error::Io(about("starting the accept thread", error)))?;
    for address in &shared.local_addrs {
        debug!("listening on {address}");
    }
    Ok(())
}
