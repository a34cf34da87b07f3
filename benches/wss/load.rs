//! The load: one thread, frames made beforehand, and no look at what comes back.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use native_tls::TlsStream;
use tungstenite::protocol::frame::coding::Data;

use crate::shared::comparison;
use crate::shared::stream::{open, upgrade};
use crate::shared::window::repeat;
use crate::shared::workload::{Cpus, PING_PONG, Workload};
use crate::tls::open_tls;

pub(crate) const WORKLOADS: &[Workload] = &[
    PING_PONG,
    Workload {
        name: "1x1 of 16 KiB",
        kind: Data::Binary,
        size: 16 << 10,
        ..PING_PONG
    },
    Workload {
        name: "8x32 of 32 B",
        connections: 8,
        in_flight: 32,
        cpus: Cpus::All,
        ..PING_PONG
    },
    Workload {
        name: "1x1 of 4 MiB",
        kind: Data::Binary,
        size: 4 << 20,
        window: Duration::from_millis(300),
        ..PING_PONG
    },
];

/// The connections of one workload to one server.
pub(crate) struct Load {
    streams: Vec<TlsStream<TcpStream>>,
    in_flight: usize,
    burst: Vec<u8>,
    answer: Vec<u8>,
}

impl comparison::Load for Load {
    /// Connects, and sees on each connection that the server echoes to the byte.
    fn connect(workload: &Workload, server: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let echo = workload.echoed_frame().repeat(workload.in_flight);
        let mut load = Self {
            streams: Vec::new(),
            in_flight: workload.in_flight,
            burst: workload.masked_frame().repeat(workload.in_flight),
            answer: vec![0; echo.len()],
        };
        for _ in 0..workload.connections {
            let stream = upgrade(open_tls(open(server)?)?)?;
            load.streams.push(stream.into_inner());
            load.round()?;
            if load.answer != echo {
                return Err("the echo is not what was sent".into());
            }
        }
        Ok(load)
    }

    /// Sends on all connections and then waits for all the answers, again and again.
    fn run(&mut self, length: Duration) -> io::Result<(usize, Duration)> {
        repeat(length, || {
            self.round()?;
            Ok(self.streams.len() * self.in_flight)
        })
    }
}

impl Load {
    fn round(&mut self) -> io::Result<()> {
        for stream in &mut self.streams {
            stream.write_all(&self.burst)?;
        }
        for stream in &mut self.streams {
            stream.read_exact(&mut self.answer)?;
        }
        Ok(())
    }
}
