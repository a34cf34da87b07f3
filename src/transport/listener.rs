//! The listening socket, and waiting for who knocks.

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

/// Accepts connections at one address or several, and can be woken while it waits for them.
#[derive(Debug)]
pub(crate) struct Listener {
    sockets: Vec<TcpListener>,
    /// Which of them is asked first next time.
    turn: AtomicUsize,
    wake: Arc<Wake>,
}

/// Why nobody was accepted.
#[derive(Debug)]
pub(crate) enum AcceptError {
    /// Nobody is there to be accepted.
    Nobody,
    /// One newcomer is lost; the next may be there already.
    Newcomer(io::Error),
    /// The socket is accepted but unusable, such as one that its peer has reset.
    Unusable(io::Error),
    /// The listening socket is dead: it accepts nobody any more.
    Listener(io::Error),
    /// It is about the process or the system, or about nobody knows what, and may pass.
    System(io::Error),
}

/// std listens with a backlog of 128, too few for a crowd that reconnects at once; the system caps
/// this at its own maximum.
const BACKLOG: i32 = 4_096;
/// So often the system may choose a port that is taken at another of the addresses.
const MOST_CHOICES: usize = 16;

impl Listener {
    /// Listens on all of these that this machine has, with one port where the system chooses it.
    ///
    /// # Errors
    /// Begins with the address that it is about.
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
        // By turns: a crowd at one address keeps nobody waiting at another.
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % self.sockets.len();
        let (later, sooner) = self.sockets.split_at(first);
        for socket in sooner.iter().chain(later) {
            match accept_at(socket) {
                Err(AcceptError::Nobody) => {}
                accepted => return accepted,
            }
        }
        Err(AcceptError::Nobody)
    }

    /// Returns what wakes the thread that waits here.
    pub(crate) fn wake(&self) -> Arc<Wake> {
        Arc::clone(&self.wake)
    }

    /// Waits until somebody knocks or it is woken; tells whether somebody seems to knock. A listening
    /// socket that is broken seems so: accepting tells what it is.
    pub(crate) fn wait(&self) -> io::Result<bool> {
        let mut fds = vec![PollFd::new(&*self.wake, PollFlags::IN)];
        let knocks = self.sockets.iter();
        fds.extend(knocks.map(|socket| PollFd::new(socket, PollFlags::IN)));
        poll_all(&mut fds, None)?;
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        if ready.next() == Some(true) {
            self.wake.clear();
        }
        let knocks: Vec<_> = ready.collect();
        Ok(self.pass_turn(&knocks))
    }

    /// Passes the turn on to the next socket where somebody knocks; returns false if there is none.
    fn pass_turn(&self, knocks: &[bool]) -> bool {
        let turn = self.turn.load(Ordering::Relaxed) % knocks.len();
        let (later, sooner) = knocks.split_at(turn);
        let passed = sooner.iter().chain(later).position(|knocks| *knocks);
        self.turn.fetch_add(passed.unwrap_or(0), Ordering::Relaxed);
        passed.is_some()
    }
}

/// Accepts by a call that reports an interruption, which may come for ever.
fn accept_at(listener: &TcpListener) -> Result<Socket, AcceptError> {
    let (stream, _) = SockRef::from(listener).accept().map_err(AcceptError::of)?;
    take(stream.into()).map_err(AcceptError::Unusable)
}

fn take(stream: TcpStream) -> io::Result<Socket> {
    // Others than Linux hand the listener's mode down.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    stream.set_nonblocking(false)?;
    Socket::new(stream)
}

impl AcceptError {
    /// Tells by accept(2)'s own list what an error is about.
    fn of(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(Errno::AGAIN) => Self::Nobody,
            Some(
                Errno::CONNABORTED
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::INTR
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::NOPROTOOPT
                | Errno::OPNOTSUPP
                // A firewall forbids it.
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
    // Beside an IPv4 socket one of IPv6 must not stand for both.
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

/// Tells whether this machine does not have the address, or none of its kind.
fn is_absent(error: &io::Error) -> bool {
    let no_kind = error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error());
    no_kind || error.kind() == io::ErrorKind::AddrNotAvailable
}
