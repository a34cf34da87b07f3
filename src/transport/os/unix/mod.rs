//! Unix.

mod listening;
mod resources;
mod socket_calls;
mod socket_file;
#[cfg_attr(
    all(
        any(target_os = "linux", target_os = "android", target_os = "freebsd"),
        not(landline_portable)
    ),
    path = "blocking.rs"
)]
#[cfg_attr(
    not(all(
        any(target_os = "linux", target_os = "android", target_os = "freebsd"),
        not(landline_portable)
    )),
    path = "polled.rs"
)]
mod stream;
mod wake;

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Instant;

use rustix::event::PollFd;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Type};

use crate::Address;
pub(in crate::transport) use listening::{
    BACKLOG, accept_failure, keep_to_this_process, listens, set_listening_options,
};
pub(in crate::transport) use resources::{address_space_limit, descriptor_limit, thread_limit};
pub(in crate::transport) use socket_file::{SocketFile, listen_at_name, listen_at_path};
pub(in crate::transport) use stream::Stream;
pub(crate) use wake::Wake;

/// Makes two connected stream sockets.
pub(crate) fn pair() -> io::Result<[OwnedFd; 2]> {
    let (one, other) = UnixStream::pair()?;
    Ok([one.into(), other.into()])
}

/// Makes a Unix socket.
pub(in crate::transport) fn unix_socket() -> io::Result<socket2::Socket> {
    socket2::Socket::new(Domain::UNIX, Type::STREAM, None)
}

/// Returns the name of a Unix socket.
pub(in crate::transport) fn name_of_unix_socket(address: &SockAddr) -> Address {
    let path = address.as_pathname().map(Address::from_path);
    let name = || {
        let name = address.as_abstract_namespace();
        name.map(Address::from_abstract_name)
    };
    path.or_else(name).unwrap_or_else(Address::unnamed)
}

/// Returns the path that these bytes name.
pub(crate) fn path_of(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

/// Tells whether the system goes on connecting. POSIX: it does so after a signal too.
pub(in crate::transport) fn is_connecting(error: &io::Error) -> bool {
    let in_progress = Some(Errno::INPROGRESS.raw_os_error());
    error.raw_os_error() == in_progress
        || matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
        )
}

/// Tells whether this machine lacks all addresses of a kind.
pub(in crate::transport) fn is_unknown_family(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error())
}

/// Does nothing: a hang-up means here that both directions have ended, and no writer waits on.
pub(super) fn pause_for_hang_ups(_: &[PollFd<'_>], _: Option<Instant>) {}
