//! Sessions: how they end, how the loop goes on, and how it ends.

use std::sync::mpsc;
use std::thread;

use landline::{Client, CloseCode, Error, Message, SessionState, Sessions};

use super::{brief, endless};
use crate::support::*;

/// The ways in which a server can end a session.
const ENDS: [(&str, u16); 12] = [
    ("close 1000", 1000),
    ("close 1001", 1001),
    ("close", 1005),
    ("close 1008", 1008),
    ("close 1011", 1011),
    ("close 1012", 1012),
    ("close 1013", 1013),
    ("close 4004", 4004),
    ("fin", 1006),
    ("reset", 1006),
    ("garbage", 1002),
    ("half a frame", 1006),
];

/// Ends a session as it is called.
fn end(mut peer: RawPeer, how: &str) {
    match how {
        "close" => peer.send(&Frame::new(opcode::CLOSE, [])),
        "fin" => return peer.send_fin(),
        "reset" => return peer.reset(),
        "garbage" => peer.send_bytes([0xff; 20]),
        "half a frame" => return peer.send_bytes([0x81, 5, b'h']),
        close => {
            let code = close.trim_start_matches("close ").parse().unwrap();
            peer.send_close(code, "why");
        }
    }
    peer.read_end();
}

/// Accepts one session after the other, expects the subscription first, sends something, and ends
/// each in its way.
fn serve(raw: &RawServer, ends: &[(&str, u16)]) {
    for (how, _) in ends {
        let mut peer = raw.upgrade_with(&[]);
        assert_eq!(peer.read_frame(), Frame::text("subscribe"));
        peer.send_text(how);
        end(peer, how);
    }
}

/// However a session ends, its messages end without an error behind the last that came, and another
/// session follows. Its end is told by the handle.
#[test]
fn sessions_follow_however_the_one_before_ends() {
    let raw = RawServer::new();
    thread::scope(|scope| {
        scope.spawn(|| serve(&raw, &ENDS));
        let mut sessions = Client::new().sessions(raw.url()).backoff(brief());
        for (how, code) in ENDS {
            let (ws, messages) = sessions.next().unwrap().unwrap();
            ws.send("subscribe").unwrap();
            let came: Vec<Message> = messages.map(Result::unwrap).collect();
            assert_eq!(came, [Message::from(how)]);
            assert_eq!(ws.close_event().unwrap().code(), code, "{how}");
        }
    });
}

/// Nothing is connected before the first step, and a step closes the session before with 1000, whose
/// handle the program has kept.
#[test]
fn steps_close_the_session_before() {
    let raw = RawServer::new();
    let mut sessions = Client::new().sessions(raw.url()).backoff(brief());
    assert!(raw.try_accept().is_none());
    let (mut peer, (ws, messages)) = raw.answering(|_| sessions.next().unwrap().unwrap());
    drop(messages);
    thread::scope(|scope| {
        let next = scope.spawn(|| sessions.next().unwrap().unwrap());
        assert_eq!(peer.read_close(), Some(1000));
        assert!(raw.try_accept().is_none(), "one at a time");
        peer.send_close(1000, "");
        let mut peer = raw.upgrade_with(&[]);
        let (other, _messages) = next.join().unwrap();
        assert_eq!(ws.close_code(), Some(CloseCode::NORMAL));
        other.send("goes on").unwrap();
        assert_eq!(peer.read_frame(), Frame::text("goes on"));
        drop(peer);
    });
}

/// The session that is open outlives the loop.
#[test]
fn open_sessions_outlive_the_loop() {
    let raw = RawServer::new();
    let sessions = Client::new().sessions(raw.url());
    let (mut peer, (ws, mut messages)) =
        raw.answering(|_| sessions.into_iter().next().unwrap().unwrap());
    peer.send_text("still");
    assert_eq!(messages.recv().unwrap().as_text(), Some("still"));
    ws.send("here").unwrap();
    assert_eq!(peer.read_frame(), Frame::text("here"));
    drop(peer);
}

/// What will not pass by itself ends the loop, with its error.
#[test]
fn hopeless_errors_end_the_loop() {
    let client = Client::new();
    for status in ["401 No", "403 No", "404 No", "200 OK", "301 Moved"] {
        let raw = RawServer::new();
        let mut sessions = client.sessions(raw.url()).backoff(brief());
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        thread::scope(|scope| {
            let answering = scope.spawn(|| raw.answer_with(&answer));
            let error = sessions.next().unwrap().map(drop).unwrap_err();
            assert!(matches!(error, Error::Refused(_)), "{error:?}");
            assert!(sessions.next().is_none() && sessions.next().is_none());
            drop(answering.join().unwrap());
        });
    }
    let zero = endless().first(ms(0));
    for mut wrong in [
        client.sessions("nonsense"),
        client.sessions("ftp://127.0.0.1"),
        client.clone().header("X", "\n").sessions("ws://127.0.0.1"),
        client.sessions("ws://127.0.0.1").backoff(zero),
    ] {
        let error = wrong.next().unwrap().map(drop).unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{error:?}");
        assert!(wrong.next().is_none());
    }
}

