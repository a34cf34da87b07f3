//! The load: one connection that publishes, and a count of what comes on all.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::epoll;
use rustix::net::RecvFlags;

use crate::shared::comparison;
use crate::shared::stream::{self, discard, upgrade, wait};
use crate::shared::window::repeat;
use crate::shared::workload::{Cpus, PING_PONG, Workload};

/// More than the kernel holds of one round, so that one `recv` takes all there is. Never written to.
const MORE_THAN_EVERYTHING: usize = 1 << 20;

pub(crate) const WORKLOADS: &[Workload] = &[
    fanout("50 x1 of 64 B", 50, 1, 64),
    fanout("50 x4 of 64 B", 50, 4, 64),
    fanout("50 x16 of 64 B", 50, 16, 64),
    fanout("50 x1 of 1024 B", 50, 1, 1024),
    fanout("50 x4 of 1024 B", 50, 4, 1024),
    fanout("50 x16 of 1024 B", 50, 16, 1024),
    fanout("500 x1 of 64 B", 500, 1, 64),
    fanout("500 x4 of 64 B", 500, 4, 64),
    fanout("500 x16 of 64 B", 500, 16, 64),
    fanout("500 x1 of 1024 B", 500, 1, 1024),
    fanout("500 x4 of 1024 B", 500, 4, 1024),
    fanout("500 x16 of 1024 B", 500, 16, 1024),
    fanout("2000 x1 of 64 B", 2000, 1, 64),
    fanout("2000 x4 of 64 B", 2000, 4, 64),
    fanout("2000 x16 of 64 B", 2000, 16, 64),
    fanout("2000 x1 of 1024 B", 2000, 1, 1024),
    fanout("2000 x4 of 1024 B", 2000, 4, 1024),
    fanout("2000 x16 of 1024 B", 2000, 16, 1024),
];

const fn fanout(name: &'static str, connections: usize, in_flight: usize, size: usize) -> Workload {
    Workload {
        name,
        connections,
        in_flight,
        size,
        window: Duration::from_millis(150),
        cpus: Cpus::All,
        ..PING_PONG
    }
}

/// The connections of one workload to one server; the first publishes.
pub(crate) struct Load {
    streams: Vec<TcpStream>,
    epoll: OwnedFd,
    in_flight: usize,
    burst: Vec<u8>,
    /// What each connection gets of a burst.
    share: usize,
    /// What is still to come of it.
    missing: Vec<usize>,
    discarded: Vec<u8>,
}

impl comparison::Load for Load {
    /// Connects, and sees on each connection that a message comes to the byte.
    fn connect(workload: &Workload, server: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut streams = Vec::new();
        for index in 0..workload.connections {
            let stream = open(server)?;
            let events = epoll::EventFlags::IN | epoll::EventFlags::ET;
            epoll::add(
                &epoll,
                &stream,
                epoll::EventData::new_u64(index as u64),
                events,
            )?;
            streams.push(stream);
        }
        let (frame, delivered) = (workload.masked_frame(), workload.echoed_frame());
        expect_everywhere(&streams, &frame, &delivered)?;
        Ok(Self {
            epoll,
            in_flight: workload.in_flight,
            burst: frame.repeat(workload.in_flight),
            share: delivered.len() * workload.in_flight,
            missing: vec![0; streams.len()],
            streams,
            discarded: vec![0; MORE_THAN_EVERYTHING],
        })
    }

    /// Publishes burst after burst, each when the one before has come everywhere.
    fn run(&mut self, length: Duration) -> io::Result<(usize, Duration)> {
        let mut events = Vec::with_capacity(self.streams.len());
        repeat(length, || {
            (&self.streams[0]).write_all(&self.burst)?;
            self.missing.fill(self.share);
            let mut waiting = self.streams.len();
            while waiting > 0 {
                wait(&self.epoll, &mut events)?;
                for event in &events {
                    waiting -= usize::from(self.receive(event.data.u64() as usize)?);
                }
            }
            Ok(self.streams.len() * self.in_flight)
        })
    }
}

impl Load {
    /// Discards what has come on a connection; returns whether its share is complete with that.
    fn receive(&mut self, index: usize) -> io::Result<bool> {
        let flags = RecvFlags::DONTWAIT;
        let received = discard(&self.streams[index], &mut self.discarded, flags)?;
        self.missing[index] -= received;
        // Nothing comes with the events of the first message, which was read without them.
        Ok(received > 0 && self.missing[index] == 0)
    }
}

/// Connects; the server greets who has become a member.
fn open(server: SocketAddr) -> Result<TcpStream, Box<dyn Error>> {
    let mut socket = upgrade(stream::open(server)?)?;
    let greeting = socket.read()?;
    if !greeting.is_empty() {
        return Err("the greeting is something else".into());
    }
    Ok(socket.into_inner())
}

/// Publishes once, and compares what comes with what was sent.
fn expect_everywhere(streams: &[TcpStream], frame: &[u8], delivered: &[u8]) -> io::Result<()> {
    let mut received = vec![0; delivered.len()];
    (&streams[0]).write_all(frame)?;
    for mut stream in streams {
        stream.read_exact(&mut received)?;
        if received != delivered {
            return Err(io::Error::other("what comes is not what was sent"));
        }
    }
    Ok(())
}
