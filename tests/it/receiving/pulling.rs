//! Messages that straight-line code takes: `recv`, iterators, `dispatch`.

use std::sync::mpsc;
use std::thread;

use landline::{CloseCode, Config, Message, Messages, RecvError, RecvTimeoutError, TryRecvError};

use crate::support::opcode::*;
use crate::support::*;

/// What has come of a message when the time is over is kept, however often it is over, and nothing
/// that comes later is lost.
#[test]
fn timeouts_keep_what_has_come() {
    let (mut peer, ws, mut messages) = open_quiet();
    let timeout = |messages: &mut Messages| {
        assert_eq!(messages.recv_timeout(ms(1)), Err(RecvTimeoutError::Timeout));
        assert_eq!(messages.recv_timeout(ms(0)), Err(RecvTimeoutError::Timeout));
    };
    timeout(&mut messages);
    let long = "long ".repeat(20_000);
    for frame in [
        Frame::text("short"),
        Frame::text(&long),
        Frame::new(BINARY, [7; 300]),
    ] {
        let bytes = peer.encode(&frame);
        let cuts = [1, 2, bytes.len() / 2, bytes.len() - 1];
        let mut start = 0;
        for cut in cuts {
            peer.send_bytes(&bytes[start..cut]);
            start = cut;
            timeout(&mut messages);
        }
        peer.send_bytes(&bytes[start..]);
        let message = messages.recv_timeout(PATIENCE).unwrap();
        assert_eq!(message.as_bytes(), frame.payload);
    }
    peer.send(&Frame::text("frag").unfinished());
    timeout(&mut messages);
    peer.send(&Frame::new(PING, "between"));
    timeout(&mut messages);
    ws.send("usable").unwrap();
    let mut frames = [peer.read_frame(), peer.read_frame()];
    frames.sort_by_key(|frame| frame.opcode);
    assert_eq!(frames, [Frame::text("usable"), Frame::new(PONG, "between")]);
    peer.send(&Frame::new(CONTINUATION, "ment"));
    assert_eq!(messages.recv().unwrap(), Message::from("fragment"));
    drop(peer);
}

/// Iterating ends after 1000, 1001, no code, and a close that we began; any other end is one `Err`
/// first. `recv` tells the end each time.
#[test]
fn iteration_ends_after_ordinary_ends() {
    let close = |code: u16| Frame::new(CLOSE, code.to_be_bytes()).bytes(false);
    let unmasked_close = |code: Option<u16>| code.map_or(Frame::new(CLOSE, "").bytes(false), close);
    for (code, ordinary) in [
        (Some(1000), true),
        (Some(1001), true),
        (None, true),
        (Some(1002), false),
        (Some(1008), false),
        (Some(1011), false),
        (Some(1012), false),
        (Some(4000), false),
    ] {
        let (mut peer, _ws, mut messages) = open_quiet();
        peer.send_text("a");
        peer.send_bytes(unmasked_close(code));
        peer.send_fin();
        assert_eq!(messages.next(), Some(Ok(Message::from("a"))));
        expect_end(&mut messages, ordinary, code.unwrap_or(1005));
    }
    let (peer, _ws, mut messages) = open_quiet();
    drop(peer);
    expect_end(&mut messages, false, 1006);

    let (mut peer, ws, mut messages) = open_quiet();
    ws.close_with(4000, "ours").unwrap();
    peer.send_text("late");
    peer.send_close(4000, "");
    peer.send_fin();
    assert_eq!(messages.next(), Some(Ok(Message::from("late"))));
    expect_end(&mut messages, true, 4000);

    let (mut peer, _ws, mut messages) = open_quiet();
    peer.send_bytes([0x83, 0]);
    peer.send_fin();
    expect_end(&mut messages, false, 1002);
}

