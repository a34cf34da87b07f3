//! The listening socket, and waiting for who knocks.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};

use super::{Wake, poll_all};

/// Accepts connections, and can be woken while it waits for them.
#[derive(Debug)]
pub(crate) struct Listener(TcpListener);

/// std listens with a backlog of 128, too few for a crowd that reconnects at once; the system caps
/// this at its own maximum.
const BACKLOG: i32 = 4_096;

impl Listener {
    pub(crate) fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        rustix::net::listen(&listener, BACKLOG)?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Takes the next connection, or returns `WouldBlock`.
    pub(crate) fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.0.accept()?;
        // Some systems hand the listener's mode down.
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// Waits until somebody knocks or `wake` is used.
    pub(crate) fn wait(&self, wake: &Wake) {
        let mut fds = [
            PollFd::new(&self.0, PollFlags::IN),
            PollFd::new(wake, PollFlags::IN),
        ];
        poll_all(&mut fds, None);
        if !fds[1].revents().is_empty() {
            wake.clear();
        }
    }

    /// Waits without looking at who knocks, until `wake` is used or the deadline has passed.
    pub(crate) fn pause(wake: &Wake, until: Instant) {
        let mut fds = [PollFd::new(wake, PollFlags::IN)];
        poll_all(&mut fds, Some(until));
        if !fds[0].revents().is_empty() {
            wake.clear();
        }
    }
}
