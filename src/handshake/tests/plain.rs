//! Plain requests, head and body together: what a server of HTTP/1 takes, and what it refuses.

use crate::handshake::{BadRequest, RequestBody, RequestHead, wants_upgrade};

/// Bodies in these tests may have so many bytes.
const LIMIT: usize = 100;

/// A request as a program would see it, and what came behind it; or the status of the refusal.
#[derive(Debug, PartialEq)]
enum Verdict {
    Incomplete,
    /// Method, path and query, body, and what is behind.
    Taken(String),
    Refused(u16),
}

/// Reads as a server does: the bytes come in pieces, it stops at its verdict.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Verdict {
    let mut received = Vec::new();
    let mut pieces = pieces.fuse();
    match try_read(&mut received, &mut pieces) {
        Ok(Some(taken)) => {
            received.extend(pieces.flatten());
            Verdict::Taken(format!("{taken} {}", received.escape_ascii()))
        }
        Ok(None) => Verdict::Incomplete,
        Err(bad) => Verdict::Refused(bad.status.as_u16()),
    }
}

fn try_read<'a>(
    received: &mut Vec<u8>,
    pieces: &mut impl Iterator<Item = &'a [u8]>,
) -> Result<Option<String>, BadRequest> {
    let mut coming = RequestHead::default();
    let (head, length) = loop {
        if let Some(parsed) = coming.parse(received)? {
            break parsed;
        }
        let Some(piece) = pieces.next() else {
            return Ok(None);
        };
        received.extend_from_slice(piece);
    };
    received.drain(..length);
    assert!(!wants_upgrade(&head));
    let mut body = RequestBody::announced_by(&head, LIMIT)?;
    loop {
        if let Some(body) = body.take_from(received)? {
            let body = body.escape_ascii();
            return Ok(Some(format!("{} {} {body}", head.method(), head.uri())));
        }
        let Some(piece) = pieces.next() else {
            return Ok(None);
        };
        received.extend_from_slice(piece);
    }
}

/// Reads whole, in all halves and byte by byte; the verdicts must agree.
#[track_caller]
fn verdict(bytes: &[u8]) -> Verdict {
    let whole = read([bytes].into_iter());
    for first in (1..bytes.len()).filter(|first| *first < 300 || first % 97 == 0) {
        let (one, other) = bytes.split_at(first);
        assert_eq!(read([one, other].into_iter()), whole, "{first}: {one:?}");
    }
    let bytewise = read(bytes.chunks(1));
    assert_eq!(bytewise, whole, "{}", bytes.escape_ascii());
    whole
}

#[track_caller]
fn check(table: &[(&str, &str)]) {
    for (request, expected) in table {
        let found = match verdict(request.as_bytes()) {
            Verdict::Incomplete => "...".to_owned(),
            Verdict::Taken(taken) => taken.trim_end().to_owned(),
            Verdict::Refused(status) => status.to_string(),
        };
        assert_eq!(found, *expected, "{request:?}");
    }
}

/// Any method is the program's to judge, in HTTP/1.1 and 1.0, but CONNECT (RFC 9110, section 9).
#[test]
fn methods_and_targets() {
    check(&[
        ("GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a?b"),
        ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD /"),
        ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", "POST /"),
        ("PUT / HTTP/1.1\r\nHost: a\r\n\r\n", "PUT /"),
        ("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", "DELETE /"),
        ("PATCH / HTTP/1.1\r\nHost: a\r\n\r\n", "PATCH /"),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "TRACE /"),
        ("OPTIONS /a HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS /a"),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS *"),
        (
            "BREW-x!#$%&'*+.^_`|~9 / HTTP/1.1\r\nHost: a\r\n\r\n",
            "BREW-x!#$%&'*+.^_`|~9 /",
        ),
        ("get / HTTP/1.1\r\nHost: a\r\n\r\n", "get /"),
        ("GET / HTTP/1.0\r\n\r\n", "GET /"),
        ("POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\na", "POST / a"),
        (
            "POST / HTTP/1.0\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\na",
            "POST / a",
        ),
        (
            "GET http://a.example/b HTTP/1.1\r\nHost: c\r\n\r\n",
            "GET /b",
        ),
        (
            "GET /\"<>`{}?\"<>` HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /%22%3C%3E%60{}?%22%3C%3E%60",
        ),
        (
            "GET http://a?\"<>`|^\\ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /?%22%3C%3E%60|^\\",
        ),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "501"),
        ("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", "501"),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("OPTIONS a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GE(T / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("/ HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET /\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505"),
    ]);
}

