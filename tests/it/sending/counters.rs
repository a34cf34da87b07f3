//! What connections and servers count.

use std::sync::mpsc;
use std::thread;

use landline::{Counters, Overflow, Reply, Router, Server, WaitError};

use super::{CHUNK, stuff};
use crate::support::*;

/// A raw peer whose bytes are counted on both ways.
struct Counted {
    peer: RawPeer,
    masks: bool,
    written: usize,
    read: usize,
}

impl Counted {
    fn new(peer: RawPeer, role: Role) -> Self {
        Self {
            peer,
            masks: role.peer_masks(),
            written: 0,
            read: 0,
        }
    }

    #[track_caller]
    fn send(&mut self, frame: Frame) {
        self.written += frame.bytes(self.masks).len();
        self.peer.send(&frame);
    }

    #[track_caller]
    fn read(&mut self) -> Frame {
        let frame = self.peer.read_frame();
        self.read += frame.bytes(!self.masks).len();
        frame
    }

    /// Asserts that landline has counted the same.
    #[track_caller]
    fn agrees(&self, counters: Counters) {
        let bytes = (self.written as u64, self.read as u64);
        assert_eq!((counters.bytes_in, counters.bytes_out), bytes);
    }
}

/// Messages and bytes are counted exactly, in and out: whole frames with their headers, of every
/// kind, and fragments as one message.
#[test]
fn messages_and_bytes_are_counted_exactly() {
    for role in ROLES {
        let met = Meeting::of(role, patient(), |ws| {
            ws.on_message(|ws, text| ws.send(text));
        });
        assert_eq!(met.ws.counters(), Counters::default());
        let mut peer = Counted::new(met.peer, role);
        for size in [0, 1, 125, 126, 65_535, 65_536, 300_000] {
            let frame = Frame::new(opcode::BINARY, vec![7; size]);
            peer.send(frame.clone());
            assert_eq!(peer.read(), frame);
        }
        peer.send(Frame::text("frag").unfinished());
        peer.send(Frame::new(opcode::PING, "between"));
        assert_eq!(peer.read(), Frame::new(opcode::PONG, "between"));
        peer.send(Frame::new(opcode::CONTINUATION, "mented"));
        assert_eq!(peer.read(), Frame::text("fragmented"));
        peer.send(Frame::new(opcode::PONG, "unasked"));
        met.ws.ping("ours").unwrap();
        assert_eq!(peer.read(), Frame::new(opcode::PING, "ours"));
        // Behind this echo all before it has been counted.
        peer.send(Frame::text("last"));
        assert_eq!(peer.read(), Frame::text("last"));
        settled("what has arrived is counted", || {
            met.ws.counters().messages_out == 9
        });
        let counters = met.ws.counters();
        peer.agrees(counters);
        assert_eq!(counters.messages_in, 9);
        met.ws.close_with(4000, "over").unwrap();
        let close = peer.read();
        peer.send(close);
        drop(peer.peer.stream.shutdown(std::net::Shutdown::Write));
        settled("it has ended", || met.ws.close_code().is_some());
        let counters = met.ws.counters();
        peer.agrees(counters);
        let rest = (counters.queued_messages, counters.queued_bytes);
        assert_eq!(rest, (0, 0));
        assert_eq!((counters.dropped, counters.undelivered), (0, 0));
    }
}

/// What comes in the same segment as the handshake counts too.
#[test]
fn bytes_behind_the_handshake_are_counted() {
    let message = Frame::text("early");
    let server = TestServer::with(patient(), |ws| ws.on_text(|ws, text| ws.send(text)));
    let mut peer = RawPeer::dial(&server);
    let request = upgrade_request(server.local_addr());
    peer.send_bytes([request.as_bytes(), &message.bytes(true)].concat());
    peer.read_head();
    assert_eq!(peer.read_frame(), message);
    let counters = server.connections()[0].counters();
    assert_eq!(counters.messages_in, 1);
    assert_eq!(counters.bytes_in as usize, message.bytes(true).len());

    let raw = RawServer::new();
    let early = message.bytes(false);
    let (ws, mut messages) = thread::scope(|scope| {
        let answering = scope.spawn(|| raw.upgrade_with(&early));
        let opened = landline::open(raw.url()).unwrap();
        drop(answering.join().unwrap());
        opened
    });
    assert_eq!(messages.recv().unwrap(), "early".into());
    assert_eq!(ws.counters().bytes_in as usize, early.len());
}

