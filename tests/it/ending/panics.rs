//! Callbacks that panic, block, or are handed what panics when dropped.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use landline::{Client, CloseCode, Config, Message, SendErrorKind, Server, Timeout, WebSocket};

use crate::support::*;

const TIMES: usize = 20;

fn boom<T>(_: &WebSocket, _: T) {
    panic!("boom");
}

/// Sets a panicking callback, and everything else to be recorded.
fn set_up(kind: &'static str, record: &Recorder) -> impl Fn(&WebSocket) + Send + Sync + 'static {
    let (error, close) = (record.sender(), record.sender());
    move |ws| {
        let (error, close) = (error.clone(), close.clone());
        ws.on_error(move |_, failure| drop(error.send(Event::Error(failure.to_string()))));
        ws.on_close(move |_, event| drop(close.send(Event::Close(event))));
        match kind {
            "message" => ws.on_message(boom),
            "text" => ws.on_text(boom),
            "binary" => ws.on_binary(boom),
            "ping" => ws.on_ping(boom),
            "pong" => ws.on_pong(boom),
            other => unreachable!("{other}"),
        }
    }
}

/// A callback that panics closes its connection with 1011, tells `on_error` and then, once,
/// `on_close`; nothing else is touched.
#[test]
fn panicking_callback_closes_its_connection() {
    let callbacks = [
        ("message", opcode::TEXT),
        ("message", opcode::BINARY),
        ("text", opcode::TEXT),
        ("binary", opcode::BINARY),
        ("ping", opcode::PING),
        ("pong", opcode::PONG),
    ];
    let echo = TestServer::echo();
    let probe = Probe::of(&echo);
    for (kind, opcode) in callbacks {
        for role in ROLES {
            for _ in 0..TIMES / 2 {
                let events = Recorder::new();
                let mut met = Meeting::of(role, Config::new(), set_up(kind, &events));
                met.peer.send(&Frame::new(opcode, "x"));
                assert_eq!(met.peer.read_close(), Some(1011), "{kind}");
                // What comes after that is not delivered, and panics no more.
                met.peer.send(&Frame::new(opcode, "y"));
                met.peer.send_close(1011, "");
                drop(met.peer);
                let event = closed_once(&events, &met.ws);
                assert_eq!(
                    (event.code(), event.is_clean()),
                    (CloseCode::INTERNAL_ERROR, true)
                );
            }
        }
    }
    probe.keeps_up();
}

/// `on_error` is told what a panic said.
#[test]
fn panic_is_told_to_on_error() {
    let events = Recorder::new();
    let mut met = Meeting::of(Role::Server, Config::new(), set_up("text", &events));
    met.peer.send_text("x");
    met.peer.send_close(1011, "");
    assert_eq!(
        events.next(),
        Event::Error("callback failed: on_text: panicked: boom".into())
    );
}

/// `on_error` and `on_close` may panic too: the connection ends all the same, and its waiters know.
#[test]
fn panics_at_the_end_keep_nothing_from_ending() {
    for role in ROLES {
        for _ in 0..TIMES {
            let mut met = Meeting::of(role, Config::new(), |ws| {
                ws.on_error(boom);
                ws.on_close(boom);
            });
            // RFC 6455, section 5.2: a reserved opcode fails the connection.
            met.peer.send(&Frame::new(3, ""));
            assert_eq!(met.peer.read_close(), Some(1002));
            met.peer.send_fin();
            let ws = met.ws.clone();
            let event = in_time("it ends", move || ws.wait_closed().unwrap());
            assert_eq!(event.code(), CloseCode::PROTOCOL_ERROR);
        }
    }
}

/// A handler that panics before anything is read closes its connection with 1011: `on_upgrade`,
/// `serve`.
#[test]
fn panicking_handler_closes_its_connection() {
    let closes = Recorder::new();
    let (upgrade_closes, serve_closes) = (closes.sender(), closes.sender());
    let upgrading = Server::builder().on_upgrade(move |ws, _| {
        let closes = upgrade_closes.clone();
        ws.on_close(move |_, event| drop(closes.send(Event::Close(event))));
        panic!("boom");
    });
    let serving = Server::builder().serve(move |ws, _messages, _| {
        let closes = serve_closes.clone();
        ws.on_close(move |_, event| drop(closes.send(Event::Close(event))));
        panic!("boom");
    });
    for server in [TestServer::start(upgrading), TestServer::start(serving)] {
        for _ in 0..TIMES {
            let mut raw = RawPeer::client_of(&server);
            assert_eq!(raw.read_close(), Some(1011));
            raw.send_close(1011, "");
            raw.read_eof();
            assert_eq!(closes.next_close().code(), CloseCode::INTERNAL_ERROR);
        }
        settled("all are gone", || server.connection_count() == 0);
    }
    assert!(closes.so_far().is_empty());
}

/// A client's `set_up` that panics makes connecting fail, and tells the server 1011.
#[test]
fn panicking_set_up_fails_the_connecting() {
    let raw = RawServer::new();
    let client = Client::new().config(Config::new().close_timeout(ms(300)));
    for _ in 0..TIMES {
        thread::scope(|scope| {
            let answering = scope.spawn(|| {
                let mut peer = raw.upgrade_with(&[]);
                assert_eq!(peer.read_close(), Some(1011));
                peer.send_close(1011, "");
            });
            let closes = Recorder::new();
            let error = client.connect(raw.url(), |ws| {
                closes.record_close(ws);
                panic!("boom")
            });
            let error = error.map(drop).unwrap_err();
            assert!(
                matches!(&error, landline::Error::Callback(what) if what.contains("boom")),
                "{error:?}"
            );
            assert_eq!(closes.next_close().code(), CloseCode::INTERNAL_ERROR);
            answering.join().unwrap();
        });
    }
}

/// A connection's own thread ends, and nothing of it is left, however often callbacks panic.
#[test]
fn panics_leave_nothing() {
    alone(|| {
        let server = TestServer::with(Config::new(), |ws| ws.on_text(boom));
        // The background's thread comes and stays with this one.
        let kept = RawPeer::client_of(&server);
        settled("it is open", || server.connection_count() == 1);
        let before = Resources::now();
        for _ in 0..5 * TIMES {
            let mut raw = RawPeer::client_of(&server);
            raw.send_text("x");
            assert_eq!(raw.read_close(), Some(1011));
        }
        before.settle_back();
        drop(kept);
    });
}

/// Panics when dropped, and counts that.
struct Explosive(Arc<AtomicUsize>);

impl AsRef<[u8]> for Explosive {
    fn as_ref(&self) -> &[u8] {
        b"tick"
    }
}

impl Drop for Explosive {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("dropped");
    }
}

