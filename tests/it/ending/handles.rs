//! Who keeps a connection alive, and what is left when nobody does.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;

use landline::{Client, CloseCode, Config, Outcome, SendErrorKind, WaitError, WebSocket};

use crate::support::opcode::*;
use crate::support::*;

/// When the reading end is dropped and then the last handle, the closing handshake is done and
/// `on_close` runs; what was sent goes first.
#[test]
fn dropping_both_ends_closes_in_order() {
    let (mut peer, ws, messages) = open_quiet();
    let events = Recorder::new();
    events.record_all(&ws);
    drop(messages);
    ws.send("still works").unwrap();
    assert_eq!(peer.read_frame(), Frame::text("still works"));
    thread::scope(|scope| {
        scope.spawn(|| {
            ws.send("last words").unwrap();
            drop(ws);
        });
        assert_eq!(peer.read_frame(), Frame::text("last words"));
        assert_eq!(peer.read_close(), Some(1000));
        peer.send_close(1000, "");
        peer.send_fin();
        peer.read_eof();
    });
    assert!(events.next_close().is_clean());
}

/// A connection that is opened and dropped inside a callback of another does not wait for its
/// closing handshake, but what it has sent arrives.
#[test]
fn connection_dropped_in_a_callback_delivers() {
    let upstream = RawServer::new();
    let url = upstream.url();
    let mut met = Meeting::of(Role::Server, quiet(), move |ws| {
        let url = url.clone();
        ws.on_text(move |_, _| -> Outcome {
            let (upstream, _messages) = landline::open(&url)?;
            upstream.send_all((0..10).map(|_| vec![7; 100_000]))?;
            Ok(())
        });
    });
    met.peer.send_text("forward");
    let mut peer = upstream.upgrade_with(&[]);
    for _ in 0..10 {
        assert_eq!(peer.read_frame(), Frame::new(BINARY, vec![7; 100_000]));
    }
    assert_eq!(peer.read_close(), Some(1000));
}

/// An opened connection whose reading end is dropped is read on: pings are answered, callbacks run,
/// and who waits for its end is told.
#[test]
fn connection_without_a_reading_end_is_read_on() {
    let (mut peer, ws, messages) = open_quiet();
    let events = Recorder::new();
    events.record_all(&ws);
    drop(messages);
    peer.send_text("discarded");
    peer.send(&Frame::new(PING, "still there?"));
    assert_eq!(peer.read_frame(), Frame::new(PONG, "still there?"));
    assert_eq!(events.next(), Event::Ping("still there?".into()));
    ws.send("still here").unwrap();
    assert_eq!(peer.read_frame(), Frame::text("still here"));
    thread::scope(|scope| {
        let waiter = scope.spawn(|| ws.wait_closed());
        peer.send_close(1000, "");
        peer.send_fin();
        let end = waiter.join().unwrap().map(|event| event.code());
        assert_eq!(end, Ok(CloseCode::NORMAL));
    });
}

fn patient() -> Client {
    Client::new().config(Config::new().close_timeout(2 * PATIENCE))
}

/// A send after the end hands its message back, whole batches too.
#[test]
fn send_after_the_end_hands_the_message_back() {
    for role in ROLES {
        let mut met = Meeting::of(role, Config::new(), |_| {});
        met.peer.send_close(1000, "");
        drop(met.peer);
        settled("it has ended", || met.ws.close_code().is_some());
        for error in [
            met.ws.send("x"),
            met.ws.try_send("x"),
            met.ws.send_all(["x", "y"]),
        ] {
            let error = error.unwrap_err();
            assert_eq!(error.kind(), SendErrorKind::Closed);
            assert_eq!(error.into_message(), Some("x".into()));
        }
        assert_eq!(met.ws.ping("x").unwrap_err().kind(), SendErrorKind::Closed);
        assert!(!met.ws.is_open());
    }
}

/// Dropping a client's last handle closes with 1000 and waits: what it sent arrives.
#[test]
fn last_handle_dropped_closes_and_loses_nothing() {
    let raw = RawServer::new();
    let (mut peer, ws) = raw.meet(&patient(), |_| {});
    let clone = ws.clone();
    for number in 0..100_u8 {
        ws.send([number; 1_000]).unwrap();
    }
    drop(ws);
    let dropping = thread::spawn(move || drop(clone));
    for number in 0..100_u8 {
        assert_eq!(
            peer.read_frame(),
            Frame::new(opcode::BINARY, [number; 1_000])
        );
    }
    assert_eq!(peer.read_close(), Some(1000));
    assert!(
        !dropping.is_finished(),
        "it waits for the closing handshake"
    );
    peer.send_close(1000, "");
    drop(peer);
    settled("the drop returns", || dropping.is_finished());
}

