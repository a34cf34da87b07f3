//! The load: one thread, frames made beforehand, and no look at what comes back.

use std::error::Error;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags};
use tungstenite::protocol::frame::coding::Data;

use crate::shared::comparison;
use crate::shared::stream::{discard, expect, open, upgrade, wait};
use crate::shared::workload::{Cpus, PING_PONG, Workload};

/// More than the kernel's receive buffer ever holds, so that one `recv` empties it. Never written to.
const MORE_THAN_EVERYTHING: usize = 64 << 20;

pub(crate) const WORKLOADS: &[Workload] = &[
    PING_PONG,
    Workload {
        name: "32x1 of 32 B",
        connections: 32,
        cpus: Cpus::All,
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
        name: "8x32 of 128 B",
        connections: 8,
        in_flight: 32,
        size: 128,
        cpus: Cpus::All,
        ..PING_PONG
    },
    Workload {
        name: "8x64 of 512 B",
        connections: 8,
        in_flight: 64,
        size: 512,
        cpus: Cpus::All,
        ..PING_PONG
    },
    Workload {
        name: "1x1 of 64 KiB",
        kind: Data::Binary,
        size: 64 << 10,
        ..PING_PONG
    },
    Workload {
        name: "1x1 of 4 MiB",
        kind: Data::Binary,
        size: 4 << 20,
        window: Duration::from_millis(300),
        cpus: Cpus::All,
        ..PING_PONG
    },
];

/// The connections of one workload to one server.
pub(crate) struct Load {
    connections: Vec<Connection>,
    epoll: OwnedFd,
    in_flight: usize,
    frame: usize,
    echo: usize,
    /// As many frames as a connection ever sends at once. They are equal, so its tail is the tail of any burst.
    burst: Vec<u8>,
    discarded: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// Bytes at the end of the burst that are still to be sent.
    unsent: usize,
    /// Bytes that have come of an echo that is not yet whole.
    partial: usize,
}

impl comparison::Load for Load {
    /// Connects, and sees on each connection that the server echoes to the byte.
    fn connect(workload: &Workload, server: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let frame = workload.masked_frame();
        let echo = workload.echoed_frame();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::new();
        for index in 0..workload.connections {
            let stream = upgrade(open(server)?)?.into_inner();
            expect(&stream, &frame, &echo)?;
            let events = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            epoll::add(
                &epoll,
                &stream,
                epoll::EventData::new_u64(index as u64),
                events,
            )?;
            connections.push(Connection {
                stream,
                unsent: 0,
                partial: 0,
            });
        }
        Ok(Self {
            connections,
            epoll,
            in_flight: workload.in_flight,
            frame: frame.len(),
            echo: echo.len(),
            burst: frame.repeat(workload.in_flight),
            discarded: vec![0; MORE_THAN_EVERYTHING],
        })
    }

    /// Keeps every connection's messages under way.
    fn run(&mut self, length: Duration) -> io::Result<(usize, Duration)> {
        let begin = Instant::now();
        for connection in &mut self.connections {
            connection.unsent = self.burst.len();
            connection.send(&self.burst)?;
        }
        let mut under_way = self.connections.len() * self.in_flight;
        let mut echoed = 0;
        let mut events = Vec::with_capacity(self.connections.len());
        while under_way > 0 {
            let go_on = begin.elapsed() < length;
            let recv_flags = self.wait(&mut events)?;
            for event in &events {
                let connection = &mut self.connections[event.data.u64() as usize];
                let answers = connection.receive(&mut self.discarded, self.echo, recv_flags)?;
                echoed += answers;
                if go_on {
                    connection.unsent += answers * self.frame;
                } else {
                    under_way -= answers;
                }
                connection.send(&self.burst)?;
            }
        }
        Ok((echoed, begin.elapsed()))
    }
}

impl Load {
    /// Waits until a connection can be read or written, and says how to read it.
    ///
    /// A lone connection with nothing left to send is waited for in `recv`, which saves a system call a message.
    fn wait(&self, events: &mut Vec<epoll::Event>) -> io::Result<RecvFlags> {
        if let [Connection { unsent: 0, .. }] = self.connections[..] {
            events.clear();
            events.push(epoll::Event {
                flags: epoll::EventFlags::IN,
                data: epoll::EventData::new_u64(0),
            });
            return Ok(RecvFlags::empty());
        }
        wait(&self.epoll, events)?;
        Ok(RecvFlags::DONTWAIT)
    }
}

impl Connection {
    /// Discards all that has come and counts the echoes that are whole with it.
    fn receive(
        &mut self,
        discarded: &mut [u8],
        echo: usize,
        flags: RecvFlags,
    ) -> io::Result<usize> {
        self.partial += discard(&self.stream, discarded, flags)?;
        let answers = self.partial / echo;
        self.partial %= echo;
        Ok(answers)
    }

    /// Sends what the socket takes of the burst's tail.
    fn send(&mut self, burst: &[u8]) -> io::Result<()> {
        if self.unsent == 0 {
            return Ok(());
        }
        let tail = &burst[burst.len() - self.unsent..];
        match retry_on_intr(|| {
            rustix::net::send(
                &self.stream,
                tail,
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            )
        }) {
            Ok(sent) => self.unsent -= sent,
            Err(Errno::WOULDBLOCK) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
