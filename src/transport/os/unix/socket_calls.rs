//! What both kinds of streams do alike, and the calls that they make.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{ioctl_fionread, retry_on_intr};
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};
use socket2::SockRef;

use super::Stream;
use crate::transport::os::polling::poll_all;
use crate::transport::os::{Interest, Ready};

impl Stream {
    /// Writes as much as the kernel takes now, or returns `WouldBlock`.
    #[inline]
    pub(in crate::transport) fn try_send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        try_send(&self.fd, parts)
    }

    /// Waits until the socket is ready, shut down or broken, at most until the deadline.
    pub(in crate::transport) fn wait(
        &self,
        interest: Interest,
        deadline: Option<Instant>,
    ) -> Ready {
        wait(&self.fd, interest, deadline)
    }

    /// Returns what to poll.
    pub(in crate::transport::os) fn watched(&self, interest: Interest) -> [PollFd<'_>; 1] {
        [PollFd::new(&self.fd, interest.flags())]
    }

    /// Returns what the polled is ready for.
    pub(in crate::transport::os) fn found(
        &self,
        polled: &mut impl Iterator<Item = PollFlags>,
    ) -> Ready {
        polled.next().map_or_else(Ready::default, Ready::from)
    }

    /// Returns how many bytes are left to read if the peer's input has ended, `None` while more may come.
    pub(in crate::transport) fn left_at_end(&self) -> Option<u64> {
        left_at_end(&self.fd)
    }

    /// Ends our direction.
    pub(in crate::transport) fn finish_writing(&self) {
        shut_down(&self.fd, Shutdown::Write);
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Writes as much as the kernel takes now, or returns `WouldBlock`.
#[inline]
pub(super) fn try_send(fd: &OwnedFd, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = SendFlags::DONTWAIT | no_signal();
    let sent = match parts {
        // One part costs the kernel less than several.
        [part, rest @ ..] if rest.iter().all(|part| part.is_empty()) => {
            retry_on_intr(|| send(fd, part, flags))
        }
        _ => retry_on_intr(|| {
            let mut ancillary = SendAncillaryBuffer::default();
            sendmsg(fd, parts, &mut ancillary, flags)
        }),
    };
    Ok(sent?)
}

/// Waits until the socket is ready, shut down or broken, at most until the deadline.
pub(super) fn wait(fd: &OwnedFd, interest: Interest, deadline: Option<Instant>) -> Ready {
    let mut fds = [PollFd::new(fd, interest.flags())];
    match poll_all(&mut fds, deadline) {
        Ok(()) => Ready::from(fds[0].revents()),
        // The caller looks again.
        Err(_) => Ready::default(),
    }
}

/// Returns how many bytes are left to read if the peer's input has ended, `None` while more may come.
pub(super) fn left_at_end(fd: &OwnedFd) -> Option<u64> {
    let mut fds = [PollFd::new(fd, END_OF_INPUT)];
    poll_all(&mut fds, Some(Instant::now())).ok()?;
    // A reset or a hang-up is told unasked; what came before it can still be read.
    let told = fds[0].revents() - PollFlags::IN;
    if told.is_empty() {
        return None;
    }
    ioctl_fionread(fd).ok()
}

/// What to ask for so that the end of the peer's direction alone is told. Systems without a flag of its
/// own, such as macOS, tell it as a hang-up to those who wait for input.
#[cfg(any(
    target_os = "freebsd",
    all(
        any(target_os = "linux", target_os = "android"),
        not(any(target_arch = "sparc", target_arch = "sparc64"))
    )
))]
const END_OF_INPUT: PollFlags = PollFlags::RDHUP;
#[cfg(not(any(
    target_os = "freebsd",
    all(
        any(target_os = "linux", target_os = "android"),
        not(any(target_arch = "sparc", target_arch = "sparc64"))
    )
)))]
const END_OF_INPUT: PollFlags = PollFlags::IN;

/// Ends a direction, or both. It wakes the threads that wait for the socket.
pub(super) fn shut_down(fd: &OwnedFd, how: Shutdown) {
    // It fails for a socket that is no longer connected, whose directions have ended.
    let _ = SockRef::from(fd).shutdown(how);
}

/// Has the kernel throw away unsent data when the socket is closed.
pub(super) fn discard_unsent(fd: &OwnedFd) {
    let _ = SockRef::from(fd).set_linger(Some(Duration::ZERO));
}

/// Has writes to the socket raise no SIGPIPE, where a flag of each write does not do that.
#[cfg(target_vendor = "apple")]
pub(super) fn raise_no_signal(fd: &OwnedFd) -> io::Result<()> {
    SockRef::from(fd).set_nosigpipe(true)
}

#[cfg(not(target_vendor = "apple"))]
fn no_signal() -> SendFlags {
    SendFlags::NOSIGNAL
}

/// Returns no flags: on these systems the socket itself carries the option.
#[cfg(target_vendor = "apple")]
fn no_signal() -> SendFlags {
    SendFlags::empty()
}
