//! What the program's logger gets, and what it cannot do.

use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use landline::{CloseCode, Config, Outcome, Reply, Router, Server, WebSocket};

use crate::support::*;

/// Whether the logger of this process fails.
static FAILS: AtomicBool = AtomicBool::new(false);

/// Does what `println!` does on a pipe that nobody reads any more.
fn fail_if_told(_: &log::Record<'_>) {
    assert!(!FAILS.load(Ordering::SeqCst), "failed printing to stdout");
}

/// A logger that panics keeps nothing of the library from its work: the accept thread accepts,
/// callbacks run, each `on_close` once, also where the record tells of a panic, in both roles.
#[test]
fn logger_that_panics_ends_nothing() {
    let Some(_) = part() else {
        return Part::start("logging::logger_that_panics_ends_nothing", "all", &[]).release();
    };
    panic::set_hook(Box::new(|_| {}));
    Logger::install(fail_if_told);
    FAILS.store(true, Ordering::SeqCst);
    let echo = TestServer::echo();
    for _ in 0..3 {
        for role in ROLES {
            let (mut met, events) = Meeting::recorded(role, Config::new());
            met.peer.send_text("x");
            events.find(|event| matches!(event, Event::Text(_)));
            met.peer.send_close(1000, "");
            assert_eq!(closed_once(&events, &met.ws).code(), CloseCode::NORMAL);

            let (mut met, events) = Meeting::recorded(role, Config::new());
            met.ws.on_text(|_, _| panic!("boom"));
            met.peer.send_text("x");
            assert_eq!(met.peer.read_close(), Some(1011));
            met.peer.send_close(1011, "");
            let code = closed_once(&events, &met.ws).code();
            assert_eq!(code, CloseCode::INTERNAL_ERROR);
        }
        // Refused, broken, cut: whatever has a record of its own.
        let (_, refused) = knock(&echo, "/", &["Origin: https://elsewhere.example"]);
        assert_eq!(refused.status, 403);
        Probe::of(&echo).keeps_up();
    }
}

/// What peers and callbacks say reaches no record raw: nothing moves the cursor, rings, or begins a
/// line that another could be taken for.
#[test]
fn records_are_one_line_each() {
    const HOSTILE: &str = "\x1b[31m\x07a\r\nWARN forged\u{85}\u{9b}31m\u{202e}";
    let Some(_) = part() else {
        return Part::start("logging::records_are_one_line_each", "all", &[]).release();
    };
    panic::set_hook(Box::new(|_| {}));
    let logger = Logger::install(|_| {});
    let failing = |ws: &WebSocket| {
        ws.on_text(|_, text| match text.as_str() {
            "panic" => panic!("{HOSTILE}"),
            _ => Err(HOSTILE.repeat(100_000)),
        });
        ws.on_close(|_, _| Err::<(), _>(HOSTILE));
    };
    for role in ROLES {
        for text in ["panic", "fail"] {
            let mut met = Meeting::of(role, Config::new(), failing);
            met.peer.send_text(text);
            assert_eq!(met.peer.read_close(), Some(1011));
            met.peer.send_close(1011, HOSTILE);
            let ws = met.ws.clone();
            in_time("it ends", move || ws.wait_closed().unwrap());
        }
    }
    let server = TestServer::start(Server::builder().on_request(|_| -> landline::Reply {
        panic!("{HOSTILE}");
    }));
    assert_eq!(knock(&server, "/", &[]).1.status, 500);
    let records = logger.so_far();
    let hostile = |record: &&String| record.contains("forged");
    assert!(records.iter().filter(hostile).count() >= 9, "{records:#?}");
    for record in records {
        let raw = |c: char| c.is_control() || c == '\u{202e}';
        assert!(!record.contains(raw), "{record:?}");
        assert!(record.len() < 8_192, "{} bytes", record.len());
    }
}

/// Each failure of the program's code is told in one WARN record: of a callback, of a handler, of
/// the thread that pulls.
#[test]
fn failures_are_told_once() {
    let Some(_) = part() else {
        return Part::start("logging::failures_are_told_once", "all", &[]).release();
    };
    panic::set_hook(Box::new(|_| {}));
    let logger = Logger::install(|_| {});
    for role in ROLES {
        let mut met = Meeting::of(role, Config::new(), |ws| {
            ws.on_text(|_, _| panic!("boom 1"));
        });
        met.peer.send_text("x");
        assert_eq!(met.peer.read_close(), Some(1011));
        met.peer.send_close(1011, "");

        let mut met = Pulled::new(role, Config::new());
        let messages = met.messages;
        let pulling = thread::spawn(move || {
            let _messages = messages;
            panic!("boom 2");
        });
        assert_eq!(met.peer.read_close(), Some(1011));
        met.peer.send_close(1011, "");
        pulling.join().map(drop).unwrap_err();
    }
    let server = TestServer::start(Server::builder().serve(|_, mut messages, _| {
        messages.recv()?;
        panic!("boom 3");
    }));
    let mut raw = RawPeer::client_of(&server);
    raw.send_text("x");
    assert_eq!(raw.read_close(), Some(1011));
    raw.send_close(1011, "");
    raw.read_eof();
    let records = logger.so_far();
    let warned = |what: &str| {
        let is_warning = |record: &&String| record.starts_with("WARN") && record.contains(what);
        records.iter().filter(is_warning).count()
    };
    for (what, times) in [("boom 1", 2), ("the thread that reads", 2), ("boom 3", 1)] {
        assert_eq!(warned(what), times, "{what}: {records:#?}");
    }
    assert_eq!(warned(""), 5, "{records:#?}");
}

