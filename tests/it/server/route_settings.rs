//! Settings by route.

use std::sync::Mutex;
use std::time::Duration;

use landline::{
    Config, Error, Message, Reply, Request, Router, Server, ServerBuilder, Upgrade, WebSocket,
};

use crate::support::*;

const SMALL: usize = 64 << 10;

fn takes(bytes: usize) -> Config {
    Config::new().max_message_size(bytes)
}

fn echo(ws: &WebSocket, _request: Request) {
    ws.on_message(|ws, message| ws.send(message));
}

/// Tells whether a path takes a message of that many bytes; else it closes with 1009.
#[track_caller]
fn takes_message(server: &Server, path: &str, bytes: usize) -> bool {
    let (ws, mut messages) = landline::open(format!("{}{path}", server.url())).unwrap();
    ws.send(vec![7; bytes]).unwrap();
    match messages.recv_timeout(PATIENCE) {
        Ok(Message::Binary(echoed)) => echoed.len() == bytes,
        Ok(other) => panic!("{path}: {other:?}"),
        Err(_) => {
            let event = ws.wait_closed().unwrap();
            assert_eq!(event.code().as_u16(), 1009, "{path}");
            false
        }
    }
}

/// Each path has the settings of its scope, the innermost that has some; those of an upgrade itself go
/// before them, and where there are none, the server's count.
#[test]
fn innermost_settings_count() {
    let own = |_: &mut Request| Upgrade::new().config(takes(2 * SMALL)).on_upgrade(echo);
    let serve = |ws: WebSocket, messages: landline::Messages, _: Request| {
        for message in messages {
            ws.send(message?)?;
        }
        Ok(())
    };
    let inner = move |scope: Router| {
        let scope = scope.config(takes(8 * SMALL)).websocket("/socket", echo);
        scope.serve("/served", serve)
    };
    let outer = move |scope: Router| {
        let scope = scope.websocket("/socket", echo).get("/own", own);
        scope.config(takes(4 * SMALL)).scope("/inner", inner)
    };
    let passing = |request: &mut Request, next: landline::Next<'_>| next.run(request);
    let routes = move || {
        let router = Router::new().middleware(passing).websocket("/plain", echo);
        router.scope("/outer", outer)
    };
    let server = |builder: ServerBuilder| TestServer::start(builder.config(takes(SMALL)));
    for (router, plain) in [
        (routes(), SMALL),
        (routes().config(takes(3 * SMALL)), 3 * SMALL),
    ] {
        let server = server(Server::builder().router(router));
        for (path, largest) in [
            ("/plain", plain),
            ("/outer/socket", 4 * SMALL),
            ("/outer/own", 2 * SMALL),
            ("/outer/inner/socket", 8 * SMALL),
            ("/outer/inner/served", 8 * SMALL),
        ] {
            assert!(takes_message(&server, path, largest), "{path}");
            assert!(!takes_message(&server, path, largest + 1), "{path}");
        }
    }
}

/// The hooks that decide on an upgrade give it settings too, and so does a fallback.
#[test]
fn hooks_give_settings() {
    let large = || Upgrade::new().config(takes(4 * SMALL));
    let fallback = |_: &mut Request| Upgrade::new().on_upgrade(echo);
    let builders = [
        Server::builder()
            .should_upgrade(move |_| Ok(large()))
            .on_upgrade(echo),
        Server::builder().on_request(move |_| large().on_upgrade(echo)),
        Server::builder().router(Router::new().config(takes(4 * SMALL)).fallback(fallback)),
    ];
    for builder in builders {
        let server = TestServer::start(builder.config(takes(SMALL)));
        assert!(takes_message(&server, "/", 4 * SMALL));
        assert!(!takes_message(&server, "/", 4 * SMALL + 1));
    }
}

/// Every kind of setting is the route's: its queue, its time, its pings.
#[test]
fn time_and_queue_are_the_routes() {
    let route = Config::new()
        .idle_timeout(ms(200))
        .max_queue_bytes(7)
        .overflow(landline::Overflow::HandBack);
    let (sender, sockets) = std::sync::mpsc::channel();
    let sender = Mutex::new(sender);
    let on_upgrade =
        move |ws: &WebSocket, _: Request| drop(sender.lock().unwrap().send(ws.clone()));
    let router = Router::new().scope("/idle", |scope| {
        scope.config(route).websocket("", on_upgrade)
    });
    let server = TestServer::start(Server::builder().router(router));
    let (mut peer, answer) = knock(&server, "/idle", &[]);
    assert_eq!(answer.status, 101);
    assert_eq!(peer.read_close(), Some(1001));
    peer.send_close(1001, "");
    let event = next(&sockets).wait_closed().unwrap();
    assert_eq!(event.timeout(), Some(landline::Timeout::Idle));
}

/// What cannot be, and what is the server's alone and another than it has, is an error when binding;
/// what the server has too is none.
#[test]
fn wrong_settings_of_routes_are_errors_of_binding() {
    let long = Duration::from_secs(77);
    let server = || Config::new().handshake_timeout(long).max_body_size(77);
    let table = [
        ("message_timeout", server().message_timeout(Duration::ZERO)),
        ("handshake_timeout", server().handshake_timeout(2 * long)),
        ("max_body_size", server().max_body_size(78)),
        ("stop_timeout", server().stop_timeout(long)),
        ("", server()),
        ("", Config::new()),
        ("", server().max_message_size(1)),
    ];
    for (name, config) in table {
        let inner = |scope: Router| scope.config(config.clone()).websocket("/a", echo);
        let routers = [
            Router::new().config(config.clone()).websocket("/a", echo),
            Router::new().scope("/b", inner),
            Router::new().scope("/c", |scope| scope.scope("/d", inner)),
        ];
        for router in routers {
            // The server's settings may come behind the router.
            let builder = Server::builder().router(router).config(server());
            match builder.bind("127.0.0.1:0") {
                Ok(_) => assert_eq!(name, ""),
                Err(Error::Invalid(what)) => {
                    assert!(!name.is_empty() && what.contains(name), "{name}: {what}");
                }
                Err(error) => panic!("{name}: {error:?}"),
            }
        }
    }
    let unfit = Router::new().scope("/x", |scope| {
        scope.config(Config::new().write_timeout(Duration::ZERO))
    });
    assert!(matches!(unfit.check(), Err(Error::Invalid(what)) if what.contains("/x")));
}

/// An upgrade whose settings cannot be is answered with 500, and a WARN record says why.
#[test]
fn wrong_settings_of_an_upgrade_answer_500() {
    let Some(_) = part() else {
        let test = "route_settings::wrong_settings_of_an_upgrade_answer_500";
        return Part::start(test, "all", &[]).release();
    };
    let logger = Logger::install(|_| {});
    let wrong: [(&str, Config); 3] = [
        ("ping_timeout", Config::new().ping_timeout(Duration::ZERO)),
        ("max_body_size", Config::new().max_body_size(77)),
        (
            "1006",
            Config::new().idle_timeout(landline::TimeLimit::new(ms(1)).close_with(1006, "")),
        ),
    ];
    for (name, config) in wrong {
        let answer = move |_: &mut Request| -> Reply {
            let upgrade = Upgrade::new().config(config.clone());
            upgrade.on_upgrade(|_, _| ()).into()
        };
        let server = TestServer::start(Server::builder().on_request(answer));
        assert_eq!(knock(&server, "/", &[]).1.status, 500);
        let records = logger.so_far();
        let told = |record: &&String| record.starts_with("WARN ") && record.contains(name);
        assert_eq!(records.iter().filter(told).count(), 1, "{records:#?}");
    }
    until_released();
}
