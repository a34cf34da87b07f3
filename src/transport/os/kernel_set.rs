//! Linux's set of sockets that the kernel keeps: epoll.

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};

use super::{Interest, Source, Stream, Wake, wait_for_any};

/// A set of streams in the kernel, each under a key. It tells once which of them takes more.
#[derive(Debug)]
pub(in crate::transport) struct KernelSet {
    epoll: OwnedFd,
}

/// The most ready streams that one call returns.
const BATCH: usize = 64;

impl KernelSet {
    pub(in crate::transport) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { epoll })
    }

    pub(in crate::transport) fn add(&self, key: u64, stream: &Stream) -> io::Result<()> {
        // Reported once, so that a stream that is not removed at once does not end each further
        // wait.
        let flags = EventFlags::OUT | EventFlags::ONESHOT;
        Ok(epoll::add(
            &self.epoll,
            stream,
            EventData::new_u64(key),
            flags,
        )?)
    }

    /// Removes a stream. To close it would not do: the kernel keeps the entry while a child process
    /// shares the socket.
    pub(in crate::transport) fn remove(&self, stream: &Stream) {
        let _ = epoll::delete(&self.epoll, stream);
    }

    /// Waits until streams take more or are broken, until woken, or until the deadline, and appends the
    /// keys of the ready ones.
    pub(in crate::transport) fn wait(
        &self,
        wake: &Wake,
        deadline: Instant,
        ready: &mut VecDeque<u64>,
    ) {
        // epoll's own timeout is in milliseconds; this one is exact.
        let sources = [
            Source::Wake(wake),
            Source::Socket(self.epoll.as_fd(), Interest::Read),
        ];
        let found = wait_for_any(&sources, Some(deadline));
        // If waiting fails, a look at the set may still find ready streams.
        let is_ready = |at: usize| found.as_ref().map(|found| found[at].is_any());
        if is_ready(0).unwrap_or(false) {
            wake.clear();
        }
        if is_ready(1).unwrap_or(true) {
            self.collect(ready);
        }
    }

    fn collect(&self, ready: &mut VecDeque<u64>) {
        const AT_ONCE: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut events = Vec::with_capacity(BATCH);
        // It cannot fail. If it did, the next wait would find the same streams.
        let _ = epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&AT_ONCE));
        ready.extend(events.into_iter().map(|event| { event.data }.u64()));
    }
}
