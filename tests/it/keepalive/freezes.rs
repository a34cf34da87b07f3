//! The program's own standstill is not held against the peer: the process is stopped, as a terminal or
//! a suspended machine stops it, for longer than every timeout.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use landline::{Client, Config, Server, WebSocket};

use crate::support::*;

/// The process with the connections is stopped at any moment between pings and pongs: all peers answer,
/// and none is cut on waking.
#[test]
fn healthy_connections_outlive_a_freeze() {
    const STALL: Duration = ms(200);
    const TEST: &str = "keepalive::freezes::healthy_connections_outlive_a_freeze";
    const COUNT: usize = 25;
    if let Some(url) = part() {
        let config = Config::new().ping_interval(ms(200)).ping_timeout(4 * STALL);
        return hold_both_roles(&url, COUNT, config, |ws| {
            ws.on_text(|ws, text| ws.send(text));
        });
    }
    unless_stalled(STALL, || outlive_freezes(TEST, COUNT));
}

#[track_caller]
fn outlive_freezes(test: &str, count: usize) {
    let (program, peers) = meet(test, count);
    for round in 0..3 {
        pause(
            ms(330 + 70 * round),
            "another moment of the interval each time",
        );
        program.stop();
        pause(ms(1500), "longer than every timeout");
        program.go_on();
        let text = format!("round {round}");
        for peer in &peers {
            peer.send_text(&text);
        }
        let cut = peers
            .iter()
            .filter(|peer| peer.next() != Some(Frame::text(&text)));
        assert_eq!(cut.count(), 0, "of {} connections were cut", 2 * count);
    }
    drop(peers);
    program.release();
}

/// A full socket whose peer reads everything while the process is stopped is no stall.
#[test]
fn full_sockets_outlive_a_freeze() {
    const TEST: &str = "keepalive::freezes::full_sockets_outlive_a_freeze";
    const COUNT: usize = 3;
    const LENGTH: usize = 8 << 20;
    if let Some(url) = part() {
        let config = Config::new().ping_interval(None).write_timeout(ms(1000));
        return hold_both_roles(&url, COUNT, config, |ws| {
            ws.on_text(|ws, _| ws.send(vec![7; LENGTH]));
        });
    }
    unless_stalled(ms(250), || outlive_full(TEST, COUNT, LENGTH));
}

#[track_caller]
fn outlive_full(test: &str, count: usize, length: usize) {
    let (program, peers) = meet(test, count);
    for round in 0..2 {
        for peer in &peers {
            peer.pause(true);
            peer.send_text("full");
        }
        pause(
            ms(100 + 100 * round),
            "another moment of the write each time",
        );
        program.stop();
        peers.iter().for_each(|peer| peer.pause(false));
        pause(ms(2500), "longer than every timeout");
        program.go_on();
        let came = |peer: &&Answering| {
            peer.next()
                .is_some_and(|frame| frame.payload.len() == length)
        };
        let whole = peers.iter().filter(came).count();
        assert_eq!(whole, 2 * count, "of {} connections got all", 2 * count);
    }
    drop(peers);
    program.release();
}

/// Starts the process that is stopped, and meets it with peers of both roles.
#[track_caller]
fn meet(test: &str, count: usize) -> (Part, Vec<Answering>) {
    let raw = RawServer::new();
    let mut program = Part::start(test, &raw.url(), &[]);
    let mut peers: Vec<_> = (0..count).map(|_| raw.upgrade_with(&[])).collect();
    let server: SocketAddr = program.hear().parse().unwrap();
    peers.extend((0..count).map(|_| {
        let mut peer = RawPeer::connect_to(server);
        peer.upgrade();
        peer
    }));
    (program, peers.into_iter().map(Answering::of).collect())
}

/// Plays the part of the process that is stopped: a server, and clients of the server at that URL.
fn hold_both_roles(
    url: &str,
    count: usize,
    config: Config,
    set_up: impl Fn(&WebSocket) + Send + Sync + Copy + 'static,
) {
    let client = Client::new().config(config.clone());
    let connect = |_| client.connect(url, |ws| set_up(ws)).unwrap();
    let clients: Vec<WebSocket> = (0..count).map(connect).collect();
    let builder = Server::builder().config(config);
    let server = builder.on_upgrade(move |ws, _| set_up(ws));
    let server = TestServer::start(server);
    tell(&server.local_addr().to_string());
    until_released();
    // Their peers have gone.
    clients.iter().for_each(WebSocket::abort);
}

/// A peer that reads unless it pauses, answers pings at once, and hands on what else comes.
struct Answering {
    tcp: TcpStream,
    masks: bool,
    frames: Receiver<Frame>,
    pausing: Arc<AtomicBool>,
}

impl Answering {
    fn of(mut peer: RawPeer) -> Self {
        let (sender, frames) = mpsc::channel();
        let answering = Self {
            tcp: peer.stream.try_clone().unwrap(),
            masks: peer.masks(),
            frames,
            pausing: Arc::default(),
        };
        let pausing = Arc::clone(&answering.pausing);
        thread::spawn(move || {
            while let Ok(frame) = peer.read_frame_or_end() {
                if frame.opcode == opcode::PING {
                    peer.send(&Frame::new(opcode::PONG, frame.payload));
                } else if sender.send(frame).is_err() {
                    return;
                }
                while pausing.load(Ordering::Relaxed) {
                    pause(ms(5), "it reads nothing for as long as it pauses");
                }
            }
        });
        answering
    }

    fn pause(&self, pausing: bool) {
        self.pausing.store(pausing, Ordering::Relaxed);
    }

    /// Sends a text, unless the connection has ended.
    fn send_text(&self, text: &str) {
        let bytes = Frame::text(text).bytes(self.masks);
        let _ = (&self.tcp).write_all(&bytes);
    }

    /// Returns the next frame, unless the connection has ended.
    fn next(&self) -> Option<Frame> {
        self.frames.recv_timeout(PATIENCE).ok()
    }
}

impl Drop for Answering {
    /// Ends the thread that reads, too.
    fn drop(&mut self) {
        self.pause(false);
        let _ = self.tcp.shutdown(std::net::Shutdown::Both);
    }
}