/// The same for `open`: the connection lives while the handle or the reading end does.
#[test]
fn handle_and_messages_both_keep_a_client_open() {
    for messages_first in [true, false] {
        let raw = RawServer::new();
        let (mut peer, ws, messages) = raw.meet_open(&patient());
        let (sender, go) = mpsc::channel();
        let dropping = thread::spawn(move || {
            ws.send("before").unwrap();
            if messages_first {
                drop(messages);
                ws.send("between").unwrap();
                next(&go);
                drop(ws);
            } else {
                drop(ws);
                next(&go);
                drop(messages);
            }
        });
        assert_eq!(peer.read_frame(), Frame::text("before"));
        if messages_first {
            assert_eq!(peer.read_frame(), Frame::text("between"));
        }
        assert!(!peer.has_ended());
        sender.send(()).unwrap();
        assert_eq!(peer.read_close(), Some(1000));
        peer.send_close(1000, "");
        drop(peer);
        settled("the drop returns", || dropping.is_finished());
        dropping.join().unwrap();
    }
}

/// On the server a connection lives on without any handle of the program's.
#[test]
fn served_connection_needs_no_handle() {
    let server = TestServer::echo();
    let mut raw = RawPeer::client_of(&server);
    drop(server.connections());
    raw.send_text("hello");
    assert_eq!(raw.read_frame(), Frame::text("hello"));
}

/// A handle kept in its own callback keeps nothing open and leaks nothing.
#[test]
fn handle_in_its_own_callback_is_no_leak() {
    let raw = RawServer::new();
    let kept = Arc::new(());
    let inside = Arc::clone(&kept);
    let (mut peer, ws) = raw.meet(&patient(), move |ws| {
        let own = ws.clone();
        ws.on_text(move |_, text| {
            let _kept = &inside;
            own.send(text)
        });
    });
    peer.send_text("hello");
    assert_eq!(peer.read_frame(), Frame::text("hello"));
    let dropping = thread::spawn(move || drop(ws));
    assert_eq!(peer.read_close(), Some(1000));
    peer.send_close(1000, "");
    drop(peer);
    settled("the drop returns", || dropping.is_finished());
    settled("the callback is gone", || Arc::strong_count(&kept) == 1);
}

/// The same with the handle that `connect` returned: its own slots do not count either.
#[test]
fn returned_handle_in_its_own_callback_is_no_leak() {
    let raw = RawServer::new();
    let kept = Arc::new(());
    let inside = Arc::clone(&kept);
    let (mut peer, ws) = raw.meet(&patient(), |_| {});
    let own = ws.clone();
    ws.on_text(move |_, text| {
        let _kept = &inside;
        own.send(text)
    });
    let weak = Arc::downgrade(&kept);
    drop(kept);
    peer.send_text("hello");
    assert_eq!(peer.read_frame(), Frame::text("hello"));
    peer.send_close(1000, "");
    assert_eq!(peer.read_close(), Some(1000));
    drop(peer);
    settled("the callback is gone with the connection", || {
        weak.strong_count() == 0
    });
    drop(ws);
}

/// The last handle dropped in a callback of the connection closes it without waiting for itself.
#[test]
fn last_handle_dropped_in_its_own_callback() {
    let raw = RawServer::new();
    let slot = Arc::new(Mutex::new(None::<WebSocket>));
    let inside = Arc::clone(&slot);
    let (mut peer, ws) = raw.meet(&patient(), move |ws| {
        ws.on_text(move |ws, _| {
            drop(inside.lock().unwrap().take());
            assert_eq!(ws.wait_closed().unwrap_err(), WaitError::WouldDeadlock);
        });
    });
    *slot.lock().unwrap() = Some(ws);
    peer.send_text("drop it");
    assert_eq!(peer.read_close(), Some(1000));
    peer.send_close(1000, "");
    peer.send_fin();
    peer.read_eof();
}

/// A panicking script does not wait for its connections; they close in order, with 1011 where it
/// was the reader, and `on_close` runs.
#[test]
fn panicking_owner_does_not_wait() {
    let raw = RawServer::new();
    let (mut peer, ws, messages) = raw.meet_open(&patient());
    let events = Recorder::new();
    events.record_close(&ws);
    let panicking = thread::spawn(move || {
        let _both = (ws, messages);
        panic!("boom");
    });
    settled("it has panicked", || panicking.is_finished());
    assert_eq!(peer.read_close(), Some(1011));
    peer.send_close(1011, "");
    peer.send_fin();
    peer.read_eof();
    assert!(events.next_close().is_clean());
}

/// After clients of both kinds have come and gone, threads and descriptors are back.
#[test]
fn clients_leave_nothing() {
    alone(|| {
        let server = TestServer::echo();
        let kept = RawPeer::client_of(&server);
        settled("it is open", || server.connection_count() == 1);
        let before = Resources::now();
        let mut handles = Vec::new();
        for _ in 0..30 {
            let ws = landline::connect(server.url(), |_| {}).unwrap();
            ws.send("hello").unwrap();
            ws.close();
            ws.wait_closed().unwrap();
            let (open, mut messages) = landline::open(server.url()).unwrap();
            open.send("hello").unwrap();
            assert_eq!(messages.recv().unwrap(), "hello".into());
            drop(messages.close());
            // A kept handle holds no descriptor and no thread.
            handles.extend([ws, open]);
        }
        before.settle_back();
        drop((handles, kept));
    });
}
