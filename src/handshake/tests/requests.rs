//! Requests, good and bad.

use http::{Request, Version};

use super::{FIELDS, feed, parse_request};
use crate::handshake::{BadRequest, UpgradeRequest, offered_subprotocols};

/// The fields of a good request but its first, the Host.
const NO_HOST: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// A good request with these lines after its own.
fn with(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\n{FIELDS}{lines}\r\n")
}

/// A good request whose line that begins with `name` is replaced; by nothing if `line` is empty.
fn but(name: &str, line: &str) -> String {
    let own = FIELDS.split_inclusive("\r\n");
    let rest: String = own.filter(|own| !own.starts_with(name)).collect();
    format!("GET / HTTP/1.1\r\n{rest}{line}\r\n")
}

/// A good request with this first line.
fn line(line: &str) -> String {
    format!("{line}\r\n{FIELDS}\r\n")
}

/// Judges a request as a server does: its length, or its refusal; nothing while it is incomplete.
#[track_caller]
fn verdict(bytes: &[u8]) -> Option<Result<usize, BadRequest>> {
    feed(bytes, |bytes| match parse_request(bytes) {
        Ok(None) => None,
        Ok(Some((request, length))) => {
            let upgrade = UpgradeRequest::of(&request);
            let offered = upgrade.and_then(|_| offered_subprotocols(request.headers()));
            Some(offered.map(|_| length))
        }
        Err(bad) => Some(Err(bad)),
    })
}

/// Returns the status that the request gets: that of its refusal, or 101; 0 if it is incomplete.
#[track_caller]
fn status(bytes: &[u8]) -> u16 {
    match verdict(bytes) {
        None => 0,
        Some(Err(bad)) => bad.status.as_u16(),
        Some(Ok(length)) => {
            assert_eq!(length, bytes.len(), "{}", bytes.escape_ascii());
            101
        }
    }
}

#[track_caller]
fn check(table: &[(u16, String)]) {
    for (expected, request) in table {
        assert_eq!(status(request.as_bytes()), *expected, "{request:?}");
    }
}

fn parse(bytes: &[u8]) -> Box<Request<()>> {
    parse_request(bytes).unwrap().unwrap().0
}

