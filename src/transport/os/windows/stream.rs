//! Streams of Windows, where `shutdown` wakes neither a thread in `recv` nor one that polls
//! (rust-lang/rust#121594).

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsSocket, BorrowedFd, OwnedFd};
use rustix::io::{Errno, ioctl_fionread};
use rustix::net::{RecvFlags, SendFlags, send};
use socket2::SockRef;

use super::Wake;
use crate::transport::os::polling::poll_all;
use crate::transport::os::receiving::{recv_at_most, recv_spare};
use crate::transport::os::{Interest, Ready};

/// A connected stream socket that never blocks: who waits for input polls first.
#[derive(Debug)]
pub(in crate::transport) struct Stream {
    fd: OwnedFd,
    /// Polled beside the socket, and set off for good when reading ends here.
    alarm: Wake,
    /// The flag that the peer's direction has ended here. To have the system end it would reset the
    /// connection at the peer's next bytes, and destroy what was sent and not yet read.
    reading_is_over: AtomicBool,
    is_cut: AtomicBool,
    /// The flag that the last read has filled its buffer, so that the next needs no poll. The thread
    /// that reads uses it alone (L2).
    may_have_more: AtomicBool,
}

impl Stream {
    /// Takes over a connected socket in any mode.
    pub(in crate::transport) fn new(fd: OwnedFd) -> io::Result<Self> {
        SockRef::from(&fd).set_nonblocking(true)?;
        Ok(Self {
            fd,
            alarm: Wake::new()?,
            reading_is_over: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            may_have_more: AtomicBool::new(false),
        })
    }

    /// Reads into the spare capacity of `buffer`, blocking until there is input. 0 is the end.
    pub(in crate::transport) fn recv(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.when_readable(|| self.try_recv(buffer))
    }

    /// Reads like [`recv`](Self::recv), or returns `WouldBlock` at once.
    pub(in crate::transport) fn try_recv(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let room = buffer.capacity() - buffer.len();
        let received = self.receive(|| recv_spare(&self.fd, buffer, RecvFlags::empty()));
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
        self.when_readable(|| {
            self.receive(|| recv_at_most(&self.fd, buffer, most, RecvFlags::empty()))
        })
    }

    /// Receives once there is input.
    fn when_readable(&self, mut receive: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        let mut is_readable = self.may_have_more.load(Ordering::Relaxed);
        loop {
            if !is_readable {
                self.wait(Interest::Read, None);
            }
            is_readable = false;
            match receive() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return received,
            }
        }
    }

    /// Receives by a call of the system's. Behind what has arrived, the end is ours or the peer's.
    fn receive(&self, call: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
        if self.is_cut.load(Ordering::Acquire) {
            return Ok(0);
        }
        match call() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                match self.reading_is_over.load(Ordering::Acquire) {
                    true => Ok(0),
                    false => Err(error),
                }
            }
            Err(error) if Errno::from_io_error(&error) == Some(Errno::SHUTDOWN) => Ok(0),
            received => received,
        }
    }

    /// Writes as much as the kernel takes now, or returns `WouldBlock`.
    pub(in crate::transport) fn try_send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match parts {
            [part, rest @ ..] if rest.iter().all(|part| part.is_empty()) => {
                Ok(send(&self.fd, part, SendFlags::empty())?)
            }
            _ => SockRef::from(&self.fd).send_vectored(parts),
        }
    }

    /// Waits until the socket is ready, ended here or broken, at most until the deadline.
    pub(in crate::transport) fn wait(
        &self,
        interest: Interest,
        deadline: Option<Instant>,
    ) -> Ready {
        let mut fds = self.watched(interest);
        match poll_all(&mut fds, deadline) {
            Ok(()) => self.found(&mut fds.iter().map(PollFd::revents)),
            // The caller looks again.
            Err(_) => Ready::default(),
        }
    }

    /// Returns what to poll.
    pub(in crate::transport::os) fn watched(&self, interest: Interest) -> [PollFd<'_>; 2] {
        [
            PollFd::new(&self.fd, interest.flags()),
            self.alarm.watched(),
        ]
    }

    /// Returns what the polled is ready for.
    pub(in crate::transport::os) fn found(
        &self,
        polled: &mut impl Iterator<Item = PollFlags>,
    ) -> Ready {
        let found = polled.next().map_or_else(Ready::default, Ready::from);
        let is_set_off = polled.next().is_some_and(|flags| !flags.is_empty());
        if is_set_off && self.reading_is_over.load(Ordering::Acquire) {
            return Ready::BOTH;
        }
        if is_set_off {
            // A datagram of somebody else's, from before the alarm was connected to itself.
            self.alarm.clear();
        }
        found
    }

    /// Returns how many bytes are left to read if the peer's input has ended, `None` while more may come.
    /// An end that lies behind unread bytes may not be told (Wine 8 does not).
    pub(in crate::transport) fn left_at_end(&self) -> Option<u64> {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        poll_all(&mut fds, Some(Instant::now())).ok()?;
        let ends = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        if !fds[0].revents().intersects(ends) {
            return None;
        }
        ioctl_fionread(&self.fd).ok()
    }

    /// Ends our direction.
    pub(in crate::transport) fn finish_writing(&self) {
        // It fails for a socket that is no longer connected, whose directions have ended.
        let _ = SockRef::from(&self.fd).shutdown(Shutdown::Write);
    }

    /// Ends the peer's direction here. A thread that reads wakes and finds the end.
    pub(in crate::transport) fn stop_reading(&self) {
        self.reading_is_over.store(true, Ordering::Release);
        self.alarm.wake();
    }

    /// Ends both directions, wakes the threads that read or wait, and has unsent data thrown away.
    pub(in crate::transport) fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
        let _ = SockRef::from(&self.fd).set_linger(Some(Duration::ZERO));
        self.finish_writing();
        self.stop_reading();
    }
}

impl AsSocket for Stream {
    fn as_socket(&self) -> BorrowedFd<'_> {
        self.fd.as_socket()
    }
}
