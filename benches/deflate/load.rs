//! The load: one thread, frames made beforehand, and no look at what comes back.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::process::Cpus;
use crate::servers::is_echo;
use crate::workload::{Content, Workload};

/// A server that answers nothing for so long is broken, not slow.
const SILENCE: Duration = Duration::from_secs(20);

const ALONE: Workload = Workload {
    name: "1x1 of 2,000 B of json",
    connections: 1,
    in_flight: 1,
    content: Content::Json,
    size: 2_000,
    window: Duration::from_millis(100),
    cpus: Cpus::One,
};

const TOGETHER: Workload = Workload {
    name: "8x16 of 2,000 B of json",
    connections: 8,
    in_flight: 16,
    cpus: Cpus::All,
    ..ALONE
};

pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "1x1 of 200 B of json",
        size: 200,
        ..ALONE
    },
    ALONE,
    Workload {
        name: "1x1 of 60,000 B of json",
        size: 60_000,
        window: Duration::from_millis(200),
        ..ALONE
    },
    Workload {
        name: "1x1 of 2,000 B of noise",
        content: Content::Noise,
        ..ALONE
    },
    Workload {
        name: "8x16 of 200 B of json",
        size: 200,
        ..TOGETHER
    },
    TOGETHER,
    Workload {
        name: "8x1 of 60,000 B of json",
        size: 60_000,
        in_flight: 1,
        window: Duration::from_millis(300),
        ..TOGETHER
    },
    Workload {
        name: "8x16 of 60,000 B of json",
        size: 60_000,
        window: Duration::from_millis(500),
        ..TOGETHER
    },
];

/// The connections of one workload to one server.
pub(crate) struct Load {
    streams: Vec<TcpStream>,
    in_flight: usize,
    burst: Vec<u8>,
    answer: Vec<u8>,
}

impl Load {
    /// Connects, and looks at the first echo on each connection. As messages stand alone, all others
    /// are as long.
    pub(crate) fn connect(workload: &Workload, server: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let frame = workload.masked_frame();
        let (mut streams, mut echo) = (Vec::new(), Vec::new());
        for _ in 0..workload.connections {
            let mut stream = open(server)?;
            stream.write_all(&frame)?;
            echo = read_frame(&mut stream)?;
            if !is_echo(workload, &echo)? {
                return Err("the echo is not what was expected".into());
            }
            streams.push(stream);
        }
        Ok(Self {
            streams,
            in_flight: workload.in_flight,
            burst: frame.repeat(workload.in_flight),
            answer: echo.repeat(workload.in_flight),
        })
    }

    /// Keeps every connection busy for `length`, each with its messages at a time.
    ///
    /// Returns how many messages were echoed and how long that took.
    pub(crate) fn run(&mut self, length: Duration) -> io::Result<(usize, Duration)> {
        let begin = Instant::now();
        let mut echoed = 0;
        self.send_all()?;
        loop {
            let goes_on = begin.elapsed() < length;
            for stream in &mut self.streams {
                stream.read_exact(&mut self.answer)?;
                echoed += self.in_flight;
                // The others still work on theirs.
                if goes_on {
                    stream.write_all(&self.burst)?;
                }
            }
            if !goes_on {
                return Ok((echoed, begin.elapsed()));
            }
        }
    }

    fn send_all(&mut self) -> io::Result<()> {
        let mut streams = self.streams.iter_mut();
        streams.try_for_each(|stream| stream.write_all(&self.burst))
    }
}

fn open(server: SocketAddr) -> Result<TcpStream, Box<dyn Error>> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
         client_no_context_takeover\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend_from_slice(&byte);
    }
    if !head.starts_with(b"HTTP/1.1 101 ") {
        return Err("no 101".into());
    }
    Ok(stream)
}

/// Reads a frame without a mask, header included.
fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 2];
    stream.read_exact(&mut frame)?;
    let extended = match frame[1] {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    read_more(stream, extended, &mut frame)?;
    let length = match &frame[2..] {
        [] => frame[1].into(),
        extended => extended
            .iter()
            .fold(0, |length, &byte| length << 8 | usize::from(byte)),
    };
    read_more(stream, length, &mut frame)?;
    Ok(frame)
}

fn read_more(stream: &mut TcpStream, count: usize, frame: &mut Vec<u8>) -> io::Result<()> {
    let end = frame.len();
    frame.resize(end + count, 0);
    stream.read_exact(&mut frame[end..])
}