/// The request line is `GET`, a target in origin-form or absolute-form, and `HTTP/1.1` (RFC 9112,
/// section 3).
#[test]
fn request_lines() {
    check(&[
        (101, line("GET / HTTP/1.1")),
        (101, line("GET /a/b;c?d=e&f=%20|{} HTTP/1.1")),
        (101, line("GET //a HTTP/1.1")),
        (101, line("GET http://b.example/a?b HTTP/1.1")),
        (101, line("GET HTTP://b.example:81 HTTP/1.1")),
        (101, line("GET wss://[::1]?b HTTP/1.1")),
        (101, line("\r\nGET / HTTP/1.1")),
        (101, line("\n\r\n\nGET / HTTP/1.1")),
        // Neither of the forms of a GET.
        (400, line("GET * HTTP/1.1")),
        (400, line("GET a.example:80 HTTP/1.1")),
        (400, line("GET a HTTP/1.1")),
        (400, line("GET ftp://a.example/ HTTP/1.1")),
        (400, line("GET http:///a HTTP/1.1")),
        (400, line("GET http://user@a.example/ HTTP/1.1")),
        (400, line("GET http://a.example:99999/ HTTP/1.1")),
        (400, line("GET /a#b HTTP/1.1")),
        (400, line("GET http://a.example#b HTTP/1.1")),
        // Not a request line at all.
        (400, line("GET  / HTTP/1.1")),
        (400, line("GET /  HTTP/1.1")),
        (400, line("GET\t/ HTTP/1.1")),
        (400, line(" GET / HTTP/1.1")),
        (400, line("GET / HTTP/1.1 ")),
        (400, line("GET / HTTP/1.10")),
        (400, line("GET / http/1.1")),
        (400, line("GET / HTTP/1x")),
        (400, line("GET / HTTP/x.1")),
        (400, line("GET / FTP/1.1")),
        (400, line("GET /")),
        (400, line("GET /\u{e9} HTTP/1.1")),
        (400, line("GET /\u{9b}31m HTTP/1.1")),
        (400, line("GET /\0 HTTP/1.1")),
        (400, line("GET /\u{1b}[31m HTTP/1.1")),
        (400, line("GET /\u{7f} HTTP/1.1")),
        (400, line("\rGET / HTTP/1.1")),
        // Only GET can upgrade, and methods are case-sensitive.
        (405, line("POST / HTTP/1.1")),
        (405, line("HEAD / HTTP/1.1")),
        (405, line("OPTIONS * HTTP/1.1")),
        (405, line("get / HTTP/1.1")),
        (501, line("CONNECT a.example:80 HTTP/1.1")),
        // Versions: in 1.0 an Upgrade is ignored (RFC 9110, section 7.8), others are not spoken.
        (426, line("GET / HTTP/1.0")),
        (426, line("POST / HTTP/1.0")),
        (505, line("GET / HTTP/1.2")),
        (505, line("GET / HTTP/2.0")),
        (505, line("GET / HTTP/2")),
        (505, line("GET / HTTP/0.9")),
        (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
    ]);
}

/// What cannot become an HTTP request is refused at its first wrong byte.
#[test]
fn garbage_is_refused_at_once() {
    let garbage: [&[u8]; 8] = [
        b"\x16\x03",
        b"\x16",
        b"\0",
        b"\xff\xfe",
        b"GET / X",
        b" ",
        b"GET  ",
        b"M\x80",
    ];
    for bytes in garbage {
        assert_eq!(status(bytes), 400, "{}", bytes.escape_ascii());
    }
    assert_eq!(status(b"GET / HTTP/3"), 505);
    assert_eq!(status(&[b'A'; 33]), 501);
    assert_eq!(status(&[b'A'; 32]), 0);
}

/// Header lines are a token, a colon and a value without control characters; they are not folded
/// (RFC 9112, section 5; RFC 9110, section 5.5).
#[test]
fn header_lines() {
    check(&[
        (101, with("X:\r\n")),
        (101, with("X:a\r\n")),
        (101, with("X: \t a\tb \t\r\n")),
        (101, with("X: caf\u{e9}\r\n")),
        (101, with("X!#$%&'*+-.^_`|~1: a\r\n")),
        // A lone LF may end a line (RFC 9112, section 2.2), any line.
        (101, with("X: a\n")),
        (101, with("").replace('\r', "")),
        (101, format!("GET / HTTP/1.1\r\n{FIELDS}\n")),
        (400, with("X : a\r\n")),
        (400, with("X\t: a\r\n")),
        (400, with("X\r\n")),
        (400, with(": a\r\n")),
        (400, with("X: a\r\n b\r\n")),
        (400, with("X: a\r\n\tb\r\n")),
        (400, with(" X: a\r\n")),
        (400, with("X(a): b\r\n")),
        (400, with("X\0: a\r\n")),
        (400, with("X\u{e9}: a\r\n")),
        (400, with("X: a\0b\r\n")),
        (400, with("X: a\rb\r\n")),
        (400, with("X: a\r\r\n")),
        (400, with("X: \u{1b}[31m\r\n")),
        (400, with("X: a\u{7f}\r\n")),
    ]);
}

/// Host occurs once, with a host and perhaps a port; HTTP/1.0 may lack it (RFC 9112, section 3.2).
#[test]
fn hosts() {
    check(&[
        (101, but("Host", "Host: a.example:80\r\n")),
        (101, but("Host", "Host: a.example:\r\n")),
        (101, but("Host", "Host: [::1]:80\r\n")),
        (101, but("Host", "host: 127.0.0.1\r\n")),
        (101, but("Host", "Host:\r\n")),
        (400, but("Host", "")),
        (400, with("Host: a.example\r\n")),
        (400, with("Host: b.example\r\n")),
        (400, but("Host", "Host: a.example, b.example\r\n")),
        (400, but("Host", "Host: user@a.example\r\n")),
        (400, but("Host", "Host: a.example/\r\n")),
        (400, but("Host", "Host: a.example:x\r\n")),
        (400, but("Host", "Host: a.example:65536\r\n")),
        (400, but("Host", "Host: :80\r\n")),
        (400, but("Host", "Host: [::1\r\n")),
        (400, but("Host", "Host: [::1]x\r\n")),
        (400, but("Host", "Host: caf\u{e9}.example\r\n")),
        // The target's authority does not make up for it.
        (
            400,
            format!("GET http://a.example/ HTTP/1.1\r\n{NO_HOST}\r\n"),
        ),
    ]);
    let plain = parse(b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(plain.version(), Version::HTTP_10);
}

/// A body's length is announced once and clearly (RFC 9112, section 6), and an upgrade has none.
#[test]
fn framing() {
    check(&[
        (101, with("Content-Length: 0\r\n")),
        (400, with("Content-Length: 1\r\n")),
        (400, with("Content-Length: 0\r\nContent-Length: 0\r\n")),
        (400, with("Content-Length: 0, 0\r\n")),
        (400, with("Content-Length: +0\r\n")),
        (400, with("Content-Length: -1\r\n")),
        (400, with("Content-Length:\r\n")),
        (400, with("Content-Length: 0x0\r\n")),
        (400, with("Content-Length: 18446744073709551616\r\n")),
        (400, with("Transfer-Encoding: chunked\r\n")),
        (400, with("Transfer-Encoding: gzip\r\n")),
        (
            400,
            with("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
        ),
    ]);
    let plain = |lines: &str| {
        parse_request(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes()).is_ok()
    };
    assert!(plain("Content-Length: 5\r\n"));
    assert!(plain("Transfer-Encoding: Chunked\r\n"));
    assert!(!plain("Transfer-Encoding: chunked, gzip\r\n"));
    assert!(!plain(
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"
    ));
    assert!(parse_request(b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
}

/// An upgrade request has the fields of RFC 6455, section 4.2.1; plain HTTP and other versions get
/// 426.
#[test]
fn upgrades() {
    check(&[
        (101, but("Upgrade", "upgrade: WebSocket\r\n")),
        (101, but("Upgrade", "Upgrade: h2c, websocket\r\n")),
        (
            101,
            but("Upgrade", "Upgrade: h2c\r\nUpgrade: websocket\r\n"),
        ),
        (426, but("Upgrade", "")),
        (426, but("Upgrade", "Upgrade: h2c\r\n")),
        (426, but("Upgrade", "Upgrade: websockets\r\n")),
        (
            101,
            but("Connection", "Connection: keep-alive, Upgrade\r\n"),
        ),
        (101, but("Connection", "Connection: ,,UPGRADE ,\r\n")),
        (101, with("Connection: keep-alive\r\n")),
        (400, but("Connection", "")),
        (400, but("Connection", "Connection: keep-alive\r\n")),
        (400, but("Connection", "Connection: Upgrade keep-alive\r\n")),
        (426, but("Sec-WebSocket-Version", "")),
        (
            426,
            but("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8\r\n"),
        ),
        (
            426,
            but("Sec-WebSocket-Version", "Sec-WebSocket-Version: 013\r\n"),
        ),
        (
            426,
            but("Sec-WebSocket-Version", "Sec-WebSocket-Version: 13, 8\r\n"),
        ),
        (400, with("Sec-WebSocket-Version: 13\r\n")),
        (400, but("Sec-WebSocket-Key", "")),
        (400, with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")),
        (400, but("Sec-WebSocket-Key", "Sec-WebSocket-Key:\r\n")),
        // 15 bytes, 17 bytes, 18 bytes and padding, another alphabet, no padding.
        (
            400,
            but(
                "Sec-WebSocket-Key",
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA\r\n",
            ),
        ),
        (
            400,
            but(
                "Sec-WebSocket-Key",
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=\r\n",
            ),
        ),
        (
            400,
            but(
                "Sec-WebSocket-Key",
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA==\r\n",
            ),
        ),
        (
            400,
            but(
                "Sec-WebSocket-Key",
                "Sec-WebSocket-Key: AAAAAAAAAAA_AAAAAAAAAA==\r\n",
            ),
        ),
        (
            400,
            but(
                "Sec-WebSocket-Key",
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA\r\n",
            ),
        ),
        (101, with("Sec-WebSocket-Protocol: chat, superchat\r\n")),
        (
            101,
            with("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n"),
        ),
        (400, with("Sec-WebSocket-Protocol: a b\r\n")),
        (400, with("Sec-WebSocket-Protocol: \"a\"\r\n")),
        (417, with("Expect: x\r\n")),
        (
            101,
            with("Sec-WebSocket-Extensions: permessage-deflate\r\n"),
        ),
        (101, with("Origin: null\r\nSec-WebSocket-Origin: x\r\n")),
        (426, "GET / HTTP/1.0\r\n\r\n".to_owned()),
    ]);
}

/// Path and query stay as they came, and the target's authority overrules the Host header (RFC
/// 9112, section 3.2.2).
#[test]
fn targets_stay_raw() {
    for (target, uri, host) in [
        ("/", "/", "a.example"),
        (
            "/%2e%2E//a/../?b=%zz&&?",
            "/%2e%2E//a/../?b=%zz&&?",
            "a.example",
        ),
        ("//b.example/c", "//b.example/c", "a.example"),
        ("/?", "/?", "a.example"),
        ("http://b.example:81/c?d", "/c?d", "b.example:81"),
        ("HTTPS://B.example", "/", "B.example"),
        ("ws://b.example?d", "/?d", "b.example"),
    ] {
        let request = parse(line(&format!("GET {target} HTTP/1.1")).as_bytes());
        assert_eq!(request.uri().path_and_query().unwrap(), uri, "{target}");
        assert_eq!(request.uri().authority(), None, "{target}");
        assert_eq!(request.headers()["host"], host, "{target}");
    }
}

/// Frames in the same segment as the request are not taken for a part of it.
#[test]
fn what_follows_the_head_is_kept() {
    let request = with("X: a\r\n");
    for frames in [
        &b"\x81\x80\0\0\0\0"[..],
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let bytes = [request.as_bytes(), frames].concat();
        let length = feed(&bytes, |bytes| {
            parse_request(bytes).unwrap().map(|(_, length)| length)
        });
        assert_eq!(&bytes[length.unwrap()..], frames);
    }
}

/// Values arrive without the white space around them, and lines of one name stay apart in order.
#[test]
fn values_arrive_trimmed_and_in_order() {
    let request = parse(with("X: \t a b\t \r\nx:c\r\nX:\r\n").as_bytes());
    let values: Vec<&[u8]> = request
        .headers()
        .get_all("x")
        .iter()
        .map(|value| value.as_bytes())
        .collect();
    assert_eq!(values, [&b"a b"[..], b"c", b""]);
}

/// Whatever byte of a good request is replaced or missing: a verdict, the same however it is cut.
#[test]
fn damaged_requests_get_one_verdict() {
    let request = line("GET http://b.example:80/a?b HTTP/1.1").into_bytes();
    for position in 0..request.len() {
        for byte in *b"\0\t\n\r #,/:;@A[\x7f\x80\xff" {
            let mut damaged = request.clone();
            damaged[position] = byte;
            verdict(&damaged);
        }
        let mut damaged = request.clone();
        damaged.remove(position);
        verdict(&damaged);
    }
}
