//! Which subprotocol is spoken (RFC 6455, section 1.9).

use landline::{Client, Error, Router, Server, ServerBuilder, Upgrade};

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

/// Only one subprotocol of those that were offered may be chosen, once (RFC 6455, sections 4.1 and
/// 11.3.4); none may be, too.
#[test]
fn subprotocols_are_those_offered() {
    let with = |lines: &str| SWITCHING.replace("\r\n\r\n", &format!("\r\n{lines}\r\n"));
    let chose = |name: &str| with(&format!("Sec-WebSocket-Protocol: {name}\r\n"));
    let offering = Client::new().subprotocols(["v2.chat", "chat"]);
    let raw = RawServer::new();
    for (client, answer, expected) in [
        (&offering, SWITCHING.to_owned(), Some(None)),
        (&offering, chose("chat"), Some(Some("chat"))),
        (&offering, chose("v2.chat"), Some(Some("v2.chat"))),
        (&offering, chose("other"), None),
        (&offering, chose("Chat"), None),
        (&offering, chose("v2.chat, chat"), None),
        // Some servers say so that they chose none.
        (&offering, chose(""), Some(None)),
        (
            &offering,
            chose("chat").replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: v2.chat\r\n\r\n"),
            None,
        ),
        (&Client::new(), chose("chat"), None),
    ] {
        let (requests, outcome) = ask(client, &raw.url(), &[(&raw, &answer)]);
        let offered = field(&requests[0], "sec-websocket-protocol");
        assert!(
            matches!(offered, None | Some("v2.chat, chat")),
            "{offered:?}"
        );
        match (&outcome, expected) {
            (Ok(chosen), Some(expected)) => assert_eq!(chosen.as_deref(), expected, "{answer}"),
            (Err(Error::Handshake(what)), None) => assert!(what.contains("subprotocol"), "{what}"),
            _ => panic!("{answer}: {outcome:?}"),
        }
    }
}
