//! What a client makes of the server's answer.

use http::{HeaderMap, Response};
use tungstenite::handshake::derive_accept_key;
use url::Url;

use super::{feed, parse_response};
use crate::Error;
use crate::handshake::{ClientHandshake, ResponseBody};

/// Makes a handshake with the subprotocols `chat` and `v2`, and the right answer's accept field.
fn handshake() -> (ClientHandshake, String) {
    let url = Url::parse("ws://a.example/").unwrap();
    let handshake =
        ClientHandshake::new(&url, &HeaderMap::new(), &["chat".into(), "v2".into()], None).unwrap();
    let text = std::str::from_utf8(handshake.bytes()).unwrap();
    let (_, rest) = text.split_once("Sec-WebSocket-Key: ").unwrap();
    let accept = derive_accept_key(rest.lines().next().unwrap().as_bytes());
    (handshake, format!("Sec-WebSocket-Accept: {accept}\r\n"))
}

/// Parses and verifies, however the bytes are cut: the chosen subprotocol or the error's text.
fn verdict(handshake: &ClientHandshake, bytes: &[u8]) -> Option<Result<String, String>> {
    feed(bytes, |bytes| match parse_response(bytes) {
        Ok(None) => None,
        Ok(Some((response, _))) => {
            let chosen = handshake
                .verify(response)
                .map(|negotiated| negotiated.subprotocol.unwrap_or_default());
            Some(chosen.map_err(only_handshake))
        }
        Err(error) => Some(Err(only_handshake(error))),
    })
}

#[track_caller]
fn only_handshake(error: Error) -> String {
    match error {
        Error::Handshake(what) => {
            assert!(!what.contains(char::is_control), "{what:?}");
            what
        }
        other => panic!("{other:?}"),
    }
}

const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n";

/// Only a 101 of HTTP/1.1 with the right fields opens a connection (RFC 6455, section 4.1).
#[test]
fn answers() {
    let (handshake, accept) = handshake();
    let line = "HTTP/1.1 101 Switching Protocols\r\n";
    let good = format!("{line}{UPGRADE}{accept}");
    let wrong = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    for (expected, head) in [
        (Some(""), good.clone()),
        (Some(""), format!("HTTP/1.1 101\r\n{UPGRADE}{accept}")),
        (Some(""), format!("HTTP/1.1 101 \r\n{UPGRADE}{accept}")),
        (
            Some(""),
            format!("HTTP/1.1 101 caf\u{e9}\r\n{UPGRADE}{accept}"),
        ),
        (
            Some(""),
            format!("{line}upgrade: WebSocket\r\nconnection: x, upgrade\r\n{accept}"),
        ),
        (Some(""), format!("{good}Sec-WebSocket-Extensions:\r\n")),
        (
            Some(""),
            format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103\r\nLink: x\r\n\r\n{good}"),
        ),
        (
            Some("chat"),
            format!("{good}Sec-WebSocket-Protocol: chat\r\n"),
        ),
        (
            Some("v2"),
            format!("{good}Sec-WebSocket-Protocol:  v2 \r\n"),
        ),
        // None is chosen.
        (Some(""), format!("{good}Sec-WebSocket-Protocol:\r\n")),
        (Some(""), format!("{good}Sec-WebSocket-Protocol: \t\r\n")),
        // Folded fields are read as one line (RFC 9112, section 5.2).
        (Some(""), format!("{good}X: a\r\n b\r\n\tc\n d\r\n")),
        (
            Some("chat"),
            format!("{good}Sec-WebSocket-Protocol:\r\n\tchat\r\n \r\n"),
        ),
        (
            Some("v2"),
            format!(
                "{}Sec-WebSocket-Protocol: v2\r\n",
                good.replace(": ", ":\r\n ")
            ),
        ),
        (None, format!("{good}Sec-WebSocket-Protocol: ch\r\n at\r\n")),
        (None, format!("{line} X: a\r\n{UPGRADE}{accept}")),
        (None, format!("HTTP/1.0 101 OK\r\n{UPGRADE}{accept}")),
        (None, format!("HTTP/1.1 200 OK\r\n{UPGRADE}{accept}")),
        (None, format!("{line}Connection: Upgrade\r\n{accept}")),
        (
            None,
            format!("{line}Upgrade: h2c\r\nConnection: Upgrade\r\n{accept}"),
        ),
        (None, format!("{line}Upgrade: websocket\r\n{accept}")),
        (
            None,
            format!("{line}Upgrade: websocket\r\nConnection: close\r\n{accept}"),
        ),
        (None, format!("{line}{UPGRADE}")),
        (None, format!("{line}{UPGRADE}{wrong}")),
        (None, format!("{good}{accept}")),
        (None, format!("{good}{wrong}")),
        (None, format!("{line}{UPGRADE}{}", accept.to_lowercase())),
        (
            None,
            format!("{good}Sec-WebSocket-Extensions: permessage-deflate\r\n"),
        ),
        (None, format!("{good}Sec-WebSocket-Protocol: other\r\n")),
        (None, format!("{good}Sec-WebSocket-Protocol: Chat\r\n")),
        (None, format!("{good}Sec-WebSocket-Protocol: chat, v2\r\n")),
        (
            None,
            format!("{good}Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n"),
        ),
        (
            None,
            format!("{good}Sec-WebSocket-Protocol: a\u{1b}[31m\r\n"),
        ),
        (None, format!("{good}X : a\r\n")),
        (None, format!("{good}X: a\0\r\n")),
        (None, format!("HTTP/1.1 99 OK\r\n{UPGRADE}{accept}")),
        (None, format!("HTTP/1.1 0101 OK\r\n{UPGRADE}{accept}")),
        (None, format!("HTTP/1.1 001 OK\r\n{UPGRADE}{accept}")),
        (None, format!("HTTP/1.1  101 OK\r\n{UPGRADE}{accept}")),
        (None, format!("HTTP/1.1\r\n{UPGRADE}{accept}")),
        (None, format!("HTTP/1.2 101 OK\r\n{UPGRADE}{accept}")),
    ] {
        let outcome = verdict(&handshake, format!("{head}\r\n").as_bytes()).unwrap();
        assert_eq!(outcome.as_deref().ok(), expected, "{head:?}: {outcome:?}");
    }
}

