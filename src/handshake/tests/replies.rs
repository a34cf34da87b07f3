//! What a server writes: refusals, and the 101.

use http::{HeaderMap, Request, StatusCode};

use super::{FIELDS, header_map, parse_request, parse_response};
use crate::Error;
use crate::handshake::{ResponseBody, UpgradeRequest, offered_subprotocols, reply, wants_upgrade};

fn request(lines: &str) -> Box<Request<()>> {
    let bytes = format!("GET / HTTP/1.1\r\n{FIELDS}{lines}\r\n");
    parse_request(bytes.as_bytes()).unwrap().unwrap().0
}

/// The bytes of the 101 to an upgrade request with these lines besides its own.
fn response(lines: &str, chosen: Option<&str>, headers: &HeaderMap) -> Result<Vec<u8>, Error> {
    let request = request(lines);
    let offered = offered_subprotocols(request.headers()).unwrap();
    let upgrade = UpgradeRequest::of(&request).unwrap();
    let accepted = upgrade.accept(&offered, chosen.map(Into::into), None, headers);
    accepted.map(|(_, bytes)| bytes)
}

/// The 101 answers the key of RFC 6455, section 1.3, as it says there.
#[test]
fn the_101_carries_the_accept_key() {
    let bytes = response("", None, &HeaderMap::new()).unwrap();
    let expected = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

/// The 101 carries the program's headers, repeated ones too, and the chosen subprotocol.
#[test]
fn the_101_carries_what_the_program_adds() {
    let lines = "Sec-WebSocket-Protocol: b, a\r\nSec-WebSocket-Protocol: c,b\r\n";
    let headers = header_map(&[("set-cookie", "a=1"), ("set-cookie", "b=2")]);
    let bytes = response(lines, Some("a"), &headers).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let end = "\r\nSec-WebSocket-Protocol: a\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n";
    assert!(text.ends_with(end), "{text}");
}

/// Each subprotocol counts once, in the client's order, and a request offers a hundred at most.
#[test]
fn offers() {
    let offered = |list: &str| {
        let lines = format!("Sec-WebSocket-Protocol: {list}\r\n");
        offered_subprotocols(request(&lines).headers())
    };
    assert_eq!(
        offered("b, a\r\nSec-WebSocket-Protocol:, c,b").unwrap(),
        ["b", "a", "c"]
    );
    assert_eq!(offered("").unwrap(), [""; 0]);
    let many = |count: usize| {
        let names: Vec<_> = (0..count).map(|number| format!("p{number}")).collect();
        names.join(",")
    };
    assert_eq!(offered(&many(100)).unwrap().len(), 100);
    assert_eq!(offered(&many(101)).unwrap_err().status, 400);
    // Those that count for nothing are looked at all the same.
    assert_eq!(offered(&"a,".repeat(101)).unwrap_err().status, 400);
    assert_eq!(offered(&",".repeat(8 << 10)).unwrap(), [""; 0]);
}

/// Where 100-continue is expected, a 100 comes before the 101 (RFC 9110, section 7.8), and 417 for an
/// expectation that nobody knows (10.1.1).
#[test]
fn expectations_of_upgrades() {
    for (expect, begin) in [
        ("", "HTTP/1.1 101 "),
        ("Expect:\r\n", "HTTP/1.1 101 "),
        (
            "Expect: 100-continue\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 ",
        ),
        (
            "expect: , 100-Continue\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 ",
        ),
    ] {
        let bytes = response(expect, None, &HeaderMap::new()).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with(begin), "{expect}: {text}");
    }
    for unknown in ["x", "100-continue, x", "100-continue=1"] {
        let request = request(&format!("Expect: {unknown}\r\n"));
        assert_eq!(UpgradeRequest::of(&request).unwrap_err().status, 417);
    }
}