/// Behind a peer that does not read, what waits is counted and no more than that; what is left when
/// the connection ends is undelivered.
#[test]
fn queued_messages_are_counted() {
    for role in ROLES {
        let met = Meeting::deaf(role, deep(), |_| {});
        let sent = stuff(&met.ws) as u64;
        at_rest("nothing moves any more", || met.ws.counters());
        let counters = met.ws.counters();
        assert_eq!(counters.messages_out + counters.queued_messages, sent);
        assert_eq!(
            counters.queued_bytes,
            counters.queued_messages * CHUNK as u64
        );
        assert_eq!(counters.queued_bytes as usize, met.ws.buffered_amount());
        // Pings have a place in the queue, and are no messages.
        assert_eq!(met.ws.confirm(ms(20)), Err(WaitError::Timeout));
        assert_eq!(met.ws.counters(), counters, "{role:?}");
        met.ws.abort();
        settled("it has ended", || met.ws.close_code().is_some());
        let mut expected = counters;
        expected.undelivered = std::mem::take(&mut expected.queued_messages);
        expected.queued_bytes = 0;
        assert_eq!(met.ws.counters(), expected, "{role:?}");
        let event = met.ws.wait_closed().unwrap();
        assert_eq!(event.undelivered(), counters.queued_messages);
    }
}

/// What a policy drops is counted as dropped and as nothing else, and all the rest arrives.
#[test]
fn dropped_messages_are_counted() {
    const SENT: u64 = 400;
    for role in ROLES {
        for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
            let config = deep().max_queue_messages(8).overflow(overflow);
            let mut met = Meeting::deaf(role, config, |_| {});
            (0..SENT).for_each(|_| met.ws.send([7; CHUNK]).unwrap());
            let dropped = met.ws.counters().dropped;
            assert!(dropped > 0, "{role:?}: {:?}", met.ws.counters());
            met.ws.close();
            for _ in 0..SENT - dropped {
                assert_eq!(met.peer.read_frame().opcode, opcode::BINARY, "{role:?}");
            }
            assert_eq!(met.peer.read_frame().close_code(), Some(1000));
            met.peer.send_close(1000, "");
            drop(met.peer);
            settled("it has ended", || met.ws.close_code().is_some());
            let counters = met.ws.counters();
            let told = (counters.messages_out, counters.dropped);
            assert_eq!(told, (SENT - dropped, dropped));
            assert_eq!(met.ws.wait_closed().unwrap().undelivered(), 0);
        }
    }
}

/// A server counts whom it turns away, by whatever answer, and nobody else.
#[test]
fn refused_newcomers_are_counted() {
    let router = Router::new()
        .websocket("/", |_, _| {})
        .get("/page", |_: &mut landline::Request| Reply::text("a page"))
        .get("/forbidden", |_: &mut landline::Request| Reply::forbidden());
    let server = TestServer::start(Server::builder().router(router));
    let turned_away = [
        ("GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        ("GET /forbidden HTTP/1.1\r\nHost: localhost\r\n\r\n", 403),
        ("POST /page HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        ("nonsense\r\n\r\n", 400),
    ];
    for (count, (request, status)) in (1..).zip(turned_away) {
        let reply = exchange(&server, Pace::Whole, request);
        assert_eq!(reply.status, status);
        assert_eq!(server.counters().refused, count, "{status}");
    }
    assert_eq!(fetch(&server, "GET /page", &[]).status, 200);
    let counters = server.counters();
    assert_eq!(
        (counters.refused, counters.opened, counters.open),
        (4, 0, 0)
    );
    assert_eq!(counters.traffic, Counters::default());
}

/// So are those beyond a limit.
#[test]
fn newcomers_beyond_the_limit_are_counted() {
    let builder = Server::builder().max_connections(1);
    let server = TestServer::start(builder.on_upgrade(|_, _| {}));
    let _open = RawPeer::client_of(&server);
    // The 101 is there before it is counted.
    settled("the first is counted", || server.counters().opened == 1);
    for refused in 1..=3 {
        let head = RawPeer::dial(&server).try_upgrade();
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        assert_eq!(server.counters().refused, refused);
    }
    assert_eq!((server.counters().open, server.counters().opened), (1, 1));
}

/// What a server has counted is the sum over its connections, those that have ended included.
#[test]
fn server_counts_what_all_its_connections_have() {
    let (sender, opened) = mpsc::channel();
    let server = TestServer::with(patient(), move |ws| {
        ws.on_message(|ws, message| ws.send(message));
        sender.send(ws.clone()).unwrap();
    });
    let mut peers = Vec::new();
    let mut sockets = Vec::new();
    for size in [10, 1_000, 100_000] {
        let mut peer = RawPeer::client_of(&server);
        for _ in 0..3 {
            peer.send(&Frame::new(opcode::BINARY, vec![7; size]));
            peer.read_frame();
        }
        peers.push(peer);
        sockets.push(next(&opened));
    }
    let sum = || {
        let mut sum = Counters::default();
        sockets.iter().for_each(|ws| sum += ws.counters());
        sum
    };
    settled("what has arrived is counted", || sum().messages_out == 9);
    for open in (0..=3).rev() {
        settled("who has left is not open", || {
            server.counters().open == open
        });
        let counters = server.counters();
        assert_eq!((counters.opened, counters.refused), (3, 0));
        assert_eq!(counters.traffic, sum());
        assert_eq!(
            (counters.traffic.messages_in, counters.traffic.messages_out),
            (9, 9)
        );
        if let Some(mut peer) = peers.pop() {
            peer.send_close(1000, "");
            assert_eq!(peer.read_close(), Some(1000));
        }
    }
}
