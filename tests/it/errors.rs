//! What errors say: what was wrong, with whom and with what, on one line and without secrets.

use std::io::ErrorKind;
use std::net::{TcpListener, ToSocketAddrs};
use std::thread;

use landline::{
    Client, CloseCode, Config, Error, Failure, Message, SendErrorKind, Server, WaitError, WebSocket,
};

use crate::support::opcode::*;
use crate::support::*;

/// Asserts that a text holds all of these.
#[track_caller]
fn assert_says(text: impl ToString, words: &[&str]) {
    let text = text.to_string();
    for word in words {
        assert!(text.contains(word), "{text:?} lacks {word:?}");
    }
}

/// Text that would move a cursor, ring, forge a line or turn text around.
const HOSTILE: &str = "\x1b[31m\x07a\r\nforged\u{85}\u{202e}";

#[track_caller]
fn assert_harmless(text: impl ToString) {
    let text = text.to_string();
    let raw = |c: char| c.is_control() || c == '\u{202e}';
    assert!(!text.contains(raw), "{text:?}");
    assert!(text.len() < 4_096, "{} bytes", text.len());
}

/// Connecting says to what, listening says where; the kind is the system's.
#[test]
fn addresses_are_named() {
    let dead = dead_port().to_string();
    let error = landline::open(format!("ws://{dead}/")).unwrap_err();
    assert_says(&error, &["cannot connect to", &dead, "refused"]);
    let Error::Connect(source) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(source.kind(), ErrorKind::ConnectionRefused);
    let error = Client::new()
        .no_proxy()
        .open("ws://nowhere.invalid:4321/")
        .unwrap_err();
    assert_says(&error, &["cannot connect to nowhere.invalid:4321"]);
    let port = dead_port().port();
    let error = landline::open(format!("ws://localhost:{port}/")).unwrap_err();
    let localhost = ("localhost", port).to_socket_addrs().unwrap();
    let last = localhost.last().unwrap().to_string();
    assert_says(&error, &["cannot connect to localhost", &last]);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let echo = || Server::builder().on_upgrade(|_, _| ());
    let error = echo().bind(address).unwrap_err();
    assert_says(
        &error,
        &["cannot listen on", &address.to_string(), "in use"],
    );
    let Error::Bind(source) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(source.kind(), ErrorKind::AddrInUse);
    let error = echo().bind("nonsense").unwrap_err();
    assert_says(&error, &["cannot listen on an address that cannot be used"]);
}

/// What lacks its scheme is told to get one, whatever a URL makes of it; what has another is told
/// which are spoken. The URL itself, which may hold credentials, is not shown.
#[test]
fn urls_without_a_scheme_are_told_to_get_one() {
    for url in [
        "127.0.0.1:80",
        "localhost:9001",
        "localhost:9001/path?token=secret",
        "example.com",
        "example.com/path",
        "//example.com",
        "[::1]:80",
        "",
    ] {
        let error = landline::open(url).unwrap_err();
        assert_says(&error, &["write ws://"]);
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    for url in ["ftp://example.com", "file:///etc/hosts"] {
        assert_says(landline::open(url).unwrap_err(), &["not ws or wss"]);
    }
}

/// A handshake that breaks says with whom.
#[test]
fn broken_handshakes_name_the_peer() {
    let raw = RawServer::new();
    for reset in [true, false] {
        let error = std::thread::scope(|scope| {
            let breaking = scope.spawn(|| {
                let mut peer = raw.accept();
                peer.read_head();
                if reset {
                    peer.reset();
                }
            });
            let error = landline::open(raw.url()).unwrap_err();
            breaking.join().unwrap();
            error
        });
        let address = raw.url().replace("ws://", "");
        assert_says(&error, &["handshake", address.trim_end_matches('/')]);
        assert!(matches!(error, Error::Io(_)), "{error:?}");
    }
}

/// A refusal shows the first line of its body, which often says why, and no header.
#[test]
fn refusals_show_why() {
    let raw = RawServer::new();
    let body = format!("\r\nno such room {HOSTILE}\nsecond");
    let answer = format!(
        "HTTP/1.1 403 Forbidden\r\nX-Secret: lovelace\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = raw.accept();
            peer.read_head();
            peer.send_bytes(&answer);
        });
        landline::open(raw.url()).unwrap_err()
    });
    assert_says(&error, &["403 Forbidden", "no such room"]);
    assert!(!error.to_string().contains("second"), "{error}");
    assert_harmless(&error);
    assert!(!format!("{error:?}{error}").contains("lovelace"));
}

