//! Waiting until sockets are ready.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

/// The readiness to wait for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Interest {
    Read,
    Write,
    ReadOrWrite,
}

/// The result of a wait. Both fields are false if the deadline passed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ready {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

impl Interest {
    pub(super) fn reads(self) -> bool {
        !matches!(self, Self::Write)
    }

    pub(super) fn flags(self) -> PollFlags {
        match self {
            Self::Read => PollFlags::IN,
            Self::Write => PollFlags::OUT,
            Self::ReadOrWrite => PollFlags::IN | PollFlags::OUT,
        }
    }
}

impl From<PollFlags> for Ready {
    /// Takes a hang-up or an error for ready both ways: the next call finds out which it is.
    fn from(flags: PollFlags) -> Self {
        let broken = flags.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
        Self {
            readable: broken || flags.contains(PollFlags::IN),
            writable: broken || flags.contains(PollFlags::OUT),
        }
    }
}

/// Waits until one of the descriptors is ready, at most until the deadline. A wait fails in a
/// process that can have no more descriptors. Then it sleeps for a moment, so that a caller that
/// looks again and again does not spin.
pub(super) fn poll_all(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<()> {
    let polled = retry_on_intr(|| {
        let left = deadline.map(timespec);
        poll(fds, left.as_ref())
    });
    polled.map(drop).map_err(|error| {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        thread::park_timeout(left.map_or(MOMENT, |left| left.min(MOMENT)));
        error.into()
    })
}

/// The time between two looks if waiting fails.
const MOMENT: Duration = Duration::from_millis(10);

fn timespec(deadline: Instant) -> Timespec {
    let left = deadline.saturating_duration_since(Instant::now());
    Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    }
}
