//! A server: it accepts connections, and gives each a thread of its own.

mod accept;
mod accept_trouble;
mod access;
mod builder;
mod connections;
mod exchange;
mod lingering;
mod rejection;
mod session;
mod stop_report;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use self::access::Access;
pub use self::builder::ServerBuilder;
use self::connections::Connections;
pub use self::stop_report::{Stage, StopReport, StuckThread};
use crate::connection::thread::on_connection_thread;
use crate::error::about;
use crate::http::{Hook, TrustedProxies};
use crate::outbox::uncork_thread;
use crate::process::Process;
use crate::record::{debug, error};
use crate::sync::{Mutex, lock};
use crate::transport::{Acceptor, Listener, Wake};
use crate::{
    Address, Config, Error, Message, Reply, ServerCounters, ServerTls, WaitError, WebSocket,
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
    /// system chose.
    #[must_use]
    pub fn local_addr(&self) -> Address {
        let first = self.shared.local_addrs.first().cloned();
        // The address of a server that never ran.
        first.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())
    }

    /// Returns all addresses that the server listens on.
    #[must_use]
    pub fn local_addrs(&self) -> &[Address] {
        &self.shared.local_addrs
    }

    /// Returns the URL that reaches the server, such as `ws://127.0.0.1:9001`: the
    /// [address](Self::local_addr) as it was bound, so on all interfaces `ws://0.0.0.0:9001`.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.is_tls() { "wss" } else { "ws" };
        format!("{scheme}://{}", self.local_addr())
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

    /// Begins to stop, and returns at once, from anywhere: new connections are not accepted,
    /// handshakes whose request has not come get 503, and open connections get 1001. What has not
    /// ended after [`stop_timeout`](Config::stop_timeout) is cut, an answer to a slow reader too.
    pub fn stop(&self) {
        self.shared.stop(self.shared.config.stop_timeout);
    }

    /// Begins to stop like [`stop`](Self::stop), with another deadline, this time from now. The
    /// earliest deadline of several stops counts.
    pub fn stop_within(&self, deadline: Duration) {
        self.shared.stop(deadline);
    }

    /// Waits until the server has been stopped and all its connections have ended, at most a moment
    /// longer than the deadline of the stop.
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
        let stuck = self.shared.connections.wait_empty();
        match self.shared.failure.get() {
            Some(&os_error) => Err(WaitError::ListenerFailed { os_error }),
            None => Ok(StopReport::new(stuck)),
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

/// Starts the accept thread.
fn start(listener: Listener, shared: Arc<Shared>) -> Result<Server, Error> {
    let accepting = Arc::clone(&shared);
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
    let running = Some(Arc::new(StopOnDrop(Arc::clone(&shared))));
    Ok(Server {
        shared,
        _running: running,
    })
}
