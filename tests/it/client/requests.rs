//! What a client's upgrade request carries, and what comes back with the 101.

use std::thread;

use landline::{BasicAuth, Client, Error, Reply, Server, Upgrade};

use crate::support::*;

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

/// Extra headers reach the server, those of one name in their order; they replace Host, User-Agent
/// and the credentials of the URL, which are there once then.
#[test]
fn headers_arrive() {
    let raw = RawServer::new();
    let plain = request_of(&Client::new(), &raw, &raw.url());
    // RFC 9110 7.2: Host comes first.
    let begin = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\n",
        &raw.url()["ws://".len()..]
    );
    assert!(plain.starts_with(&begin), "{plain}");
    assert_eq!(values(&plain, "host").len(), 1);
    let agent = values(&plain, "user-agent");
    assert!(
        agent.len() == 1 && agent[0].starts_with("landline/"),
        "{plain}"
    );
    assert_eq!(field(&plain, "authorization"), None);

    let client = Client::new()
        .header("Host", "b.example")
        .header("User-Agent", "me")
        .header("Authorization", "Bearer 1234")
        .header("X-Room", "one")
        .header("x-room", "two")
        .header("X-Empty", "");
    let url = raw.url().replace("ws://", "ws://ada:lovelace@");
    let request = request_of(&client, &raw, &url);
    assert!(request.starts_with("GET / HTTP/1.1\r\nHost: b.example\r\n"));
    // Devices compare names to the letter.
    assert!(request.contains("\r\nX-Room: one\r\n") && request.contains("\r\nAuthorization: "));
    for (name, expected) in [
        ("host", &["b.example"][..]),
        ("user-agent", &["me"]),
        ("authorization", &["Bearer 1234"]),
        ("x-room", &["one", "two"]),
        ("x-empty", &[""]),
    ] {
        assert_eq!(values(&request, name), expected, "{name}");
    }
}

/// What a client sends is what a server's program sees.
#[test]
fn server_sees_what_the_client_sent() {
    let seen = Recorder::new();
    let sender = seen.sender();
    let server = TestServer::start(Server::builder().on_upgrade(move |_, request| {
        let name = |name| request.header(name).unwrap_or("-").to_owned();
        let sent = ["host", "user-agent", "x-room"].map(name);
        sender.send((sent, request.subprotocols().to_vec()))
    }));
    let client = Client::new()
        .header("Host", "localhost:1")
        .header("User-Agent", "me")
        .header("X-Room", "one")
        .subprotocols(["v2.chat", "chat"]);
    drop(client.open(server.url()).unwrap());
    let (sent, offered) = seen.next();
    assert_eq!(sent, ["localhost:1", "me", "one"]);
    assert_eq!(offered, ["v2.chat", "chat"]);
}

/// User and password of a URL let in where Basic credentials are asked for, decoded first (RFC
/// 7617); an Authorization header goes before them.
#[test]
fn credentials_of_the_url_let_in() {
    let auth = BasicAuth::new("staff").user("ada l@b", "p:\u{e4}/ss");
    let server = TestServer::start(
        Server::builder()
            .should_upgrade(move |request| auth.check(request).map(|_| Upgrade::new()))
            .on_upgrade(|_, _| ()),
    );
    let with = |userinfo: &str| server.url().replace("ws://", &format!("ws://{userinfo}"));
    let right = with("ada%20l%40b:p%3A%C3%A4%2Fss@");
    drop(Client::new().open(&right).unwrap());
    let overridden = Client::new().header("Authorization", "Basic YTpi");
    for error in [
        Client::new().open(server.url()).unwrap_err(),
        Client::new().open(with("ada%20l%40b@")).unwrap_err(),
        overridden.open(&right).unwrap_err(),
    ] {
        assert!(!error.is_transient(), "{error}");
        let refusal = refusal_of(error);
        assert_eq!(refusal.status, 401);
        assert!(refusal.headers.contains_key("www-authenticate"));
        assert_eq!(*refusal.body, *b"Unauthorized\n");
    }
}

/// Credentials are in no error, no Debug output and no record of the log, on either side.
#[test]
fn credentials_are_never_shown() {
    // A process of its own, as it has one logger for all.
    let Some(_) = part() else {
        return Part::start("client::requests::credentials_are_never_shown", "all", &[]).release();
    };
    let logger = Logger::install(|_| {});
    let show = |what: &dyn std::fmt::Debug| logger.add(format!("{what:?}"));
    let server = TestServer::start(
        Server::builder()
            .should_upgrade(move |request| {
                show(request);
                Err(Reply::new(401).header("Set-Cookie", "id=lovelace"))
            })
            .on_upgrade(|_, _| ()),
    );
    let client = Client::new()
        .header("Cookie", "id=lovelace")
        .header("X-Key\r\n", "lovelace")
        .header("X-Key", "lovelace\r\n");
    let usable = Client::new().header("Cookie", "id=lovelace").redirects(1);
    let raw = RawServer::new();
    let elsewhere = found("ftp://ada:lovelace@a.example/?lovelace");
    show(&client);
    show(&usable);
    for (client, url) in [
        (&client, "ws://ada:lovelace@a.example/".to_owned()),
        (&usable, "ada:lovelace@a.example".to_owned()),
        (&usable, "ws://ada:lovelace@a.example:99999/".to_owned()),
        (&usable, "ws://ada:lovelace@/".to_owned()),
        (&usable, "ftp://ada:lovelace@a.example/".to_owned()),
        (&usable, "wss://ada:lovelace@a.example.invalid/".to_owned()),
        (&usable, "ws://ada:lovelace%00@a.example/".to_owned()),
        (&usable, format!("ws://ada:lovelace@{}/", dead_port())),
        (&usable, server.url().replace("ws://", "ws://ada:lovelace@")),
    ] {
        show_error(&show, client.open(url).unwrap_err());
    }
    let url = raw.url().replace("ws://", "ws://ada:lovelace@");
    let (requests, outcome) = ask(&usable, &url, &[(&raw, &elsewhere)]);
    assert_eq!(
        field(&requests[0], "authorization"),
        Some("Basic YWRhOmxvdmVsYWNl")
    );
    show_error(&show, outcome.unwrap_err());
    let shown = logger.so_far();
    assert!(
        shown.iter().any(|line| line.contains("listening")),
        "no log"
    );
    for line in &shown {
        let secret = ["lovelace", "YWRhOmxvdmVsYWNl"]
            .iter()
            .any(|secret| line.contains(secret));
        assert!(!secret, "{line}");
    }
}

fn show_error(show: &dyn Fn(&dyn std::fmt::Debug), error: Error) {
    show(&error.to_string());
    show(&error);
}
