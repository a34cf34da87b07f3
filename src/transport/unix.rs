//! Connecting to a Unix socket, under a deadline.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use socket2::SockAddr;

use super::dial::wake_on_cancel;
use super::os::{Source, unix_socket, wait_for_any};
use super::{Socket, Wake};
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
    let (wake, _watch) = wake_on_cancel(canceller)?;
    let address = SockAddr::unix(path)?;
    let socket = unix_socket()?;
    socket.set_nonblocking(true)?;
    while let Err(error) = socket.connect(&address) {
        match error.kind() {
            io::ErrorKind::Interrupted => {}
            // The queue of the server is full. No wait of the system's tells when it has room.
            io::ErrorKind::WouldBlock => wait_for_room(&wake, deadline, canceller)?,
            _ => return Err(error),
        }
    }
    socket.set_nonblocking(false)?;
    Socket::new(socket)
}

/// The time after which a full queue is tried again.
const AGAIN: Duration = Duration::from_millis(10);

fn wait_for_room(wake: &Wake, deadline: Instant, canceller: &Canceller) -> io::Result<()> {
    let now = Instant::now();
    if now >= deadline || canceller.is_cancelled() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    wait_for_any(&[Source::Wake(wake)], Some(deadline.min(now + AGAIN))).map(drop)
}

#[cfg(test)]
mod tests {
    #![cfg(unix)]

    use std::os::unix::net::UnixListener;
    use std::{env, fs, process, thread};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A server whose queue is full is waited for, until the deadline, and reached once it accepts.
    #[test]
    fn full_queues_are_waited_for() {
        let path = env::temp_dir().join(format!("landline-full-{}", process::id()));
        let _ = fs::remove_file(&path);
        let socket = unix_socket().unwrap();
        socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(0).unwrap();
        let dial = |patience| dial_unix(&path, Instant::now() + patience, &Canceller::new());
        let held = dial(PATIENCE).unwrap();
        let error = dial(Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        thread::scope(|scope| {
            let reached = scope.spawn(|| dial(PATIENCE).unwrap());
            let listener = UnixListener::from(std::os::fd::OwnedFd::from(socket));
            drop(listener.accept().unwrap());
            drop((held, reached.join().unwrap()));
        });
        fs::remove_file(&path).unwrap();
    }

    /// A path that is too long for the system, or empty, is none.
    #[test]
    fn paths_are_bounded() {
        assert!(is_socket_path(Path::new("/run/app.sock")));
        assert!(!is_socket_path(Path::new("")));
        assert!(!is_socket_path(Path::new(&"x".repeat(200))));
    }
}
