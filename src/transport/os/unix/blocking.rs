//! Streams of systems that take a flag with each call that must not block.

use std::io;
use std::net::Shutdown;

use rustix::fd::OwnedFd;
use rustix::net::RecvFlags;

use super::socket_calls as calls;
use crate::transport::os::receiving::{recv_at_most, recv_spare};

/// A connected stream socket in blocking mode: one call receives, and one sends.
#[derive(Debug)]
pub(in crate::transport) struct Stream {
    pub(super) fd: OwnedFd,
}

impl Stream {
    /// Takes over a connected socket in blocking mode, or one that was accepted.
    pub(in crate::transport) fn new(fd: OwnedFd) -> io::Result<Self> {
        // Systems other than Linux pass the listener's mode on.
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        socket2::SockRef::from(&fd).set_nonblocking(false)?;
        Ok(Self { fd })
    }

    /// Reads into the spare capacity of `buffer`, blocking until there is input. 0 is the end.
    #[inline]
    pub(in crate::transport) fn recv(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        recv_spare(&self.fd, buffer, RecvFlags::empty())
    }

    /// Reads like [`recv`](Self::recv), or returns `WouldBlock` at once.
    #[inline]
    pub(in crate::transport) fn try_recv(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        recv_spare(&self.fd, buffer, RecvFlags::DONTWAIT)
    }

    /// Reads at most so many bytes, blocking until there is input. 0 is the end.
    pub(in crate::transport) fn recv_at_most(
        &self,
        buffer: &mut Vec<u8>,
        most: usize,
    ) -> io::Result<usize> {
        recv_at_most(&self.fd, buffer, most, RecvFlags::empty())
    }

    /// Ends the peer's direction here. A thread that reads wakes and finds the end.
    pub(in crate::transport) fn stop_reading(&self) {
        calls::shut_down(&self.fd, Shutdown::Read);
    }

    /// Ends both directions, wakes the threads that read or wait, and has unsent data thrown away.
    pub(in crate::transport) fn cut(&self) {
        calls::discard_unsent(&self.fd);
        calls::shut_down(&self.fd, Shutdown::Both);
    }
}
