//! Waking a thread that sleeps in `poll`.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crate::canceller::{Canceller, Watch};

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

    /// Makes a wake-up that a cancel sets off, while the watch lives.
    pub(super) fn on_cancel(canceller: &Canceller) -> io::Result<(Arc<Self>, Watch)> {
        let wake = Arc::new(Self::new()?);
        let woken = Arc::clone(&wake);
        Ok((wake, canceller.on_cancel(move || woken.wake())))
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
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }
}