/// The program's headers go out in the usual capitals, in the 101 as in other replies.
#[test]
fn names_have_the_usual_capitals() {
    let names = [
        "X-Api-Key",
        "WWW-Authenticate",
        "ETag",
        "Set-Cookie",
        "X-1a-B_c",
        "-X--Y-",
    ];
    let headers: Vec<_> = names.iter().map(|name| (*name, "1")).collect();
    let headers = header_map(&headers);
    let upgrade = response("", None, &headers).unwrap();
    let reply = reply::write(StatusCode::OK, &headers, b"", false, None);
    for bytes in [upgrade, reply] {
        let text = String::from_utf8(bytes).unwrap();
        for name in ["X-Api-Key", "WWW-Authenticate", "ETag", "Set-Cookie"] {
            assert!(text.contains(&format!("\r\n{name}: 1\r\n")), "{text}");
        }
        assert!(text.contains("\r\nX-1a-B_c: 1\r\n"), "{text}");
        assert!(text.contains("\r\n-X--Y-: 1\r\n"), "{text}");
    }
    let version = header_map(&[("sec-websocket-version", "13")]);
    let reply = reply::write(StatusCode::UPGRADE_REQUIRED, &version, b"", false, None);
    let text = String::from_utf8(reply).unwrap();
    assert!(text.contains("\r\nSec-WebSocket-Version: 13\r\n"), "{text}");
}

/// The program cannot choose a subprotocol that was not offered, nor set the handshake's headers.
#[test]
fn the_101_refuses_what_contradicts_it() {
    const CHAT: &str = "Sec-WebSocket-Protocol: chat\r\n";
    for other in ["Chat", "", "chat, x", "a\r\nb"] {
        let error = response(CHAT, Some(other), &HeaderMap::new());
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
        let error = response(CHAT, None, &header_map(&[(name, "0")]));
        assert!(matches!(error, Err(Error::Invalid(_))), "{name}");
    }
}

