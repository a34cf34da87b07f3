//! The load: one connection that is fed, and an answer to the mark at the end.

use std::error::Error;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use tungstenite::protocol::frame::coding::Data;

use crate::servers::Stream;
use crate::shared::comparison;
use crate::shared::servers::upgrade;
use crate::shared::stream::prepare;
use crate::shared::workload::{Cpus, PING_PONG, Workload};
use crate::tls::acceptor;

/// So much is written at once, and as much again and again.
const BLOCK: usize = 256 << 10;

const TEXT: Workload = Workload {
    name: "text of 32 B",
    cpus: Cpus::All,
    ..PING_PONG
};

const BINARY: Workload = Workload {
    name: "binary of 32 B",
    kind: Data::Binary,
    ..TEXT
};

pub(crate) const WORKLOADS: &[Workload] = &[
    TEXT,
    Workload {
        name: "text of 128 B",
        size: 128,
        ..TEXT
    },
    Workload {
        name: "text of 1 KiB",
        size: 1 << 10,
        ..TEXT
    },
    Workload {
        name: "text of 16 KiB",
        size: 16 << 10,
        ..TEXT
    },
    BINARY,
    Workload {
        name: "binary of 128 B",
        size: 128,
        ..BINARY
    },
    Workload {
        name: "binary of 1 KiB",
        size: 1 << 10,
        ..BINARY
    },
    Workload {
        name: "binary of 16 KiB",
        size: 16 << 10,
        ..BINARY
    },
    Workload {
        name: "wss, text of 32 B",
        ..TEXT
    },
    Workload {
        name: "wss, text of 16 KiB",
        size: 16 << 10,
        ..TEXT
    },
];

/// A feed of one workload, and the client that receives it.
pub(crate) struct Load {
    stream: Box<dyn Stream>,
    frame: usize,
    block: Vec<u8>,
}

impl comparison::Load for Load {
    /// Tells the client where the feed is, and sees that it answers.
    fn connect(workload: &Workload, client: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let frame = workload.echoed_frame();
        let mut load = Self {
            stream: accept(workload.name.starts_with("wss"), client)?,
            frame: frame.len(),
            block: frame.repeat(BLOCK / frame.len()),
        };
        load.await_client()?;
        load.feed(1)?;
        Ok(load)
    }

    /// Feeds, then waits until all has been received.
    fn run(&mut self, length: Duration) -> io::Result<(usize, Duration)> {
        let begin = Instant::now();
        let mut fed = 0;
        while begin.elapsed() < length {
            self.stream.write_all(&self.block)?;
            fed += self.block.len() / self.frame;
        }
        self.finish()?;
        Ok((fed, begin.elapsed()))
    }
}

impl Load {
    /// Feeds so many messages, and waits until all have been received.
    pub(crate) fn feed(&mut self, messages: usize) -> io::Result<()> {
        let mut left = messages * self.frame;
        while left > 0 {
            let length = left.min(self.block.len());
            self.stream.write_all(&self.block[..length])?;
            left -= length;
        }
        self.finish()
    }

    fn finish(&mut self) -> io::Result<()> {
        const EMPTY_BINARY: &[u8] = &[0x82, 0];
        self.stream.write_all(EMPTY_BINARY)?;
        self.await_client()
    }

    /// Waits for an empty message, which is masked.
    fn await_client(&mut self) -> io::Result<()> {
        self.stream.read_exact(&mut [0; 6])
    }
}

fn accept(is_tls: bool, client: SocketAddr) -> Result<Box<dyn Stream>, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let scheme = if is_tls { "wss" } else { "ws" };
    let mut control = TcpStream::connect(client)?;
    writeln!(control, "{scheme}://{}", listener.local_addr()?)?;
    let (stream, _) = listener.accept()?;
    prepare(&stream)?;
    Ok(if is_tls {
        Box::new(upgrade(acceptor()?.accept(stream)?)?)
    } else {
        Box::new(upgrade(stream)?)
    })
}
