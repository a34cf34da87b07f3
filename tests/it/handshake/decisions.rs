//! Who may upgrade, to which subprotocol, and what the 101 carries.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use landline::{
    BasicAuth, Client, Config, Error, Reply, Request, Router, Server, ServerBuilder, Upgrade,
};

use crate::support::*;

/// Sends what the connection speaks, and goes on without.
fn tells_subprotocol() -> ServerBuilder {
    Server::builder().on_upgrade(|ws, _| ws.send(ws.subprotocol().unwrap_or("none")))
}

/// Upgrades every request, with what is set here.
fn upgrading(upgrade: impl Fn() -> Upgrade + Send + Sync + 'static) -> ServerBuilder {
    let builder = Server::builder().should_upgrade(move |_| Ok(upgrade()));
    builder.on_upgrade(|ws, _| ws.send("upgraded"))
}

// Who may

/// The classic: one path is refused, all others are greeted and get each text back reversed.
#[test]
fn refuses_one_path_and_answers_the_others_reversed() {
    let server = TestServer::start(
        Server::builder()
            .should_upgrade(|request| match request.path() {
                "/deny" => Err(Reply::forbidden()),
                _ => Ok(Upgrade::new()),
            })
            .on_upgrade(|ws, _request| {
                ws.on_text(|ws, text| ws.send(text.chars().rev().collect::<String>()));
                ws.send("Connected")
            }),
    );
    assert_eq!(refusal(&Client::new(), &server, "/deny").status, 403);
    for path in ["/", "/anywhere", "/deny/not"] {
        let (ws, mut messages) = landline::open(format!("{}{path}", server.url())).unwrap();
        assert_eq!(messages.recv().unwrap().as_text(), Some("Connected"));
        for (text, reversed) in [("hello", "olleh"), ("größe", "eßörg"), ("", "")] {
            ws.send(text).unwrap();
            assert_eq!(messages.recv().unwrap().as_text(), Some(reversed));
        }
    }
}

