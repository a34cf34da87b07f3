//! The load: one connection, and a count of what comes back.

use std::error::Error;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::net::RecvFlags;

use crate::servers::TIMES;
use crate::shared::comparison;
use crate::shared::stream::{discard, expect, open, upgrade};
use crate::shared::window::repeat;
use crate::shared::workload::{Cpus, PING_PONG, Workload};

/// More than the kernel ever holds. Never written to.
const MORE_THAN_EVERYTHING: usize = 64 << 20;

const ONE: Workload = Workload {
    name: "1 sender of 32 B",
    window: Duration::from_millis(150),
    cpus: Cpus::All,
    ..PING_PONG
};

pub(crate) const WORKLOADS: &[Workload] = &[
    ONE,
    Workload {
        name: "4 senders of 32 B",
        in_flight: 4,
        ..ONE
    },
    Workload {
        name: "16 senders of 32 B",
        in_flight: 16,
        ..ONE
    },
];

/// The connection of one workload to one server.
pub(crate) struct Load {
    stream: TcpStream,
    in_flight: usize,
    burst: Vec<u8>,
    /// What comes for a burst.
    share: usize,
    discarded: Vec<u8>,
}

impl comparison::Load for Load {
    /// Connects, and sees that the answer to one message comes to the byte.
    fn connect(workload: &Workload, server: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let stream = upgrade(open(server)?)?.into_inner();
        let (frame, answer) = (workload.masked_frame(), workload.echoed_frame());
        expect(&stream, &frame, &answer.repeat(TIMES))?;
        Ok(Self {
            stream,
            in_flight: workload.in_flight,
            burst: frame.repeat(workload.in_flight),
            share: answer.len() * TIMES * workload.in_flight,
            discarded: vec![0; MORE_THAN_EVERYTHING],
        })
    }

    /// Has burst after burst answered, each when all of the one before has come.
    fn run(&mut self, length: Duration) -> io::Result<(usize, Duration)> {
        repeat(length, || {
            self.stream.write_all(&self.burst)?;
            let mut missing = self.share;
            while missing > 0 {
                missing -= discard(&self.stream, &mut self.discarded, RecvFlags::empty())?;
            }
            Ok(TIMES * self.in_flight)
        })
    }
}
