//! What connections and servers count, and the waits and limits that go by it.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use landline::{
    Config, Counters, Overflow, Reply, Router, SendErrorKind, Server, WaitError, WebSocket,
};

use crate::support::*;

/// No wait of this length ends in time.
const LONG: Duration = PATIENCE.saturating_mul(4);
const CHUNK: usize = 4 << 10;
/// More than is encoded ahead and the buffers of a deaf peer's socket take, by far.
const BACKLOG: usize = 512 << 10;

fn quiet() -> Config {
    Config::new()
        .ping_interval(None)
        .write_timeout(LONG)
        .close_timeout(LONG)
}

/// A kernel that takes little.
fn patient() -> Config {
    quiet().send_buffer(4 << 10).max_queue_bytes(64 << 20)
}

/// Sends chunks to a deaf peer until there is a backlog; returns how many.
#[track_caller]
fn stuff(ws: &WebSocket) -> usize {
    let mut sent = 0;
    while ws.buffered_amount() < BACKLOG {
        ws.send([7; CHUNK]).unwrap();
        sent += 1;
    }
    sent
}

/// Is a raw peer whose bytes are counted on both ways.
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
        let met = Meeting::of(role, quiet(), |ws| ws.on_message(|ws, text| ws.send(text)));
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
    let server = TestServer::with(quiet(), |ws| ws.on_text(|ws, text| ws.send(text)));
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
        let met = Meeting::deaf(role, patient(), |_| {});
        let sent = stuff(&met.ws) as u64;
        settled("nothing moves any more", || {
            let before = met.ws.counters();
            thread::sleep(ms(20));
            met.ws.counters() == before
        });
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
            let config = patient().max_queue_messages(8).overflow(overflow);
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
    let server = TestServer::with(quiet(), move |ws| {
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

/// Payload that waits shows in `buffered_amount`, and nothing of headers, pings or what has left.
#[test]
fn buffered_amount_is_the_payload_that_waits() {
    for role in ROLES {
        let mut met = Meeting::deaf(role, patient(), |_| {});
        assert_eq!(met.ws.buffered_amount(), 0);
        let sent = stuff(&met.ws);
        settled("nothing moves any more", || {
            let before = met.ws.buffered_amount();
            thread::sleep(ms(20));
            met.ws.buffered_amount() == before
        });
        let before = met.ws.buffered_amount();
        assert_eq!(before % CHUNK, 0);
        met.ws.send("seven b").unwrap();
        met.ws.send("").unwrap();
        met.ws.ping("not counted").unwrap();
        assert_eq!(met.ws.buffered_amount(), before + 7, "{role:?}");
        let mut messages = 0;
        while messages < sent + 2 {
            messages += usize::from(met.peer.read_frame().opcode != opcode::PING);
        }
        settled("nothing is left", || met.ws.buffered_amount() == 0);
    }
}

/// A smaller `send_buffer` lets the kernel swallow clearly less for a peer that does not read.
#[test]
fn send_buffer_bounds_what_the_kernel_swallows() {
    for role in ROLES {
        let swallowed = |config: Config| {
            let met = Meeting::deaf(role, config.max_queue_bytes(BACKLOG), |_| {});
            // Nothing comes back for want of room until the kernel takes no more.
            for _ in 0..100_000 {
                if let Err(error) = met.ws.try_send([7; CHUNK]) {
                    assert_eq!(error.kind(), SendErrorKind::Full);
                    return met.ws.counters().bytes_out;
                }
            }
            panic!("the queue was never full");
        };
        let (bounded, unbounded) = (swallowed(quiet().send_buffer(8 << 10)), swallowed(quiet()));
        println!("{role:?}: {bounded} bytes with a small buffer, {unbounded} without");
        assert!(
            bounded * 4 < unbounded,
            "{role:?}: {bounded} and {unbounded}"
        );
    }
}

/// Where nothing waits `wait_drained` returns at once; behind a peer that does not read it times
/// out; when that one reads, it is told.
#[test]
fn wait_drained_waits_until_nothing_is_queued() {
    for role in ROLES {
        let mut met = Meeting::deaf(role, patient(), |_| {});
        assert_eq!(met.ws.wait_drained(Duration::ZERO), Ok(()));
        let sent = stuff(&met.ws);
        assert_eq!(met.ws.wait_drained(Duration::ZERO), Err(WaitError::Timeout));
        assert_eq!(met.ws.wait_drained(ms(20)), Err(WaitError::Timeout));
        let drained = [(); 3].map(|()| drain(&met.ws));
        (0..sent).for_each(|_| drop(met.peer.read_frame()));
        for drained in drained {
            assert_eq!(next(&drained), Ok(()), "{role:?}");
        }
        assert_eq!(met.ws.counters().queued_messages, 0);
    }
}

/// Waits until all is drained on a thread of its own, with a timeout that is never what ends it.
fn drain(ws: &WebSocket) -> mpsc::Receiver<Result<(), WaitError>> {
    let (sender, drained) = mpsc::channel();
    let ws = ws.clone();
    thread::spawn(move || sender.send(ws.wait_drained(LONG)));
    drained
}

/// What is queued and discarded ends `wait_drained`, whether the connection is cut or a Close
/// overtakes it; where nothing was lost, the end is none of its business.
#[test]
fn wait_drained_ends_with_what_it_waits_for() {
    let ends: [&dyn Fn(&mut Meeting); 3] = [
        &|met| met.ws.abort(),
        &|met| met.peer.send_close(1000, ""),
        &|met| met.peer.send(&Frame::new(opcode::TEXT, [0xff])),
    ];
    for role in ROLES {
        for end in ends {
            let mut met = Meeting::deaf(role, patient(), |_| {});
            stuff(&met.ws);
            let drained = drain(&met.ws);
            end(&mut met);
            settled("it is closing", || !met.ws.is_open());
            // What was on its way before a Close is yet to leave.
            while let Ok(frame) = met.peer.read_frame_or_end() {
                if frame.opcode == opcode::CLOSE {
                    break;
                }
            }
            assert_eq!(next(&drained), Err(WaitError::Closed), "{role:?}");
            assert_eq!(met.ws.wait_drained(LONG), Err(WaitError::Closed));
        }
        let mut met = Meeting::of(role, patient(), |_| {});
        met.ws.send("taken").unwrap();
        met.ws.abort();
        met.peer.read_end();
        settled("it has ended", || met.ws.close_code().is_some());
        assert_eq!(met.ws.wait_drained(LONG), Ok(()), "{role:?}");
    }
}

/// Behind a streamed message that this very thread has yet to finish it could never return.
#[test]
fn wait_drained_in_a_streamed_message_would_deadlock() {
    for role in ROLES {
        let met = Meeting::of(role, patient(), |_| {});
        let writer = met.ws.text_writer().unwrap();
        assert_eq!(met.ws.wait_drained(LONG), Err(WaitError::WouldDeadlock));
        let elsewhere = drain(&met.ws);
        writer.finish().unwrap();
        assert_eq!(next(&elsewhere), Ok(()), "{role:?}");
        assert_eq!(met.ws.wait_drained(LONG), Ok(()));
    }
}

/// It can be waited for in every callback of its own connection: somebody else writes on.
#[test]
fn wait_drained_works_in_callbacks() {
    for role in ROLES {
        let told = Recorder::new();
        let sender = told.sender();
        let mut met = Meeting::deaf(role, patient(), move |ws| {
            let tell = |what: &'static str| {
                let told = sender.clone();
                move |ws: &WebSocket| {
                    let is_sent = ws.send(vec![7; BACKLOG]).is_ok();
                    let drained = ws.wait_drained(LONG);
                    told.send((what, is_sent, drained)).unwrap();
                }
            };
            let (text, ping, pong) = (tell("text"), tell("ping"), tell("pong"));
            let (error, close) = (tell("error"), tell("close"));
            ws.on_text(move |ws, _| text(ws));
            ws.on_ping(move |ws, _| ping(ws));
            ws.on_pong(move |ws, _| pong(ws));
            ws.on_error(move |ws, _| error(ws));
            ws.on_close(move |ws, _| close(ws));
        });
        let open = [
            ("text", opcode::TEXT),
            ("ping", opcode::PING),
            ("pong", opcode::PONG),
        ];
        for (what, opcode) in open {
            met.peer.send(&Frame::new(opcode, "x"));
            while met.peer.read_frame().opcode != opcode::BINARY {}
            assert_eq!(told.next(), (what, true, Ok(())), "{role:?}");
        }
        met.peer.send(&Frame::new(opcode::TEXT, [0xff]));
        assert_eq!(met.peer.read_close(), Some(1007));
        drop(met.peer);
        for what in ["error", "close"] {
            assert_eq!(told.next(), (what, false, Ok(())), "{role:?}");
        }
    }
}

/// The way to the peer and back is known once a keepalive ping was answered, and by no other pong;
/// it took at least as long as the peer has held the answer back.
#[test]
fn latency_is_told_by_answered_keepalives() {
    for role in ROLES {
        let config = quiet().ping_interval(ms(200)).ping_timeout(LONG);
        let mut met = Meeting::of(role, config, |ws| ws.on_text(|ws, text| ws.send(text)));
        assert_eq!(met.ws.latency(), None);
        assert_eq!(met.peer.read_frame().opcode, opcode::PING);
        met.peer.send(&Frame::new(opcode::PONG, "not asked for"));
        until_read(&mut met.peer);
        assert_eq!(met.ws.latency(), None, "{role:?}");
        let mut held = Duration::ZERO;
        settled("a ping was answered before the next", || {
            let ping = met.peer.read_frame();
            assert_eq!((ping.opcode, ping.payload.len()), (opcode::PING, 16));
            held = answer_late(&mut met.peer, &ping);
            until_read(&mut met.peer);
            met.ws.latency().is_some()
        });
        assert!(met.ws.latency() >= Some(held), "{role:?}: held {held:?}");
    }
}

/// So it is by a `confirm`.
#[test]
fn latency_is_told_by_confirms() {
    for role in ROLES {
        let mut met = Meeting::of(role, quiet(), |_| {});
        let ws = met.ws.clone();
        let confirming = thread::spawn(move || ws.confirm(LONG).map(|()| ws.latency()));
        let ping = met.peer.read_frame();
        assert_eq!(met.ws.latency(), None, "{role:?}");
        let held = answer_late(&mut met.peer, &ping);
        let latency = in_time("it is confirmed", move || confirming.join().unwrap());
        assert!(
            latency.unwrap() >= Some(held),
            "{role:?}: {latency:?} {held:?}"
        );
    }
}

/// Answers a ping after a while, and returns how long that was.
#[track_caller]
fn answer_late(peer: &mut RawPeer, ping: &Frame) -> Duration {
    let came = Instant::now();
    settled("time has passed", || came.elapsed() >= ms(30));
    let held = came.elapsed();
    peer.send(&Frame::new(opcode::PONG, &ping.payload));
    held
}

/// Has an echo come back: all before it has been read.
#[track_caller]
fn until_read(peer: &mut RawPeer) {
    peer.send_text("read?");
    while peer.read_frame() != Frame::text("read?") {}
}