/// A request that the program's code failed to answer is named in the log by method and path.
#[test]
fn failed_requests_are_named() {
    let Some(_) = part() else {
        return Part::start("logging::failed_requests_are_named", "all", &[]).release();
    };
    panic::set_hook(Box::new(|_| {}));
    let logger = Logger::install(|_| {});
    let router = Router::new()
        .get("/panic", |_| -> Reply { panic!("on purpose") })
        .get("/fail", |_| -> Outcome<Reply> { Err("on purpose")? })
        .get("/header", |_| Reply::text("").header("X-One", "two\r\n"))
        .get("/name", |_| Reply::text("").header("X One", "two"));
    let server = TestServer::start(Server::builder().router(router));
    for path in ["/panic", "/fail", "/header", "/name"] {
        assert_eq!(fetch(&server, &format!("GET {path}"), &[]).status, 500);
    }
    let records = logger.so_far();
    for words in [
        ["GET /panic", "on purpose"],
        ["GET /fail", "on purpose"],
        ["GET /header", "x-one"],
        ["GET /name", "the name of header"],
    ] {
        let told = |record: &&String| words.iter().all(|word| record.contains(word));
        assert_eq!(
            records.iter().filter(told).count(),
            1,
            "{words:?}: {records:#?}"
        );
    }
}

/// Whatever becomes of a connection, its records from the first to the last name it by its id.
#[test]
fn records_follow_a_connection() {
    let Some(_) = part() else {
        return Part::start("logging::records_follow_a_connection", "all", &[]).release();
    };
    let logger = Logger::install(|_| {});
    let router = Router::new()
        .get("/page", |_| Reply::text("page"))
        .get("/fail", |_| -> Outcome<Reply> { Err("on purpose")? })
        .websocket("/feed", |ws, request| assert_eq!(ws.id(), request.id()));
    let server = TestServer::start(Server::builder().config(quiet()).router(router));
    let story = |begin: &dyn Fn(), last: &str| {
        let before = logger.so_far().len();
        begin();
        settled(last, || {
            let new = &logger.so_far()[before..];
            new.iter().any(|record| record.contains(last))
        });
        let records = logger.so_far().split_off(before);
        assert_one_connection(&records);
        records
    };
    let says = |bytes: &str| {
        let mut peer = RawPeer::dial(&server);
        peer.send_bytes(bytes);
        peer.read_end();
    };
    let meet = || {
        let mut peer = RawPeer::dial(&server);
        peer.send_bytes(upgrade_request("localhost").replace("GET / ", "GET /feed "));
        assert!(peer.read_head().contains(" 101 "));
        peer
    };
    let closes = || {
        let mut peer = meet();
        peer.send_close(4001, "enough");
        peer.read_end();
    };
    let records = story(&closes, "4001");
    assert_eq!(records.len(), 4, "{records:#?}");
    for (record, words) in records
        .iter()
        .zip(["accepted", "asks: GET /feed", "open", "4001"])
    {
        assert!(record.contains(words), "{words}: {records:#?}");
    }
    story(&|| meet().reset(), "1006");
    story(&|| drop(RawPeer::dial(&server)), "ended in its handshake");
    story(&|| says("nonsense\r\n\r\n"), "refused: 400");
    let get =
        |path: &str, host: &str| says(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    story(&|| get("/page", "localhost"), "gets 200");
    story(&|| get("/fail", "localhost"), "gets 500");
    story(&|| get("/none", "localhost"), "gets 404");
    story(&|| get("/page", "elsewhere.example"), "gets 403");
}

/// A connection that gets no thread has an id in its record too.
#[test]
fn records_name_connections_beyond_the_limit() {
    let Some(_) = part() else {
        let test = "logging::records_name_connections_beyond_the_limit";
        return Part::start(test, "all", &[]).release();
    };
    let logger = Logger::install(|_| {});
    let builder = Server::builder().on_upgrade(|_, _| ());
    let server = TestServer::start(builder.max_connections(1));
    let _first = RawPeer::client_of(&server);
    let before = logger.so_far().len();
    assert_eq!(knock(&server, "/", &[]).1.status, 503);
    let records = logger.so_far().split_off(before);
    let refused: Vec<_> = records
        .into_iter()
        .filter(|record| record.contains("refused"))
        .collect();
    assert_eq!(refused.len(), 1, "{refused:#?}");
    assert_one_connection(&refused);
}

/// Asserts that all of these records name the same connection.
#[track_caller]
fn assert_one_connection(records: &[String]) {
    let id = |record: &String| -> Option<u64> {
        let (_, rest) = record.split_once(" connection ")?;
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    };
    let ids: Vec<_> = records.iter().map(id).collect();
    assert!(
        ids[0].is_some() && ids.iter().all(|id| *id == ids[0]),
        "{records:#?}"
    );
}

/// A TLS handshake that fails is told of the connection that was accepted.
#[test]
#[cfg(feature = "tls")]
fn records_name_the_connection_of_a_failed_handshake() {
    let Some(_) = part() else {
        let test = "logging::records_name_the_connection_of_a_failed_handshake";
        return Part::start(test, "all", &[]).release();
    };
    let logger = Logger::install(|_| {});
    let server = secure_echo(quiet());
    let before = logger.so_far().len();
    let mut peer = RawPeer::dial(&server);
    peer.send_bytes("GET / HTTP/1.1\r\n\r\n");
    peer.read_end();
    settled("it is told", || {
        let new = &logger.so_far()[before..];
        new.iter()
            .any(|record| record.contains("TLS handshake failed"))
    });
    assert_one_connection(&logger.so_far()[before..]);
}