/// A refusal may be any reply, and the client gets all of it; the handler never hears of it.
#[test]
fn refusals_reach_the_client_whole() {
    let heard = Recorder::new();
    let sender = heard.sender();
    let page = "come back later\n".repeat(500);
    let body = page.clone();
    let server = TestServer::start(
        Server::builder()
            .should_upgrade(move |_| {
                let reply = Reply::text(body.clone()).with_status(429);
                Err(reply
                    .header("Retry-After", "7")
                    .header("X-Two", "a")
                    .header("X-Two", "b"))
            })
            .on_upgrade(move |_, request| drop(sender.send(format!("{request:?}")))),
    );
    let refusal = refusal(&Client::new(), &server, "/");
    assert_eq!(refusal.status, 429);
    assert_eq!(refusal.headers["retry-after"], "7");
    assert_eq!(
        refusal.headers.get_all("x-two").iter().collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!(refusal.body, page);
    assert_eq!(heard.so_far(), Vec::<String>::new());
    assert_eq!(server.connection_count(), 0);
}

/// The 101 carries the headers of the upgrade, after those of the handshake, and the handler reads
/// what was left for it.
#[test]
fn upgrades_carry_headers_and_extensions() {
    #[derive(Clone)]
    struct User(String);
    let server = TestServer::start(
        Server::builder()
            .should_upgrade(|request| {
                let user = request
                    .query("user")
                    .ok_or_else(Reply::forbidden)?
                    .to_owned();
                request.extensions_mut().insert(User(user.clone()));
                Ok(Upgrade::new()
                    .header("Set-Cookie", "a=1")
                    .header("Set-Cookie", "b=2"))
            })
            .on_upgrade(|ws, request| {
                let User(name) = request.extensions().get().ok_or("nobody")?;
                ws.send(format!("hello {name}"))?;
                landline::Outcome::Ok(())
            }),
    );
    let (mut peer, answer) = knock(&server, "/?user=Ada%20L", &[]);
    assert_eq!(
        (answer.status, answer.fields("set-cookie")),
        (101, vec!["a=1", "b=2"])
    );
    assert_eq!(
        answer.field("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert_eq!(peer.read_frame(), Frame::text("hello Ada L"));
    assert_eq!(refusal(&Client::new(), &server, "/").status, 403);
}

/// An upgrade with what the handshake itself says, or with what no header can hold, answers 500.
#[test]
fn upgrades_that_cannot_be_answer_500() {
    for (name, value) in [
        ("Connection", "close"),
        ("Upgrade", "h2c"),
        ("Sec-WebSocket-Accept", "mine"),
        ("Sec-WebSocket-Protocol", "mine"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ("Content-Length", "1"),
        ("Transfer-Encoding", "chunked"),
        ("X", "a\r\nY: b"),
        ("X: a\r\nY", "b"),
    ] {
        let server = TestServer::start(upgrading(move || Upgrade::new().header(name, value)));
        let (_, answer) = knock(&server, "/", &[]);
        assert_eq!(answer.status, 500, "{name}");
        assert_eq!(answer.field("y"), None, "{name}");
    }
}

/// A panic while deciding answers 500, and costs no other connection anything.
#[test]
fn panic_while_deciding_answers_500() {
    let server = TestServer::start(
        Server::builder()
            .should_upgrade(|request| {
                assert!(request.path() != "/panic", "as asked for");
                Ok(Upgrade::new())
            })
            .on_upgrade(|ws, _| ws.on_message(|ws, message| ws.send(message))),
    );
    let probe = Probe::of(&server);
    for _ in 0..3 {
        let refused = refusal(&Client::new(), &server, "/panic");
        assert_eq!(refused.status, 500);
        assert!(
            !refused.body.windows(5).any(|text| text == b"asked"),
            "{refused:?}"
        );
    }
    probe.keeps_up();
}

/// Only upgrade requests are decided on: a plain one gets 426 at once.
#[test]
fn plain_requests_are_not_decided_on() {
    let asked = Recorder::new();
    let sender = asked.sender();
    let server = TestServer::start(
        Server::builder()
            .should_upgrade(move |request| {
                let _ = sender.send(request.path().to_owned());
                Ok(Upgrade::new())
            })
            .on_upgrade(|ws, _| ws.send("hello")),
    );
    assert_eq!(fetch(&server, "GET /page", &[]).status, 426);
    assert_eq!(greeting(&Client::new(), &server, "/socket"), "hello");
    assert_eq!(asked.so_far(), ["/socket"]);
}

/// The deadline of the handshake is for the peer's part: a decision may take longer, and comes to its
/// end as ever; others are served meanwhile.
#[test]
fn decision_may_outlast_the_handshake_deadline() {
    let entered = Recorder::new();
    let enters = entered.sender();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let server = TestServer::start(
        Server::builder()
            .config(Config::new().handshake_timeout(ms(1_500)))
            .should_upgrade(move |request| {
                if request.path() == "/blocked" {
                    let _ = enters.send("entered");
                    let _ = released.lock().unwrap().recv();
                }
                Ok(Upgrade::new())
            })
            .on_upgrade(|ws, _| ws.send("hello")),
    );
    let mut peer = RawPeer::dial(&server);
    let request = upgrade_request(server.local_addr()).replacen("GET / ", "GET /blocked ", 1);
    peer.send_bytes(request);
    entered.next();
    // Its time begins later, and is over now.
    RawPeer::dial(&server).read_eof();
    settled("others are served", || {
        landline::open(server.url() + "/free").is_ok()
    });
    release.send(()).unwrap();
    assert!(peer.read_head().starts_with("HTTP/1.1 101 "));
    assert_eq!(peer.read_frame(), Frame::text("hello"));
}

/// Basic credentials can be asked for without a router; the name of who comes is known.
#[test]
fn credentials_decide() {
    let auth = BasicAuth::new("members").verify(|name, password| password == format!("{name}!"));
    let server = TestServer::start(
        Server::builder()
            .should_upgrade(move |request| {
                let name = auth.check(request)?;
                request.extensions_mut().insert(name);
                Ok(Upgrade::new())
            })
            .on_upgrade(|ws, request| {
                let name = request.extensions().get::<String>().cloned();
                ws.send(name.unwrap_or_default())
            }),
    );
    let url = |userinfo: &str| server.url().replace("ws://", &format!("ws://{userinfo}"));
    for userinfo in ["", "eve@", "eve:eve@"] {
        let error = landline::open(url(userinfo)).unwrap_err();
        let Error::Refused(refused) = error else {
            panic!("{error:?}")
        };
        assert_eq!(refused.status, 401);
        assert!(refused.headers.contains_key("www-authenticate"));
    }
    let (_ws, mut messages) = landline::open(url("eve:eve!@")).unwrap();
    assert_eq!(messages.recv().unwrap().as_text(), Some("eve"));
}

// Which subprotocol

/// Offers these, and returns what each end says is spoken.
#[track_caller]
fn spoken(server: &Server, offered: &[&str]) -> (String, Option<String>) {
    let client = Client::new().subprotocols(offered.iter().copied());
    let (ws, mut messages) = client.open(server.url()).unwrap();
    let told = messages.recv().unwrap();
    let own = ws.subprotocol().map(str::to_owned);
    (told.as_text().unwrap().to_owned(), own)
}

/// The server's order decides among what is offered; with none in common the connection goes on
/// without; both ends know.
#[test]
fn servers_order_decides_the_subprotocol() {
    let server = TestServer::start(tells_subprotocol().subprotocols(["v2", "v1"]));
    for (offered, chosen) in [
        (&["v1", "v2"][..], Some("v2")),
        (&["v3", "v1"], Some("v1")),
        (&["V1", "v3"], None),
        (&[], None),
    ] {
        let (told, own) = spoken(&server, offered);
        assert_eq!(
            (told.as_str(), own.as_deref()),
            (chosen.unwrap_or("none"), chosen)
        );
    }
    let none = TestServer::start(tells_subprotocol());
    assert_eq!(spoken(&none, &["v1"]), ("none".into(), None));
}

/// A closure may choose by anything in the request, and so may an upgrade by itself, which comes
/// first.
#[test]
fn program_chooses_the_subprotocol() {
    let by_closure = TestServer::start(
        tells_subprotocol().choose_subprotocol(|request| request.subprotocols().last().cloned()),
    );
    assert_eq!(spoken(&by_closure, &["a", "b"]).0, "b");
    assert_eq!(spoken(&by_closure, &[]).0, "none");
    let by_upgrade = TestServer::start(
        tells_subprotocol()
            .should_upgrade(|_| Ok(Upgrade::new().subprotocol("a")))
            .subprotocols(["b"])
            .require_subprotocol(),
    );
    assert_eq!(spoken(&by_upgrade, &["b", "a"]).0, "a");
}

/// Where one is required, an upgrade without gets 400, and a page is not asked for one.
#[test]
fn required_subprotocol_is_required() {
    let router = Router::new()
        .websocket("/", |ws, _| ws.send("socket"))
        .get("/", |_| "page");
    let builder = Server::builder().router(router);
    let server = TestServer::start(builder.subprotocols(["v1"]).require_subprotocol());
    assert_eq!(refusal(&Client::new(), &server, "/").status, 400);
    let other = Client::new().subprotocols(["v2"]);
    assert_eq!(refusal(&other, &server, "/").status, 400);
    assert_eq!(fetch(&server, "GET /", &[]).body, "page");
    assert_eq!(
        greeting(&Client::new().subprotocols(["v1"]), &server, "/"),
        "socket"
    );
}

/// RFC 6455 4.2.2: what was not offered is not chosen; a program that does gets its client a 500.
#[test]
fn choosing_what_was_not_offered_answers_500() {
    let chooses = || upgrading(Upgrade::new);
    for builder in [
        upgrading(|| Upgrade::new().subprotocol("mine")),
        upgrading(|| Upgrade::new().subprotocol("a\r\nX: b")),
        chooses().choose_subprotocol(|_| Some("mine".into())),
        chooses().choose_subprotocol(|_| Some(String::new())),
        chooses().choose_subprotocol(|_| panic!("as asked for")),
    ] {
        let server = TestServer::start(builder);
        let client = Client::new().subprotocols(["theirs"]);
        assert_eq!(refusal(&client, &server, "/").status, 500);
        assert_eq!(refusal(&Client::new(), &server, "/").status, 500);
    }
}

// What cannot be

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

/// A client has the server's 101, with its headers, however it connected; a server has none.
#[test]
fn clients_have_the_response() {
    let builder = Server::builder()
        .should_upgrade(|_| {
            let upgrade = Upgrade::new().header("Set-Cookie", "a=1");
            Ok(upgrade
                .header("Set-Cookie", "b=2")
                .header("X-Instance", "7"))
        })
        .on_upgrade(|ws, _| ws.send(ws.response().is_none().to_string()));
    let server = TestServer::start(builder);
    let called_back = landline::connect(server.url(), |_| ()).unwrap();
    let (pulled, mut messages) = landline::open(server.url()).unwrap();
    for ws in [&called_back, &pulled, &pulled.clone()] {
        let response = ws.response().unwrap();
        assert_eq!(response.status(), 101);
        let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
        assert_eq!(response.headers()["x-instance"], "7");
    }
    assert_eq!(messages.recv().unwrap().as_text(), Some("true"));
    pulled.close();
    pulled.wait_closed_timeout(ms(0)).unwrap_err();
    messages.close();
    assert!(pulled.response().is_some());
}
