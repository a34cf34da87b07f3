//! `should_upgrade`: who may upgrade, and what the 101 carries.

use std::sync::{Mutex, mpsc};

use landline::{BasicAuth, Client, Config, Error, Reply, Server, ServerBuilder, Upgrade};

use crate::support::*;

/// Upgrades every request, with what is set here.
fn upgrading(upgrade: impl Fn() -> Upgrade + Send + Sync + 'static) -> ServerBuilder {
    let builder = Server::builder().should_upgrade(move |_| Ok(upgrade()));
    builder.on_upgrade(|ws, _| ws.send("upgraded"))
}

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