/// A request that breaks off is none yet, wherever it does (RFC 9112, section 8).
#[test]
fn fragments() {
    check(&[
        ("", "..."),
        ("\r\n", "..."),
        ("GE", "..."),
        ("GET ", "..."),
        ("GET /hel", "..."),
        ("GET / HTT", "..."),
        ("GET / HTTP/1.1", "..."),
        ("GET / HTTP/1.1\r", "..."),
        ("GET / HTTP/1.1\r\nHos", "..."),
        ("GET / HTTP/1.1\r\nHost: a", "..."),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r", "..."),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na",
            "...",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na",
            "...",
        ),
    ]);
}

/// Header lines and the Host are as RFC 9112, sections 3.2 and 5, has them, for every method.
#[test]
fn header_lines() {
    check(&[
        ("GET / HTTP/1.1\r\nHOST:a\r\nX:\r\n\r\n", "GET /"),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET /"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\tb\r\n\r\n", "GET /"),
        ("POST / HTTP/1.1\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX y: b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\n[X]: b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\x07\r\n\r\n", "400"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n folded\r\n\r\n",
            "400",
        ),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", "400"),
    ]);
    let long = |line: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
    for (request, expected) in [
        (long(&format!("X: {}", "a".repeat(17_000))), "431"),
        (long(&format!("{}: a", "X".repeat(17_000))), "431"),
        (long(&"X: a\r\n".repeat(100)), "431"),
        (
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(9_000)),
            "414",
        ),
        (
            format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "A".repeat(33)),
            "501",
        ),
    ] {
        check(&[(&request, expected)]);
    }
}

/// The length of a body is in no doubt (RFC 9112, section 6): what is between two readings gets no
/// reading at all.
#[test]
fn bodies() {
    let post =
        |lines: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n{body}");
    let length = |value: &str| post(&format!("Content-Length: {value}"), "abc");
    let chunked = |body: &str| post("Transfer-Encoding: chunked", body);
    for (request, expected) in [
        (length("3"), "POST / abc"),
        (length("2"), "POST / ab c"),
        (length("0"), "POST /  abc"),
        (length("-1"), "400"),
        (length("+3"), "400"),
        (length("3 3"), "400"),
        (length("3, 3"), "400"),
        (length("0x3"), "400"),
        (length("3.0"), "400"),
        (length(""), "400"),
        (length("18446744073709551616"), "400"),
        (length("99999999999999999999999999"), "400"),
        (length("9223372036854775808"), "413"),
        (length("101"), "413"),
        (length("3\r\nContent-Length: 3"), "400"),
        (length("3\r\nContent-Length: 4"), "400"),
        (length("3\r\nTransfer-Encoding: chunked"), "400"),
        (length("3\r\nTransfer-Encoding: identity"), "400"),
        (length("3\r\nContent-Length : 4"), "400"),
        (chunked("3\r\nabc\r\n0\r\n\r\n"), "POST / abc"),
        (
            chunked("3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\nrest"),
            "POST / abc rest",
        ),
        (chunked("65\r\n"), "413"),
        (chunked("64\r\n"), "..."),
        (chunked("fffffffffffffffff\r\n"), "400"),
        (chunked("ffffffffffffffff\r\n"), "413"),
        (chunked("3\r\nabcX"), "400"),
        (chunked("3\r\nabc0\r\n\r\n"), "400"),
        (chunked("xyz\r\n"), "400"),
        (chunked("\r\n\r\n"), "400"),
        (post("Transfer-Encoding: CHUNKED", "0\r\n\r\n"), "POST /"),
        (post("Transfer-Encoding: gzip", ""), "400"),
        (post("Transfer-Encoding: chunked, gzip", ""), "400"),
        (post("Transfer-Encoding: gzip, chunked", ""), "501"),
        (
            post("Transfer-Encoding: gzip\r\nTransfer-Encoding: Chunked", ""),
            "501",
        ),
        (post("Transfer-Encoding: a b, chunked", ""), "400"),
        (post("Transfer-Encoding: , chunked", ""), "400"),
        (post("Transfer-Encoding: chunked, gzip, chunked", ""), "400"),
        (post("Transfer-Encoding: chunked, chunked", ""), "400"),
        (post("Transfer-Encoding: xchunked", ""), "400"),
        (post("Transfer-Encoding: \u{b}chunked", ""), "400"),
        (post("Transfer-Encoding:", ""), "400"),
        (post("Expect: 100-continue", ""), "POST /"),
        (post("Expect: 200-ok", ""), "417"),
    ] {
        check(&[(&request, expected)]);
    }
    check(&[
        (
            "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nab",
            "GET / a b",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\n",
            "GET /  GET /b HTTP/1.1\\r\\n",
        ),
    ]);
}