fn explosives(count: usize) -> (Vec<Message>, Arc<AtomicUsize>) {
    let dropped = Arc::new(AtomicUsize::new(0));
    let make = |_| Message::Binary(Bytes::from_owner(Explosive(Arc::clone(&dropped))));
    ((0..count).map(make).collect(), dropped)
}

/// A payload that panics when dropped ends at most its own connection, whoever drops it: here the
/// sender itself, which hears nothing of it.
#[test]
fn payload_that_panics_when_dropped_by_its_sender() {
    alone(|| {
        for role in ROLES {
            let echo = TestServer::echo();
            let probe = Probe::of(&echo);
            let mut met = Meeting::of(role, Config::new(), |_| {});
            let (messages, dropped) = explosives(2);
            for message in messages {
                let _ = met.ws.send(message);
            }
            assert_eq!(met.peer.read_frame().payload, b"tick");
            settled("both are dropped", || dropped.load(Ordering::SeqCst) == 2);
            probe.keeps_up();
        }
    });
}

/// The same where several are dropped at once: a panic during a panic would abort the process.
#[test]
fn payloads_that_panic_when_dropped_together() {
    alone(|| {
        for role in ROLES {
            let echo = TestServer::echo();
            let probe = Probe::of(&echo);
            let met = Meeting::of(role, Config::new(), |_| {});
            let (messages, dropped) = explosives(5);
            let _ = met.ws.send_all(messages);
            settled("all are dropped", || dropped.load(Ordering::SeqCst) == 5);
            met.ws.abort();
            let ws = met.ws.clone();
            in_time("it has ended", move || ws.wait_closed().unwrap());
            probe.keeps_up();
        }
    });
}

