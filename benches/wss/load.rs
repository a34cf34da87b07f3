//! The load: one thread, frames made beforehand, and no look at what comes back.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use native_tls::TlsStream;
use tungstenite::protocol::frame::coding::Data;

use crate::process::Cpus;
use crate::tls::open_tls;
use crate::workload::{PING_PONG, Workload};

/// A server that answers nothing for so long is broken, not slow.
const SILENCE: Duration = Duration::from_secs(20);

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

impl Load {
    /// Connects, and sees on each connection that the server echoes to the byte.
    pub(crate) fn connect(workload: &Workload, server: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let echo = workload.echoed_frame().repeat(workload.in_flight);
        let mut load = Self {
            streams: Vec::new(),
            in_flight: workload.in_flight,
            burst: workload.masked_frame().repeat(workload.in_flight),
            answer: vec![0; echo.len()],
        };
        for _ in 0..workload.connections {
            load.streams.push(open(server)?);
            load.round()?;
            if load.answer != echo {
                return Err("the echo is not what was sent".into());
            }
        }
        Ok(load)
    }

    /// Sends on all connections and then waits for all the answers, for as long as `length`.
    ///
    /// Returns how many messages were echoed and how long that took.
    pub(crate) fn run(&mut self, length: Duration) -> io::Result<(usize, Duration)> {
        let begin = Instant::now();
        let mut echoed = 0;
        while begin.elapsed() < length {
            self.round()?;
            echoed += self.streams.len() * self.in_flight;
        }
        Ok((echoed, begin.elapsed()))
    }

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

fn open(server: SocketAddr) -> Result<TlsStream<TcpStream>, Box<dyn Error>> {
    upgrade(open_tls(open_tcp(server)?)?)
}

pub(crate) fn open_tcp(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    Ok(stream)
}

pub(crate) fn upgrade<S: Read + Write>(stream: S) -> Result<S, Box<dyn Error>> {
    let (socket, _response) =
        tungstenite::client("ws://localhost/", stream).map_err(|_| "no handshake")?;
    Ok(socket.into_inner())
}
