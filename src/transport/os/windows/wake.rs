//! Waking a thread that sleeps in `WSAPoll`.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};

use rustix::event::{PollFd, PollFlags};

/// The wake-up of a thread that polls it: a UDP socket that is connected to itself. Each takes one port
/// of the system's dynamic range.
#[derive(Debug)]
pub(crate) struct Wake(UdpSocket);

impl Wake {
    pub(crate) fn new() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        // From now on the system discards what others send here.
        socket.connect(socket.local_addr()?)?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// Makes the socket readable. A full one is readable already.
    pub(crate) fn wake(&self) {
        let _ = self.0.send(&[1]);
    }

    /// Discards the wake-ups so far.
    pub(crate) fn clear(&self) {
        while self.0.recv(&mut [0; 64]).is_ok() {}
    }

    /// Returns what to poll.
    pub(in crate::transport::os) fn watched(&self) -> PollFd<'_> {
        PollFd::new(&self.0, PollFlags::IN)
    }
}