/// What cannot become an HTTP/1 response is refused at its first wrong byte.
#[test]
fn garbage_is_refused_at_once() {
    let (handshake, _) = handshake();
    for bytes in [
        &b"\x15\x03\x01"[..],
        b"S",
        b"\0",
        b"\r\n",
        b"http",
        b"HTTP/2",
        b"HTTP/1,",
        b"\x88\x02",
    ] {
        assert!(
            verdict(&handshake, bytes).unwrap().is_err(),
            "{}",
            bytes.escape_ascii()
        );
    }
    let tls = verdict(&handshake, b"\x15\x03").unwrap().unwrap_err();
    assert_eq!(
        tls,
        "the server speaks TLS on this port, wss:// was probably meant"
    );
    assert_eq!(verdict(&handshake, b"HTTP/1.1 101 Switching"), None);
    assert_eq!(verdict(&handshake, b""), None);
}

/// Frames in the same segment as the 101 are not taken for a part of it.
#[test]
fn what_follows_the_head_is_kept() {
    let frames = b"\x81\x02\r\n\x81\x00";
    let bytes = [
        &b"HTTP/1.1 100\r\n\r\nHTTP/1.1 101\r\nX: a\r\n\r\n"[..],
        frames,
    ]
    .concat();
    let length = feed(&bytes, |bytes| {
        parse_response(bytes).unwrap().map(|(_, length)| length)
    });
    assert_eq!(&bytes[length.unwrap()..], frames);
}

/// Folded fields become spaces (RFC 9112, section 5.2).
#[test]
fn folds_become_spaces() {
    let head = "200 OK\r\nA: b\r\n c\r\n \t d\r\nE:\r\n f \r\n \r\nG: h\n i";
    let response = response(head);
    for (name, value) in [("a", "b   c   \t d"), ("e", "f"), ("g", "h  i")] {
        assert_eq!(response.headers()[name], value);
    }
}

