//! The set in the kernel: a waiting socket costs nothing until it takes more.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::sync::{Mutex, lock};
use crate::transport::os::KernelSet;
use crate::transport::{Socket, Wake};

/// A set of full sockets, for one thread that waits until one of them takes more.
pub(crate) struct Poller {
    set: KernelSet,
    wake: Wake,
    /// The sockets in the kernel's set. The references keep a closed descriptor's number from
    /// becoming another socket's while it is in the set.
    sockets: Mutex<BTreeMap<u64, Arc<Socket>>>,
}

impl Poller {
    /// Makes an empty set. Fails if no descriptor can be had.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            set: KernelSet::new()?,
            wake: Wake::new()?,
            sockets: Mutex::default(),
        })
    }

    /// Adds a socket under a key that is not in the set. A wait that has begun waits for it too.
    pub(crate) fn add(&self, key: u64, socket: &Arc<Socket>) -> io::Result<()> {
        let mut sockets = lock(&self.sockets);
        self.set.add(key, socket.stream())?;
        sockets.insert(key, Arc::clone(socket));
        Ok(())
    }

    /// Removes a socket and returns its reference. The drop of the reference may close the
    /// descriptor.
    pub(crate) fn remove(&self, key: u64) -> Option<Arc<Socket>> {
        let mut sockets = lock(&self.sockets);
        let socket = sockets.remove(&key)?;
        self.set.remove(socket.stream());
        Some(socket)
    }

    /// Waits until sockets take more or are broken, until woken, or until the deadline, and appends
    /// the keys of the ready sockets. They stay in the set.
    pub(crate) fn wait(&self, deadline: Instant, ready: &mut VecDeque<u64>) {
        self.set.wait(&self.wake, deadline, ready);
    }

    /// Ends the current wait, or the next one.
    pub(crate) fn wake(&self) {
        self.wake.wake();
    }
}
