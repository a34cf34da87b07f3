//! The bodies of plain requests.

use http::Request;

use super::parse_request;
use crate::handshake::{BadRequest, RequestBody};

/// Bodies in these tests may have so many bytes.
const LIMIT: usize = 10;

fn head(lines: &str) -> Box<Request<()>> {
    let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    parse_request(bytes.as_bytes()).unwrap().unwrap().0
}

/// A body and what was left behind it, or the status of the refusal; `None` while it is not
/// whole.
type Verdict = Option<Result<(String, String), u16>>;

/// Feeds a body in pieces of these lengths, and the rest at once.
fn read(head: &Request<()>, bytes: &[u8], pieces: impl Iterator<Item = usize>) -> Verdict {
    let refused = |bad: BadRequest| Some(Err(bad.status.as_u16()));
    let mut body = match RequestBody::announced_by(head, LIMIT) {
        Ok(body) => body,
        Err(bad) => return refused(bad),
    };
    let (mut received, mut rest) = (Vec::new(), bytes);
    for length in std::iter::once(0).chain(pieces).chain([usize::MAX]) {
        let (piece, behind) = rest.split_at(rest.len().min(length));
        received.extend_from_slice(piece);
        rest = behind;
        match body.take_from(&mut received) {
            Ok(None) => {}
            Ok(Some(body)) => {
                received.extend_from_slice(rest);
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                return Some(Ok((text(&body), text(&received))));
            }
            Err(bad) => return refused(bad),
        }
    }
    None
}

/// Feeds a body whole, in all halves and byte by byte; the verdicts must agree.
#[track_caller]
fn verdict(lines: &str, bytes: &[u8]) -> Verdict {
    let head = head(lines);
    let whole = read(&head, bytes, std::iter::empty());
    for first in 0..bytes.len() {
        let halves = read(&head, bytes, [first].into_iter());
        assert_eq!(halves, whole, "{first} of {}", bytes.escape_ascii());
    }
    let bytewise = read(&head, bytes, std::iter::repeat_n(1, bytes.len()));
    assert_eq!(bytewise, whole, "byte by byte: {}", bytes.escape_ascii());
    whole
}

fn body(body: &str, behind: &str) -> Verdict {
    Some(Ok((body.to_owned(), behind.to_owned())))
}

const REFUSED: Verdict = Some(Err(400));
const TOO_LARGE: Verdict = Some(Err(413));

/// A body ends after its Content-Length; without one there is none (RFC 9112, section 6.3).
#[test]
fn lengths() {
    for (lines, bytes, expected) in [
        ("", "", body("", "")),
        ("", "abc", body("", "abc")),
        ("Content-Length: 0\r\n", "abc", body("", "abc")),
        ("Content-Length: 3\r\n", "", None),
        ("Content-Length: 3\r\n", "ab", None),
        ("Content-Length: 3\r\n", "abc", body("abc", "")),
        ("Content-Length: 003\r\n", "abcd", body("abc", "d")),
        (
            "Content-Length: 10\r\n",
            "0123456789",
            body("0123456789", ""),
        ),
        // At the head, where it shows.
        ("Content-Length: 11\r\n", "", TOO_LARGE),
        ("Content-Length: 18446744073709551615\r\n", "", TOO_LARGE),
    ] {
        assert_eq!(
            verdict(lines, bytes.as_bytes()),
            expected,
            "{lines:?} {bytes:?}"
        );
    }
}

/// Chunks are a hexadecimal size, CRLF, so many bytes and CRLF; size 0 is the last, and trailers may
/// follow it (RFC 9112, section 7.1).
#[test]
fn chunks() {
    for (bytes, expected) in [
        ("", None),
        ("3", None),
        ("3\r\nabc\r\n", None),
        ("3\r\nabc\r\n0\r\n", None),
        ("3\r\nabc\r\n0\r\n\r\n", body("abc", "")),
        ("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET", body("abcde", "GET")),
        ("0\r\n\r\n\r\n", body("", "\r\n")),
        ("A\r\n0123456789\r\n0\r\n\r\n", body("0123456789", "")),
        (
            "a\r\n\r\n\r\n\0\r\n0\r\n\r\n000\r\n\r\n",
            body("\r\n\r\n\0\r\n0\r\n", ""),
        ),
        ("00000000000000000003\r\nabc\r\n0\r\n\r\n", body("abc", "")),
        // Extensions are ignored (7.1.1), trailers discarded (7.1.2).
        ("3;a\r\nabc\r\n0;b=\"c\"\r\n\r\n", body("abc", "")),
        ("3 ;a\r\nabc\r\n0\t\r\n\r\n", body("abc", "")),
        ("3;;=caf\u{e9};\r\nabc\r\n0\r\n\r\n", body("abc", "")),
        ("0\r\nA: b\r\nC:\td\r\n\r\nX", body("", "X")),
        // Sizes that are none.
        ("\r\n", REFUSED),
        (" 3\r\n", REFUSED),
        ("+3\r\n", REFUSED),
        ("-1\r\n", REFUSED),
        ("0x3\r\n", REFUSED),
        ("g\r\n", REFUSED),
        (";a\r\n", REFUSED),
        ("3,3\r\n", REFUSED),
        // Sizes that overflow, and sizes that are too large, alone or together.
        ("10000000000000000", REFUSED),
        ("fffffffffffffffff", REFUSED),
        ("ffffffffffffffff\r\n", TOO_LARGE),
        ("b\r\n", TOO_LARGE),
        (
            "9\r\n012345678\r\n1\r\n9\r\n0\r\n\r\n",
            body("0123456789", ""),
        ),
        ("9\r\n012345678\r\n2\r\n", TOO_LARGE),
        ("9\r\n012345678\r\nffffffffffffffff\r\n", TOO_LARGE),
        // Ends that are none: a lone CR or LF is what others may read otherwise.
        ("3\nabc", REFUSED),
        ("3\rabc", REFUSED),
        ("3;a\nabc", REFUSED),
        ("3;a\0\r\n", REFUSED),
        ("3\r\nabcd", REFUSED),
        ("3\r\nabc\n", REFUSED),
        ("3\r\nabc\rd", REFUSED),
        ("3\r\nabc\r\n\r\n", REFUSED),
        ("0\n", REFUSED),
        ("0\r\n\n", REFUSED),
        ("0\r\n\rX", REFUSED),
        ("0\r\nA: b\n", REFUSED),
        ("0\r\nA: \0\r\n", REFUSED),
    ] {
        let found = verdict("Transfer-Encoding: chunked\r\n", bytes.as_bytes());
        assert_eq!(found, expected, "{bytes:?}");
    }
}