fn response(head: &str) -> Response<()> {
    let bytes = format!("HTTP/1.1 {head}\r\n\r\n");
    parse_response(bytes.as_bytes()).unwrap().unwrap().0
}

/// The body of a refusal ends by its status, its chunks, its length, or with the connection (RFC
/// 9112, section 6.3).
#[test]
fn bodies() {
    const LENGTH: &str = "400\r\nContent-Length: 3";
    const CHUNKED: &str = "400\r\nTransfer-Encoding: chunked";
    for (head, received, body, complete) in [
        ("400", "", "", false),
        ("400", "abc", "abc", false),
        ("204", "abc", "", true),
        ("304\r\nContent-Length: 3", "abc", "", true),
        ("400\r\nContent-Length: 0", "abc", "", true),
        (LENGTH, "", "", false),
        (LENGTH, "ab", "ab", false),
        (LENGTH, "abc", "abc", true),
        (LENGTH, "abcd", "abc", true),
        ("400\r\nContent-Length: x", "abc", "abc", false),
        (
            "400\r\nContent-Length: 1\r\nContent-Length: 2",
            "abc",
            "abc",
            false,
        ),
        (CHUNKED, "", "", false),
        (CHUNKED, "3", "", false),
        (CHUNKED, "3\r\nab", "ab", false),
        (CHUNKED, "3\r\nabc", "abc", false),
        (CHUNKED, "3\r\nabc\r", "abc", false),
        (CHUNKED, "3;x=y\r\nabc\r\n1\r\nd\r\n", "abcd", false),
        (CHUNKED, "3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n", "abcd", true),
        (CHUNKED, "3\r\nabcd", "abc", true),
        (CHUNKED, "x\r\nabc", "", true),
        (CHUNKED, "ffffffffffffffff\r\nabc", "abc", false),
        (CHUNKED, "fffffffffffffffff\r\nabc", "", true),
        (
            "400\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
            "2\r\nab",
            "ab",
            false,
        ),
    ] {
        for pieces in [usize::MAX, 1] {
            let (bytes, over) = read_body(head, received.as_bytes(), pieces);
            assert_eq!(bytes, body.as_bytes(), "{head:?} {received:?}");
            assert_eq!(over, complete, "{head:?} {received:?}");
        }
    }
}

/// 16 KiB of a body are enough, however it is sent.
#[test]
fn bodies_are_cut() {
    let long = vec![b'a'; 20_000];
    let chunked = [b"8000\r\n", &long[..]].concat();
    let chunks = b"1\r\na\r\n".repeat(20_000);
    let extension = [b"1;", &b"x".repeat(70_000)[..]].concat();
    let coding = "400\r\nTransfer-Encoding: chunked";
    for (head, received, length) in [
        ("400", &long, 16_384),
        ("400\r\nContent-Length: 20000", &long, 16_384),
        (coding, &chunked, 16_384),
        (coding, &chunks, 16_384),
        (coding, &extension, 0),
    ] {
        for pieces in [usize::MAX, 1, 1000] {
            let (bytes, over) = read_body(head, received, pieces);
            assert_eq!((bytes.len(), over), (length, true), "{head:?}");
        }
    }
}

/// Reads a body in pieces of so many bytes; tells whether it is over, too.
fn read_body(head: &str, received: &[u8], pieces: usize) -> (Vec<u8>, bool) {
    let mut body = ResponseBody::announced_by(&response(head));
    received.chunks(pieces).for_each(|piece| body.take(piece));
    let over = body.is_over();
    (body.into_bytes().to_vec(), over)
}

/// What says where a body ends is the status, its chunks, or its length.
#[test]
fn known_ends() {
    let known = |head: &str| ResponseBody::announced_by(&response(head)).has_known_end();
    assert!(known("204") && known("400\r\nContent-Length: 3"));
    assert!(known("400\r\nTransfer-Encoding: chunked"));
    assert!(!known("400") && !known("400\r\nContent-Length: x"));
}
