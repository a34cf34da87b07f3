//! Bodies, and where they end (RFC 9112, sections 6 to 8).

use super::{Program, answer_all, chunked, get, post, refuse_all, with};
use crate::support::*;

/// Where a body ends is in no doubt; what could be read in two ways is not read at all (RFC 9112,
/// sections 6 and 11.2).
#[test]
fn bad_framing_is_refused() {
    let length = |value: &str| post(&format!("Content-Length: {value}\r\n"), "abc");
    let coding = |value: &str| post(&format!("Transfer-Encoding: {value}\r\n"), "0\r\n\r\n");
    refuse_all([
        (400, length("")),
        (400, length("-1")),
        (400, length("+3")),
        (400, length("0x3")),
        (400, length("3 3")),
        (400, length("3, 3")),
        (400, length("3\r\nContent-Length: 3")),
        (400, length("3\r\nContent-Length: 4")),
        (400, length("18446744073709551616")),
        (413, length("65537")),
        (413, length("18446744073709551615")),
        (400, length("3\r\nTransfer-Encoding: chunked")),
        (400, coding("chunked\r\nContent-Length: 5")),
        (400, coding("")),
        (400, coding("gzip")),
        (400, coding("identity")),
        (400, coding("chunked, gzip")),
        (400, coding("chunked, chunked")),
        (400, coding("\u{b}chunked")),
        (501, coding("gzip, chunked")),
        (501, coding("gzip\r\nTransfer-Encoding: chunked")),
        (400, coding("chunked").replace("1.1", "1.0")),
    ]);
}

/// A chunk is a hexadecimal size, CRLF, so many bytes and CRLF (RFC 9112, section 7.1); all together
/// they are no more than the program wants.
#[test]
fn bad_chunks_are_refused() {
    let large = "a".repeat(0xffff);
    refuse_all([
        (400, chunked("\r\n")),
        (400, chunked("x\r\n")),
        (400, chunked("0x3\r\nabc\r\n")),
        (400, chunked("-3\r\n")),
        (400, chunked("3\nabc\n0\n\n")),
        (400, chunked("3\r\nabcd\r\n")),
        (400, chunked("3\r\nabc\r\n\r\n")),
        (400, chunked("3;a\rb\r\nabc\r\n")),
        (400, chunked("10000000000000000\r\n")),
        (413, chunked("ffffffffffffffff\r\n")),
        (413, chunked("10001\r\n")),
        (413, chunked(&format!("ffff\r\n{large}\r\n2\r\n"))),
    ]);
}

/// An expectation that is not known gets 417, one more than is known too (RFC 9110, section 10.1.1).
#[test]
fn unknown_expectations_are_refused() {
    refuse_all([
        (417, post("Expect: 200-ok\r\n", "")),
        (
            417,
            post("Expect: 100-continue, x\r\nContent-Length: 3\r\n", "abc"),
        ),
        (
            417,
            with("GET / HTTP/1.1", "Expect: x\r\nExpect: 100-continue\r\n"),
        ),
    ]);
}

/// A body reaches the program whole, however its end was announced, and nothing behind it does.
#[test]
fn bodies_are_taken() {
    answer_all([
        (post("", ""), "POST /a "),
        (post("", "rest"), "POST /a "),
        (post("Content-Length: 0\r\n", "rest"), "POST /a "),
        (post("Content-Length: 3\r\n", "abc"), "POST /a abc"),
        (post("content-length:\t003 \r\n", "abcrest"), "POST /a abc"),
        (
            post("Content-Length: 3\r\n", "abc").replace("1.1", "1.0"),
            "POST /a abc",
        ),
        (
            with("GET /a HTTP/1.1", "Content-Length: 3\r\n") + "abc",
            "GET /a abc",
        ),
        (chunked("0\r\n\r\n"), "POST /a "),
        (chunked("3\r\nabc\r\n0\r\n\r\n"), "POST /a abc"),
        (
            chunked("1\r\na\r\n02;x=\"y\"\r\nbc\r\n0\r\n\r\nrest"),
            "POST /a abc",
        ),
        (
            chunked("3\r\nabc\r\n0\r\nX: a\r\nY:\r\n\r\n"),
            "POST /a abc",
        ),
        (
            post(
                "TRANSFER-encoding: Chunked\r\n",
                "A\r\n0123456789\r\n0\r\n\r\n",
            ),
            "POST /a 0123456789",
        ),
        (
            post("Expect: 100-continue\r\nContent-Length: 3\r\n", "abc"),
            "POST /a abc",
        ),
    ]);
}

/// A body may have just what the program allows, in one piece or in chunks.
#[test]
fn largest_body_is_taken() {
    let config = landline::Config::new().max_body_size(5);
    let program = Program::with(|builder| builder.config(config));
    program.answer(&post("Content-Length: 5\r\n", "abcde"), "POST /a abcde");
    program.answer(
        &chunked("2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"),
        "POST /a abcde",
    );
    program.refuse(413, post("Content-Length: 6\r\n", "abcdef").as_bytes());
    program.refuse(413, chunked("2\r\nab\r\n4\r\n").as_bytes());
}

/// A client that expects it gets a 100 before it sends the body, and none where the reply will not
/// depend on the body (RFC 9110, section 10.1.1).
#[test]
fn bodies_wait_for_the_100() {
    let program = Program::start();
    let mut peer = RawPeer::dial(&program.server);
    peer.send_bytes(post("Expect: 100-continue\r\nContent-Length: 3\r\n", ""));
    assert_eq!(peer.read_head(), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(program.calls.so_far(), [""; 0]);
    peer.send_bytes("abc");
    assert_eq!(peer.read_reply().body, "POST /a abc");

    for (status, lines) in [(413, "Content-Length: 65537\r\n"), (200, "")] {
        let mut peer = RawPeer::dial(&program.server);
        peer.send_bytes(post(&format!("Expect: 100-continue\r\n{lines}"), ""));
        let head = peer.read_head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
}

/// One connection is for one request: what follows it, another request even, is neither answered
/// nor told, as `Connection: close` says (RFC 9112, section 9.6).
#[test]
fn pipelined_requests_are_not_answered() {
    let second = get("GET /second HTTP/1.1");
    answer_all([
        (get("GET /first HTTP/1.1") + &second, "GET /first "),
        (
            post("Content-Length: 3\r\n", "abc") + &second,
            "POST /a abc",
        ),
        (chunked("3\r\nabc\r\n0\r\n\r\n") + &second, "POST /a abc"),
    ]);
    refuse_all([(400, get("GET  / HTTP/1.1") + &second)]);
}

/// A request that its client breaks off gets no reply, and the program never hears of it (RFC 9112,
/// section 8); one that is whole is answered even if the client says no more.
#[test]
fn incomplete_requests_end_unanswered() {
    let program = Program::start();
    for request in [
        "".to_owned(),
        "GET".to_owned(),
        get("GET / HTTP/1.1").trim_end().to_owned(),
        post("Content-Length: 4\r\n", "abc"),
        chunked("3\r\nabc\r\n0\r\n"),
    ] {
        for pace in PACES {
            let mut peer = RawPeer::dial(&program.server);
            peer.send_at(pace, request.as_bytes());
            peer.send_fin();
            peer.read_eof();
        }
    }
    assert_eq!(program.calls.so_far(), [""; 0]);
    let mut peer = RawPeer::dial(&program.server);
    peer.send_bytes(chunked("3\r\nabc\r\n0\r\n\r\n"));
    peer.send_fin();
    assert_eq!(peer.read_reply().body, "POST /a abc");
}
