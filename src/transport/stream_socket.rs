//! A connected stream socket of the system, TCP or Unix.

use std::io;

use socket2::{SockAddr, SockRef, Type};

use super::os::{OwnedFd, Stream, keep_to_this_process, name_of_unix_socket};
use crate::Address;

/// A connected stream socket, with its addresses and options.
#[derive(Debug)]
pub(super) struct StreamSocket {
    pub(super) stream: Stream,
    // Asked at the beginning: a socket that its peer has reset has no addresses any more.
    peer_addr: Address,
    local_addr: Address,
}

impl StreamSocket {
    /// Takes over a connected socket in blocking mode, or one that was accepted, and sets it to delay
    /// no packet and raise no SIGPIPE.
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        let socket = SockRef::from(&fd);
        let local_addr = address(&socket.local_addr()?)?;
        let peer_addr = address(&socket.peer_addr()?)?;
        if !local_addr.is_unix() {
            socket.set_tcp_nodelay(true)?;
        }
        Ok(Self {
            stream: Stream::new(fd)?,
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
        keep_to_this_process(&socket)?;
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
        SockRef::from(&self.stream).set_send_buffer_size(bytes)
    }

    /// Bounds the data that TCP takes before it has sent what it holds. Without this bound a socket
    /// counts as writable only when a third of its buffer is free, and that buffer grows to
    /// megabytes. Other sockets have no such bound.
    pub(super) fn set_notsent_lowat(&self, bytes: usize) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if !self.local_addr.is_unix() {
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            return SockRef::from(&self.stream).set_tcp_notsent_lowat(bytes);
        }
        let _ = bytes;
        Ok(())
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
    Ok(name_of_unix_socket(address))
}
