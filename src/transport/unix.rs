//! Connecting to a Unix socket, under a deadline.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use socket2::SockAddr;

use super::Socket;
use super::dial::CancelWake;
use super::os::{unix_socket, wait_for_any};
use crate::canceller::Canceller;

/// Tells whether a path can be a Unix socket's: the system bounds its length.
pub(crate) fn is_socket_path(path: &Path) -> bool {
    let is_named = !path.as_os_str().is_empty();
    is_named && SockAddr::unix(path).is_ok()
}

/// Connects to the Unix socket at a path.
///
/// # Errors
/// The system's error; `TimedOut` at the deadline; any error once cancelled.
pub(crate) fn dial_unix(
    path: &Path,
    deadline: Instant,
    canceller: &Canceller,
) -> io::Result<Socket> {
    let mut wake = CancelWake::new(canceller);
    let address = SockAddr::unix(path)?;
    let socket = unix_socket()?;
    socket.set_nonblocking(true)?;
    while let Err(error) = socket.connect(&address) {
        match error.kind() {
            io::ErrorKind::Interrupted => {}
            // The queue of the server is full. No wait of the system's tells when it has room.
            io::ErrorKind::WouldBlock => wait_for_room(&mut wake, deadline)?,
            _ => return Err(error),
        }
    }
    socket.set_nonblocking(false)?;
    Socket::new(socket)
}

/// The time after which a full queue is tried again.
const AGAIN: Duration = Duration::from_millis(10);

fn wait_for_room(wake: &mut CancelWake<'_>, deadline: Instant) -> io::Result<()> {
    let now = Instant::now();
    if now >= deadline || wake.canceller.is_cancelled() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    wait_for_any(&[wake.source()?], Some(deadline.min(now + AGAIN))).map(drop)
}

#[cfg(all(test, unix))]
mod tests;
