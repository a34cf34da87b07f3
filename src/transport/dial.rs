//! Reaching a host by name: the lookup, and one address after the other, under one deadline.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use url::Host;

/// Connects to the first address that answers. Each gets the time that is left, divided by the
/// addresses that are left.
pub(crate) fn dial(host: Host<&str>, port: u16, deadline: Instant) -> io::Result<TcpStream> {
    let addresses = match host {
        Host::Ipv4(ip) => vec![SocketAddr::from((ip, port))],
        Host::Ipv6(ip) => vec![SocketAddr::from((ip, port))],
        Host::Domain(name) => lookup(name, port, deadline)?,
    };
    connect_any(&addresses, deadline)
}

fn connect_any(addresses: &[SocketAddr], deadline: Instant) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (position, address) in addresses.iter().enumerate() {
        let share = u32::try_from(addresses.len() - position).unwrap_or(u32::MAX);
        match TcpStream::connect_timeout(address, left(deadline)? / share) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Looks a name up on a thread of its own, which is left behind if it takes too long: the system's
/// resolver cannot be interrupted.
fn lookup(name: &str, port: u16, deadline: Instant) -> io::Result<Vec<SocketAddr>> {
    let (sender, receiver) = mpsc::channel();
    let name = name.to_owned();
    thread::Builder::new()
        .name("landline-lookup".into())
        .spawn(move || {
            let addresses = (name.as_str(), port)
                .to_socket_addrs()
                .map(Iterator::collect);
            // Nobody waits for it any more if this fails.
            let _ = sender.send(addresses);
        })?;
    receiver
        .recv_timeout(left(deadline)?)
        .unwrap_or_else(|_| Err(timed_out()))
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
        let stream = connect_any(&addresses, deadline).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addresses[1]);
    }

    /// A passed deadline is an error of its own kind, and nothing is tried.
    #[test]
    fn reports_a_passed_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = connect_any(&[listener.local_addr().unwrap()], Instant::now()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
