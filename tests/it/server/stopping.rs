//! Stopping a server, in every state and from everywhere.

use std::sync::{Mutex, mpsc};
use std::thread;

use landline::{
    CloseCode, Config, Next, Reply, Request, Router, Server, ServerBuilder, Stage, Timeout,
    Upgrade, WaitError, WebSocket,
};

use crate::support::*;

/// Deadlines that are never the reason, so that what ends is ended by the stop.
fn patient() -> Config {
    let long = 2 * PATIENCE;
    Config::new()
        .stop_timeout(long)
        .close_timeout(long)
        .write_timeout(long)
        .handshake_timeout(long)
}

fn echo() -> TestServer {
    TestServer::echo_with(patient())
}

#[track_caller]
fn stopped(server: &Server) -> landline::StopReport {
    let server = server.clone();
    in_time("the server has stopped", move || server.wait().unwrap())
}

/// Answers the 1001 that a stopping server sends.
#[track_caller]
fn leave(mut raw: RawPeer) {
    assert_eq!(raw.read_close(), Some(1001));
    raw.send_close(1001, "");
    raw.read_eof();
}

#[track_caller]
fn assert_refused(server: &Server) {
    let error = std::net::TcpStream::connect(server.local_addr()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}

/// A server without connections stops at once, and refuses from then on.
#[test]
fn idle_server_stops() {
    let server = echo();
    server.stop();
    assert!(stopped(&server).stuck().is_empty());
    assert_refused(&server);
}

/// Open connections get the Close that the settings say; a route may have its own.
#[test]
fn settings_say_the_close_of_a_stop() {
    let own = patient().stop_close(4000, "");
    let router = Router::new()
        .websocket("/", |_, _| ())
        .scope("/own", |scope| scope.config(own).websocket("", |_, _| ()));
    let restart = patient().stop_close(1012, "back in a minute");
    let server = TestServer::start(Server::builder().config(restart).router(router));
    let peers = ["/", "/own"].map(|path| knock(&server, path, &[]).0);
    server.stop();
    let [mut usual, mut own] = peers;
    assert_eq!(usual.read_frame().payload, b"\x03\xf4back in a minute");
    assert_eq!(own.read_close(), Some(4000));
}

/// Open connections get 1001, and the server ends as soon as they have answered.
#[test]
fn open_connections_get_1001() {
    let server = echo();
    let raws: Vec<_> = (0..5).map(|_| RawPeer::client_of(&server)).collect();
    let (ws, _messages) = landline::open(server.url()).unwrap();
    settled("all are open", || server.connection_count() == 6);
    let handles = server.connections();
    server.stop();
    raws.into_iter().for_each(leave);
    let mut messages = _messages;
    let error = messages.recv().unwrap_err();
    assert!(error.0.code() == 1001, "{error:?}");
    assert_eq!(ws.close_code(), Some(CloseCode::GOING_AWAY));
    assert!(stopped(&server).stuck().is_empty());
    for ws in handles {
        let event = ws.wait_closed().unwrap();
        assert_eq!(
            (event.code(), event.is_clean()),
            (CloseCode::GOING_AWAY, true),
            "{event:?}"
        );
    }
    assert_refused(&server);
}

/// A client in the middle of its handshake gets 503.
#[test]
fn unfinished_handshakes_get_503() {
    let server = echo();
    let mut silent = RawPeer::dial(&server);
    let mut halfway = RawPeer::dial(&server);
    halfway.send_bytes(&upgrade_request(server.local_addr())[..40]);
    // Accepting is in order: when this one is served, the ones before it have their threads.
    let raw = RawPeer::client_of(&server);
    server.stop();
    leave(raw);
    for raw in [&mut silent, &mut halfway] {
        let head = raw.read_head();
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    }
    drop((silent, halfway));
    assert!(stopped(&server).stuck().is_empty());
}

/// A peer that does not answer is cut when the patience ends.
#[test]
fn silent_peer_is_cut_at_the_deadline() {
    let server = echo();
    let mut raw = RawPeer::client_of(&server);
    settled("it is open", || server.connection_count() == 1);
    let ws = server.connections().remove(0);
    server.stop_within(ms(200));
    assert!(stopped(&server).stuck().is_empty());
    let event = ws.wait_closed().unwrap();
    assert_eq!(
        (event.code(), event.timeout()),
        (CloseCode::ABNORMAL, Some(Timeout::Stop))
    );
    assert_eq!(raw.read_close(), Some(1001));
    raw.read_end();
}

/// A connection that is closing already keeps its Close, and is cut at the stop's deadline.
#[test]
fn closing_connection_is_cut_at_the_deadline() {
    let server = echo();
    let mut raw = RawPeer::client_of(&server);
    settled("it is open", || server.connection_count() == 1);
    let ws = server.connections().remove(0);
    ws.close_with(4002, "enough").unwrap();
    assert_eq!(raw.read_close(), Some(4002));
    server.stop_within(ms(200));
    assert!(stopped(&server).stuck().is_empty());
    assert_eq!(ws.wait_closed().unwrap().timeout(), Some(Timeout::Stop));
}

/// The earliest deadline counts, also for connections that an earlier stop has given a later one.
#[test]
fn second_stop_can_only_shorten() {
    let server = echo();
    let mut raw = RawPeer::client_of(&server);
    settled("it is open", || server.connection_count() == 1);
    let ws = server.connections().remove(0);
    server.stop();
    assert_eq!(raw.read_close(), Some(1001));
    server.stop_within(ms(200));
    server.stop();
    let report = stopped(&server);
    assert!(
        report.stuck().is_empty(),
        "a silent peer is no stuck callback: {report:?}"
    );
    assert_eq!(
        ws.wait_closed_timeout(PATIENCE).unwrap().timeout(),
        Some(Timeout::Stop)
    );
}

/// A callback that waits in `send` for a peer that never reads does not hold the stop up.
#[test]
fn callback_in_a_blocked_send_ends() {
    let config = patient().max_queue_bytes(64 << 10);
    let sending = Recorder::new();
    let waits = sending.sender();
    let mut met = Meeting::deaf(Role::Server, config, move |ws| {
        let waits = waits.clone();
        ws.on_text(move |ws, _| {
            while ws.try_send(vec![7; 16 << 10]).is_ok() {}
            let _ = waits.send(());
            ws.send(vec![7; 64 << 10])
        });
    });
    met.peer.send_text("go");
    sending.next();
    let server = met.server.as_deref().unwrap();
    server.stop_within(ms(300));
    assert!(stopped(server).stuck().is_empty());
    assert_eq!(met.ws.wait_closed().unwrap().timeout(), Some(Timeout::Stop));
}

/// A callback that never returns is named, and keeps nothing else from ending.
#[test]
fn callback_that_blocks_for_ever_is_named() {
    let (release, blocked) = mpsc::channel::<()>();
    let (blocked, entered) = (Mutex::new(blocked), Recorder::new());
    let enters = entered.sender();
    let blocked = std::sync::Arc::new(blocked);
    let server = TestServer::with(patient(), move |ws| {
        let (blocked, enters) = (blocked.clone(), enters.clone());
        ws.on_text(move |ws, text| {
            if text == "block" {
                let _ = enters.send(ws.clone());
                let _ = blocked.lock().unwrap().recv();
                return;
            }
            let _ = ws.send(text);
        });
    });
    let probe = Probe::of(&server);
    let mut raw = RawPeer::client_of(&server);
    raw.send_text("block");
    let stuck = entered.next();
    probe.keeps_up();
    drop(probe);
    server.stop_within(ms(300));
    let report = stopped(&server);
    let [entry] = report.stuck() else {
        panic!("{report:?}")
    };
    assert_eq!(entry.websocket(), Some(&stuck));
    assert_eq!((entry.id(), entry.stage()), (stuck.id(), Stage::Open));
    assert_eq!(entry.peer_addr(), stuck.peer_addr());
    assert_refused(&server);
    raw.read_end();
    // Its own end comes when the callback returns.
    assert_eq!(stuck.close_code(), None);
    release.send(()).unwrap();
    let event = in_time("the connection ends", move || stuck.wait_closed().unwrap());
    assert_eq!(
        (event.code(), event.timeout()),
        (CloseCode::ABNORMAL, Some(Timeout::Stop))
    );
}

/// A handshake that is being answered, to a peer that reads no further, ends by the stop's deadline,
/// over TLS too.
#[test]
fn answer_to_a_slow_reader_ends_at_the_deadline() {
    let builder = || {
        let large = |_: &mut Request| Reply::text("x".repeat(64 << 20));
        Server::builder().config(patient()).on_request(large)
    };
    let get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let ends = |server: &Server| {
        server.stop_within(ms(300));
        stopped(server).stuck().is_empty()
    };
    let ends_plain = || {
        let server = TestServer::start(builder());
        let mut reader = RawPeer::dial_with_buffer(&server, 2 << 10);
        reader.send_bytes(get);
        reader.read_head();
        ends(&server)
    };
    // On a machine that stalls, a thread that has been cut may take longer to end than it has.
    assert!((0..5).any(|_| ends_plain()));
    #[cfg(feature = "tls")]
    {
        let ends_secure = || {
            let server = secure(builder());
            let mut reader = TlsPeer::dial(&server);
            reader.send_bytes(get);
            reader.read_head();
            ends(&server)
        };
        assert!((0..5).any(|_| ends_secure()));
    }
}

/// Blocks until it may go on.
type Block = Box<dyn Fn() -> &'static str + Send + Sync>;

/// Threads that are stuck in the program's answer to a request are named: in `should_upgrade`,
/// `on_request`, middleware and a plain route.
#[test]
fn stuck_answers_are_named() {
    let stuck: [fn(Block) -> ServerBuilder; 4] = [
        |block| {
            let should_upgrade = move |_: &mut Request| {
                block();
                Ok(Upgrade::new())
            };
            let builder = Server::builder().should_upgrade(should_upgrade);
            builder.on_upgrade(|_, _| ())
        },
        |block| Server::builder().on_request(move |_| block()),
        |block| {
            let middleware = move |request: &mut Request, next: Next<'_>| {
                block();
                next.run(request)
            };
            Server::builder().router(Router::new().middleware(middleware))
        },
        |block| Server::builder().router(Router::new().get("/", move |_| block())),
    ];
    for (number, stuck) in stuck.into_iter().enumerate() {
        let (release, blocked) = mpsc::channel::<()>();
        let (blocked, entered) = (Mutex::new(blocked), Recorder::new());
        let enters = entered.sender();
        let server = TestServer::start(stuck(Box::new(move || {
            let _ = enters.send(());
            let _ = blocked.lock().unwrap().recv();
            "at last"
        })));
        let mut raw = RawPeer::dial(&server);
        raw.send_bytes(upgrade_request(server.local_addr()));
        entered.next();
        server.stop_within(ms(200));
        let report = stopped(&server);
        let [entry] = report.stuck() else {
            panic!("{number}: {report:?}")
        };
        assert_eq!(entry.stage(), Stage::Deciding, "{number}");
        assert_eq!(entry.peer_addr(), raw.stream.local_addr().unwrap().into());
        assert!(entry.websocket().is_none());
        assert!(
            entry.to_string().contains("the program's answer"),
            "{entry}"
        );
        let name = format!("landline-{}", entry.id());
        let is_there = || threads().iter().any(|thread| thread.name == name);
        assert!(is_there(), "{name}");
        raw.read_end();
        release.send(()).unwrap();
        settled("its thread ends", || !is_there());
    }
}

