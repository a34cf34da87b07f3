//! A connected stream socket of the system, TCP or Unix.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags};
use rustix::io::{ioctl_fionread, retry_on_intr};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg, sockopt};
use socket2::{SockAddr, SockRef, Type};

use super::{Interest, Ready, poll_all};
use crate::Address;

/// A connected stream socket: its descriptor, and the system's calls.
#[derive(Debug)]
pub(super) struct StreamSocket {
    fd: OwnedFd,
    // Asked at the beginning: a socket that its peer has reset has no addresses any more.
    peer_addr: Address,
    local_addr: Address,
}

impl StreamSocket {
    /// Takes over a connected socket in blocking mode, and sets it to delay no packet and raise no
    /// SIGPIPE.
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        let socket = SockRef::from(&fd);
        let local_addr = address(&socket.local_addr()?)?;
        let peer_addr = address(&socket.peer_addr()?)?;
        if !local_addr.is_unix() {
            socket.set_tcp_nodelay(true)?;
        }
        #[cfg(target_vendor = "apple")]
        sockopt::set_socket_nosigpipe(&fd, true)?;
        Ok(Self {
            fd,
            peer_addr,
            local_addr,
        })
    }

    /// Takes over a descriptor that the program has made. It must block, have no timeouts, and not pass
    /// to other programs.
    ///
    /// # Errors
    /// `InvalidInput` for one that is no connected stream socket.
    pub(super) fn given(fd: OwnedFd) -> io::Result<Self> {
        let made = Self::prepare(&fd).and_then(|()| Self::new(fd));
        made.map_err(|error| {
            let what = format!("the descriptor is no connected stream socket: {error}");
            io::Error::new(io::ErrorKind::InvalidInput, what)
        })
    }

    fn prepare(fd: &OwnedFd) -> io::Result<()> {
        let socket = SockRef::from(fd);
        if socket.r#type()? != Type::STREAM {
            return Err(io::Error::other("it does not carry a stream"));
        }
        socket.set_cloexec(true)?;
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(None)?;
        socket.set_write_timeout(None)
    }

    pub(super) fn peer_addr(&self) -> &Address {
        &self.peer_addr
    }

    pub(super) fn local_addr(&self) -> &Address {
        &self.local_addr
    }

    /// Bounds the data to send that the kernel holds.
    pub(super) fn set_send_buffer(&self, bytes: usize) -> io::Result<()> {
        // A number that the system cannot represent stands for as much as it grants.
        let bytes = bytes.min(i32::MAX as usize);
        Ok(sockopt::set_socket_send_buffer_size(&self.fd, bytes)?)
    }

    /// Bounds the data that TCP takes before it has sent what it holds. Without this bound a socket
    /// counts as writable only when a third of its buffer is free, and that buffer grows to
    /// megabytes. Other sockets have no such bound.
    pub(super) fn set_notsent_lowat(&self, bytes: usize) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if !self.local_addr.is_unix() {
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            return SockRef::from(&self.fd).set_tcp_notsent_lowat(bytes);
        }
        let _ = bytes;
        Ok(())
    }

    /// Reads into the spare capacity of `buffer`, blocking until there is input. 0 is the end.
    pub(super) fn recv(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.recv_with(buffer, RecvFlags::empty())
    }

    /// Reads like [`recv`](Self::recv), or returns `WouldBlock` at once.
    pub(super) fn try_recv(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.recv_with(buffer, RecvFlags::DONTWAIT)
    }

    /// Reads at most so many bytes, blocking until there is input. 0 is the end.
    pub(super) fn recv_at_most(&self, buffer: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        let begin = buffer.len();
        buffer.resize(begin + most, 0);
        let received = retry_on_intr(|| recv(&self.fd, &mut buffer[begin..], RecvFlags::empty()));
        let length = received.map_or(0, |(length, _)| length);
        buffer.truncate(begin + length);
        Ok(received?.0)
    }

    fn recv_with(&self, buffer: &mut Vec<u8>, flags: RecvFlags) -> io::Result<usize> {
        if buffer.len() == buffer.capacity() {
            // A read of no bytes would be taken for the end.
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let (length, _) = retry_on_intr(|| recv(&self.fd, spare_capacity(buffer), flags))?;
        Ok(length)
    }

    /// Writes as much as the kernel takes now, or returns `WouldBlock`.
    pub(super) fn try_send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | no_signal();
        let sent = match parts {
            // One part costs the kernel less than several.
            [part, rest @ ..] if rest.iter().all(|part| part.is_empty()) => {
                retry_on_intr(|| send(&self.fd, part, flags))
            }
            _ => retry_on_intr(|| {
                let mut ancillary = SendAncillaryBuffer::default();
                sendmsg(&self.fd, parts, &mut ancillary, flags)
            }),
        };
        Ok(sent?)
    }

    /// Waits until the socket is ready, shut down or broken, at most until the deadline.
    pub(super) fn wait(&self, interest: Interest, deadline: Option<Instant>) -> Ready {
        let mut fds = [PollFd::new(&self.fd, interest.flags())];
        match poll_all(&mut fds, deadline) {
            Ok(()) => Ready::from(fds[0].revents()),
            // The caller looks again.
            Err(_) => Ready::default(),
        }
    }

    /// Returns how many bytes are left to read if the peer's input has ended, `None` while more may come.
    pub(super) fn left_at_end(&self) -> Option<u64> {
        let mut fds = [PollFd::new(&self.fd, end_of_input())];
        poll_all(&mut fds, Some(Instant::now())).ok()?;
        // A reset or a hang-up is told unasked; what came before it can still be read.
        if fds[0].revents().is_empty() {
            return None;
        }
        ioctl_fionread(&self.fd).ok()
    }

    /// Ends one direction or both. It wakes the threads that wait for the socket.
    pub(super) fn shut_down(&self, how: Shutdown) {
        // It fails for a socket that is no longer connected, whose directions have ended.
        let _ = SockRef::from(&self.fd).shutdown(how);
    }

    /// Makes the kernel throw away unsent data when the socket is closed.
    pub(super) fn discard_unsent(&self) {
        let _ = sockopt::set_socket_linger(&self.fd, Some(Duration::ZERO));
    }
}

impl AsFd for StreamSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Takes an address from the system.
///
/// # Errors
/// Returns `Unsupported` for an address that is neither IP's nor a Unix socket's.
pub(super) fn address(address: &SockAddr) -> io::Result<Address> {
    if let Some(address) = address.as_socket() {
        return Ok(address.into());
    }
    // Some systems return nothing at all for a socket without a name.
    if !address.is_unix() && address.len() > 0 {
        let what = "the socket is neither TCP nor a Unix socket";
        return Err(io::Error::new(io::ErrorKind::Unsupported, what));
    }
    let path = address.as_pathname().map(Address::from_path);
    let name = || {
        let name = address.as_abstract_namespace();
        name.map(Address::from_abstract_name)
    };
    Ok(path.or_else(name).unwrap_or_else(Address::unnamed))
}

/// What tells that the peer has ended its direction alone, where the system tells it apart.
fn end_of_input() -> PollFlags {
    #[cfg(any(
        target_os = "freebsd",
        all(
            any(target_os = "linux", target_os = "android"),
            not(any(target_arch = "sparc", target_arch = "sparc64"))
        )
    ))]
    return PollFlags::RDHUP;
    #[allow(unreachable_code, reason = "the others have a hang-up at most")]
    PollFlags::empty()
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
