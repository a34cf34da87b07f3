//! Connecting to one of several addresses, under one deadline.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::net::sockopt;

use super::Socket;
use crate::error::about;

/// Connects to the first address that answers. Each gets the time that is left, divided by the
/// addresses that are left.
///
/// # Errors
/// The error of the last address, which it names; `TimedOut` at the deadline.
pub(crate) fn dial(addresses: &[SocketAddr], deadline: Instant) -> io::Result<Socket> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (position, address) in addresses.iter().enumerate() {
        let share = u32::try_from(addresses.len() - position).unwrap_or(u32::MAX);
        let reached = TcpStream::connect_timeout(address, left(deadline)? / share);
        match reached.and_then(Socket::new).and_then(reject_itself) {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = about(address, error),
        }
    }
    Err(failure)
}

/// Fails for a socket that has connected to itself. A client that tries a local port again and
/// again is at some time given that very port as its own, and TCP lets a socket connect to itself
/// (RFC 9293, section 3.5), though no server listens there.
fn reject_itself(socket: Socket) -> io::Result<Socket> {
    if socket.local_addr() != socket.peer_addr() {
        return Ok(socket);
    }
    // The port must be free at once, for a server that will listen there.
    sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
    let what = "connection refused: nobody listens there, and the socket had reached itself";
    Err(io::Error::new(io::ErrorKind::ConnectionRefused, what))
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(timed_out())
    } else {
        Ok(left)
    }
}

fn timed_out() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use rustix::net::{AddressFamily, SocketType};

    use super::*;

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
        let socket = dial(&addresses, deadline).unwrap();
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
        let error = dial(&closed, deadline).unwrap_err();
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
        let error = dial(&[listener.local_addr().unwrap()], Instant::now()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