/// A callback stops its own server without waiting for itself, and cannot wait for it.
#[test]
fn callback_stops_its_own_server() {
    let results = Recorder::new();
    let result = results.sender();
    let builder = Server::builder()
        .config(patient())
        .on_upgrade(move |ws, request| {
            let (server, result) = (request.server().clone(), result.clone());
            ws.on_text(move |ws, _| {
                let before = server.wait().unwrap_err();
                server.stop();
                let own = ws.wait_closed().unwrap_err();
                let _ = result.send((before, server.wait().unwrap_err(), own));
            });
        });
    let server = TestServer::start(builder);
    let mut raw = RawPeer::client_of(&server);
    raw.send_text("stop");
    let would_deadlock = WaitError::WouldDeadlock;
    assert_eq!(
        results.next(),
        (would_deadlock, would_deadlock, would_deadlock)
    );
    leave(raw);
    assert!(stopped(&server).stuck().is_empty());
}

/// Stopping again, from many threads at once, while many wait, is the same stop.
#[test]
fn stopping_is_idempotent() {
    let server = echo();
    let raws: Vec<_> = (0..3).map(|_| RawPeer::client_of(&server)).collect();
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let server = server.handle();
            thread::spawn(move || server.wait().unwrap())
        })
        .collect();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10).for_each(|_| server.stop()));
        }
    });
    raws.into_iter().for_each(leave);
    for waiting in waiting {
        settled("every waiter returns", || waiting.is_finished());
        assert!(waiting.join().unwrap().stuck().is_empty());
    }
    server.stop();
    assert!(stopped(&server).stuck().is_empty());
}

