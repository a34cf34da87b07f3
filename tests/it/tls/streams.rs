//! Connections over TLS: messages, full duplex, and how they end.

use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;

use landline::{CloseCode, Config, Message, Reply, Router, SendErrorKind, Server, ServerTls};

use crate::support::*;

/// Text and binary messages of every size come back whole, in both roles at once.
#[test]
fn messages_of_all_sizes_are_echoed() {
    let server = secure_echo(Config::new());
    let (ws, mut messages) = trusting().open(server.url()).unwrap();
    // RFC 8446, section 5.1: a record holds 16 KiB.
    let around_a_record = [(16 << 10) - 1, 16 << 10, (16 << 10) + 1];
    let sizes = [0, 1, 125, 126, 65_535, 65_536, 1 << 20, 16 << 20];
    for size in sizes.into_iter().chain(around_a_record) {
        let bytes: Vec<u8> = (0..size).map(|at| b'a' + (at % 23) as u8).collect();
        let text = String::from_utf8(bytes.clone()).unwrap();
        for message in [Message::from(text), Message::from(bytes)] {
            ws.send(message.clone()).unwrap();
            assert!(messages.recv().unwrap() == message, "{size} bytes");
        }
    }
}

/// A raw peer's messages come back over TLS in each of landline's roles.
#[test]
fn raw_peers_are_understood() {
    for role in ROLES {
        let mut meeting = TlsMeeting::recorded(role, Config::new());
        meeting.peer.send_text("to landline");
        assert_eq!(
            meeting.events.next(),
            Event::Text("to landline".into()),
            "{role:?}"
        );
        meeting.ws.send("to the peer").unwrap();
        assert_eq!(
            meeting.peer.read_frame(),
            Frame::text("to the peer"),
            "{role:?}"
        );
    }
}