/// The same where a cut throws away what is queued.
#[test]
fn payloads_that_panic_when_a_cut_drops_them() {
    alone(|| {
        for role in ROLES {
            let echo = TestServer::echo();
            let probe = Probe::of(&echo);
            let config = Config::new()
                .write_timeout(ms(300))
                .max_queue_bytes(64 << 20);
            let met = Meeting::deaf(role, config.clone(), |_| {});
            met.ws.send(vec![7; 32 << 20]).unwrap();
            let (messages, dropped) = explosives(5);
            messages
                .into_iter()
                .for_each(|message| met.ws.try_send(message).unwrap());
            settled("all are dropped", || dropped.load(Ordering::SeqCst) == 5);
            let ws = met.ws.clone();
            let event = in_time("it has ended", move || ws.wait_closed().unwrap());
            assert_eq!(event.timeout(), Some(Timeout::Write));
            probe.keeps_up();
        }
    });
}

/// A thread that pulls and panics closes its connection with 1011, as a callback does, and what is
/// sent after that is refused: it is not as if nothing had been.
#[test]
fn panic_of_the_thread_that_pulls_closes_its_connection() {
    for role in ROLES {
        for _ in 0..TIMES {
            let mut met = Pulled::new(role, Config::new());
            let (ws, mut peer, mut messages) = (met.ws.clone(), met.peer, met.messages);
            let events = Recorder::new();
            events.record_all(&ws);
            peer.send_text("x");
            let pulling = thread::spawn(move || {
                messages.recv().unwrap();
                panic!("boom")
            });
            assert_eq!(peer.read_close(), Some(1011));
            settled("it has panicked", || pulling.is_finished());
            pulling.join().map(drop).unwrap_err();
            let refused = ws.send("y").unwrap_err();
            assert_eq!(refused.kind(), SendErrorKind::Closed);
            peer.send_close(1011, "");
            peer.send_fin();
            met.handler.take();
            assert_eq!(events.next_close().code(), CloseCode::INTERNAL_ERROR);
        }
    }
}

/// What is kept in a thread-local ends in order when its thread does: nothing aborts.
#[test]
fn thread_locals_end_in_order() {
    thread_local! {
        static KEPT: RefCell<Vec<Box<dyn std::any::Any>>> = const { RefCell::new(Vec::new()) };
    }
    let keep = |value: Box<dyn std::any::Any>| KEPT.with_borrow_mut(|kept| kept.push(value));
    let Some(_) = part() else {
        return Part::start("ending::panics::thread_locals_end_in_order", "all", &[]).release();
    };
    let raw = RawServer::new();
    for kept_first in [true, false] {
        let (mut peer, (ws, messages)) = raw.answering(|url| {
            let connected = thread::spawn(move || landline::open(url).unwrap());
            connected.join().unwrap()
        });
        peer.send_text("x");
        let ending = thread::spawn(move || {
            if kept_first {
                // Its destructor runs last then: after those of what the library keeps.
                keep(Box::new(()));
            }
            let mut messages = messages;
            messages.recv().unwrap();
            ws.send_all(["one", "two"]).unwrap();
            let writer = ws.text_writer().unwrap();
            keep(Box::new((messages, writer, ws)));
        });
        let texts = [peer.read_frame(), peer.read_frame()];
        assert_eq!(texts, [Frame::text("one"), Frame::text("two")]);
        assert_eq!(peer.read_close(), Some(1011));
        peer.send_close(1011, "");
        peer.send_fin();
        settled("its thread has ended", || ending.is_finished());
        ending.join().unwrap();
    }
}
