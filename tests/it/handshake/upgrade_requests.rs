//! Upgrade requests that a server takes or refuses, and the frames behind them.

use std::fmt::Display;
use std::thread;

use landline::{Messages, Outcome, Request, Router, Server, WebSocket};

use super::{Program, echo, get, post, repeat, with};
use crate::support::opcode::*;
use crate::support::*;

/// An `Upgrade` in answer to what asks for none is 426; the handler never runs.
#[test]
fn plain_requests_cannot_be_upgraded() {
    let ran = Recorder::new();
    let sender = ran.sender();
    let server = TestServer::start(Server::builder().on_upgrade(move |_, _| {
        let _ = sender.send(());
    }));
    for request in [
        get("GET / HTTP/1.1"),
        get("GET / HTTP/1.0"),
        with(
            "GET / HTTP/1.1",
            "Upgrade: h2c, websockets\r\nConnection: Upgrade\r\n",
        ),
        upgrade_request(server.local_addr()).replace("HTTP/1.1", "HTTP/1.0"),
        post("Content-Length: 3\r\n", "abc"),
    ] {
        for pace in PACES {
            let reply = exchange(&server, pace, &request);
            assert_eq!(reply.status, 426, "{request:?}");
            reply.assert_whole();
        }
    }
    assert_eq!(ran.so_far(), []);
}

/// An upgrade that asks wrongly is refused before the program hears of it (RFC 6455, section 4.2.1).
#[test]
fn bad_upgrades_are_refused() {
    let program = Program::start();
    let good = upgrade_request(program.server.local_addr());
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (status, from, to) in [
        (405, "GET ", "POST "),
        (405, "GET ", "get "),
        (400, "Connection: Upgrade\r\n", ""),
        (400, "Connection: Upgrade", "Connection: keep-alive"),
        (426, "Version: 13", "Version: 8"),
        (426, "Version: 13", "Version: 13, 8"),
        (426, "Sec-WebSocket-Version: 13\r\n", ""),
        (400, key, ""),
        (400, "ZQ==", "Z==="),
        (400, "Host: ", "Host: localhost\r\nHost: "),
        (400, key, &format!("{key}{key}")),
        (400, key, &format!("{key}Content-Length: 3\r\n")),
        (400, key, &format!("{key}Transfer-Encoding: chunked\r\n")),
        (400, key, &format!("{key}Sec-WebSocket-Protocol: a b\r\n")),
    ] {
        assert!(good.contains(from), "{from}");
        program.refuse(status, good.replacen(from, to, 1).as_bytes());
    }
    let reply = exchange(&program.server, Pace::Whole, good.replace("GET ", "POST "));
    assert_eq!(reply.field("allow"), Some("GET"));
}