/// Pages are served over https, and a request knows that it came over TLS.
#[test]
fn pages_are_served_over_https() {
    let page = |request: &mut landline::Request| Reply::text(format!("TLS: {}", request.is_tls()));
    let server = secure(Server::builder().router(Router::new().get("/page", page)));
    assert_eq!(server.url(), format!("wss://{}", server.local_addr()));
    let mut peer = TlsPeer::dial(&server);
    peer.send_bytes("GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let reply = peer.read_reply();
    assert_eq!((reply.status, &*reply.body), (200, "TLS: true"));
}

/// Many small records in one segment are all delivered without waiting for the next packet.
#[test]
fn burst_of_records_is_delivered_at_once() {
    for role in ROLES {
        let mut meeting = TlsMeeting::recorded(role, Config::new());
        let texts: Vec<_> = (0..50).map(|number| format!("message {number}")).collect();
        let masked = role.peer_masks();
        let records = texts.iter().map(|text| Frame::text(text).bytes(masked));
        meeting.peer.send_records(records);
        for text in texts {
            assert_eq!(meeting.events.next(), Event::Text(text), "{role:?}");
        }
    }
}

/// A message split over records of one byte each arrives.
#[test]
fn message_in_tiny_records_is_delivered() {
    let mut meeting = TlsMeeting::recorded(Role::Server, Config::new());
    let bytes = Frame::text(&"tiny".repeat(100)).bytes(true);
    meeting
        .peer
        .send_records(bytes.into_iter().map(|byte| vec![byte]));
    assert_eq!(meeting.events.next(), Event::Text("tiny".repeat(100)));
}

/// What came in the same record as the request, or in the same segment, is delivered.
#[test]
fn messages_behind_the_request_are_delivered() {
    let server = secure_echo(Config::new());
    let messages = [Frame::text("first"), Frame::text("second")];
    let frames = messages.each_ref().map(|frame| frame.bytes(true));
    for in_one_record in [true, false] {
        let mut peer = TlsPeer::dial(&server);
        let all = [vec![peer.request().into_bytes()], frames.to_vec()].concat();
        if in_one_record {
            peer.send_bytes(all.concat());
        } else {
            peer.send_records(all);
        }
        assert!(peer.read_head().starts_with("HTTP/1.1 101 "));
        for message in &messages {
            assert_eq!(peer.read_frame(), *message);
        }
    }
}

const THREADS: usize = 8;
const EACH: usize = 10_000;

/// Eight threads send while the peer sends: nothing waits for the other direction, each thread's
/// messages come in its order, and all are whole.
#[test]
fn both_sides_send_from_many_threads() {
    flood(ServerTls::new(LOCAL.identity()));
}

/// The same holds between two engines, and in TLS 1.3, which OpenSSL speaks as a client.
#[test]
#[cfg(feature = "rustls")]
fn both_sides_send_in_tls_1_3() {
    let tls = ServerTls::new(LOCAL.identity()).engine(landline::TlsEngine::Rustls);
    flood(tls.min_version(landline::TlsVersion::Tls13));
}

#[track_caller]
fn flood(tls: ServerTls) {
    let (sender, came) = mpsc::channel();
    let (told, serving) = mpsc::channel();
    let server = TestServer::start(Server::builder().tls(tls).on_upgrade(move |ws, _| {
        let next = Mutex::new(([0; THREADS], 0));
        let sender = sender.clone();
        ws.on_text(move |_, text| {
            let mut next = next.lock().unwrap();
            check_order(&mut next.0, text.as_str());
            next.1 += 1;
            if next.1 == THREADS * EACH {
                let _ = sender.send(());
            }
        });
        let _ = told.send(ws.clone());
    }));
    let (ws, mut messages) = trusting().open(server.url()).unwrap();
    let serving = next(&serving);
    let mut threads: Vec<_> = (0..THREADS)
        .map(|own| {
            let ws = ws.clone();
            thread::spawn(move || send_numbered(&ws, own))
        })
        .collect();
    threads.push(thread::spawn(move || send_numbered(&serving, 0)));
    let mut order = [0; THREADS];
    for _ in 0..EACH {
        let message = messages.recv_timeout(PATIENCE).unwrap();
        check_order(&mut order, message.as_text().unwrap());
    }
    next(&came);
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

fn send_numbered(ws: &landline::WebSocket, own: usize) {
    for number in 0..EACH {
        ws.send(format!("{own} {number} whole")).unwrap();
    }
}

fn check_order(next: &mut [usize; THREADS], text: &str) {
    let mut words = text.split(' ');
    let mut number = || words.next().unwrap().parse::<usize>().unwrap();
    let (thread, number) = (number(), number());
    assert_eq!(words.next(), Some("whole"), "{text}");
    assert_eq!(number, next[thread], "of thread {thread}");
    next[thread] += 1;
}

/// A write that stalls stops no reads; what was stalled arrives whole and in order, and the Close
/// behind it.
#[test]
fn stalled_write_does_not_stop_reads() {
    let config = Config::new()
        .ping_interval(None)
        .max_queue_bytes(128 << 10)
        .write_timeout(4 * PATIENCE);
    for role in ROLES {
        let mut meeting = TlsMeeting::recorded(role, config.clone());
        let payload = |number: usize| vec![number as u8; 10_000 + 7 * number];
        let mut sent = 0;
        settled("the queue is full", || {
            match meeting.ws.try_send(payload(sent)) {
                Ok(()) => sent += 1,
                Err(error) => return error.kind() == SendErrorKind::Full,
            }
            false
        });
        for number in 0..100 {
            meeting.peer.send_text(&format!("read {number}"));
        }
        for number in 0..100 {
            let text = Event::Text(format!("read {number}"));
            assert_eq!(meeting.events.next(), text, "{role:?}");
        }
        meeting.ws.close_with(4000, "over").unwrap();
        let mut arrived = 0;
        let close = loop {
            let frame = meeting.peer.read_frame();
            if frame.opcode == opcode::CLOSE {
                break frame;
            }
            assert!(frame.payload == payload(arrived), "{role:?}: {arrived}");
            arrived += 1;
        };
        assert_eq!(close.close_code(), Some(4000));
        assert!(0 < arrived && arrived <= sent, "{arrived} of {sent}");
    }
}

/// Messages of 16 and 64 MiB arrive whole.
#[test]
fn large_messages_arrive_whole() {
    const LARGEST: usize = 64 << 20;
    let config = Config::new()
        .max_message_size(LARGEST)
        .write_timeout(2 * PATIENCE);
    let server = secure_echo(config.clone());
    let (ws, mut messages) = trusting().config(config).open(server.url()).unwrap();
    for size in [LARGEST / 4, LARGEST] {
        let mut bytes = vec![7; size];
        bytes
            .iter_mut()
            .step_by(4093)
            .enumerate()
            .for_each(|(number, byte)| *byte = number as u8);
        ws.send(bytes.clone()).unwrap();
        assert!(messages.recv().unwrap().as_bytes() == bytes, "{size} bytes");
    }
}

/// Codes and reasons cross TLS, and after our Close our side ends by `close_notify`.
#[test]
fn closing_ends_by_close_notify() {
    for role in ROLES {
        let mut meeting = TlsMeeting::recorded(role, Config::new());
        meeting.ws.close_with(4001, "enough").unwrap();
        let close = meeting.peer.read_frame();
        assert_eq!(close.close_code(), Some(4001), "{role:?}");
        assert_eq!(&close.payload[2..], b"enough");
        meeting.peer.send_close(4001, "enough");
        assert_eq!(meeting.peer.read_end(), TlsEnd::Notified, "{role:?}");
        drop(meeting.peer);
        let event = meeting.events.next_close();
        assert_eq!(
            (event.code(), event.is_clean()),
            (CloseCode::from(4001), true)
        );
    }
}

/// The peer's code and reason arrive over TLS, and the answer ends by `close_notify`.
#[test]
fn peers_close_is_answered() {
    for role in ROLES {
        let mut meeting = TlsMeeting::recorded(role, Config::new());
        meeting.peer.send_close(4002, "from the peer");
        assert_eq!(
            meeting.peer.read_frame().close_code(),
            Some(4002),
            "{role:?}"
        );
        assert_eq!(meeting.peer.read_end(), TlsEnd::Notified, "{role:?}");
        drop(meeting.peer);
        let event = meeting.events.next_close();
        assert_eq!(
            (event.code().into(), event.reason()),
            (4002_u16, "from the peer")
        );
        assert!(event.is_clean(), "{event:?}");
    }
}

/// RFC 8446, section 6.1: a stream that ends without `close_notify` was cut, which is no clean
/// close; one that ends by it, but without a Close, is none either (RFC 6455, section 7.1.5).
#[test]
fn end_without_a_close_is_abnormal() {
    let config = Config::new().ping_interval(None);
    for role in ROLES {
        for is_notified in [true, false] {
            let mut meeting = TlsMeeting::recorded(role, config.clone());
            meeting.peer.send_text("last words");
            if is_notified {
                meeting.peer.send_close_notify();
            } else {
                meeting.peer.truncate();
            }
            assert_eq!(meeting.events.next(), Event::Text("last words".into()));
            let event = meeting.events.next_close();
            assert_eq!(
                event.code(),
                CloseCode::ABNORMAL,
                "{role:?}, notified: {is_notified}"
            );
            assert!(!event.is_clean());
        }
    }
}

/// What the peer says wrongly over TLS is told to it by a Close, and then `close_notify`.
#[test]
fn violation_is_told_over_tls() {
    let mut meeting = TlsMeeting::recorded(Role::Server, Config::new());
    meeting.peer.send(&Frame::new(opcode::TEXT, [0xff]));
    assert_eq!(meeting.peer.read_frame().close_code(), Some(1007));
    assert_eq!(meeting.peer.read_end(), TlsEnd::Notified);
}
