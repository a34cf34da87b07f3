//! What the load sends, and where it runs.

use std::io;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_setaffinity};
use tungstenite::protocol::frame::coding::Data;

use crate::shared::frames::append_frame;

/// One connection with one message of 32 bytes under way; the others differ from it.
pub(crate) const PING_PONG: Workload = Workload {
    name: "1x1 of 32 B",
    connections: 1,
    in_flight: 1,
    kind: Data::Text,
    content: alphabet,
    size: 32,
    window: Duration::from_millis(80),
    cpus: Cpus::One,
};

pub(crate) const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// How many connections send how much at a time.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) connections: usize,
    /// Messages a connection has under way.
    pub(crate) in_flight: usize,
    pub(crate) kind: Data,
    /// Makes a payload of that size.
    pub(crate) content: fn(usize) -> Vec<u8>,
    /// Bytes of payload in a message.
    pub(crate) size: usize,
    pub(crate) window: Duration,
    pub(crate) cpus: Cpus,
}

impl Workload {
    pub(crate) fn payload(&self) -> Vec<u8> {
        (self.content)(self.size)
    }

    pub(crate) fn masked_frame(&self) -> Vec<u8> {
        self.frame(Some(MASK))
    }

    pub(crate) fn echoed_frame(&self) -> Vec<u8> {
        self.frame(None)
    }

    fn frame(&self, mask: Option<[u8; 4]>) -> Vec<u8> {
        let mut frame = Vec::new();
        append_frame(&self.payload(), self.kind, false, mask, &mut frame);
        frame
    }
}

pub(crate) fn alphabet(size: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(size).collect()
}

/// Where the load and a server run.
#[derive(Clone, Copy)]
pub(crate) enum Cpus {
    /// Both on the same CPU.
    One,
    /// Wherever the scheduler puts them.
    All,
}

impl Cpus {
    /// Moves the calling thread there, and with it every process that it starts from now on.
    pub(crate) fn settle(self, allowed: &CpuSet) -> io::Result<()> {
        let mut cpus = *allowed;
        if let Self::One = self {
            let last = (0..CpuSet::MAX_CPU).rev().find(|&cpu| allowed.is_set(cpu));
            cpus.clear();
            cpus.set(last.unwrap_or_default());
        }
        Ok(sched_setaffinity(None, &cpus)?)
    }
}
