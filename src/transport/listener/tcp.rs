//! Listening sockets at IP addresses.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Type};

use super::ListenOptions;
use crate::error::about;
use crate::record::debug;
use crate::transport::os::{BACKLOG, OwnedFd, is_unknown_family, set_listening_options};

/// A listening socket, with the number of its address in the list that was asked for.
pub(super) type Numbered = (usize, OwnedFd);

/// The number of times that the system may choose a port which is taken at another of the
/// addresses.
const MOST_CHOICES: usize = 16;

/// Listens on all of these addresses that this machine has. If the system chooses the port, it is
/// the same for all.
///
/// # Errors
/// The error begins with the address.
pub(super) fn bind_all(
    addresses: &[(usize, SocketAddr)],
    options: &ListenOptions,
) -> io::Result<Vec<Numbered>> {
    let mut choices = 0;
    loop {
        let bound = try_bind_all(addresses, options);
        let is_taken = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
        let chosen = addresses.iter().any(|(_, address)| address.port() == 0);
        choices += 1;
        if chosen && choices < MOST_CHOICES && bound.as_ref().is_err_and(is_taken) {
            continue;
        }
        return bound;
    }
}

fn try_bind_all(
    addresses: &[(usize, SocketAddr)],
    options: &ListenOptions,
) -> io::Result<Vec<Numbered>> {
    let mut sockets = Vec::new();
    let mut bound = Vec::new();
    let mut chosen = 0;
    let mut absent = None;
    for (number, address) in addresses {
        let mut wanted = *address;
        if wanted.port() == 0 {
            wanted.set_port(chosen);
        }
        if bound.contains(&wanted) {
            continue;
        }
        match listen(wanted, has_ipv4_beside(*address, addresses), options) {
            Ok((socket, own)) => {
                if address.port() == 0 {
                    chosen = own.port();
                }
                bound.push(own);
                sockets.push((*number, socket));
            }
            Err(error) if is_absent(&error) => {
                debug!("not listening on {wanted}: {error}");
                absent = Some(about(wanted, error));
            }
            Err(error) => return Err(about(wanted, error)),
        }
    }
    match absent {
        Some(error) if sockets.is_empty() => Err(error),
        _ => Ok(sockets),
    }
}

/// Tells whether an IPv4 address with the same port is in the list. An IPv6 socket must not take
/// its connections too.
fn has_ipv4_beside(address: SocketAddr, all: &[(usize, SocketAddr)]) -> bool {
    all.iter()
        .any(|(_, other)| other.is_ipv4() && other.port() == address.port())
}

fn listen(
    address: SocketAddr,
    only_v6: bool,
    options: &ListenOptions,
) -> io::Result<(OwnedFd, SocketAddr)> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    set_listening_options(&socket, options.reuse_port)?;
    if address.is_ipv6() && only_v6 {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let own = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok((socket.into(), own))
}

/// Tells whether this machine lacks the address, or all addresses of its kind.
fn is_absent(error: &io::Error) -> bool {
    is_unknown_family(error) || error.kind() == io::ErrorKind::AddrNotAvailable
}
