//! What makes a server, and what is an error of binding.

use std::io;
use std::sync::Arc;

use landline::{Client, Error, Request, Router, Server, ServerBuilder, Upgrade};

use crate::support::*;

/// A server needs exactly one handler and an address that is free.
#[test]
fn bind_reports_what_cannot_be_used() {
    let none = Server::builder().bind("127.0.0.1:0");
    assert!(matches!(none, Err(Error::Invalid(_))), "{none:?}");
    let two = Server::builder()
        .on_upgrade(|_, _| ())
        .serve(|_, _, _| Ok(()))
        .bind("127.0.0.1:0");
    assert!(matches!(two, Err(Error::Invalid(_))), "{two:?}");
    let twice = Server::builder()
        .on_upgrade(|_, _| ())
        .on_upgrade(|_, _| ())
        .bind("127.0.0.1:0");
    assert!(matches!(twice, Err(Error::Invalid(_))), "{twice:?}");
    let server = TestServer::echo();
    let taken = Server::builder()
        .on_upgrade(|_, _| ())
        .bind(server.local_addr());
    let Err(Error::Bind(error)) = taken else {
        panic!("{taken:?}")
    };
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    for nonsense in ["nonsense", "127.0.0.1", "127.0.0.1:99999"] {
        let bad = Server::builder().on_upgrade(|_, _| ()).bind(nonsense);
        assert!(matches!(bad, Err(Error::Bind(_))), "{nonsense}: {bad:?}");
    }
}

/// Sends what the connection speaks, and goes on without.
fn tells_subprotocol() -> ServerBuilder {
    Server::builder().on_upgrade(|ws, _| ws.send(ws.subprotocol().unwrap_or("none")))
}

/// Exactly one of `on_upgrade`, `serve`, `router` and `on_request` makes a server; anything else is
/// an error of binding.
#[test]
fn exactly_one_handler_makes_a_server() {
    type Set = fn(ServerBuilder) -> ServerBuilder;
    let handlers: [Set; 4] = [
        |builder| builder.on_upgrade(|_, _| {}),
        |builder| builder.serve(|_, _, _| Ok(())),
        |builder| builder.router(Router::new()),
        |builder| builder.on_request(|_: &mut Request| "page"),
    ];
    let bind = |builder: ServerBuilder| builder.bind("127.0.0.1:0").map(drop);
    let is_invalid = |bound: Result<(), Error>| matches!(bound, Err(Error::Invalid(_)));
    assert!(is_invalid(bind(Server::builder())));
    for (number, first) in handlers.iter().enumerate() {
        assert!(bind(first(Server::builder())).is_ok(), "{number}");
        for (other, second) in handlers.iter().enumerate() {
            let both = second(first(Server::builder()));
            assert!(is_invalid(bind(both)), "{number} and {other}");
        }
        let decided = Server::builder().should_upgrade(|_| Ok(Upgrade::new()));
        assert_eq!(
            bind(first(decided)).is_ok(),
            number < 2,
            "should_upgrade and {number}"
        );
    }
    let alone = Server::builder().should_upgrade(|_| Ok(Upgrade::new()));
    assert!(is_invalid(bind(alone)));
}

/// Settings that cannot be used are errors of binding, each by a text that names what is wrong.
#[test]
fn wrong_settings_are_errors_of_binding() {
    let router = |router: Router| Server::builder().router(router);
    let page = |router: Router, path: &str| router.get(path, |_| "page");
    for (builder, names) in [
        (tells_subprotocol().subprotocols(["a b"]), "a b"),
        (tells_subprotocol().subprotocols(["a", "a"]), "a"),
        (
            tells_subprotocol().allow_origins(["example.com"]),
            "example.com",
        ),
        (tells_subprotocol().allow_hosts(["http://a"]), "http://a"),
        (
            tells_subprotocol().trusted_proxies(["10.0.0.0/33"]),
            "10.0.0.0/33",
        ),
        (router(page(Router::new(), "a")), "a"),
        (router(page(page(Router::new(), "/{x}"), "/{y}")), "/{y}"),
        (router(page(Router::new(), "/{x}/{x}")), "/{x}/{x}"),
        (router(page(Router::new(), "/{*x}/a")), "/{*x}/a"),
        (router(Router::new().scope("/a/", |scope| scope)), "/a/"),
        (
            router(Router::new().scope("/a", |scope| scope.fallback(|_| "page"))),
            "/a",
        ),
        (
            router(Router::new().scope("/a", |scope| scope.get("b", |_| "page"))),
            "/a",
        ),
        (
            router(Router::new().route("A B", "/a", |_: &mut Request| "page")),
            "/a",
        ),
    ] {
        match builder.bind("127.0.0.1:0") {
            Err(Error::Invalid(text)) => assert!(text.contains(names), "{names}: {text}"),
            other => panic!("{names}: {other:?}"),
        }
    }
}

/// What a server that stops still holds of the program's is let go with it.
#[test]
fn closures_are_let_go_with_the_server() {
    let held = Arc::new(());
    let (one, other, third) = (Arc::clone(&held), Arc::clone(&held), Arc::clone(&held));
    let router = Router::new()
        .get("/", move |_| format!("{one:?}"))
        .websocket("/", move |ws, _| ws.send(format!("{other:?}")))
        .middleware(move |request, next| (next.run(request), &third).0);
    let server = TestServer::start(Server::builder().router(router));
    assert_eq!(fetch(&server, "GET /", &[]).body, "()");
    assert_eq!(greeting(&Client::new(), &server, "/"), "()");
    drop(server);
    settled("all is let go", || Arc::strong_count(&held) == 1);
}
