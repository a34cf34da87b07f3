//! Listening sockets: their options, and why they do not accept.

use std::io;

use rustix::io::Errno;
use socket2::{SockRef, Socket};

use crate::transport::os::{AcceptFailure, OwnedFd};

/// The backlog. std's is 128, too few for many clients that reconnect at once. The system caps it
/// at its own maximum.
pub(in crate::transport) const BACKLOG: i32 = 4_096;

/// Sets the options that a socket must have before it is bound.
pub(in crate::transport) fn set_listening_options(
    socket: &Socket,
    reuse_port: bool,
) -> io::Result<()> {
    // A server that is started again finds its port free, as with std.
    socket.set_reuse_address(true)?;
    if reuse_port {
        set_reuse_port(socket)?;
    }
    Ok(())
}

#[cfg(not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin")))]
fn set_reuse_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))]
fn set_reuse_port(_: &Socket) -> io::Result<()> {
    let what = "this system has no SO_REUSEPORT";
    Err(io::Error::new(io::ErrorKind::Unsupported, what))
}

/// Tells whether a socket listens.
#[cfg(not(target_vendor = "apple"))]
pub(in crate::transport) fn listens(fd: &OwnedFd) -> io::Result<bool> {
    Ok(rustix::net::sockopt::socket_acceptconn(fd)?)
}

/// Takes every socket for one that listens: these systems do not tell. Accepting fails for another.
#[cfg(target_vendor = "apple")]
pub(in crate::transport) fn listens(_: &OwnedFd) -> io::Result<bool> {
    Ok(true)
}

/// Keeps a socket from the programs that this one starts.
pub(in crate::transport) fn keep_to_this_process(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_cloexec(true)
}

/// Classifies an error by the list of accept(2).
pub(in crate::transport) fn accept_failure(error: &io::Error) -> AcceptFailure {
    match Errno::from_io_error(error) {
        Some(Errno::AGAIN) => AcceptFailure::NoConnection,
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
        ) => AcceptFailure::Newcomer,
        #[cfg(any(target_os = "linux", target_os = "android"))]
        Some(Errno::NONET) => AcceptFailure::Newcomer,
        Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK) => AcceptFailure::Listener,
        _ => AcceptFailure::System,
    }
}
