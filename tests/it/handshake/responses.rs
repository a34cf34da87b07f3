//! The opening handshake over sockets: what bad requests and bad answers come to.

use std::error::Error as _;
use std::fmt::Display;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::thread;
use std::time::Duration;

use landline::{Client, Config, Error, Refusal};

use crate::support::opcode::*;
use crate::support::*;

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
            let mut peer = RawPeer::dial(&server);
            peer.send_at(pace, &request);
            let head = peer.read_head();
            assert!(
                head.starts_with(&format!("HTTP/1.1 {status} ")),
                "{what}: {head}"
            );
            assert!(
                field(&head, "connection")
                    .unwrap_or_default()
                    .starts_with("close"),
                "{what}: {head}"
            );
            assert!(field(&head, "content-length").is_some(), "{what}: {head}");
            assert_eq!(peer.read_end(), End::Eof, "{what}");
        }
    }
    assert_eq!(handled.so_far(), Vec::<String>::new());
    assert_eq!(server.connection_count(), 0);
}

/// A 426 names the version that is spoken (RFC 6455, section 4.4), a 405 the method.
#[test]
fn refusals_name_what_would_do() {
    let server = TestServer::echo();
    let good = upgrade_request(server.local_addr());
    for (request, name, value) in [
        (
            good.replace("Version: 13", "Version: 8"),
            "sec-websocket-version",
            "13",
        ),
        (
            good.replace("Upgrade: websocket\r\n", ""),
            "upgrade",
            "websocket",
        ),
        (good.replace("GET ", "POST "), "allow", "GET"),
    ] {
        let mut peer = RawPeer::dial(&server);
        peer.send_bytes(request);
        let head = peer.read_head();
        assert_eq!(field(&head, name), Some(value), "{head}");
    }
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

/// What RFCs 6455 and 9112 allow in a request is upgraded, whole and byte by byte.
#[test]
fn odd_requests_are_upgraded() {
    let server = TestServer::echo();
    let good = upgrade_request(server.local_addr());
    let host = server.local_addr();
    for request in [
        good.replace("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
        good.replace(
            "Connection: Upgrade",
            "Connection: keep-alive\r\nConnection: ,, upgrade ,",
        ),
        good.replace("Upgrade: websocket", "UPGRADE: WebSocket"),
        good.replace("Upgrade: websocket", "Upgrade: h2c, websocket"),
        good.replace("GET / ", &format!("GET http://{host}/ ")),
        good.replace("GET / ", &format!("GET ws://{host}/chat?room=1 ")),
        good.replace(": ", ":\t  "),
        good.replace("\r\n", "\n"),
        format!("\r\n\r\n{good}"),
        good.replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n"),
        good.replace(
            "\r\n\r\n",
            &format!("\r\nX-Long: {}\r\n\r\n", "a".repeat(15_000)),
        ),
        good.replace(
            "\r\n\r\n",
            "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        ),
    ] {
        for pace in PACES {
            let mut peer = RawPeer::dial(&server);
            peer.send_at(pace, request.as_bytes());
            let head = peer.read_head();
            assert!(head.starts_with("HTTP/1.1 101 "), "{request}: {head}");
            assert_eq!(field(&head, "sec-websocket-extensions"), None);
            peer.send_text("hello");
            assert_eq!(peer.read_frame(), Frame::text("hello"), "{request}");
        }
    }
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
        let error = answered(&answer);
        assert!(matches!(error, Error::Handshake(_)), "{answer}: {error:?}");
        assert!(error.to_string().contains(says), "{answer}: {error}");
        assert!(!error.is_transient(), "{error}");
    }
}

/// An answer other than 101 is `Refused`, with its status, headers and body, however the body ends.
#[test]
fn refusals_tell_status_headers_and_body() {
    for (answer, status, body, transient) in [
        (
            "HTTP/1.1 403 Forbidden\r\nX-Why: you\r\nContent-Length: 5\r\n\r\nno wayX",
            403,
            "no wa",
            false,
        ),
        (
            "HTTP/1.1 401 Unauthorized\r\nX-Why: you\r\n\r\nto the end",
            401,
            "to the end",
            false,
        ),
        (
            "HTTP/1.1 503 Busy\r\nX-Why: you\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbusy\r\n0\r\n\r\n",
            503,
            "busy",
            true,
        ),
        (
            "HTTP/1.1 429 Slow\r\nX-Why: you\r\nContent-Length: 0\r\n\r\n",
            429,
            "",
            true,
        ),
        (
            "HTTP/1.1 302 Found\r\nX-Why: you\r\nLocation: /elsewhere\r\nContent-Length: 99\r\n\r\ncut",
            302,
            "cut",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nX-Why: you\r\nContent-Length: 2\r\n\r\nok",
            200,
            "ok",
            false,
        ),
        (
            "HTTP/1.0 404 Not Found\r\nX-Why: you\r\n\r\n",
            404,
            "",
            false,
        ),
        (
            "HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 502 Bad\r\nX-Why: you\r\n\r\nbad",
            502,
            "bad",
            true,
        ),
    ] {
        let error = answered(answer);
        assert_eq!(error.is_transient(), transient, "{error}");
        let Error::Refused(refusal) = error else {
            panic!("{answer}: {error:?}")
        };
        let Refusal {
            status: got,
            headers,
            body: text,
            ..
        } = *refusal;
        assert_eq!(
            (got.as_u16(), &*text),
            (status, body.as_bytes()),
            "{answer}"
        );
        assert_eq!(headers["x-why"], "you");
    }
}

/// A refusal that does not say where its body ends is told as soon as its head is there, though the
/// server keeps the connection open, with what comes of the body within a moment.
#[test]
fn refusals_without_a_length_are_told_at_once() {
    let config = Config::new().handshake_timeout(Duration::from_secs(10 * 60 * 60));
    let client = Client::new().config(config);
    for (answer, body) in [
        ("HTTP/1.1 403 Forbidden\r\n\r\n", ""),
        (
            "HTTP/1.0 403 Forbidden\r\nContent-Length: x\r\n\r\nno way",
            "no way",
        ),
    ] {
        let raw = RawServer::new();
        let (client, url) = (client.clone(), raw.url());
        let connecting = thread::spawn(move || client.open(url).map(drop).unwrap_err());
        let mut peer = raw.accept();
        peer.read_head();
        peer.send_bytes(answer);
        settled("the refusal is told", || connecting.is_finished());
        let error = connecting.join().unwrap();
        let Error::Refused(refusal) = error else {
            panic!("{error:?}");
        };
        assert_eq!(
            (refusal.status.as_u16(), &*refusal.body),
            (403, body.as_bytes())
        );
        drop(peer);
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

/// Answers a client by hand, ends, and returns its error. `ACCEPT` stands for the right key.
#[track_caller]
fn answered(answer: &str) -> Error {
    let raw = RawServer::new();
    thread::scope(|scope| {
        let connecting = scope.spawn(|| landline::open(raw.url()).map(drop).unwrap_err());
        let (_peer, _request) = raw.answer_with(answer);
        connecting.join().unwrap()
    })
}

/// A server that breaks off or hangs up in the handshake, and one that nobody is, may be there
/// later.
#[test]
fn lost_and_absent_servers_are_transient() {
    let raw = RawServer::new();
    let lost = thread::scope(|scope| {
        let connecting = scope.spawn(|| landline::open(raw.url()).map(drop).unwrap_err());
        let mut peer = raw.accept();
        peer.read_head();
        peer.reset();
        connecting.join().unwrap()
    });
    assert!(matches!(lost, Error::Io(_)), "{lost:?}");
    assert!(lost.is_transient() && lost.source().is_some());
    for begun in ["", "HTTP/1.1 101 Switching"] {
        let ended = answered(begun);
        assert!(matches!(ended, Error::Io(_)), "{ended:?}");
        assert!(ended.is_transient() && ended.to_string().contains("closed"));
    }

    let absent = landline::open(format!("ws://{}", dead_port()))
        .map(drop)
        .unwrap_err();
    let Error::Connect(source) = &absent else {
        panic!("{absent:?}")
    };
    assert_eq!(source.kind(), ErrorKind::ConnectionRefused);
    assert!(absent.is_transient() && absent.source().is_some());
}

/// A server that never answers costs the handshake's time and no more, and so does one that never
/// ends its answer.
#[test]
fn silent_servers_time_out() {
    let client = Client::new().config(Config::new().handshake_timeout(ms(50)));
    for answer in [
        "",
        "HTTP/1.1 101 Switching Protocols\r\n",
        "HTTP/1.1 403 Forbidden\r\n",
    ] {
        let raw = RawServer::new();
        thread::scope(|scope| {
            let connecting = scope.spawn(|| client.open(raw.url()).map(drop).unwrap_err());
            let mut peer = raw.accept();
            // A stalled machine may have cut it by now.
            let _ = peer.try_send_bytes(answer);
            let error = connecting.join().unwrap();
            assert!(
                matches!(error, Error::Timeout(landline::Timeout::Handshake)),
                "{error:?}"
            );
            assert!(error.is_transient());
            drop(peer);
        });
    }
}

/// A refusal whose body never ends is still told when the time is over.
#[test]
fn refusal_without_end_is_told() {
    let client = Client::new().config(Config::new().handshake_timeout(ms(300)));
    let raw = RawServer::new();
    thread::scope(|scope| {
        let connecting = scope.spawn(|| client.open(raw.url()).map(drop).unwrap_err());
        let mut peer = raw.accept();
        let _ = peer.try_send_bytes("HTTP/1.1 403 Forbidden\r\nContent-Length: 99\r\n\r\nno");
        let error = connecting.join().unwrap();
        drop(peer);
        // A machine that stalls over the head makes a timeout of it.
        let told = match &error {
            Error::Refused(refusal) => refusal.status == 403 && *refusal.body == *b"no",
            error => matches!(error, Error::Timeout(_)),
        };
        assert!(told, "{error:?}");
    });
}

/// Of a name's addresses one that answers is enough, whichever it is.
#[test]
fn any_address_of_a_name_will_do() {
    let addresses: Vec<SocketAddr> = ("localhost", 0).to_socket_addrs().unwrap().collect();
    for address in addresses {
        let server = landline::Server::builder()
            .on_upgrade(|ws, _| ws.on_message(|ws, message| ws.send(message)))
            .bind(address)
            .unwrap();
        let port = tcp_addr(&server).port();
        let (ws, mut messages) = landline::open(format!("ws://localhost:{port}/")).unwrap();
        assert_eq!(ws.peer_addr().ip(), Some(address.ip()));
        ws.send("hello").unwrap();
        assert_eq!(messages.recv().unwrap(), landline::Message::from("hello"));
    }
    let dead = format!("ws://localhost:{}/", dead_port().port());
    let error = landline::open(dead).map(drop).unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{error:?}");
}

/// A server on IPv6 is reached by its URL.
#[test]
fn ipv6_urls_reach_their_server() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let server = landline::Server::builder()
        .on_upgrade(|_, _| ())
        .bind("[::1]:0")
        .unwrap();
    assert!(server.url().starts_with("ws://[::1]:"), "{}", server.url());
    let (ws, _messages) = landline::open(server.url()).unwrap();
    assert_eq!(ws.peer_addr(), server.local_addr());
}

/// A name that does not exist is an error of connecting.
#[test]
fn unknown_names_cannot_be_connected_to() {
    let client = Client::new().connect_timeout(ms(5000));
    let error = client
        .open("ws://no-such-host.invalid/")
        .map(drop)
        .unwrap_err();
    let expected = matches!(
        error,
        Error::Connect(_) | Error::Timeout(landline::Timeout::Handshake)
    );
    assert!(expected, "{error:?}");
}

/// What cannot be asked for is refused before a byte is sent: nobody knocks.
#[test]
fn unusable_urls_and_settings_are_invalid() {
    let raw = TcpListener::bind("127.0.0.1:0").unwrap();
    raw.set_nonblocking(true).unwrap();
    let address = raw.local_addr().unwrap();
    let url = format!("ws://{address}/");
    let invalid = [
        landline::open("").map(drop),
        landline::open("no url").map(drop),
        landline::open("/chat").map(drop),
        landline::open("ws://").map(drop),
        landline::open(format!("{address}")).map(drop),
        landline::open("ws://127.0.0.1:99999/").map(drop),
        landline::open(format!("ftp://{address}/")).map(drop),
        landline::connect(format!("file://{address}/"), |_| ()).map(drop),
        Client::new().header("Bad Name", "a").open(&url).map(drop),
        Client::new()
            .header("X-Bad", "a\r\nX-Injected: b")
            .open(&url)
            .map(drop),
        Client::new().header("Upgrade", "h2c").open(&url).map(drop),
        Client::new()
            .header("Sec-WebSocket-Key", "mine")
            .open(&url)
            .map(drop),
        Client::new()
            .header("Content-Length", "5")
            .open(&url)
            .map(drop),
        Client::new().subprotocols(["a b"]).open(&url).map(drop),
        Client::new()
            .subprotocols(["chat", "chat"])
            .open(&url)
            .map(drop),
        Client::new().subprotocols([""]).open(&url).map(drop),
    ];
    for (at, outcome) in invalid.into_iter().enumerate() {
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{at}: {error:?}");
        assert!(!error.is_transient() && !error.to_string().is_empty());
    }
    assert_eq!(
        raw.accept().unwrap_err().kind(),
        ErrorKind::WouldBlock,
        "somebody knocked"
    );
}

/// The request carries what was set, and the URL's path and query as they are.
#[test]
fn request_carries_what_was_set() {
    let raw = RawServer::new();
    let client = Client::new()
        .header("Authorization", "Bearer 1234")
        .subprotocols(["chat", "v2.chat"]);
    let url = format!("{}/a%20b?room=1&x=%C3%A4#not-sent", raw.url());
    thread::scope(|scope| {
        scope.spawn(|| drop(client.open(&url)));
        let mut peer = raw.accept();
        let request = peer.read_head();
        assert!(
            request.starts_with("GET /a%20b?room=1&x=%C3%A4 HTTP/1.1\r\n"),
            "{request}"
        );
        assert_eq!(field(&request, "authorization"), Some("Bearer 1234"));
        assert_eq!(
            field(&request, "sec-websocket-protocol"),
            Some("chat, v2.chat")
        );
        assert_eq!(
            field(&request, "host").map(|host| format!("ws://{host}")),
            Some(raw.url())
        );
        assert_eq!(field(&request, "sec-websocket-version"), Some("13"));
    });
}

/// `wss://` and `https://` are refused as TLS, not as bad URLs: this build does not speak it.
#[test]
fn wss_is_an_error_of_tls() {
    for scheme in ["wss", "https"] {
        let url = format!("{scheme}://{}/", dead_port());
        let error = landline::open(url).map(drop).unwrap_err();
        // A build that speaks TLS finds nobody there.
        assert!(
            matches!(error, Error::Tls(_) | Error::Connect(_)),
            "{error:?}"
        );
    }
}

/// `http://` URLs mean the same as `ws://`.
#[test]
fn http_urls_are_taken() {
    let server = TestServer::echo();
    let url = server.url().replace("ws://", "http://");
    let (ws, mut messages) = landline::open(url).unwrap();
    ws.send("hello").unwrap();
    assert_eq!(messages.recv().unwrap(), landline::Message::from("hello"));
}
