//! The accept thread: it accepts, and spawns or refuses without waiting, nothing else (L10).

use std::io;
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{Shared, session};
use crate::connection::Connection;
use crate::held;
use crate::opening;
use crate::record::{debug, info, warn};
use crate::transport::{Listener, Socket};

/// The first pause after a failure that is not one connection's; it doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// Answers whom the server has no room for (RFC 9110, section 15.6.4).
const OVERLOADED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Retry-After: 1\r\n\
    Connection: close\r\n\
    Content-Length: 0\r\n\r\n";

/// Accepts until the server stops. It neither dies nor spins: what fails for the whole process,
/// such as having no descriptors left, is tried again after a pause.
pub(super) fn run(listener: &Listener, shared: &Arc<Shared>) {
    let mut pause = None;
    while !shared.roster.is_stopping() {
        match listener.accept().and_then(|stream| admit(stream, shared)) {
            Ok(()) => recovered(&mut pause),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                recovered(&mut pause);
                listener.wait();
            }
            Err(error) if is_exhaustion(&error) => {
                let length = next_pause(&mut pause, &error);
                listener.pause(Instant::now() + length);
            }
            Err(error) => debug!("a connection could not be accepted: {error}"),
        }
    }
}

/// Gives a connection its thread, or 503.
fn admit(stream: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let socket = Socket::new(stream)?;
    let quota = shared.admission.quota(&socket);
    if let Some(limit) = reached(quota, shared) {
        debug!("a connection was refused: {limit}");
        refuse(socket, shared);
        return Ok(());
    }
    let counts_for = quota.map(|(address, _)| address);
    let socket = Arc::new(socket);
    let id = Connection::next_id();
    let (theirs, sharing) = (Arc::clone(&socket), Arc::clone(shared));
    shared.roster.add_thread(counts_for);
    let builder = thread::Builder::new().name(format!("landline-{id}"));
    let spawned = builder.spawn(move || session::run(id, theirs, counts_for, &sharing));
    if let Err(error) = spawned {
        drop(shared.roster.place(id, counts_for));
        if let Some(socket) = Arc::into_inner(socket) {
            refuse(socket, shared);
        }
        return Err(io::Error::new(io::ErrorKind::OutOfMemory, error));
    }
    Ok(())
}

/// Answers 503, or over TLS hangs up: there is no waiting here for a handshake.
fn refuse(socket: Socket, shared: &Shared) {
    shared.roster.count_refused();
    if !shared.is_tls() {
        opening::refuse(socket, OVERLOADED);
    }
}

/// Returns the limit that is reached, for all or for one address. Only the accept thread counts
/// up, so what has room here has it still when it is counted.
fn reached(quota: Option<(IpAddr, usize)>, shared: &Shared) -> Option<String> {
    if shared.roster.thread_count() >= shared.max_connections {
        return Some(format!("{} is the limit", shared.max_connections));
    }
    if held::is_exhausted() {
        return Some("peers hold all the memory that they may".into());
    }
    let (address, limit) = quota?;
    let reached = shared.roster.threads_of(address) >= limit;
    reached.then(|| format!("{limit} for {address} is the limit"))
}

/// Tells whether an error is about the process or the system, and not about one connection.
fn is_exhaustion(error: &io::Error) -> bool {
    let exhausted =
        [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].map(|errno| errno.raw_os_error());
    error.kind() == io::ErrorKind::OutOfMemory
        || error
            .raw_os_error()
            .is_some_and(|code| exhausted.contains(&code))
}

/// Says once that accepting fails.
fn next_pause(pause: &mut Option<Duration>, error: &io::Error) -> Duration {
    if pause.is_none() {
        warn!("cannot accept connections, trying again: {error}");
    }
    let length = pause.map_or(FIRST_PAUSE, |before| (before * 2).min(LAST_PAUSE));
    *pause = Some(length);
    length
}

/// Says once that accepting works again.
fn recovered(pause: &mut Option<Duration>) {
    if pause.take().is_some() {
        info!("accepting connections again");
    }
}