/// The last handle dropped is a stop; a handle from a request does not count.
#[test]
fn last_handle_dropped_is_a_stop() {
    let kept = Recorder::new();
    let keep = kept.sender();
    let server = Server::builder()
        .config(patient())
        .on_upgrade(move |_, request| drop(keep.send(request.server().clone())))
        .bind("127.0.0.1:0")
        .unwrap();
    let other = server.clone();
    let mut raw = RawPeer::client_of(&server);
    let uncounted = kept.next();
    drop(server);
    raw.send(&Frame::new(opcode::PING, "still open?"));
    assert_eq!(raw.read_frame(), Frame::new(opcode::PONG, "still open?"));
    drop(other);
    leave(raw);
    assert!(stopped(&uncounted).stuck().is_empty());
    assert_refused(&uncounted);
}

/// The last handle dropped in a callback of the server's own does not wait for itself.
#[test]
fn last_handle_dropped_in_a_callback() {
    let slot = std::sync::Arc::new(Mutex::new(None::<Server>));
    let inside = slot.clone();
    let set_up = move |ws: &WebSocket, _| {
        let inside = inside.clone();
        ws.on_text(move |_, _| drop(inside.lock().unwrap().take()));
    };
    let builder = Server::builder().config(patient()).on_upgrade(set_up);
    let server = builder.bind("127.0.0.1:0").unwrap();
    let mut raw = RawPeer::client_of(&server);
    *slot.lock().unwrap() = Some(server);
    raw.send_text("drop it");
    leave(raw);
}

/// Stopping and starting again and again leaves nothing, and the port is free at once.
#[test]
fn stopped_servers_leave_nothing() {
    alone(|| {
        let before = Resources::now();
        let address = echo().local_addr();
        for _ in 0..20 {
            let server = Server::builder()
                .config(patient())
                .serve(|ws, messages, _| {
                    for message in messages {
                        ws.send(message?)?;
                    }
                    Ok(())
                })
                .bind(&address)
                .unwrap();
            let raws = [RawPeer::client_of(&server), RawPeer::client_of(&server)];
            server.stop();
            raws.into_iter().for_each(leave);
            assert!(stopped(&server).stuck().is_empty());
        }
        before.settle_back();
    });
}