/// What may not be sent is named, and its limit.
#[test]
fn unsendable_things_are_named() {
    let met = Meeting::of(Role::Server, Config::new(), |_| {});
    for (error, words) in [
        (met.ws.ping([7; 126]), ["ping", "125", "126"]),
        (
            met.ws.close_with(1000, &"x".repeat(124)),
            ["reason", "123", "124"],
        ),
        (met.ws.close_with(1005, ""), ["code", "1005", "may not"]),
    ] {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), SendErrorKind::Invalid);
        assert_says(error, &words);
    }
}

/// What is too large says how large, and what the limit is, to both sides.
#[test]
fn limits_are_told() {
    let text = |length: usize| Frame::text(&"x".repeat(length));
    let rows = [
        (vec![text(11).unfinished()], ["frame", "11", "10"]),
        (
            vec![text(9).unfinished(), Frame::new(CONTINUATION, "seven..")],
            ["message", "16", "15"],
        ),
        (
            vec![
                text(1).unfinished(),
                Frame::new(CONTINUATION, "").unfinished(),
                Frame::new(CONTINUATION, ""),
            ],
            ["fragments", "3", "2"],
        ),
    ];
    let cases = ROLES
        .iter()
        .flat_map(|role| rows.iter().map(move |row| (*role, row)));
    at_once(cases, |(role, (frames, words))| {
        let config = Config::new()
            .max_frame_size(10)
            .max_message_size(15)
            .max_fragments(2);
        let (mut met, events) = Meeting::recorded(role, config);
        frames.iter().for_each(|frame| met.peer.send(frame));
        let close = loop {
            let frame = met.peer.read_frame();
            if frame.opcode == CLOSE {
                break frame;
            }
        };
        assert_eq!(close.close_code(), Some(1009));
        assert_says(String::from_utf8_lossy(&close.payload[2..]), words);
        let Event::Error(error) = events.find(|event| matches!(event, Event::Error(_))) else {
            unreachable!()
        };
        assert_says(error, words);
        met.peer.send_fin();
        assert_says(events.next_close().reason(), words);
    });
}

/// A failure names the callback that it is of.
#[test]
fn failed_callbacks_are_named() {
    const FAILED: Result<(), &str> = Err("on purpose");
    fn set_up(ws: &WebSocket, name: &str) {
        match name {
            "on_text" => ws.on_text(|_, _| FAILED),
            "on_binary" => ws.on_binary(|_, _| FAILED),
            "on_message" => ws.on_message(|_, _| FAILED),
            "on_ping" => ws.on_ping(|_, _| FAILED),
            "on_pong" => ws.on_pong(|_, _| panic!("on purpose")),
            other => unreachable!("{other}"),
        }
    }
    for role in ROLES {
        for (name, opcode) in [
            ("on_text", TEXT),
            ("on_binary", BINARY),
            ("on_message", TEXT),
            ("on_ping", PING),
            ("on_pong", PONG),
        ] {
            let errors = Recorder::new();
            let sender = errors.sender();
            let mut met = Meeting::of(role, Config::new(), move |ws| {
                let sender = sender.clone();
                set_up(ws, name);
                ws.on_error(move |_, error| sender.send(error.to_string()));
            });
            met.peer.send(&Frame::new(opcode, "x"));
            assert_eq!(met.peer.read_close(), Some(1011));
            met.peer.send_close(1011, "");
            met.peer.send_fin();
            assert_says(errors.next(), &[name, "on purpose"]);
        }
    }
    let raw = RawServer::new();
    let client = Client::new().config(Config::new().close_timeout(ms(100)));
    let (_peer, error) = raw.answering(|url| client.connect(url, |_| FAILED).map(drop));
    assert_says(error.unwrap_err(), &["set_up", "on purpose"]);
}

/// A wait that could never end says who does not read.
#[test]
fn deadlocks_say_who_does_not_read() {
    assert_says(WaitError::WouldDeadlock, &["this thread", "Messages"]);
}

/// Nothing that shows itself shows a payload, a header's value or a subprotocol, all of which may
/// be secrets, or large.
#[test]
fn debug_shows_no_secrets() {
    let met = Meeting::of(Role::Server, Config::new().max_queue_bytes(1), |_| {});
    let secret = Message::from("lovelace".repeat(1_000_000));
    met.ws.close();
    let error = met.ws.send(secret).unwrap_err();
    assert_harmless(format!("{error:?}"));
    let client = Client::new()
        .subprotocols(["lovelace"])
        .header("X-Key", "lovelace");
    for shown in [format!("{error:?}"), format!("{client:?}")] {
        assert!(!shown.contains("lovelace"), "{shown}");
    }
    assert_eq!(error.into_message().unwrap().len(), 8_000_000);
}

