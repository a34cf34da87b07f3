//! One call of the system's that receives.

use std::io;

use rustix::buffer::spare_capacity;
use rustix::fd::OwnedFd;
use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, recv};

/// Reads into the spare capacity of `buffer`. 0 is the end.
#[inline]
pub(super) fn recv_spare(
    fd: &OwnedFd,
    buffer: &mut Vec<u8>,
    flags: RecvFlags,
) -> io::Result<usize> {
    if buffer.len() == buffer.capacity() {
        // A read of no bytes would be taken for the end.
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    let (length, _) = retry_on_intr(|| recv(fd, spare_capacity(buffer), flags))?;
    Ok(length)
}

/// Reads at most so many bytes. 0 is the end.
pub(super) fn recv_at_most(
    fd: &OwnedFd,
    buffer: &mut Vec<u8>,
    most: usize,
    flags: RecvFlags,
) -> io::Result<usize> {
    let begin = buffer.len();
    buffer.resize(begin + most, 0);
    let received = retry_on_intr(|| recv(fd, &mut buffer[begin..], flags));
    let length = received.map_or(0, |(length, _)| length);
    buffer.truncate(begin + length);
    Ok(received?.0)
}
