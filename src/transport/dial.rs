//! Connecting to one of several addresses, under one deadline.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::sockopt;
use socket2::{Domain, Type};

use super::{Socket, Wake, poll_all};
use crate::canceller::Canceller;
use crate::error::about;

/// Connects to the first address that answers. Each gets the time that is left, divided by the
/// addresses that are left.
///
/// # Errors
/// The error of the last address, which it names; `TimedOut` at the deadline; any error once
/// cancelled.
pub(crate) fn dial(
    addresses: &[SocketAddr],
    deadline: Instant,
    canceller: &Canceller,
) -> io::Result<Socket> {
    let (wake, _watch) = Wake::on_cancel(canceller)?;
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (position, address) in addresses.iter().enumerate() {
        let share = u32::try_from(addresses.len() - position).unwrap_or(u32::MAX);
        let until = Instant::now() + left(deadline)? / share;
        match reach(*address, until, &wake)
            .and_then(Socket::new)
            .and_then(reject_itself)
        {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = about(address, error),
        }
        if canceller.is_cancelled() {
            break;
        }
    }
    Err(failure)
}

/// Connects to an address, until the deadline or the wake-up.
fn reach(address: SocketAddr, deadline: Instant, wake: &Wake) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
        connected => connected?,
    }
    let mut fds = [
        PollFd::new(&socket, PollFlags::OUT),
        PollFd::new(wake, PollFlags::IN),
    ];
    while fds.iter().all(|fd| fd.revents().is_empty()) {
        left(deadline)?;
        // A wait that has failed is tried again.
        let _ = poll_all(&mut fds, Some(deadline));
    }
    if !fds[1].revents().is_empty() {
        return Err(io::ErrorKind::Interrupted.into());
    }
    socket.take_error()?.map_or(Ok(()), Err)?;
    socket.set_nonblocking(false)?;
    Ok(socket)
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
