//! Request lines, targets and header lines (RFC 9112, sections 2, 3 and 5).

use landline::Server;

use super::{Program, answer_all, get, refuse_all, with};
use crate::support::*;

/// A request line is a method, a target and a version, one space apart (RFC 9112, sections 2 and 3).
#[test]
fn bad_request_lines_are_refused() {
    refuse_all([
        (400, get("GET /")),
        (400, get("GET HTTP/1.1")),
        (400, get("GET  / HTTP/1.1")),
        (400, get("GET / HTTP/1.1 ")),
        (400, get(" GET / HTTP/1.1")),
        (400, get("GET\t/ HTTP/1.1")),
        (400, get("GET /a b HTTP/1.1")),
        (400, get("\r\nGET\r / HTTP/1.1")),
        (400, get("\rGET / HTTP/1.1")),
        (400, get("GET / HTTP/1.1\rX: a")),
        (400, get("G{T / HTTP/1.1")),
        (400, get("G\0T / HTTP/1.1")),
        (400, get("G\u{c4}T / HTTP/1.1")),
        (400, get("GET / HTTP/1.1x")),
        (400, get("GET / HTTP/1,1")),
        (400, get("GET / http/1.1")),
        (400, get("GET / ICY/1.1")),
        (505, get("GET / HTTP/0.9")),
        (505, get("GET / HTTP/2.0")),
        (505, get("GET / HTTP/3")),
        (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        (501, get("CONNECT localhost:80 HTTP/1.1")),
        (501, get(&format!("{} / HTTP/1.1", "A".repeat(33)))),
    ]);
    refuse_all([(400, b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03")]);
}

/// A target is in origin-form or absolute-form, and `*` for OPTIONS; it has no fragment, no user and
/// an end (RFC 9112, section 3.2).
#[test]
fn bad_targets_are_refused() {
    let long = "a".repeat(8 << 10);
    refuse_all([
        (400, get("GET a HTTP/1.1")),
        (400, get("GET * HTTP/1.1")),
        (400, get("GET localhost:80 HTTP/1.1")),
        (400, get("OPTIONS localhost:80 HTTP/1.1")),
        (400, get("OPTIONS *a HTTP/1.1")),
        (400, get("GET /#a HTTP/1.1")),
        (400, get("GET /\u{e4} HTTP/1.1")),
        (400, get("GET /\u{7f} HTTP/1.1")),
        (400, get("GET ftp://localhost/ HTTP/1.1")),
        (400, get("GET http:///a HTTP/1.1")),
        (400, get("GET http://user@localhost/ HTTP/1.1")),
        (400, get("GET http://localhost:99999/ HTTP/1.1")),
        (414, get(&format!("GET /{long} HTTP/1.1"))),
        (414, get(&format!("GET http://localhost/{long} HTTP/1.1"))),
        (414, format!("GET /{long}")),
    ]);
}

/// There is one Host, and it is a host; only HTTP/1.0 may lack it (RFC 9112, section 3.2).
#[test]
fn bad_hosts_are_refused() {
    let plain = |lines: &str| format!("GET / HTTP/1.1\r\n{lines}\r\n");
    refuse_all([
        (400, plain("")),
        (400, plain("X: a\r\n")),
        (400, plain("Host: localhost\r\nHost: localhost\r\n")),
        (400, plain("Host: localhost\r\nX: a\r\nhost: a.example\r\n")),
        (400, plain("Host: localhost, a.example\r\n")),
        (400, plain("Host: local host\r\n")),
        (400, plain("Host: user@localhost\r\n")),
        (400, plain("Host: localhost/\r\n")),
        (400, plain("Host: localhost:x\r\n")),
        (400, plain("Host: [::1\r\n")),
        (400, "GET http://localhost/ HTTP/1.1\r\n\r\n".to_owned()),
        (400, with("GET / HTTP/1.0", "Host: localhost\r\n")),
    ]);
}

/// A field line is a token, a colon right behind it and a value without control characters, on one
/// line (RFC 9112, section 5; RFC 9110, section 5.5).
#[test]
fn bad_field_lines_are_refused() {
    let lines = |lines: &str| with("GET / HTTP/1.1", lines);
    refuse_all([
        (400, lines("X : a\r\n")),
        (400, lines("X\t: a\r\n")),
        (400, lines(": a\r\n")),
        (400, lines("X\r\n")),
        (400, lines("X y: a\r\n")),
        (400, lines("X(y): a\r\n")),
        (400, lines("X\u{e4}: a\r\n")),
        (400, lines("X: a\r\n b\r\n")),
        (400, lines("X: a\r\n\t\r\n")),
        (400, lines("X: a\rb\r\n")),
        (400, lines("X: a\rY: b\r\n")),
        (400, lines("X: a\0b\r\n")),
        (400, lines("X: \u{1b}[31m\r\n")),
        (400, "GET / HTTP/1.1\r\n Host: localhost\r\n\r\n".to_owned()),
    ]);
}

/// What RFC 9112 allows in a head reaches the program: any method, path and version as they came,
/// empty lines before it, a lone LF for a line's end.
#[test]
fn odd_heads_are_taken() {
    answer_all([
        (
            get("GET /%2e%2E/%zz//;b?c HTTP/1.1"),
            "GET /%2e%2E/%zz//;b ",
        ),
        // What no URI has and many send (RFC 9112, section 3.2).
        (get("GET /a\"<b>`?\"<c>` HTTP/1.1"), "GET /a%22%3Cb%3E%60 "),
        (get("GET http://localhost HTTP/1.1"), "GET / "),
        (get("GET HTTP://localhost:80/a?b HTTP/1.1"), "GET /a "),
        (
            get("GET http://localhost/a HTTP/1.1").replace("Host: ", "Host: a."),
            "GET /a ",
        ),
        (get("OPTIONS * HTTP/1.1"), "OPTIONS * "),
        (get("BREW-2!~ /pot HTTP/1.1"), "BREW-2!~ /pot "),
        (get("get / HTTP/1.1"), "get / "),
        (get("TRACE / HTTP/1.1"), "TRACE / "),
        (get("\r\n\n\r\nGET / HTTP/1.1"), "GET / "),
        (get("GET / HTTP/1.1").replace("\r\n", "\n"), "GET / "),
        (get("GET / HTTP/1.0"), "GET / "),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), "GET / "),
        (
            with(
                "GET / HTTP/1.1",
                "X:\r\nX: \t a\tb \r\n!#'*|~: caf\u{e9}\r\n",
            ),
            "GET / ",
        ),
        (
            with("GET / HTTP/1.1", "Connection: keep-alive\r\n"),
            "GET / ",
        ),
        (
            with("GET / HTTP/1.1", "Upgrade: h2c\r\nConnection: Upgrade\r\n"),
            "GET / ",
        ),
        (with("PUT / HTTP/1.0", "Expect: x\r\n"), "PUT / "),
    ]);
}

/// A header is never absent that is there: UTF-8, as proxies that sign users on send it, is text, and
/// anything else is text with replacement characters, and bytes.
#[test]
fn values_are_text_and_bytes() {
    let server = TestServer::start(Server::builder().on_request(|request| {
        let text = request.header("X-User").unwrap_or("nobody").to_owned();
        let bytes = request.header_bytes("x-user").unwrap_or_default();
        assert_eq!(String::from_utf8_lossy(bytes), text.replace("nobody", ""));
        text
    }));
    for (value, text) in [
        (&b"X-User: J\xc3\xbcrgen\r\n"[..], "J\u{fc}rgen"),
        (b"X-User: J\xfcrgen\r\nX-User: ada\r\n", "J\u{fffd}rgen"),
        (b"X-User: ada\r\nX-User: J\xfcrgen\r\n", "ada"),
        (b"X-User:\r\n", ""),
        (b"X-Other: \xff\r\n", "nobody"),
    ] {
        let request = [b"GET / HTTP/1.1\r\nHost: localhost\r\n", value, b"\r\n"].concat();
        let reply = exchange(&server, Pace::Whole, request);
        assert_eq!((reply.status, &*reply.body), (200, text));
    }
}

/// Of a head too large no more is awaited than its limit: it is refused then, whatever it is made of
/// and whether or not it ever ends.
#[test]
fn header_bombs_are_refused_at_the_limit() {
    const LIMIT: usize = 16 << 10;
    let line = "GET / HTTP/1.1\r\nHost: localhost\r\n";
    let program = Program::start();
    for (status, bomb) in [
        (431, format!("{line}{}\r\n", "X: a\r\n".repeat(20_000))),
        (431, format!("{line}X: {}\r\n\r\n", "a".repeat(1 << 20))),
        (431, format!("{line}{}", "X".repeat(1 << 20))),
        (431, "\r\n".repeat(LIMIT)),
        (414, format!("GET /{}", "a".repeat(1 << 20))),
        (400, "\0".repeat(1 << 20)),
        (501, "A".repeat(1 << 20)),
    ] {
        program.refuse(status, &bomb.as_bytes()[..LIMIT]);
        program.refuse(status, bomb.as_bytes());
    }
}
