//! The peers, by literal bytes, in processes of their own.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::{panic, process, thread};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::opcode::*;
use crate::support::*;

/// Opens connections one after the other on eight threads, and ends them in three ways.
pub(super) fn churn(part: &str, count: usize) {
    const THREADS: usize = 8;
    let (server, own) = part.split_once(' ').unwrap();
    let (server, own): (SocketAddr, IpAddr) = (server.parse().unwrap(), own.parse().unwrap());
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for number in (thread..count).step_by(THREADS) {
                    come_and_go(server, own, number);
                }
            });
        }
    });
    tell("done");
}

fn come_and_go(server: SocketAddr, own: IpAddr, number: usize) {
    let mut peer = RawPeer::dial_at(server, own);
    peer.upgrade();
    peer.send_text("hello");
    assert_eq!(peer.read_frame(), Frame::text("hello"));
    match number % 3 {
        0 => {
            peer.send_close(1000, "");
            assert_eq!(peer.read_close(), Some(1000));
            peer.read_eof();
        }
        1 => drop(peer),
        _ => peer.reset(),
    }
}

/// How many connections each process holds.
const CONNECTIONS: u64 = 100;

/// Holds connections that misbehave by chance, each followed by another one, until it is let go or
/// killed.
pub(super) fn misbehave(part: &str) {
    let (server, seed) = part.split_once(' ').unwrap();
    let (server, seed): (SocketAddr, u64) = (server.parse().unwrap(), seed.parse().unwrap());
    let hook = panic::take_hook();
    // The other process finds this one ended, and fails.
    panic::set_hook(Box::new(move |info| {
        hook(info);
        process::exit(1);
    }));
    for number in 0..CONNECTIONS {
        thread::spawn(move || {
            let mut chance = StdRng::seed_from_u64(seed.wrapping_add(number));
            loop {
                // Whatever goes wrong on the way, the next one comes.
                let ended = Misbehaving::connect(server).and_then(|peer| peer.live(&mut chance));
                if ended.is_err() {
                    pause(
                        ms(50),
                        "a connection that failed is not tried at once again",
                    );
                }
            }
        });
    }
    until_released();
}

