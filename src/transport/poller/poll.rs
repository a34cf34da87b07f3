//! The set that each wait passes to the kernel, for systems without a better way.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::sync::{Mutex, lock};
use crate::transport::os::{Source, wait_for_any};
use crate::transport::{Interest, Ready, Socket, Wake};

/// A set of full sockets, for one thread that waits until one of them takes more.
pub(crate) struct Poller {
    wake: Wake,
    set: Mutex<Set>,
}

#[derive(Default)]
struct Set {
    sockets: BTreeMap<u64, Arc<Socket>>,
    /// The flag that a wait is running, for the sockets that were in the set when it began.
    waited_for: bool,
}

impl Poller {
    /// Makes an empty set. Fails if no descriptor can be had.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            wake: Wake::new()?,
            set: Mutex::default(),
        })
    }

    /// Adds a socket under a key that is not in the set. A running wait ends, so that the next one
    /// waits for it too.
    pub(crate) fn add(&self, key: u64, socket: &Arc<Socket>) -> io::Result<()> {
        let mut set = lock(&self.set);
        set.sockets.insert(key, Arc::clone(socket));
        self.begin_anew(&set);
        Ok(())
    }

    /// Removes a socket and returns its reference. The drop of the reference may close the
    /// descriptor. A running wait holds another reference, and ends.
    pub(crate) fn remove(&self, key: u64) -> Option<Arc<Socket>> {
        let mut set = lock(&self.set);
        let socket = set.sockets.remove(&key)?;
        self.begin_anew(&set);
        Some(socket)
    }

    fn begin_anew(&self, set: &Set) {
        if set.waited_for {
            self.wake();
        }
    }

    /// Waits until sockets take more or are broken, until woken, or until the deadline, and appends
    /// the keys of the ready sockets. They stay in the set.
    pub(crate) fn wait(&self, deadline: Instant, ready: &mut VecDeque<u64>) {
        let sockets = self.begin_wait();
        let mut sources = vec![Source::Wake(&self.wake)];
        sources.extend(
            sockets
                .iter()
                .map(|(_, socket)| Source::Stream(socket.stream(), Interest::Write)),
        );
        // If waiting fails, no socket is ready.
        let found = wait_for_any(&sources, Some(deadline)).unwrap_or_default();
        lock(&self.set).waited_for = false;
        let mut found = found.into_iter().map(Ready::is_any);
        if found.next() == Some(true) {
            self.wake.clear();
        }
        let is_ready = sockets.iter().zip(found).filter(|(_, ready)| *ready);
        ready.extend(is_ready.map(|((key, _), _)| *key));
    }

    fn begin_wait(&self) -> Vec<(u64, Arc<Socket>)> {
        let mut set = lock(&self.set);
        set.waited_for = true;
        let sockets = set.sockets.iter();
        sockets
            .map(|(key, socket)| (*key, Arc::clone(socket)))
            .collect()
    }

    /// Ends the current wait, or the next one.
    pub(crate) fn wake(&self) {
        self.wake.wake();
    }
}