/// What is not data is bounded, in one line or in many.
#[test]
fn lines_are_bounded() {
    let long = "x".repeat(20_000);
    let trailers = "A: b\r\n".repeat(4_000);
    let coding = head("Transfer-Encoding: chunked\r\n");
    for bytes in [
        format!("1;{long}"),
        "0".repeat(20_000),
        format!("0\r\nA: {long}"),
        format!("0\r\n{trailers}"),
    ] {
        let whole = read(&coding, bytes.as_bytes(), std::iter::empty());
        assert_eq!(whole, REFUSED, "{}", &bytes[..20]);
        let bytewise = read(&coding, bytes.as_bytes(), std::iter::repeat_n(1, 20_000));
        assert_eq!(bytewise, REFUSED, "{}", &bytes[..20]);
    }
}

/// Chunks of one byte each are as good as any.
#[test]
fn small_chunks_are_fine() {
    let bytes = format!("{}0\r\n\r\n", "1;\r\na\r\n".repeat(50_000));
    let mut body =
        RequestBody::announced_by(&head("Transfer-Encoding: chunked\r\n"), 50_000).unwrap();
    let whole = body.take_from(&mut bytes.into_bytes()).unwrap();
    assert_eq!(whole.unwrap().len(), 50_000);
}

/// A client that expects a 100 gets it if a body is wanted and none of it has come; other
/// expectations get 417, and HTTP/1.0 has none (RFC 9110, section 10.1.1).
#[test]
fn expectations() {
    const LENGTH: &str = "Content-Length: 3\r\n";
    for (version, lines, received, expected) in [
        ("1.1", "", "", Ok(false)),
        ("1.1", "Content-Length: 3\r\n", "", Ok(false)),
        ("1.1", "Expect: 100-continue\r\n", "", Ok(true)),
        ("1.1", "Expect: 100-Continue\r\n", "", Ok(true)),
        ("1.1", "Expect: 100-continue\r\n", "a", Ok(false)),
        ("1.0", "Expect: 100-continue\r\n", "", Ok(false)),
        ("1.0", "Expect: x\r\n", "", Ok(false)),
        ("1.1", "Expect: x\r\n", "", Err(417)),
        ("1.1", "Expect: 100-continue, x\r\n", "", Err(417)),
        ("1.1", "Expect: 100-continue;x=y\r\n", "", Err(417)),
    ] {
        let length = if lines.starts_with(LENGTH) {
            ""
        } else {
            LENGTH
        };
        let bytes = format!("PUT / HTTP/{version}\r\nHost: a\r\n{length}{lines}\r\n");
        let head = parse_request(bytes.as_bytes()).unwrap().unwrap().0;
        let found = RequestBody::announced_by(&head, LIMIT);
        let found = found.map(|body| body.is_awaiting_continue(received.as_bytes()));
        assert_eq!(
            found.map_err(|bad| bad.status.as_u16()),
            expected,
            "{bytes:?}"
        );
    }
    let expects = |lines: &str| {
        let head = head(&format!("Expect: 100-continue\r\n{lines}"));
        let body = RequestBody::announced_by(&head, LIMIT);
        body.map(|body| body.is_awaiting_continue(b""))
            .map_err(|bad| bad.status.as_u16())
    };
    assert_eq!(expects("Transfer-Encoding: chunked\r\n"), Ok(true));
    // Nothing to wait for, and nothing worth waiting for.
    assert_eq!(expects(""), Ok(false));
    assert_eq!(expects("Content-Length: 0\r\n"), Ok(false));
    assert_eq!(expects("Content-Length: 11\r\n"), Err(413));
}