/// What passes does not end it: nobody listens, the server breaks off, refuses for a while, is silent.
#[test]
fn passing_errors_are_waited_out() {
    let raw = RawServer::new();
    let (told, states) = mpsc::channel();
    let config = quiet().handshake_timeout(ms(300));
    let sessions = Client::new().config(config).sessions(raw.url());
    let mut sessions = sessions.backoff(brief()).on_state(move |state| {
        if let SessionState::Waiting { because, .. } = state {
            told.send(because).unwrap();
        }
    });
    thread::scope(|scope| {
        scope.spawn(|| {
            raw.accept().reset();
            raw.accept().send_fin();
            for status in [408, 429, 500, 502, 503, 504] {
                let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n");
                raw.answer_with(&answer);
            }
            let silent = raw.accept();
            let mut peer = raw.upgrade_with(&[]);
            drop(silent);
            peer.send_text("at last");
            assert_eq!(peer.read_close(), Some(1000));
            peer.send_close(1000, "");
        });
        let (_ws, mut messages) = sessions.next().unwrap().unwrap();
        assert_eq!(messages.recv().unwrap().as_text(), Some("at last"));
    });
    let because: Vec<_> = states.try_iter().collect();
    assert!(because.len() >= 9, "{because:?}");
    assert!(because.iter().all(|error| error.is_transient()));
}

/// The program decides which errors end the loop: a 401 may pass, and a 503 may not.
#[test]
fn programs_say_what_passes() {
    let answer = |status| format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n");
    let raw = RawServer::new();
    let sessions = Client::new().sessions(raw.url()).backoff(brief());
    let mut sessions = sessions.retry_if(
        |error| matches!(error, Error::Refused(refusal) if refusal.status.as_u16() == 401),
    );
    thread::scope(|scope| {
        scope.spawn(|| {
            raw.answer_with(&answer(401));
            raw.answer_with(&answer(401));
            raw.answer_with(&answer(503));
        });
        let error = sessions.next().unwrap().map(drop).unwrap_err();
        assert!(error.to_string().contains("503"), "{error}");
        assert!(sessions.next().is_none());
    });
}

/// A code that the program names ends the loop, with the event as its error, or quietly if it is
/// ordinary. The program's own close does not, whatever it is answered with.
#[test]
fn named_codes_end_the_loop() {
    for (code, ordinary) in [(4004, false), (1008, false), (1000, true)] {
        let raw = RawServer::new();
        let sessions = Client::new().sessions(raw.url()).backoff(brief());
        let mut sessions = sessions.end_at([4004, 1008, 1000]);
        let next = |sessions: &mut Sessions| {
            let (peer, session) = raw.answering(|_| sessions.next().unwrap().unwrap());
            (peer, session)
        };
        let (mut peer, (ws, messages)) = next(&mut sessions);
        ws.close();
        assert_eq!(peer.read_close(), Some(1000));
        peer.send_close(code, "");
        peer.send_fin();
        assert_eq!(messages.count(), 0);
        let (mut peer, (_ws, messages)) = next(&mut sessions);
        peer.send_close(code, "enough");
        peer.send_fin();
        assert_eq!(messages.count(), 0);
        match sessions.next() {
            None => assert!(ordinary, "{code}"),
            Some(Err(Error::Closed(event))) => {
                assert!(!ordinary);
                assert_eq!((event.code().as_u16(), event.reason()), (code, "enough"));
            }
            other => panic!("{other:?}"),
        }
        assert!(sessions.next().is_none());
    }
}

/// A cancel ends the loop wherever it is, without an error: while a session is open, whose server is
/// told 1000, in a back-off, in a handshake, and before it begins.
#[test]
fn cancels_end_the_loop() {
    let raw = RawServer::new();
    let client = Client::new();
    let (told, states) = mpsc::channel();
    let mut sessions = client.sessions(raw.url()).backoff(endless());
    sessions = sessions.on_state(move |state| told.send(state.to_string()).unwrap());
    let (mut peer, (_ws, messages)) = raw.answering(|_| sessions.next().unwrap().unwrap());
    thread::scope(|scope| {
        let reading = scope.spawn(|| messages.count());
        client.canceller().cancel();
        assert_eq!(peer.read_close(), Some(1000));
        peer.send_close(1000, "");
        assert_eq!(reading.join().unwrap(), 0);
    });
    assert!(sessions.next().is_none());
    assert!(client.sessions(raw.url()).next().is_none());
    assert!(raw.try_accept().is_none());
    assert_eq!(next(&states), "connecting");
    assert!(next(&states).starts_with("connected to 127.0.0.1"));
    assert!(states.try_recv().is_err());
}

/// So it does in a back-off behind a session, and in one behind an attempt that failed.
#[test]
fn cancels_end_back_offs() {
    for is_open in [true, false] {
        let raw = RawServer::new();
        let client = Client::new();
        let (told, states) = mpsc::channel();
        let sessions = client.sessions(raw.url()).backoff(endless());
        let mut sessions = sessions.on_state(move |state| {
            if let SessionState::Waiting { because, .. } = state {
                told.send(because).unwrap();
            }
        });
        thread::scope(|scope| {
            let waiting = scope.spawn(move || {
                if is_open {
                    let (_ws, messages) = sessions.next().unwrap().unwrap();
                    assert_eq!(messages.count(), 0);
                }
                sessions.next().is_none()
            });
            if is_open {
                end(raw.upgrade_with(&[]), "close 1012");
            } else {
                drop(raw.answer_with("HTTP/1.1 503 No\r\n\r\n"));
            }
            let because = next(&states);
            assert_eq!(matches!(*because, Error::Closed(_)), is_open);
            client.canceller().cancel();
            assert!(waiting.join().unwrap());
        });
    }
}
