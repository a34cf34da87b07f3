//! The accept thread: it accepts, and spawns or refuses without waiting, nothing else (L10).

use std::fmt::Display;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;

use super::accept_trouble::AcceptTrouble;
use super::lingering::Lingering;
use super::{Shared, session};
use crate::connection::Connection;
use crate::error::about;
use crate::held;
use crate::record::debug;
use crate::transport::{AcceptError, Listener, Socket};

/// The answer to connections that the server has no room for (RFC 9110, section 15.6.4).
const OVERLOADED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Retry-After: 1\r\n\
    Connection: close\r\n\
    Content-Length: 0\r\n\r\n";

/// Accepts until the server stops, or only stops accepting. It neither ends nor spins: after a failure that concerns the
/// whole process, such as having no descriptors left, it tries again after a pause.
///
/// # Errors
/// The error of a listening socket that can accept no more connections.
pub(super) fn run(listener: &Listener, shared: &Arc<Shared>) -> io::Result<()> {
    let mut accepting = Accepting {
        shared,
        lingering: Lingering::new(shared.max_lingering),
        trouble: AcceptTrouble::default(),
    };
    let mut is_ready = false;
    while !shared.connections.is_closed() {
        match listener.accept() {
            Ok(socket) => {
                accepting.admit(socket);
                // Usually no other connection is waiting, which a wait finds out at less cost than
                // an accept.
                is_ready = accepting.wait(listener);
                continue;
            }
            Err(AcceptError::NoConnection) if !is_ready => {
                is_ready = accepting.wait(listener);
                continue;
            }
            // The listener was reported ready, and had no connection. This must not go on for ever.
            Err(AcceptError::NoConnection) if listener.may_be_shared() => accepting.miss(),
            Err(AcceptError::NoConnection) => accepting.lose(&"no connection was there"),
            Err(AcceptError::Newcomer(error)) => accepting.lose(&error),
            Err(AcceptError::Unusable(error)) => debug!("a connection is of no use: {error}"),
            Err(AcceptError::System(error)) => accepting.fail(&error),
            Err(AcceptError::Listener(error)) => return Err(error),
        }
        is_ready = false;
    }
    Ok(())
}

/// The state of the accept thread.
struct Accepting<'a> {
    shared: &'a Arc<Shared>,
    lingering: Lingering,
    trouble: AcceptTrouble,
}

impl Accepting<'_> {
    /// Waits until a connection arrives or the server stops. Returns whether one seems to have
    /// arrived.
    fn wait(&mut self, listener: &Listener) -> bool {
        let waited = listener.wait();
        let failure = waited.as_ref().err();
        let failure = failure.map(|error| error as &dyn Display);
        self.trouble.wait(failure);
        waited.unwrap_or(false)
    }

    fn lose(&mut self, error: &dyn Display) {
        if let Some(pause) = self.trouble.lose(error) {
            self.shared.connections.pause(pause);
        }
    }

    fn miss(&mut self) {
        if let Some(pause) = self.trouble.miss() {
            self.shared.connections.pause(pause);
        }
    }

    fn fail(&mut self, error: &io::Error) {
        let pause = self.trouble.fail(error);
        self.shared.connections.pause(pause);
    }

    /// Gives a connection its thread, or 503. If no thread can be had there is no pause: every
    /// connection gets 503 at once, as long as that lasts.
    fn admit(&mut self, socket: Socket) {
        self.trouble.accept();
        let Err(unserved) = serve(socket, self.shared) else {
            return self.trouble.serve();
        };
        let Unserved { id, why, socket } = *unserved;
        match why {
            Why::Limit(limit) => debug!("connection {id} refused: {limit}"),
            Why::NoThread(error) => self.trouble.tell(&error),
        }
        if let Some(socket) = socket {
            self.refuse(socket);
        }
    }

    /// Answers 503. Over TLS it hangs up, because the accept thread does not wait for a handshake.
    fn refuse(&mut self, socket: Socket) {
        self.shared.connections.count_refused();
        if !self.shared.is_tls() {
            self.lingering.refuse(socket, OVERLOADED);
        }
    }
}

/// A connection that got no thread.
pub(super) struct Unserved {
    id: u64,
    pub(super) why: Why,
    socket: Option<Socket>,
}

/// The reason why a connection got no thread.
pub(super) enum Why {
    /// A limit is reached.
    Limit(String),
    NoThread(io::Error),
}

/// Gives a connection its thread, unless a limit is reached.
pub(super) fn serve(socket: Socket, shared: &Arc<Shared>) -> Result<(), Box<Unserved>> {
    let id = Connection::next_id();
    let quota = shared.access.quota(&socket);
    if let Err(limit) = count(quota, shared) {
        return Err(Unserved::new(id, Why::Limit(limit), Some(socket)));
    }
    let counts_for = quota.map(|(address, _)| address);
    let socket = Arc::new(socket);
    spawn(id, Arc::clone(&socket), counts_for, shared).map_err(|error| {
        let error = about("starting a thread", error);
        Unserved::new(id, Why::NoThread(error), Arc::into_inner(socket))
    })
}

impl Unserved {
    fn new(id: u64, why: Why, socket: Option<Socket>) -> Box<Self> {
        Box::new(Self { id, why, socket })
    }
}

/// Counts a connection's thread, or returns the limit that is reached.
fn count(quota: Option<(IpAddr, usize)>, shared: &Shared) -> Result<(), String> {
    if held::is_exhausted() {
        return Err("peers hold all the memory that they may".into());
    }
    let most = shared.max_connections;
    shared.connections.add_thread(most, quota)
}

/// Starts the thread of a connection that is counted.
fn spawn(
    id: u64,
    socket: Arc<Socket>,
    counts_for: Option<IpAddr>,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    let sharing = Arc::clone(shared);
    let builder = thread::Builder::new().name(format!("landline-{id}"));
    let spawned = builder.spawn(move || session::run(id, socket, counts_for, &sharing));
    spawned
        .map(drop)
        .inspect_err(|_| drop(shared.connections.register(id, counts_for)))
}
