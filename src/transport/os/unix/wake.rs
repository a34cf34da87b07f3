//! Waking a thread that sleeps in `poll`.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags};

/// The wake-up of a thread that polls it: a pair of sockets, which every Unix has.
#[derive(Debug)]
pub(crate) struct Wake {
    sender: UnixStream,
    receiver: UnixStream,
}

impl Wake {
    pub(crate) fn new() -> io::Result<Self> {
        let (sender, receiver) = UnixStream::pair()?;
        sender.set_nonblocking(true)?;
        receiver.set_nonblocking(true)?;
        Ok(Self { sender, receiver })
    }

    /// Makes the receiver readable. A full pair is readable already.
    pub(crate) fn wake(&self) {
        let _ = (&self.sender).write(&[1]);
    }

    /// Discards the wake-ups so far.
    pub(crate) fn clear(&self) {
        let mut scratch = [0; 64];
        while matches!((&self.receiver).read(&mut scratch), Ok(length) if length == scratch.len()) {
        }
    }

    /// Returns what to poll.
    pub(in crate::transport::os) fn watched(&self) -> PollFd<'_> {
        PollFd::new(&self.receiver, PollFlags::IN)
    }
}