/// A request that names websocket in Upgrade asks for one, even if it asks wrongly.
#[test]
fn wanting_an_upgrade_is_naming_it() {
    assert!(wants_upgrade(&request("Content-Length: 5\r\n")));
    let plain = parse_request(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\r\n");
    assert!(!wants_upgrade(&plain.unwrap().unwrap().0));
    let old = parse_request(b"GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert!(!wants_upgrade(&old.unwrap().unwrap().0));
}

/// Every refusal is a whole response with a short text that says why; the connection closes.
#[test]
fn refusals_are_whole_responses() {
    let heads = [
        ("GET / HTTP/1.1\r\n\r\n", "400 Bad Request", ""),
        ("POST / HTTP/1.1\r\n\r\n", "400 Bad Request", ""),
        ("CONNECT a:80 HTTP/1.1\r\n\r\n", "501 Not Implemented", ""),
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
        let reply = parse_request(head.as_bytes())
            .unwrap_err()
            .reply(Some(DATE));
        check_reply(&reply, status, fields);
    }
    let post = format!("POST / HTTP/1.1\r\n{FIELDS}\r\n");
    let post = parse_request(post.as_bytes()).unwrap().unwrap().0;
    let refusal = UpgradeRequest::of(&post).unwrap_err();
    check_reply(
        &refusal.reply(Some(DATE)),
        "405 Method Not Allowed",
        "Allow: GET\r\n",
    );
    let plain = parse_request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let refusal = UpgradeRequest::of(&plain.unwrap().unwrap().0).unwrap_err();
    let fields =
        "Connection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    check_reply(&refusal.reply(Some(DATE)), "426 Upgrade Required", fields);
    // RFC 9110 7.8: to HTTP/1.0 there is no upgrade, and the text says what there would be by 1.1.
    let old = format!("GET / HTTP/1.0\r\n{FIELDS}\r\n");
    let old = parse_request(old.as_bytes()).unwrap().unwrap().0;
    let refusal = UpgradeRequest::of(&old).unwrap_err();
    assert!(refusal.reason.contains("HTTP/1.1"), "{}", refusal.reason);
    check_reply(&refusal.reply(Some(DATE)), "426 Upgrade Required", fields);
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
    assert!(body.len() > 5 && body.len() < 120, "{text}");
}

/// The answer to HEAD has no body (RFC 9110, section 9.3.2), wherever it is refused.
#[test]
fn head_gets_no_body() {
    let upgrade = format!("HEAD / HTTP/1.1\r\n{FIELDS}\r\n");
    let upgrade = parse_request(upgrade.as_bytes()).unwrap().unwrap().0;
    let plain = parse_request(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    for (status, refusal) in [
        (
            "400",
            parse_request(b"HEAD / HTTP/1.1\r\n\r\n").unwrap_err(),
        ),
        ("400", parse_request(b"\r\nHEAD /\0").unwrap_err()),
        ("405", UpgradeRequest::of(&upgrade).unwrap_err()),
        (
            "426",
            UpgradeRequest::of(&plain.unwrap().unwrap().0).unwrap_err(),
        ),
    ] {
        let reply = String::from_utf8(refusal.reply(Some(DATE))).unwrap();
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{reply}");
        assert!(reply.ends_with("\r\n\r\n"), "{reply}");
        assert!(!reply.contains("\r\nContent-Length: 0\r\n"), "{reply}");
    }
}

/// When all replies here are made.
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// Takes a reply apart: its status line, the fields without the Date, and the body. The Date must
/// be there once (RFC 9110, section 6.6.1).
#[track_caller]
fn parts(reply: &[u8]) -> (String, Vec<String>, String) {
    let text = std::str::from_utf8(reply).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n").map(str::to_owned);
    let status = lines.next().unwrap();
    let (dates, fields): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with("Date: "));
    assert_eq!(dates, [format!("Date: {DATE}")], "{text}");
    (status, fields, body.to_owned())
}

/// The program's reply has its headers and its body, whose length is announced as RFC 9110, section
/// 8.6, has it.
#[test]
fn replies_of_the_program() {
    const CLOSE: &str = "Connection: close";
    for (status, body, without_body, line, length, sent) in [
        (200, "abc", false, "200 OK", Some("3"), "abc"),
        (200, "", false, "200 OK", Some("0"), ""),
        (200, "abc", true, "200 OK", Some("3"), ""),
        (404, "abc", false, "404 Not Found", Some("3"), "abc"),
        (299, "abc", false, "299 ", Some("3"), "abc"),
        (204, "abc", false, "204 No Content", None, ""),
        (204, "", true, "204 No Content", None, ""),
        (205, "abc", false, "205 Reset Content", Some("0"), ""),
        (304, "abc", false, "304 Not Modified", None, ""),
    ] {
        let headers = header_map(&[("x", "a"), ("x", "b")]);
        let status = StatusCode::from_u16(status).unwrap();
        let reply = reply::write(status, &headers, body.as_bytes(), without_body, Some(DATE));
        let (first, fields, body) = parts(&reply);
        assert_eq!(first, format!("HTTP/1.1 {line}"));
        let mut expected = vec![CLOSE.to_owned(), "X: a".into(), "X: b".into()];
        expected.extend(length.map(|length| format!("Content-Length: {length}")));
        assert_eq!((fields, body.as_str()), (expected, sent), "{line}");
    }
}

/// How a reply ends and when it was made is for the library to say (RFC 9112, sections 6.3 and 9.6);
/// only of a body that HEAD did not make does the program know the length.
#[test]
fn fields_of_the_library() {
    let own = [
        ("connection", "keep-alive"),
        ("content-length", "9"),
        ("date", "x"),
        ("transfer-encoding", "chunked"),
    ];
    let twice = [("content-length", "9"), ("content-length", "9")];
    let invalid = [("content-length", "+9")];
    let write = |own: &[(&str, &str)], body: &str, without_body| {
        let headers = header_map(own);
        parts(&reply::write(
            StatusCode::OK,
            &headers,
            body.as_bytes(),
            without_body,
            Some(DATE),
        ))
        .1
    };
    let lengths = |fields: Vec<String>| fields[1..].join("|");
    assert_eq!(
        write(&own, "abc", false),
        ["Connection: close", "Content-Length: 3"]
    );
    assert_eq!(lengths(write(&own, "abc", true)), "Content-Length: 3");
    assert_eq!(lengths(write(&own, "", false)), "Content-Length: 0");
    assert_eq!(lengths(write(&own, "", true)), "Content-Length: 9");
    assert_eq!(lengths(write(&twice, "", true)), "Content-Length: 0");
    assert_eq!(lengths(write(&invalid, "", true)), "");
    assert_eq!(
        write(&[("upgrade", "websocket")], "", false)[0],
        "Connection: close, Upgrade"
    );
}

/// A client of ours understands what a server of ours answers.
#[test]
fn replies_are_responses() {
    let headers = header_map(&[("location", "/new")]);
    for (status, body) in [(200, "abc"), (308, ""), (299, "a"), (204, "")] {
        let status = StatusCode::from_u16(status).unwrap();
        let bytes = reply::write(status, &headers, body.as_bytes(), false, Some(DATE));
        let (response, length) = parse_response(&bytes).unwrap().unwrap();
        assert_eq!(response.status(), status);
        let mut read = ResponseBody::announced_by(&response);
        read.take(&bytes[length..]);
        assert!(read.is_over());
        assert_eq!(read.into_bytes(), body);
    }
}
