//! The listening socket, and waiting for who knocks.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};

use super::{Wake, poll_all};

/// Accepts connections, and can be woken while it waits for them.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    wake: Arc<Wake>,
}

/// std listens with a backlog of 128, too few for a crowd that reconnects at once; the system caps
/// this at its own maximum.
const BACKLOG: i32 = 4_096;

impl Listener {
    pub(crate) fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        rustix::net::listen(&listener, BACKLOG)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            socket: listener,
            wake: Arc::new(Wake::new()?),
        })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Takes the next connection, or returns `WouldBlock`.
    pub(crate) fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.socket.accept()?;
        // Some systems hand the listener's mode down.
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// Returns what wakes the thread that waits here.
    pub(crate) fn wake(&self) -> Arc<Wake> {
        Arc::clone(&self.wake)
    }

    /// Waits until somebody knocks or it is woken.
    pub(crate) fn wait(&self) {
        let knock = PollFd::new(&self.socket, PollFlags::IN);
        let mut fds = [PollFd::new(&*self.wake, PollFlags::IN), knock];
        poll_all(&mut fds, None);
        self.clear_if(!fds[0].revents().is_empty());
    }

    /// Waits without looking at who knocks, until it is woken or the deadline has passed.
    pub(crate) fn pause(&self, until: Instant) {
        let mut fds = [PollFd::new(&*self.wake, PollFlags::IN)];
        poll_all(&mut fds, Some(until));
        self.clear_if(!fds[0].revents().is_empty());
    }

    fn clear_if(&self, woken: bool) {
        if woken {
            self.wake.clear();
        }
    }
}
