//! The load: one thread, frames made beforehand, and no look at what comes back.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tungstenite::ClientRequestBuilder;

use crate::by_hand::{EXTENSIONS, PARAMETERS, Streams};
use crate::messages::{json, noise};
use crate::shared::comparison;
use crate::shared::frames::frame_lengths;
use crate::shared::stream;
use crate::shared::workload::{Cpus, MASK, PING_PONG, Workload};

const ALONE: Workload = Workload {
    name: "1x1 of 2,000 B of json",
    content: json,
    size: 2_000,
    window: Duration::from_millis(100),
    ..PING_PONG
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
        content: noise,
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

/// The connections of one workload to one server; `SAME` says that its compressor is ours, with the
/// same settings, and makes the same bytes.
pub(crate) struct Load<const SAME: bool> {
    streams: Vec<TcpStream>,
    in_flight: usize,
    burst: Vec<u8>,
    answer: Vec<u8>,
}

impl<const SAME: bool> comparison::Load for Load<SAME> {
    /// Connects, and looks at the first echo on each connection. As messages stand alone, all others
    /// are as long.
    fn connect(workload: &Workload, server: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let payload = workload.payload();
        let (mut frame, mut expected) = (Vec::new(), Vec::new());
        Streams::new().append(&payload, Some(MASK), &mut frame);
        Streams::new().append(&payload, None, &mut expected);
        let (mut streams, mut echo) = (Vec::new(), Vec::new());
        for _ in 0..workload.connections {
            let mut stream = open(server)?;
            stream.write_all(&frame)?;
            echo = read_frame(&mut stream)?;
            if Streams::new().read(&echo)? != payload || SAME && echo != expected {
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

    /// Keeps every connection busy, each with its messages at a time.
    fn run(&mut self, length: Duration) -> io::Result<(usize, Duration)> {
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
}

impl<const SAME: bool> Load<SAME> {
    fn send_all(&mut self) -> io::Result<()> {
        let mut streams = self.streams.iter_mut();
        streams.try_for_each(|stream| stream.write_all(&self.burst))
    }
}

fn open(server: SocketAddr) -> Result<TcpStream, Box<dyn Error>> {
    let request = ClientRequestBuilder::new("ws://localhost/".parse()?);
    let request = request.with_header(EXTENSIONS, PARAMETERS);
    let (socket, _response) = tungstenite::client(request, stream::open(server)?)?;
    Ok(socket.into_inner())
}

/// Reads a frame without a mask, header included.
fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut frame = Vec::new();
    loop {
        let read = frame.len();
        let wanted = frame_lengths(&frame).map_or(read + 1, |(header, payload)| header + payload);
        if read == wanted {
            return Ok(frame);
        }
        frame.resize(wanted, 0);
        stream.read_exact(&mut frame[read..])?;
    }
}
