//! The listening sockets, and waiting for connections.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use socket2::{Domain, SockRef, Type};

use super::{Socket, Wake, poll_all};
use crate::Address;
use crate::error::about;
use crate::record::debug;

/// A listener at one address or several. A thread that waits for connections can be woken.
#[derive(Debug)]
pub(crate) struct Listener {
    sockets: Vec<TcpListener>,
    /// The index of the socket that is tried first next time.
    turn: AtomicUsize,
    wake: Arc<Wake>,
}

/// The reason why no connection was accepted.
#[derive(Debug)]
pub(crate) enum AcceptError {
    /// No connection waits to be accepted.
    NoConnection,
    /// One connection is lost. The next may be there already.
    Newcomer(io::Error),
    /// The accepted socket is unusable, for example because its peer has reset it.
    Unusable(io::Error),
    /// The listening socket is dead: it can accept no more connections.
    Listener(io::Error),
    /// The error concerns the process, the system, or an unknown cause, and may pass.
    System(io::Error),
}

/// The backlog. std's is 128, too few for many clients that reconnect at once. The system caps it
/// at its own maximum.
const BACKLOG: i32 = 4_096;
/// The number of times that the system may choose a port which is taken at another of the
/// addresses.
const MOST_CHOICES: usize = 16;

impl Listener {
    /// Listens on all of these addresses that this machine has. If the system chooses the port, it
    /// is the same for all.
    ///
    /// # Errors
    /// The error begins with the address.
    pub(crate) fn bind(addresses: &[SocketAddr]) -> io::Result<Self> {
        Ok(Self {
            sockets: bind_all(addresses)?,
            turn: AtomicUsize::new(0),
            wake: Arc::new(Wake::new()?),
        })
    }

    /// Returns the addresses that it listens on, with their ports.
    pub(crate) fn local_addrs(&self) -> io::Result<Vec<Address>> {
        let addresses = self.sockets.iter().map(TcpListener::local_addr);
        addresses
            .map(|address| address.map(Address::from))
            .collect()
    }

    /// Accepts the next connection, without waiting for one.
    pub(crate) fn accept(&self) -> Result<Socket, AcceptError> {
        // In turns, so that many connections at one address do not delay those at another.
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % self.sockets.len();
        let (later, sooner) = self.sockets.split_at(first);
        for socket in sooner.iter().chain(later) {
            match accept_at(socket) {
                Err(AcceptError::NoConnection) => {}
                accepted => return accepted,
            }
        }
        Err(AcceptError::NoConnection)
    }

    /// Returns the wake-up of the thread that waits here.
    pub(crate) fn wake(&self) -> Arc<Wake> {
        Arc::clone(&self.wake)
    }

    /// Waits until a connection arrives or the thread is woken. Returns whether one seems to have
    /// arrived. It seems so for a broken listening socket too: accepting then reports the error.
    pub(crate) fn wait(&self) -> io::Result<bool> {
        let mut fds = vec![PollFd::new(&*self.wake, PollFlags::IN)];
        let sockets = self.sockets.iter();
        fds.extend(sockets.map(|socket| PollFd::new(socket, PollFlags::IN)));
        poll_all(&mut fds, None)?;
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        if ready.next() == Some(true) {
            self.wake.clear();
        }
        let ready: Vec<_> = ready.collect();
        Ok(self.pass_turn(&ready))
    }

    /// Moves the turn to the next socket that is ready. Returns false if there is none.
    fn pass_turn(&self, ready: &[bool]) -> bool {
        let turn = self.turn.load(Ordering::Relaxed) % ready.len();
        let (later, sooner) = ready.split_at(turn);
        let passed = sooner.iter().chain(later).position(|ready| *ready);
        self.turn.fetch_add(passed.unwrap_or(0), Ordering::Relaxed);
        passed.is_some()
    }
}

/// Accepts by a call that reports an interruption, as interruptions may go on for ever.
fn accept_at(listener: &TcpListener) -> Result<Socket, AcceptError> {
    let (stream, _) = SockRef::from(listener).accept().map_err(AcceptError::of)?;
    take(stream.into()).map_err(AcceptError::Unusable)
}

fn take(stream: TcpStream) -> io::Result<Socket> {
    // Systems other than Linux pass the listener's mode on.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    stream.set_nonblocking(false)?;
    Socket::new(stream)
}

impl AcceptError {
    /// Classifies an error by the list of accept(2).
    fn of(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(Errno::AGAIN) => Self::NoConnection,
            Some(
                Errno::CONNABORTED
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::INTR
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::NOPROTOOPT
                | Errno::OPNOTSUPP
                // A firewall forbids the connection.
                | Errno::PERM
                | Errno::PROTO
                | Errno::TIMEDOUT,
            ) => Self::Newcomer(error),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Some(Errno::NONET) => Self::Newcomer(error),
            Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK) => Self::Listener(error),
            _ => Self::System(error),
        }
    }
}

fn bind_all(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    let mut choices = 0;
    loop {
        let bound = try_bind_all(addresses);
        let is_taken = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
        let chosen = addresses.iter().any(|address| address.port() == 0);
        choices += 1;
        if chosen && choices < MOST_CHOICES && bound.as_ref().is_err_and(is_taken) {
            continue;
        }
        return bound;
    }
}

fn try_bind_all(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    // An IPv6 socket beside an IPv4 one must not take IPv4 connections too.
    let only_v6 = addresses.iter().any(SocketAddr::is_ipv4);
    let mut sockets: Vec<TcpListener> = Vec::new();
    let mut bound = Vec::new();
    let mut chosen = 0;
    let mut absent = io::Error::new(io::ErrorKind::InvalidInput, "there is no address");
    for address in addresses {
        let mut wanted = *address;
        if wanted.port() == 0 {
            wanted.set_port(chosen);
        }
        if bound.contains(&wanted) {
            continue;
        }
        match listen(wanted, only_v6) {
            Ok(socket) => {
                let own = socket.local_addr()?;
                if address.port() == 0 {
                    chosen = own.port();
                }
                bound.push(own);
                sockets.push(socket);
            }
            Err(error) if is_absent(&error) => {
                debug!("not listening on {wanted}: {error}");
                absent = about(wanted, error);
            }
            Err(error) => return Err(about(wanted, error)),
        }
    }
    if sockets.is_empty() {
        return Err(absent);
    }
    Ok(sockets)
}

fn listen(address: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A server that is started again finds its port free, as with std.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && only_v6 {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Tells whether this machine lacks the address, or all addresses of its kind.
fn is_absent(error: &io::Error) -> bool {
    let no_kind = error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error());
    no_kind || error.kind() == io::ErrorKind::AddrNotAvailable
}