/// A connection that may end anywhere.
struct Misbehaving {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Misbehaving {
    fn connect(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            received: Vec::new(),
        })
    }

    fn live(mut self, chance: &mut StdRng) -> io::Result<()> {
        if chance.random_bool(0.02) {
            return self.leave_in_handshake(chance);
        }
        self.upgrade()?;
        for _ in 0..chance.random_range(0..10) {
            self.echo(chance)?;
            linger(chance, 300);
        }
        match chance.random_range(0..12) {
            0 | 1 => self.close(),
            // The end of the stream without a Close.
            2 => Ok(()),
            3 => self.reset(),
            4 => self.break_rules(chance),
            5 => self.flood_with_pings(chance),
            6 => self.flood_with_fragments(chance),
            7 => self.flood_with_halves(chance),
            8 => self.stall(chance),
            9 => self.trickle(chance),
            _ => self.rest(chance),
        }
    }

    fn leave_in_handshake(&mut self, chance: &mut StdRng) -> io::Result<()> {
        let request = upgrade_request(self.stream.peer_addr()?);
        let length = chance.random_range(0..request.len());
        self.stream.write_all(&request.as_bytes()[..length])?;
        linger(chance, 1_000);
        Ok(())
    }

    fn upgrade(&mut self) -> io::Result<()> {
        let request = upgrade_request(self.stream.peer_addr()?);
        self.stream.write_all(request.as_bytes())?;
        loop {
            let end = self.received.windows(4).position(|end| end == b"\r\n\r\n");
            if let Some(end) = end {
                assert!(self.received.starts_with(b"HTTP/1.1 101 "));
                self.received.drain(..end + 4);
                return Ok(());
            }
            self.receive()?;
        }
    }

    /// Sends a message, and expects it back.
    fn echo(&mut self, chance: &mut StdRng) -> io::Result<()> {
        let sent = message(chance, 20_000);
        self.send(&sent)?;
        let echoed = self.next_message()?;
        assert!(echoed == sent, "another message came back");
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        self.send(&Frame::new(CLOSE, 1000_u16.to_be_bytes()))?;
        loop {
            let frame = self.next_frame()?;
            if frame.opcode == CLOSE {
                assert_eq!(frame.close_code(), Some(1000));
                return Ok(());
            }
        }
    }

    fn reset(self) -> io::Result<()> {
        RawPeer::over(self.stream).reset();
        Ok(())
    }

    fn break_rules(&mut self, chance: &mut StdRng) -> io::Result<()> {
        let wrong: [&[u8]; 5] = [
            b"\xC1\x80\0\0\0\0",
            b"\x83\x80\0\0\0\0",
            b"\x81\x01a",
            b"\x81\x81\0\0\0\0\xFF",
            b"\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\0\0\0",
        ];
        self.stream
            .write_all(wrong[chance.random_range(0..wrong.len())])?;
        loop {
            let frame = self.next_frame()?;
            if frame.opcode == CLOSE {
                assert!(matches!(frame.close_code(), Some(1002 | 1007 | 1009)));
                return Ok(());
            }
        }
    }

    /// Sends pings without reading, then leaves or asks once more.
    fn flood_with_pings(&mut self, chance: &mut StdRng) -> io::Result<()> {
        let ping = Frame::new(PING, b"flood").bytes(true);
        for _ in 0..chance.random_range(1..50) {
            self.stream.write_all(&ping.repeat(100))?;
        }
        self.echo(chance)?;
        self.close()
    }

    fn flood_with_fragments(&mut self, chance: &mut StdRng) -> io::Result<()> {
        let count = chance.random_range(1..5_000);
        let fragment = Frame::new(CONTINUATION, b"f").unfinished().bytes(true);
        self.send(&Frame::new(BINARY, b"").unfinished())?;
        self.stream.write_all(&fragment.repeat(count))?;
        self.send(&Frame::new(CONTINUATION, b""))?;
        let echoed = self.next_message()?;
        assert_eq!(echoed.payload.len(), count);
        self.close()
    }

    /// Sends much of a message that never ends, and leaves.
    fn flood_with_halves(&mut self, chance: &mut StdRng) -> io::Result<()> {
        let whole = Frame::new(BINARY, vec![7; 1 << 20]).bytes(true);
        let length = chance.random_range(1..whole.len());
        self.stream.write_all(&whole[..length])?;
        linger(chance, 2_000);
        Ok(())
    }

    /// Sends and does not read for a while, then leaves over what it has not read.
    fn stall(&mut self, chance: &mut StdRng) -> io::Result<()> {
        self.stream.set_write_timeout(Some(ms(500)))?;
        for _ in 0..chance.random_range(1..200) {
            self.send(&message(chance, 40_000))?;
        }
        linger(chance, 5_000);
        Ok(())
    }

    /// Sends a message byte by byte, and expects it back.
    fn trickle(&mut self, chance: &mut StdRng) -> io::Result<()> {
        let sent = message(chance, 60);
        for byte in sent.bytes(true) {
            self.stream.write_all(&[byte])?;
            linger(chance, 20);
        }
        assert!(self.next_message()? == sent, "another message came back");
        self.close()
    }

    /// Says nothing for a while, but answers pings.
    fn rest(&mut self, chance: &mut StdRng) -> io::Result<()> {
        self.stream
            .set_read_timeout(Some(ms(chance.random_range(5_000..30_000))))?;
        while let Ok(frame) = self.next_frame() {
            assert_eq!(frame.opcode, PING, "{frame:?} came unasked");
            self.send(&Frame::new(PONG, frame.payload))?;
        }
        self.stream.set_read_timeout(Some(PATIENCE))?;
        self.close()
    }

    fn send(&mut self, frame: &Frame) -> io::Result<()> {
        self.stream.write_all(&frame.bytes(true))
    }

    /// Returns the next frame that is no control frame; answers pings.
    fn next_message(&mut self) -> io::Result<Frame> {
        loop {
            let frame = self.next_frame()?;
            match frame.opcode {
                PING => self.send(&Frame::new(PONG, frame.payload))?,
                PONG => {}
                CLOSE => return Err(io::ErrorKind::ConnectionAborted.into()),
                _ => return Ok(frame),
            }
        }
    }

    fn next_frame(&mut self) -> io::Result<Frame> {
        loop {
            if let Some(frame) = Frame::take_from(&mut self.received, false) {
                return Ok(frame);
            }
            self.receive()?;
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 << 10];
        match uninterrupted(|| self.stream.read(&mut chunk))? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            length => {
                self.received.extend_from_slice(&chunk[..length]);
                Ok(())
            }
        }
    }
}

/// Makes a message of at most so many bytes.
fn message(chance: &mut StdRng, most: usize) -> Frame {
    let length = chance.random_range(0..most);
    if chance.random() {
        Frame::text(&"t".repeat(length))
    } else {
        Frame::new(BINARY, vec![chance.random(); length])
    }
}

/// Lets at most so many milliseconds pass.
fn linger(chance: &mut StdRng, most: u64) {
    let time = ms(chance.random_range(0..most));
    pause(time, "peers take their time, by chance");
}
