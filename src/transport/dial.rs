//! Connecting to one of several addresses, under one deadline.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Type};

use super::os::{AsFd, Source, is_connecting, wait_for_any};
use super::{Interest, Socket, Wake};
use crate::canceller::{Canceller, Watch};
use crate::error::about;

/// Connects to the address that answers first. The addresses are tried in turn, each 250 ms after the
/// one before or as soon as that has failed, and those under way go on (RFC 8305, section 5, without
/// its wait for further look-ups).
///
/// # Errors
/// The error of the address that failed last, which it names; `TimedOut` at the deadline; any error once
/// cancelled.
pub(crate) fn dial(
    addresses: &[SocketAddr],
    deadline: Instant,
    canceller: &Canceller,
) -> io::Result<Socket> {
    let race = Race {
        wake: CancelWake::new(canceller),
        waiting: in_turns(addresses),
        running: Vec::new(),
        failure: io::Error::new(io::ErrorKind::NotFound, "the name has no address"),
    };
    race.run(deadline)
}

/// A wake-up that a cancel sets off. Made for the first wait: most steps wait for nothing.
pub(super) struct CancelWake<'a> {
    pub(super) canceller: &'a Canceller,
    made: Option<(Arc<Wake>, Watch)>,
}

impl<'a> CancelWake<'a> {
    pub(super) fn new(canceller: &'a Canceller) -> Self {
        let made = None;
        Self { canceller, made }
    }

    /// Returns what to wait for.
    pub(super) fn source(&mut self) -> io::Result<Source<'_>> {
        let made = match self.made.take() {
            Some(made) => made,
            None => {
                let wake = Arc::new(Wake::new()?);
                let woken = Arc::clone(&wake);
                (wake, self.canceller.on_cancel(move || woken.wake()))
            }
        };
        let (wake, _watch) = self.made.insert(made);
        Ok(Source::Wake(wake))
    }
}

/// The time after which the next address is tried too. RFC 8305 8: 250 ms is recommended.
const STAGGER: Duration = Duration::from_millis(250);

/// Attempts to connect that run side by side.
struct Race<'a> {
    wake: CancelWake<'a>,
    waiting: VecDeque<SocketAddr>,
    running: Vec<Running>,
    /// The error of the address that failed last.
    failure: io::Error,
}

/// An attempt to connect that is under way.
struct Running {
    address: SocketAddr,
    socket: socket2::Socket,
}