/// An upgrade may be asked for in every way that HTTP knows (RFC 9110, sections 5.3 and 7.8; RFC
/// 9112, section 3.2.2).
#[test]
fn odd_upgrades_are_accepted() {
    let program = Program::start();
    let good = upgrade_request(program.server.local_addr());
    for (from, to) in [
        ("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
        (
            "Connection: Upgrade",
            "Connection: keep-alive\r\nConnection: upgrade",
        ),
        ("Upgrade: websocket", "uPGRADE: h2c/1, WebSocket"),
        ("Upgrade: websocket", "Upgrade: h2c\r\nUpgrade: websocket"),
        ("GET / ", "GET http://localhost/a?b "),
        ("GET / ", "GET ws://localhost "),
        ("GET / ", "\r\nGET / "),
        ("Host: ", "Content-Length: 0\r\nHost: "),
        ("Host: ", "Expect: \r\nHost: "),
        (
            "Host: ",
            "Sec-WebSocket-Extensions: permessage-deflate\r\nHost: ",
        ),
    ] {
        assert!(good.contains(from), "{from}");
        let head = program.upgrade(&good.replacen(from, to, 1));
        assert_eq!(field(&head, "upgrade"), Some("websocket"));
        assert_eq!(field(&head, "connection"), Some("Upgrade"));
        assert_eq!(
            field(&head, "sec-websocket-accept"),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
        assert_eq!(field(&head, "sec-websocket-extensions"), None);
    }
    let host = program.server.local_addr();
    for request in [
        good.replace("Upgrade: websocket", "UPGRADE: WebSocket"),
        good.replace(
            "Connection: Upgrade",
            "Connection: keep-alive\r\nConnection: ,, upgrade ,",
        ),
        good.replace("GET / ", &format!("GET http://{host}/ ")),
        good.replace("GET / ", &format!("GET ws://{host}/chat?room=1 ")),
        good.replace(": ", ":\t  "),
        good.replace("\r\n", "\n"),
        good.replace(
            "\r\n\r\n",
            &format!("\r\nX-Long: {}\r\n\r\n", "a".repeat(15_000)),
        ),
    ] {
        program.upgrade(&request);
    }
}

/// An upgrade that expects a 100 gets it first (RFC 9110, section 7.8), unless it is refused; one that
/// expects anything else gets 417 (section 10.1.1).
#[test]
fn expectations_of_upgrades_are_met() {
    let program = Program::start();
    let good = upgrade_request(program.server.local_addr());
    let expecting = |what: &str| good.replacen("Host: ", &format!("Expect: {what}\r\nHost: "), 1);
    for pace in PACES {
        let mut peer = RawPeer::dial(&program.server);
        peer.send_at(pace, expecting("100-Continue").as_bytes());
        assert_eq!(peer.read_head(), "HTTP/1.1 100 Continue\r\n\r\n");
        assert!(peer.read_head().starts_with("HTTP/1.1 101 "));
        peer.send_text("hello");
        assert_eq!(peer.read_frame(), Frame::text("hello"));
        assert_eq!(program.calls.so_far().len(), 1);
    }
    let client = landline::Client::new().header("Expect", "100-continue");
    drop(client.open(program.server.url()).unwrap());
    program.calls.next();
    program.refuse(417, expecting("x").as_bytes());
    program.refuse(417, expecting("100-continue, x").as_bytes());
    let bad = expecting("100-continue").replace("Version: 13", "Version: 8");
    let mut peer = RawPeer::dial(&program.server);
    peer.send_bytes(bad);
    assert!(peer.read_head().starts_with("HTTP/1.1 426 "));
}

/// An upgrade by HTTP/1.0, as nginx sends one by default, is plain HTTP (RFC 9110, section 7.8): a page
/// is served, and where there is only a WebSocket, the 426 says that it needs HTTP/1.1.
#[test]
fn http_1_0_gets_pages() {
    let router = Router::new()
        .get("/", |_| "a page")
        .websocket("/", |ws, _| echo(ws))
        .websocket("/ws", |ws, _| echo(ws));
    let server = TestServer::start(Server::builder().router(router));
    let request = upgrade_request(server.local_addr()).replace("HTTP/1.1", "HTTP/1.0");
    for pace in PACES {
        let page = exchange(&server, pace, &request);
        page.assert_whole();
        assert_eq!((page.status, &*page.body), (200, "a page"));
        let refused = exchange(&server, pace, request.replace("GET / ", "GET /ws "));
        refused.assert_whole();
        assert_eq!(refused.status, 426);
        assert!(refused.body.contains("it needs HTTP/1.1"), "{refused:?}");
    }
}

/// Frames behind an upgrade request are delivered, in its segment or byte by byte, whoever serves
/// them, and also those that end later.
#[test]
fn frames_behind_the_request_reach_every_handler() {
    let routed = Router::new().websocket("/", |ws, _| echo(ws));
    for builder in [
        Server::builder().on_upgrade(|ws, _| echo(ws)),
        Server::builder().serve(echo_straight),
        Server::builder().router(routed),
        Server::builder().router(Router::new().serve("/", echo_straight)),
        Server::builder().on_request(repeat),
    ] {
        let server = TestServer::start(builder);
        PACES
            .iter()
            .for_each(|pace| assert_echoes_at_once(&server, *pace));
    }
}

fn echo_straight(ws: WebSocket, messages: Messages, _: Request) -> Outcome {
    for message in messages {
        ws.send(message?)?;
    }
    Ok(())
}

#[track_caller]
fn assert_echoes_at_once(server: &Server, pace: Pace) {
    let mut peer = RawPeer::dial(server);
    let mut bytes = upgrade_request(server.local_addr()).into_bytes();
    let frames = [Frame::text("hello"), Frame::new(BINARY, vec![7; 5_000])];
    frames
        .iter()
        .for_each(|frame| bytes.extend(peer.encode(frame)));
    bytes.extend(peer.encode(&Frame::new(CLOSE, [3, 0xe8])));
    let (now, later) = bytes.split_at(bytes.len() - 20);
    peer.send_at(pace, now);
    assert!(peer.read_head().starts_with("HTTP/1.1 101 "));
    assert_eq!(peer.read_frame(), frames[0]);
    peer.send_at(pace, later);
    assert_eq!(peer.read_frame(), frames[1]);
    assert_eq!(peer.read_close(), Some(1000));
    peer.read_eof();
}

/// A request that is none is answered with its status, then the connection ends in order, whether
/// it came whole or byte by byte; no handler hears of it.
#[test]
fn bad_requests_get_their_status() {
    let handled = Recorder::new();
    let sender = handled.sender();
    let server = TestServer::start(
        landline::Server::builder()
            .on_upgrade(move |_, request| drop(sender.send(format!("{request:?}")))),
    );
    for (what, status, request) in bad_requests(server.local_addr()) {
        for pace in PACES {
            let reply = exchange(&server, pace, &request);
            assert_eq!(reply.status, status, "{what}: {reply:?}");
            reply.assert_whole();
        }
    }
    assert_eq!(handled.so_far(), Vec::<String>::new());
    assert_eq!(server.connection_count(), 0);
}

fn bad_requests(host: impl Display) -> Vec<(&'static str, u16, Vec<u8>)> {
    let good = upgrade_request(&host);
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replace(from, to).into_bytes()
    };
    let and = |line: &str| with("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"));
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    vec![
        ("no HTTP", 400, b"\x00\x01\x02\x03\r\n\r\n".to_vec()),
        (
            "TLS",
            400,
            b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03".to_vec(),
        ),
        (
            "HTTP/2's preface",
            505,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        ),
        ("POST", 405, with("GET ", "POST ")),
        ("a method of our own", 405, with("GET ", "BREW ")),
        ("a method without end", 501, vec![b'A'; 40]),
        (
            "a target that is none",
            400,
            with("GET / ", "GET somewhere "),
        ),
        ("a target with a fragment", 400, with("GET / ", "GET /#a ")),
        (
            "a target without end",
            414,
            format!("GET /{}", "a".repeat(9000)).into_bytes(),
        ),
        ("two spaces", 400, with("GET / ", "GET  / ")),
        ("HTTP/1.0", 426, with("HTTP/1.1", "HTTP/1.0")),
        ("HTTP/2.0", 505, with("HTTP/1.1", "HTTP/2.0")),
        ("HTTP/0.9", 505, with("HTTP/1.1", "HTTP/0.9")),
        ("plain HTTP", 426, with("Upgrade: websocket\r\n", "")),
        (
            "an upgrade to something else",
            426,
            with("Upgrade: websocket", "Upgrade: h2c"),
        ),
        ("no Connection", 400, with("Connection: Upgrade\r\n", "")),
        (
            "Connection: close",
            400,
            with("Connection: Upgrade", "Connection: close"),
        ),
        ("version 8", 426, with("Version: 13", "Version: 8")),
        ("no version", 426, with("Sec-WebSocket-Version: 13\r\n", "")),
        ("two versions", 400, and("Sec-WebSocket-Version: 13")),
        ("no key", 400, with(key, "")),
        ("two keys", 400, and(key.trim_end())),
        (
            "a short key",
            400,
            with("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ=="),
        ),
        (
            "a key that is no base64",
            400,
            with("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhb*BsZSBub25jZQ=="),
        ),
        ("no Host", 400, with(&format!("Host: {host}\r\n"), "")),
        ("two Hosts", 400, and("Host: elsewhere")),
        ("a Host that is none", 400, with(&host.to_string(), "a b")),
        ("a body by its length", 400, and("Content-Length: 5")),
        ("a body in chunks", 400, and("Transfer-Encoding: chunked")),
        ("a negative length", 400, and("Content-Length: -1")),
        ("a folded line", 400, and("X-Folded: a\r\n b")),
        ("a space before the colon", 400, and("X-Space : a")),
        ("a header without a name", 400, and(": a")),
        ("NUL in a value", 400, and("X-Nul: a\0b")),
        (
            "subprotocols that are no tokens",
            400,
            and("Sec-WebSocket-Protocol: a b"),
        ),
        (
            "a head without end",
            431,
            with("\r\n\r\n", &format!("\r\nX-Long: {}", "a".repeat(17_000))),
        ),
        (
            "too many headers",
            431,
            and(&"X-Many: a\r\n".repeat(120).trim_end().replace('\0', "")),
        ),
    ]
}

/// Frames in the same segment as the request are delivered, and so is a Close among them.
#[test]
fn frames_behind_the_request_are_delivered() {
    let server = TestServer::echo();
    for (count, length) in [(1, 5), (50, 100), (3, 100_000)] {
        let mut peer = RawPeer::dial(&server);
        let frame = Frame::new(BINARY, vec![7; length]);
        let mut bytes = upgrade_request(server.local_addr()).into_bytes();
        (0..count).for_each(|_| bytes.extend(peer.encode(&frame)));
        bytes.extend(peer.encode(&Frame::new(CLOSE, [3, 0xe8])));
        let mut sending = peer.stream.try_clone().unwrap();
        let writer =
            thread::spawn(move || std::io::Write::write_all(&mut sending, &bytes).unwrap());
        assert!(peer.read_head().starts_with("HTTP/1.1 101 "));
        (0..count).for_each(|_| assert_eq!(peer.read_frame(), frame));
        assert_eq!(peer.read_close(), Some(1000));
        peer.read_eof();
        writer.join().unwrap();
    }
}
