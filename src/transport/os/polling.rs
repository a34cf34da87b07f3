//! Waiting until sockets are ready.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use rustix::io::retry_on_intr;

use super::system::{Stream, Wake, pause_for_hang_ups};

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

/// A thing to wait for, among others.
#[derive(Clone, Copy, Debug)]
pub(in crate::transport) enum Source<'a> {
    /// A wake-up that has come, and is not [cleared](Wake::clear).
    Wake(&'a Wake),
    #[allow(dead_code, reason = "Linux keeps its streams in a set of the kernel's")]
    Stream(&'a Stream, Interest),
    /// A socket that listens or connects.
    Socket(BorrowedFd<'a>, Interest),
}

impl Interest {
    pub(in crate::transport) fn reads(self) -> bool {
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

impl Ready {
    /// Ready for everything: the next call finds out for what.
    pub(super) const BOTH: Self = Self {
        readable: true,
        writable: true,
    };

    pub(in crate::transport) fn is_any(self) -> bool {
        self.readable || self.writable
    }
}

impl From<PollFlags> for Ready {
    /// Takes a hang-up or an error for ready both ways: the next call finds out which it is.
    fn from(flags: PollFlags) -> Self {
        if flags.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            return Self::BOTH;
        }
        // Windows answers with one of the two bits that it has for each direction.
        Self {
            readable: flags.intersects(PollFlags::IN),
            writable: flags.intersects(PollFlags::OUT),
        }
    }
}

/// Waits until one of the sources is ready, at most until the deadline, and returns what each is ready
/// for. A broken one is ready.
///
/// # Errors
/// Waiting fails in a process that can have no more descriptors. It has then taken a moment.
pub(in crate::transport) fn wait_for_any(
    sources: &[Source<'_>],
    deadline: Option<Instant>,
) -> io::Result<Vec<Ready>> {
    let mut fds = Vec::with_capacity(sources.len());
    for source in sources {
        source.watch(&mut fds);
    }
    poll_all(&mut fds, deadline)?;
    let mut polled = fds.iter().map(PollFd::revents);
    let found = sources.iter().map(|source| source.found(&mut polled));
    Ok(found.collect())
}

impl<'a> Source<'a> {
    /// Appends the descriptors to poll.
    fn watch(&self, fds: &mut Vec<PollFd<'a>>) {
        match self {
            Self::Wake(wake) => fds.push(wake.watched()),
            Self::Stream(stream, interest) => fds.extend(stream.watched(*interest)),
            Self::Socket(fd, interest) => {
                fds.push(PollFd::from_borrowed_fd(*fd, interest.flags()));
            }
        }
    }

    /// Takes as many of the polled descriptors as were appended.
    fn found(&self, polled: &mut impl Iterator<Item = PollFlags>) -> Ready {
        match self {
            Self::Stream(stream, _) => stream.found(polled),
            Self::Wake(_) | Self::Socket(..) => {
                polled.next().map_or_else(Ready::default, Ready::from)
            }
        }
    }
}

/// Waits until one of the descriptors is ready, at most until the deadline. A wait fails in a
/// process that can have no more descriptors. Then it sleeps for a moment, so that a caller that
/// looks again and again does not spin.
pub(super) fn poll_all(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<()> {
    loop {
        let polled = retry_on_intr(|| {
            let left = deadline.map(timespec);
            poll(fds, left.as_ref())
        });
        match polled {
            Ok(0) if deadline.is_none_or(|deadline| Instant::now() < deadline) => {}
            Ok(_) => {
                pause_for_hang_ups(fds, deadline);
                return Ok(());
            }
            Err(error) => {
                pause(deadline);
                return Err(error.into());
            }
        }
    }
}

/// Sleeps for a moment, at most until the deadline.
pub(super) fn pause(deadline: Option<Instant>) {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    thread::park_timeout(left.map_or(MOMENT, |left| left.min(MOMENT)));
}

/// The time between two looks if waiting fails.
const MOMENT: Duration = Duration::from_millis(10);

/// The longest wait that all systems take: as many milliseconds as an `i32` holds, 24.8 days.
const LONGEST: Duration = Duration::from_millis(i32::MAX as u64);

fn timespec(deadline: Instant) -> Timespec {
    let left = deadline
        .saturating_duration_since(Instant::now())
        .min(LONGEST);
    Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos() as _,
    }
}
