//! Listening sockets: their options, and why they do not accept.

use std::io;

use rustix::io::Errno;
use rustix::net::sockopt::socket_acceptconn;
use socket2::{SockRef, Socket};

use crate::transport::os::{AcceptFailure, OwnedFd};

/// The backlog, as `SOMAXCONN_HINT` writes it: without that, the system takes 200 at most.
pub(in crate::transport) const BACKLOG: i32 = -4_096;

/// Sets the options that a socket must have before it is bound. `SO_REUSEADDR` is none of them: here it
/// would let two servers have one port. A server that is started again finds its port free anyway.
pub(in crate::transport) fn set_listening_options(_: &Socket, reuse_port: bool) -> io::Result<()> {
    if reuse_port {
        let what = "Windows has no SO_REUSEPORT";
        return Err(io::Error::new(io::ErrorKind::Unsupported, what));
    }
    Ok(())
}

/// Tells whether a socket listens.
pub(in crate::transport) fn listens(fd: &OwnedFd) -> io::Result<bool> {
    Ok(socket_acceptconn(fd)?)
}

/// Keeps a socket from the programs that this one starts.
pub(in crate::transport) fn keep_to_this_process(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_no_inherit(true)
}

/// Classifies an error by the list of `accept`.
pub(in crate::transport) fn accept_failure(error: &io::Error) -> AcceptFailure {
    match Errno::from_io_error(error) {
        Some(Errno::WOULDBLOCK) => AcceptFailure::NoConnection,
        Some(
            Errno::CONNABORTED
            | Errno::CONNRESET
            | Errno::HOSTUNREACH
            | Errno::INTR
            | Errno::NETUNREACH
            | Errno::TIMEDOUT,
        ) => AcceptFailure::Newcomer,
        Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP) => {
            AcceptFailure::Listener
        }
        _ => AcceptFailure::System,
    }
}
