//! The listening sockets, and waiting for connections.

mod tcp;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use socket2::{SockRef, Type};

use super::os::{
    AcceptFailure, AsFd, OwnedFd, SocketFile, Source, accept_failure, keep_to_this_process,
    listen_at_name, listen_at_path, listens, wait_for_any,
};
use super::stream_socket::address;
use super::{Interest, Ready, Socket, Wake};
use crate::Address;
use crate::error::about;

/// A listener at one place or several. A thread that waits for connections can be woken.
#[derive(Debug)]
pub(crate) struct Listener {
    sockets: Vec<ListeningSocket>,
    /// The index of the socket that is tried first next time.
    turn: AtomicUsize,
    wake: Arc<Wake>,
}

/// A place to listen at.
#[derive(Debug)]
pub(crate) enum Place {
    Ip(SocketAddr),
    /// The path of a Unix socket.
    Path(PathBuf),
    /// A name in Linux's abstract namespace.
    Name(Vec<u8>),
    /// A socket that the program has made or was handed.
    Given(OwnedFd),
}

/// The settings of listening sockets.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListenOptions {
    /// The mode of the files of Unix sockets.
    pub(crate) unix_mode: Option<u32>,
    pub(crate) reuse_port: bool,
}

/// A listening socket, with the file that is removed when it is closed.
#[derive(Debug)]
struct ListeningSocket {
    fd: OwnedFd,
    address: Address,
    /// The flag that the program has made the socket, or was handed it.
    is_given: bool,
    // Dropped after the socket is closed.
    _file: Option<SocketFile>,
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

impl Listener {
    /// Listens at all of these places; of the IP addresses, at those that this machine has.
    ///
    /// # Errors
    /// The error begins with the place.
    pub(crate) fn bind(places: Vec<Place>, options: &ListenOptions) -> io::Result<Self> {
        Ok(Self {
            sockets: listen(places, options)?,
            turn: AtomicUsize::new(0),
            wake: Arc::new(Wake::new()?),
        })
    }

    /// Returns the addresses that it listens on, with their ports.
    pub(crate) fn local_addrs(&self) -> Vec<Address> {
        let addresses = self.sockets.iter().map(|socket| socket.address.clone());
        addresses.collect()
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

    /// Tells whether another process may accept from one of the sockets.
    pub(crate) fn may_be_shared(&self) -> bool {
        self.sockets.iter().any(|socket| socket.is_given)
    }

    /// Returns the wake-up of the thread that waits here.
    pub(crate) fn wake(&self) -> Arc<Wake> {
        Arc::clone(&self.wake)
    }

    /// Waits until a connection arrives or the thread is woken. Returns whether one seems to have
    /// arrived. It seems so for a broken listening socket too: accepting then reports the error.
    pub(crate) fn wait(&self) -> io::Result<bool> {
        let mut sources = vec![Source::Wake(&self.wake)];
        let sockets = self.sockets.iter();
        sources.extend(sockets.map(|socket| Source::Socket(socket.fd.as_fd(), Interest::Read)));
        let mut ready = wait_for_any(&sources, None)?.into_iter().map(Ready::is_any);
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
fn accept_at(listener: &ListeningSocket) -> Result<Socket, AcceptError> {
    let accepted = SockRef::from(&listener.fd).accept();
    let (stream, _) = accepted.map_err(AcceptError::of)?;
    Socket::new(stream).map_err(AcceptError::Unusable)
}

impl AcceptError {
    fn of(error: io::Error) -> Self {
        match accept_failure(&error) {
            AcceptFailure::NoConnection => Self::NoConnection,
            AcceptFailure::Newcomer => Self::Newcomer(error),
            AcceptFailure::Listener => Self::Listener(error),
            AcceptFailure::System => Self::System(error),
        }
    }
}

/// Listens at all of the places, in their order.
fn listen(places: Vec<Place>, options: &ListenOptions) -> io::Result<Vec<ListeningSocket>> {
    let numbered = places.iter().enumerate();
    let addresses = numbered.filter_map(|(number, place)| match place {
        Place::Ip(address) => Some((number, *address)),
        _ => None,
    });
    let addresses: Vec<_> = addresses.collect();
    let mut sockets = Vec::new();
    for (number, fd) in tcp::bind_all(&addresses, options)? {
        sockets.push((number, ListeningSocket::new(fd)?));
    }
    for (number, place) in places.into_iter().enumerate() {
        if let Some(socket) = listen_elsewhere(place, options)? {
            sockets.push((number, socket));
        }
    }
    if sockets.is_empty() {
        let what = "there is no address";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    sockets.sort_by_key(|(number, _)| *number);
    Ok(sockets.into_iter().map(|(_, socket)| socket).collect())
}

/// Listens at a place that is no IP address.
fn listen_elsewhere(place: Place, options: &ListenOptions) -> io::Result<Option<ListeningSocket>> {
    let is_given = matches!(place, Place::Given(_));
    let (fd, file) = match place {
        Place::Ip(_) => return Ok(None),
        Place::Path(path) => {
            let bound = listen_at_path(&path, options.unix_mode);
            let (fd, file) = bound.map_err(|error| about(Address::from_path(&path), error))?;
            (fd, Some(file))
        }
        Place::Name(name) => {
            let bound = listen_at_name(&name);
            let address = || Address::from_abstract_name(&name);
            (bound.map_err(|error| about(address(), error))?, None)
        }
        Place::Given(fd) => {
            let checked = check_given(&fd);
            checked.map_err(|error| about("the given socket", error))?;
            (fd, None)
        }
    };
    Ok(Some(ListeningSocket {
        is_given,
        _file: file,
        ..ListeningSocket::new(fd)?
    }))
}

/// Checks a socket of the program's. Programs that are started by others get it as a number, which
/// may stand for anything.
fn check_given(fd: &OwnedFd) -> io::Result<()> {
    let socket = SockRef::from(fd);
    let what = if socket.r#type()? != Type::STREAM {
        "it is no stream socket"
    } else if !listens(fd)? {
        "it does not listen"
    } else {
        // A socket that was handed over survives `exec`, and must not reach the programs that this
        // one starts.
        return keep_to_this_process(&socket);
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

impl ListeningSocket {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        let socket = SockRef::from(&fd);
        socket.set_nonblocking(true)?;
        let address = address(&socket.local_addr()?)?;
        Ok(Self {
            fd,
            address,
            is_given: false,
            _file: None,
        })
    }
}
