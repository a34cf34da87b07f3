//! Unix sockets, which are not to be had on Windows.

use std::io;
use std::path::Path;

use rustix::fd::OwnedFd;
use socket2::SockAddr;

use crate::Address;

/// The file of a listening Unix socket: there is none.
#[derive(Debug)]
pub(in crate::transport) enum SocketFile {}

pub(in crate::transport) fn listen_at_path(
    _: &Path,
    _: Option<u32>,
) -> io::Result<(OwnedFd, SocketFile)> {
    Err(unsupported())
}

pub(in crate::transport) fn listen_at_name(_: &[u8]) -> io::Result<OwnedFd> {
    Err(unsupported())
}

pub(in crate::transport) fn unix_socket() -> io::Result<socket2::Socket> {
    Err(unsupported())
}

/// Returns no name.
pub(in crate::transport) fn name_of_unix_socket(_: &SockAddr) -> Address {
    Address::unnamed()
}

fn unsupported() -> io::Error {
    let what = "Unix sockets are not supported on Windows";
    io::Error::new(io::ErrorKind::Unsupported, what)
}
