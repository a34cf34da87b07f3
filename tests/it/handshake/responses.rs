//! Answers to an upgrade that a client takes or refuses, and the frames behind them.

use std::thread;

use landline::{Client, Error};

use crate::support::opcode::*;
use crate::support::*;

/// Frames in the same segment as the 101 are delivered, to callbacks and to `recv`, and so is a
/// Close among them.
#[test]
fn frames_behind_the_answer_are_delivered() {
    let behind = || {
        let frames = [
            Frame::text("first"),
            Frame::new(BINARY, [7; 5000]),
            Frame::new(CLOSE, [0x0f, 0xa0]),
        ];
        frames
            .iter()
            .flat_map(|frame| frame.bytes(false))
            .collect::<Vec<_>>()
    };
    let raw = RawServer::new();
    let events = Recorder::new();
    thread::scope(|scope| {
        let answering = scope.spawn(|| raw.upgrade_with(&behind()));
        let ws = landline::connect(raw.url(), |ws| events.record_all(ws)).unwrap();
        let mut peer = answering.join().unwrap();
        assert_eq!(peer.read_close(), Some(4000));
        drop(peer);
        assert_eq!(ws.wait_closed().unwrap().code(), 4000);
    });
    assert_eq!(events.next(), Event::Text("first".into()));
    assert_eq!(events.next(), Event::Binary(vec![7; 5000]));
    assert_eq!(events.next_close().code(), 4000);

    thread::scope(|scope| {
        let answering = scope.spawn(|| raw.upgrade_with(&behind()));
        let (_ws, mut messages) = landline::open(raw.url()).unwrap();
        drop(answering.join().unwrap());
        assert_eq!(messages.recv().unwrap(), landline::Message::from("first"));
        assert_eq!(messages.recv().unwrap(), landline::Message::from([7; 5000]));
        let landline::RecvError(event) = messages.recv().unwrap_err();
        assert_eq!(event.code(), 4000);
    });
}

/// Everything but the right 101 is an error that says what was wrong; none of it is worth a retry.
#[test]
fn bad_answers_are_handshake_errors() {
    let good = SWITCHING;
    let and = |line: &str| good.replace("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"));
    for (answer, says) in [
        (
            good.replace("ACCEPT", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            "Accept is wrong",
        ),
        (
            good.replace("Sec-WebSocket-Accept: ACCEPT\r\n", ""),
            "Accept is missing",
        ),
        (
            and("Sec-WebSocket-Accept: ACCEPT"),
            "several Sec-WebSocket-Accept",
        ),
        (
            good.replace("Upgrade: websocket\r\n", ""),
            "does not upgrade",
        ),
        (good.replace("Connection: Upgrade\r\n", ""), "Connection"),
        (good.replace("HTTP/1.1", "HTTP/1.0"), "not of HTTP/1.1"),
        (
            and("Sec-WebSocket-Extensions: permessage-deflate"),
            "extension",
        ),
        (and("Sec-WebSocket-Protocol: chat"), "subprotocol"),
        (and("no colon here"), "malformed"),
        ("SSH-2.0-OpenSSH_9.2\r\n".into(), "does not speak HTTP"),
        ("\u{15}\u{3}\u{1}\0\u{2}\u{2}F".into(), "TLS"),
        (
            format!("HTTP/1.1 200 OK\r\n{}", "X: a\r\n".repeat(6000)),
            "too large",
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\n".repeat(50),
            "too many interim",
        ),
    ] {
        let error = refused(&Client::new(), &answer);
        assert!(matches!(error, Error::Handshake(_)), "{answer}: {error:?}");
        assert!(error.to_string().contains(says), "{answer}: {error}");
        assert!(!error.is_transient(), "{error}");
    }
}

/// What answers stand in the wild opens a connection: folded fields, a hundred and more of them, an
/// empty subprotocol.
#[test]
fn odd_answers_open_connections() {
    let and = |lines: &str| SWITCHING.replace("\r\n\r\n", &format!("\r\n{lines}\r\n"));
    for answer in [
        and("X-Folded: a\r\n b\r\n\tc\r\n"),
        SWITCHING.replace("Accept: ", "Accept:\r\n "),
        and(&"X-Many: a\r\n".repeat(124)),
        and(&format!("X-Long: {}\r\n", "a".repeat(32_000))),
        and("Sec-WebSocket-Protocol: \r\n"),
    ] {
        let raw = RawServer::new();
        thread::scope(|scope| {
            let connecting = scope.spawn(|| landline::open(raw.url()).map(drop));
            let (_peer, _request) = raw.answer_with(&answer);
            let shown = &answer[..answer.len().min(300)];
            connecting.join().unwrap().expect(shown);
        });
    }
}
