//! The set in the kernel: a waiting socket costs nothing until it takes more.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::sync::{Mutex, lock};
use crate::transport::{Socket, Wake, poll_all};

/// A set of full sockets, for one thread that waits until one of them takes more.
pub(crate) struct Poller {
    epoll: OwnedFd,
    wake: Wake,
    /// The sockets in the kernel's set. The references keep a closed descriptor's number from
    /// becoming another socket's while it is in the set.
    sockets: Mutex<BTreeMap<u64, Arc<Socket>>>,
}

/// The most ready sockets that one call returns.
const BATCH: usize = 64;

impl Poller {
    /// Makes an empty set. Fails if no descriptor can be had.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            wake: Wake::new()?,
            sockets: Mutex::default(),
        })
    }

    /// Adds a socket under a key that is not in the set. A wait that has begun waits for it too.
    pub(crate) fn add(&self, key: u64, socket: &Arc<Socket>) -> io::Result<()> {
        let mut sockets = lock(&self.sockets);
        // Reported once, so that a socket that is not removed at once does not end each further
        // wait.
        let flags = EventFlags::OUT | EventFlags::ONESHOT;
        epoll::add(&self.epoll, &**socket, EventData::new_u64(key), flags)?;
        sockets.insert(key, Arc::clone(socket));
        Ok(())
    }

    /// Removes a socket and returns its reference. The drop of the reference may close the
    /// descriptor.
    pub(crate) fn remove(&self, key: u64) -> Option<Arc<Socket>> {
        let mut sockets = lock(&self.sockets);
        let socket = sockets.remove(&key)?;
        // Closing would not do: the kernel keeps the entry while a child process shares the socket.
        let _ = epoll::delete(&self.epoll, &*socket);
        Some(socket)
    }

    /// Waits until sockets take more or are broken, until woken, or until the deadline, and appends
    /// the keys of the ready sockets. They stay in the set.
    pub(crate) fn wait(&self, deadline: Instant, ready: &mut VecDeque<u64>) {
        // epoll's own timeout is in milliseconds; this one is exact.
        let mut fds = [
            PollFd::new(&self.wake, PollFlags::IN),
            PollFd::new(&self.epoll, PollFlags::IN),
        ];
        // If waiting fails, a look at the set may still find ready sockets.
        let wait_fails = poll_all(&mut fds, Some(deadline)).is_err();
        let [woken, any_ready] = fds.map(|fd| !fd.revents().is_empty());
        if woken {
            self.wake.clear();
        }
        if any_ready || wait_fails {
            self.collect(ready);
        }
    }

    fn collect(&self, ready: &mut VecDeque<u64>) {
        const AT_ONCE: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut events = Vec::with_capacity(BATCH);
        // It cannot fail. If it did, the next wait would find the same sockets.
        let _ = epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&AT_ONCE));
        ready.extend(events.into_iter().map(|event| { event.data }.u64()));
    }

    /// Ends the current wait, or the next one.
    pub(crate) fn wake(&self) {
        self.wake.wake();
    }
}