/// However it is shown, a failure is one short line; by name the program gets it as it is.
#[test]
fn failures_are_shown_escaped() {
    let hostile = HOSTILE.repeat(100_000);
    let error = Error::Callback(hostile.clone());
    assert_harmless(&error);
    assert_harmless(format!("{error:?}"));
    assert!(matches!(error, Error::Callback(text) if text == hostile));
    for error in [
        Error::Invalid(hostile.clone()),
        Error::Handshake(hostile.clone()),
        Error::Tls(hostile.clone()),
        Error::Io(std::io::Error::other(hostile.clone())),
        Error::Protocol {
            code: CloseCode::PROTOCOL_ERROR,
            what: hostile.clone(),
        },
    ] {
        assert_harmless(&error);
        assert_harmless(format!("{error:?}"));
    }
    let failure = Failure::from(&hostile);
    assert_harmless(format!("{failure:?}"));
    let boxed: Box<dyn std::error::Error + Send + Sync> = failure.into();
    assert_eq!(boxed.to_string(), hostile);
}

/// Has a server do this to whoever connects, and tells whether the client may try again.
#[track_caller]
fn is_transient(scheme: &str, client: &Client, answer: impl FnOnce(RawPeer)) -> (bool, Error) {
    let raw = RawServer::new();
    let error = thread::scope(|scope| {
        let url = raw.url().replace("ws:", scheme);
        let connecting = scope.spawn(move || client.open(url).unwrap_err());
        // On a machine that stalls, a short deadline passes before the client has come.
        let mut peer = None;
        settled("the client has come, or given up", || {
            peer = raw.try_accept();
            peer.is_some() || connecting.is_finished()
        });
        if let Some(peer) = peer {
            answer(peer);
        }
        connecting.join().unwrap()
    });
    (error.is_transient(), error)
}

/// What may pass is transient: silence, a hang-up before the answer, statuses that say so. What is
/// there to stay is not: garbage, a wrong 101, all other statuses.
#[test]
fn transient_errors_are_those_that_may_pass() {
    let client = Client::new().config(Config::new().handshake_timeout(ms(500)));
    let patient = Client::new();
    let silent = is_transient("ws:", &client, |mut peer| {
        peer.read_end();
    });
    assert!(silent.0, "{silent:?}");
    for reset in [false, true] {
        let hung_up = is_transient("ws:", &patient, |mut peer| {
            peer.read_head();
            if reset {
                peer.reset();
            }
        });
        assert!(hung_up.0, "{hung_up:?}");
    }
    let dead = landline::open(format!("ws://{}", dead_port())).unwrap_err();
    assert!(dead.is_transient(), "{dead:?}");
    for (answer, expected) in [
        ("SSH-2.0-OpenSSH_9.2\r\n", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", false),
    ] {
        let answered = is_transient("ws:", &patient, |mut peer| {
            peer.read_head();
            let _ = peer.try_send_bytes(answer);
        });
        assert_eq!(answered.0, expected, "{answered:?}");
    }
    for status in [
        301, 400, 401, 403, 404, 407, 408, 410, 426, 429, 500, 501, 502, 503, 504, 505,
    ] {
        let answered = is_transient("ws:", &patient, |mut peer| {
            peer.read_head();
            let _ =
                peer.try_send_bytes(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"));
        });
        let expected = [408, 429, 500, 502, 503, 504].contains(&status);
        assert_eq!(answered.0, expected, "{answered:?}");
    }
    for url in ["ftp://127.0.0.1", "nonsense"] {
        assert!(!landline::open(url).unwrap_err().is_transient(), "{url}");
    }
}

/// The same of the TLS handshake: a hang-up may pass, an alert and garbage are there to stay.
#[test]
#[cfg(feature = "tls")]
fn transient_errors_of_tls_are_those_that_may_pass() {
    const ALERT: &[u8] = &[21, 3, 3, 0, 2, 2, 40];
    for engine in engines() {
        let client = || trusting_by(engine);
        for reset in [false, true] {
            let hung_up = is_transient("wss:", &client(), |mut peer| {
                uninterrupted(|| peer.stream.peek(&mut [0])).unwrap();
                if reset {
                    peer.reset();
                } else {
                    peer.send_fin();
                    peer.read_end();
                }
            });
            assert!(hung_up.0, "{engine:?}: {hung_up:?}");
        }
        for answer in [
            ALERT,
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.2\r\n",
        ] {
            let answered = is_transient("wss:", &client(), |mut peer| {
                uninterrupted(|| peer.stream.peek(&mut [0])).unwrap();
                let _ = peer.try_send_bytes(answer);
                peer.send_fin();
                peer.read_end();
            });
            assert!(!answered.0, "{engine:?}: {answered:?}");
        }
        let silent = client().config(Config::new().handshake_timeout(ms(500)));
        let silent = is_transient("wss:", &silent, |mut peer| {
            peer.read_end();
        });
        assert!(silent.0, "{engine:?}: {silent:?}");
    }
    let server = secure_echo(Config::new());
    let distrusted = Client::new().open(server.url()).unwrap_err();
    assert!(!distrusted.is_transient(), "{distrusted:?}");
}