#[track_caller]
fn expect_end(messages: &mut Messages, ordinary: bool, code: u16) {
    if !ordinary {
        let Some(Err(RecvError(event))) = messages.next() else {
            panic!("{code}: no error")
        };
        assert_eq!(event.code(), code);
    }
    assert_eq!(messages.next(), None, "{code}");
    assert_eq!(messages.next(), None, "{code}");
    for _ in 0..2 {
        let RecvError(event) = messages.recv().unwrap_err();
        assert_eq!(
            (event.code(), event.is_ordinary()),
            (CloseCode::from(code), ordinary)
        );
        let Err(RecvTimeoutError::Closed(again)) = messages.recv_timeout(PATIENCE) else {
            panic!()
        };
        assert_eq!(again, event);
    }
}

/// A failing callback of `recv` closes with 1011, and iterating says so: something went wrong here.
#[test]
fn failing_callback_is_not_an_ordinary_end() {
    let (mut peer, ws, mut messages) = open_quiet();
    ws.on_ping(|_, _| Err::<(), _>("no pings, please"));
    peer.send(&Frame::new(PING, ""));
    peer.send_close(1011, "");
    peer.send_fin();
    expect_end(&mut messages, false, 1011);
}

/// `Messages::close` closes with 1000, discards what still comes, and tells the end.
#[test]
fn closing_the_reading_end_is_polite() {
    let (mut peer, ws, messages) = open_quiet();
    let events = Recorder::new();
    events.record_all(&ws);
    ws.send("last words").unwrap();
    thread::scope(|scope| {
        let closing = scope.spawn(|| messages.close());
        assert_eq!(peer.read_frame(), Frame::text("last words"));
        assert_eq!(peer.read_close(), Some(1000));
        peer.send_text("discarded");
        peer.send_close(1000, "");
        peer.send_fin();
        let event = closing.join().unwrap();
        assert!(event.is_clean() && event.code() == CloseCode::NORMAL);
    });
    assert!(closed_once(&events, &ws).is_clean());
    assert_eq!(events.so_far(), []);
}

/// `dispatch` runs every callback, on the calling thread.
#[test]
fn dispatch_calls_back_on_the_calling_thread() {
    let (mut peer, ws, messages) = open_quiet();
    let (sender, receiver) = mpsc::channel();
    ws.on_text(move |_, text| drop(sender.send((thread::current().id(), text))));
    peer.send_text("a");
    peer.send_close(1000, "");
    peer.send_fin();
    assert_eq!(messages.dispatch().code(), CloseCode::NORMAL);
    assert_eq!(next(&receiver), (thread::current().id(), "a".into()));
}

/// `try_recv` gives what has come whole, in order, says that nothing has, and in the end how it ended.
#[test]
fn try_recv_gives_what_has_come() {
    for role in ROLES {
        let mut met = Pulled::new(role, Config::new());
        assert_eq!(met.messages.try_recv(), Err(TryRecvError::Empty));
        let large = "large ".repeat(200_000);
        let texts = ["one", "two", &large, "three"];
        let bytes: Vec<_> = texts
            .iter()
            .flat_map(|text| met.peer.encode(&Frame::text(text)))
            .collect();
        let (most, last) = bytes.split_at(bytes.len() - 1);
        let mut peer = met.peer.stream.try_clone().unwrap();
        let most = most.to_vec();
        let sending = thread::spawn(move || std::io::Write::write_all(&mut peer, &most).unwrap());
        for text in &texts[..3] {
            let mut come = None;
            settled("it has come", || {
                come = met.messages.try_recv().ok();
                come.is_some()
            });
            assert_eq!(come.unwrap().as_text(), Some(*text));
        }
        sending.join().unwrap();
        for _ in 0..20 {
            assert_eq!(met.messages.try_recv(), Err(TryRecvError::Empty));
        }
        met.peer.send_bytes(last);
        assert_eq!(met.messages.recv().unwrap().as_text(), Some("three"));
        met.peer.send_close(4001, "bye");
        met.peer.send_fin();
        let mut end = None;
        settled("it has ended", || {
            end = met
                .messages
                .try_recv()
                .err()
                .filter(|error| *error != TryRecvError::Empty);
            end.is_some()
        });
        let Some(TryRecvError::Closed(event)) = end else {
            panic!("no end")
        };
        assert_eq!(event.code(), CloseCode::from(4001));
        assert_eq!(met.messages.try_recv(), Err(TryRecvError::Closed(event)));
    }
}
