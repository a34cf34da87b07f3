//! What a server writes: refusals, and the 101.

use http::{HeaderMap, Request};

use super::{FIELDS, header_map};
use crate::Error;
use crate::handshake::{UpgradeRequest, parse_request, wants_upgrade};

fn request(lines: &str) -> Request<()> {
    let bytes = format!("GET / HTTP/1.1\r\n{FIELDS}{lines}\r\n");
    parse_request(bytes.as_bytes()).unwrap().unwrap().0
}

fn upgrade(lines: &str) -> UpgradeRequest {
    UpgradeRequest::of(&request(lines)).unwrap()
}

/// The 101 answers the key of RFC 6455, section 1.3, as it says there.
#[test]
fn the_101_carries_the_accept_key() {
    let bytes = upgrade("").response(None, &HeaderMap::new()).unwrap();
    let expected = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

/// The 101 carries the program's headers, repeated ones too, and the chosen subprotocol.
#[test]
fn the_101_carries_what_the_program_adds() {
    let upgrade = upgrade("Sec-WebSocket-Protocol: b, a\r\nSec-WebSocket-Protocol: c,b\r\n");
    assert_eq!(upgrade.subprotocols(), ["b", "a", "c"]);
    let headers = header_map(&[("set-cookie", "a=1"), ("set-cookie", "b=2")]);
    let bytes = upgrade.response(Some("a"), &headers).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let end = "\r\nSec-WebSocket-Protocol: a\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\r\n";
    assert!(text.ends_with(end), "{text}");
}

/// The program cannot choose a subprotocol that was not offered, nor set the handshake's headers.
#[test]
fn the_101_refuses_what_contradicts_it() {
    let upgrade = upgrade("Sec-WebSocket-Protocol: chat\r\n");
    for other in ["Chat", "", "chat, x", "a\r\nb"] {
        let error = upgrade.response(Some(other), &HeaderMap::new());
        assert!(matches!(error, Err(Error::Invalid(what)) if !what.contains('\n')));
    }
    for name in [
        "connection",
        "content-length",
        "sec-websocket-accept",
        "sec-websocket-extensions",
        "sec-websocket-protocol",
        "sec-websocket-version",
        "transfer-encoding",
        "upgrade",
    ] {
        let error = upgrade.response(None, &header_map(&[(name, "0")]));
        assert!(matches!(error, Err(Error::Invalid(_))), "{name}");
    }
}

/// A request that names websocket in Upgrade asks for one, even if it asks wrongly.
#[test]
fn wanting_an_upgrade_is_naming_it() {
    assert!(wants_upgrade(request("Content-Length: 5\r\n").headers()));
    let plain = parse_request(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\r\n");
    assert!(!wants_upgrade(plain.unwrap().unwrap().0.headers()));
}

/// Every refusal is a whole response with a short text that says why; the connection closes.
#[test]
fn refusals_are_whole_responses() {
    let heads = [
        ("GET / HTTP/1.1\r\n\r\n", "400 Bad Request", ""),
        (
            "POST / HTTP/1.1\r\n\r\n",
            "405 Method Not Allowed",
            "Allow: GET\r\n",
        ),
        (&"/".repeat(9_000), "400 Bad Request", ""),
        (
            &format!("GET {}", "/".repeat(9_000)),
            "414 URI Too Long",
            "",
        ),
        (
            &"\n".repeat(20_000),
            "431 Request Header Fields Too Large",
            "",
        ),
        ("GET / HTTP/2", "505 HTTP Version Not Supported", ""),
    ];
    for (head, status, fields) in heads {
        let reply = parse_request(head.as_bytes()).unwrap_err().reply();
        check_reply(&reply, status, fields);
    }
    let plain = parse_request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let refusal = UpgradeRequest::of(&plain.unwrap().unwrap().0).unwrap_err();
    let fields =
        "Connection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    check_reply(&refusal.reply(), "426 Upgrade Required", fields);
}

#[track_caller]
fn check_reply(reply: &[u8], status: &str, fields: &str) {
    let text = std::str::from_utf8(reply).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let head = format!("{head}\r\n");
    assert!(
        head.starts_with(&format!("HTTP/1.1 {status}\r\n")),
        "{text}"
    );
    assert!(head.contains(fields), "{text}");
    assert!(head.contains("\r\nConnection: close"), "{text}");
    assert!(
        head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())),
        "{text}"
    );
    assert!(body.len() > 5 && body.len() < 100, "{text}");
}

/// The answer to HEAD has no body (RFC 9110, section 9.3.2).
#[test]
fn head_gets_no_body() {
    let reply = parse_request(b"HEAD / HTTP/1.1\r\n\r\n")
        .unwrap_err()
        .reply();
    assert!(reply.starts_with(b"HTTP/1.1 405 "));
    assert!(reply.ends_with(b"\r\n\r\n"));
}
