//! Streams of systems that may block in a call although it has a flag against that: macOS heeds
//! `MSG_DONTWAIT` when it receives, and not when it sends.

use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fd::OwnedFd;
use rustix::net::RecvFlags;
use socket2::SockRef;

use super::socket_calls as calls;
use crate::transport::os::Interest;
use crate::transport::os::receiving::{recv_at_most, recv_spare};

/// A connected stream socket that never blocks: who waits for input polls first.
#[derive(Debug)]
pub(in crate::transport) struct Stream {
    pub(super) fd: OwnedFd,
    /// The flag that the last read has filled its buffer, so that the next needs no poll. The thread
    /// that reads uses it alone (L2).
    may_have_more: AtomicBool,
}

impl Stream {
    /// Takes over a connected socket in any mode.
    pub(in crate::transport) fn new(fd: OwnedFd) -> io::Result<Self> {
        SockRef::from(&fd).set_nonblocking(true)?;
        #[cfg(target_vendor = "apple")]
        calls::raise_no_signal(&fd)?;
        Ok(Self {
            fd,
            may_have_more: AtomicBool::new(false),
        })
    }

    /// Reads into the spare capacity of `buffer`, blocking until there is input. 0 is the end.
    #[inline]
    pub(in crate::transport) fn recv(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.when_readable(|| self.try_recv(buffer))
    }

    /// Reads like [`recv`](Self::recv), or returns `WouldBlock` at once.
    #[inline]
    pub(in crate::transport) fn try_recv(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let room = buffer.capacity() - buffer.len();
        let received = recv_spare(&self.fd, buffer, RecvFlags::empty());
        let is_filled = received.as_ref().is_ok_and(|length| *length == room);
        self.may_have_more.store(is_filled, Ordering::Relaxed);
        received
    }

    /// Reads at most so many bytes, blocking until there is input. 0 is the end.
    pub(in crate::transport) fn recv_at_most(
        &self,
        buffer: &mut Vec<u8>,
        most: usize,
    ) -> io::Result<usize> {
        self.when_readable(|| recv_at_most(&self.fd, buffer, most, RecvFlags::empty()))
    }

    /// Receives once there is input.
    #[inline]
    fn when_readable(&self, mut receive: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        if self.may_have_more.load(Ordering::Relaxed) {
            match receive() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return received,
            }
        }
        loop {
            self.wait(Interest::Read, None);
            match receive() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return received,
            }
        }
    }

    /// Ends the peer's direction here. A thread that reads wakes and finds the end. macOS throws away
    /// what has arrived.
    pub(in crate::transport) fn stop_reading(&self) {
        calls::shut_down(&self.fd, Shutdown::Read);
    }

    /// Ends both directions, wakes the threads that read or wait, and has unsent data thrown away.
    pub(in crate::transport) fn cut(&self) {
        calls::discard_unsent(&self.fd);
        // One by one: where one has ended, macOS refuses to end both, and wakes nobody.
        self.finish_writing();
        self.stop_reading();
    }
}