impl Race<'_> {
    fn run(mut self, deadline: Instant) -> io::Result<Socket> {
        let mut next_start = Instant::now();
        while Instant::now() < deadline && !self.wake.canceller.is_cancelled() {
            if self.running.is_empty() || next_start <= Instant::now() {
                match self.waiting.pop_front() {
                    Some(address) => {
                        self.start(address);
                        next_start = Instant::now() + STAGGER;
                    }
                    None if self.running.is_empty() => return Err(self.failure),
                    None => {}
                }
            }
            let until = match self.waiting.is_empty() {
                true => deadline,
                false => deadline.min(next_start),
            };
            let before = self.running.len();
            // An attempt to reach this machine has usually ended by now.
            let mut connected = self.take_connected();
            if connected.is_none() && self.running.len() == before {
                self.wait(until)?;
                connected = self.take_connected();
            }
            if let Some(socket) = connected {
                return Ok(socket);
            }
            if self.running.len() < before {
                // RFC 8305 5: a failure starts the next attempt at once.
                next_start = Instant::now();
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    fn start(&mut self, address: SocketAddr) {
        match begin(address) {
            Ok(socket) => self.running.push(Running { address, socket }),
            Err(error) => self.failure = about(address, error),
        }
    }

    /// Waits until an attempt has ended, at most until the deadline.
    fn wait(&mut self, until: Instant) -> io::Result<()> {
        let running = self.running.iter();
        let sources: Vec<_> = running
            .map(|running| Source::Socket(running.socket.as_fd(), Interest::Write))
            .chain([self.wake.source()?])
            .collect();
        // Where waiting fails, each socket is looked at all the same.
        let _ = wait_for_any(&sources, Some(until));
        Ok(())
    }

    /// Returns the socket of an attempt that has succeeded, and drops those that have failed.
    fn take_connected(&mut self) -> Option<Socket> {
        for at in (0..self.running.len()).rev() {
            let Some(ended) = outcome(&self.running[at].socket) else {
                continue;
            };
            let Running { address, socket } = self.running.swap_remove(at);
            match ended.and_then(|()| finish(socket)) {
                Ok(socket) => return Some(socket),
                Err(error) => self.failure = about(address, error),
            }
        }
        None
    }
}

/// Orders addresses so that the two families take turns, beginning with the first address's own (RFC
/// 8305, section 4): a network that has only one of them costs one step.
fn in_turns(addresses: &[SocketAddr]) -> VecDeque<SocketAddr> {
    let is_first_family = |address: &SocketAddr| address.is_ipv6() == addresses[0].is_ipv6();
    let (first, second): (Vec<_>, Vec<_>) = addresses.iter().copied().partition(is_first_family);
    let mut ordered = VecDeque::with_capacity(addresses.len());
    for at in 0..first.len().max(second.len()) {
        ordered.extend(
            [&first, &second]
                .into_iter()
                .filter_map(|family| family.get(at).copied()),
        );
    }
    ordered
}

/// Begins to connect, without blocking.
fn begin(address: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Err(error) if !is_connecting(&error) => Err(error),
        _ => Ok(socket),
    }
}

/// Returns the outcome of an attempt to connect, once it has ended.
fn outcome(socket: &socket2::Socket) -> Option<io::Result<()>> {
    match socket.take_error() {
        Ok(None) => socket.peer_addr().is_ok().then_some(Ok(())),
        Ok(Some(error)) | Err(error) => Some(Err(error)),
    }
}

/// Takes the socket of an attempt that has succeeded.
fn finish(socket: socket2::Socket) -> io::Result<Socket> {
    socket.set_nonblocking(false)?;
    reject_itself(Socket::new(socket)?)
}

/// Fails for a socket that has connected to itself. A client that tries a local port again and
/// again is at some time given that very port as its own, and TCP lets a socket connect to itself
/// (RFC 9293, section 3.5), though no server listens there.
fn reject_itself(socket: Socket) -> io::Result<Socket> {
    if socket.local_addr() != socket.peer_addr() {
        return Ok(socket);
    }
    // The port must be free at once, for a server that will listen there.
    SockRef::from(socket.stream()).set_linger(Some(Duration::ZERO))?;
    let what = "connection refused: nobody listens there, and the socket had reached itself";
    Err(io::Error::new(io::ErrorKind::ConnectionRefused, what))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use rustix::net::{AddressFamily, SocketType};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// An address that answers nothing: its queue of connections is full.
    fn silent() -> (SocketAddr, impl Sized) {
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        socket.bind(&any.into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut filling = Vec::new();
        let moment = Duration::from_millis(100);
        while let Ok(stream) = TcpStream::connect_timeout(&address, moment) {
            filling.push(stream);
        }
        (address, (socket, filling))
    }

    /// A silent address costs a quarter of a second, and not its share of the whole time.
    #[test]
    fn silent_addresses_cost_a_moment() {
        let (silent, _held) = silent();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let begun = Instant::now();
        let socket = dial(
            &[silent, silent, address],
            begun + PATIENCE,
            &Canceller::new(),
        )
        .unwrap();
        assert_eq!(socket.peer_addr().socket_addr(), Some(address));
        let took = begun.elapsed();
        assert!(took >= 2 * STAGGER && took < PATIENCE / 3, "{took:?}");
    }

    /// All addresses share the deadline, and those that were tried are given up with it.
    #[test]
    fn silent_addresses_share_the_deadline() {
        let (silent, _held) = silent();
        let begun = Instant::now();
        let error = dial(&[silent; 3], begun + 3 * STAGGER, &Canceller::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < PATIENCE / 3);
    }

    /// The two families take turns, and each keeps its order.
    #[test]
    fn families_take_turns() {
        let all = |text: &str| -> Vec<SocketAddr> {
            let address = |text| SocketAddr::new(str::parse(text).unwrap(), 1);
            text.split_whitespace().map(address).collect()
        };
        for (given, ordered) in [
            ("", ""),
            ("::1", "::1"),
            ("::1 ::2 ::3 1.1.1.1 2.2.2.2", "::1 1.1.1.1 ::2 2.2.2.2 ::3"),
            ("1.1.1.1 ::1 ::2", "1.1.1.1 ::1 ::2"),
        ] {
            assert_eq!(in_turns(&all(given)), all(ordered));
        }
    }

    /// An address that does not answer does not keep the next from being tried.
    #[test]
    fn tries_the_next_address() {
        let closed = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addresses = [closed, listener.local_addr().unwrap()];
        let deadline = Instant::now() + Duration::from_secs(30);
        let socket = dial(&addresses, deadline, &Canceller::new()).unwrap();
        assert_eq!(socket.peer_addr().socket_addr(), Some(addresses[1]));
    }

    /// A socket that reaches itself has reached nobody, and leaves the port free.
    #[test]
    fn reaches_nobody_by_itself() {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = SocketAddr::try_from(rustix::net::getsockname(&socket).unwrap()).unwrap();
        rustix::net::connect(&socket, &address).unwrap();
        let socket = Socket::new(socket).unwrap();
        let error = reject_itself(socket).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        TcpListener::bind(address).unwrap();
    }

    /// The error is that of the last address, and names it.
    #[test]
    fn names_the_address_that_failed() {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let closed = listeners.map(|listener| listener.local_addr().unwrap());
        let deadline = Instant::now() + Duration::from_secs(30);
        let error = dial(&closed, deadline, &Canceller::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(
            error.to_string().starts_with(&closed[1].to_string()),
            "{error}"
        );
    }

    /// A passed deadline is an error of its own kind, and nothing is tried.
    #[test]
    fn reports_a_passed_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = dial(
            &[listener.local_addr().unwrap()],
            Instant::now(),
            &Canceller::new(),
        )
        .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
