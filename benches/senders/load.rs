//! The load: one connection, and a count of what comes back.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::io::retry_on_intr;
use rustix::net::RecvFlags;

use crate::process::Cpus;
use crate::servers::TIMES;
use crate::workload::{PING_PONG, Workload};

/// A server that sends nothing for so long is broken, not slow.
const SILENCE: Duration = Duration::from_secs(20);

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

impl Load {
    /// Connects, and sees that the answer to one message comes to the byte.
    pub(crate) fn connect(workload: &Workload, server: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let stream = open(server)?;
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

    /// Has burst after burst answered for as long as `length`, each when all of the one before has
    /// come.
    ///
    /// Returns how many messages came and how long that took.
    pub(crate) fn run(&mut self, length: Duration) -> io::Result<(usize, Duration)> {
        let begin = Instant::now();
        let mut came = 0;
        while begin.elapsed() < length {
            (&self.stream).write_all(&self.burst)?;
            let mut missing = self.share;
            while missing > 0 {
                missing -= self.receive()?;
            }
            came += TIMES * self.in_flight;
        }
        Ok((came, begin.elapsed()))
    }

    fn receive(&mut self) -> io::Result<usize> {
        let flags = RecvFlags::TRUNC;
        let stream = &self.stream;
        match retry_on_intr(|| rustix::net::recv(stream, &mut *self.discarded, flags))? {
            (0, _) => Err(io::ErrorKind::UnexpectedEof.into()),
            (received, _) => Ok(received),
        }
    }
}

fn open(server: SocketAddr) -> Result<TcpStream, Box<dyn Error>> {
    let stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let (socket, _response) = tungstenite::client(format!("ws://{server}/"), stream)?;
    Ok(socket.into_inner())
}

/// Sends one message, and compares what comes with what is to come.
fn expect(mut stream: &TcpStream, frame: &[u8], answer: &[u8]) -> io::Result<()> {
    let mut received = vec![0; answer.len()];
    stream.write_all(frame)?;
    stream.read_exact(&mut received)?;
    if received != answer {
        return Err(io::Error::other("what comes is not what was sent"));
    }
    Ok(())
}
