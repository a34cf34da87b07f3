//! How a client asks: what it sends, where redirects lead it, and what a refusal tells.

use std::sync::mpsc;
use std::thread;

use http::HeaderValue;
use landline::{BasicAuth, Client, Config, Error, Refusal, Reply, Server, Timeout, Upgrade};

use crate::support::*;

/// Has a client ask, answers its requests by hand, each there and with these bytes, and returns the
/// heads of the requests and what came of them: the subprotocol or an error.
#[track_caller]
fn ask(
    client: &Client,
    url: &str,
    answers: &[(&RawServer, &str)],
) -> (Vec<String>, Result<Option<String>, Error>) {
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let opened = client.open(url);
            opened.map(|(ws, _messages)| ws.subprotocol().map(str::to_owned))
        });
        let answered = answers.iter().map(|(raw, answer)| raw.answer_with(answer));
        let (_peers, requests): (Vec<_>, _) = answered.unzip();
        (requests, asking.join().unwrap())
    })
}

/// Returns the head of the request that a client makes.
#[track_caller]
fn request_of(client: &Client, raw: &RawServer, url: &str) -> String {
    let (mut requests, outcome) = ask(client, url, &[(raw, SWITCHING)]);
    outcome.unwrap();
    requests.remove(0)
}

/// Returns the error of a client that is answered like this.
#[track_caller]
fn refused(client: &Client, answer: &str) -> Error {
    let raw = RawServer::new();
    ask(client, &raw.url(), &[(&raw, answer)]).1.unwrap_err()
}

#[track_caller]
fn refusal(error: Error) -> Refusal {
    match error {
        Error::Refused(refusal) => *refusal,
        other => panic!("{other:?}"),
    }
}

/// Returns a redirect to there.
fn found(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

/// Returns all values of a field in a head.
fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    fields
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect()
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
        let refusal = refusal(error);
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

/// Of a refusal's body the first 16 KiB are told, whichever way it is sent.
#[test]
fn bodies_of_refusals_are_cut() {
    let body: String = (0..20_000).map(|number| format!("{number:06}")).collect();
    let chunks: String = body
        .as_bytes()
        .chunks(1_000)
        .map(|chunk| format!("3e8\r\n{}\r\n", std::str::from_utf8(chunk).unwrap()))
        .collect();
    let head = "HTTP/1.1 403 Forbidden\r\n";
    for answer in [
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"),
        format!("{head}\r\n{body}"),
    ] {
        let refusal = refusal(refused(&Client::new(), &answer));
        assert_eq!(refusal.status, 403);
        assert_eq!(refusal.body, body.as_bytes()[..16 << 10]);
    }
}

/// A body that goes on and on is read no further than it is told, long before the deadline.
#[test]
fn endless_bodies_are_left() {
    let client = Client::new().config(Config::new().handshake_timeout(PATIENCE * 4));
    for (line, begin, more, length) in [
        ("Content-Length: 99999999999999999999", "", "aaaa", 16 << 10),
        ("Content-Length: 18446744073709551615", "", "aaaa", 16 << 10),
        ("X: none", "", "aaaa", 16 << 10),
        ("Transfer-Encoding: chunked", "", "1\r\na\r\n", 16 << 10),
        (
            "Transfer-Encoding: chunked",
            "fffffffffffffff\r\n",
            "a",
            16 << 10,
        ),
        ("Transfer-Encoding: chunked", "1;", "aaaa", 0),
    ] {
        let raw = RawServer::new();
        let error = thread::scope(|scope| {
            let asking = scope.spawn(|| client.open(raw.url()).map(drop).unwrap_err());
            let mut peer = raw.accept();
            peer.read_head();
            let head = format!("HTTP/1.1 403 Forbidden\r\n{line}\r\n\r\n{begin}");
            let mut going_on = peer.try_send_bytes(head);
            while going_on.is_ok() {
                going_on = peer.try_send_bytes(more.repeat(1_000));
            }
            asking.join().unwrap()
        });
        let refusal = refusal(error);
        assert_eq!(
            (refusal.status.as_u16(), refusal.body.len()),
            (403, length),
            "{line}"
        );
    }
}

/// The handshake's deadline bounds an answer that trickles, however little is still to come.
#[test]
fn trickling_answers_are_bounded() {
    let client = Client::new().config(Config::new().handshake_timeout(ms(300)));
    for head in [
        "HTTP/1.1 403 Forbidden\r\nX-Long: ",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 16000\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n1;",
    ] {
        let raw = RawServer::new();
        let (end, ended) = mpsc::channel();
        let error = thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let error = client.open(raw.url()).map(drop).unwrap_err();
                end.send(()).unwrap();
                error
            });
            let mut peer = raw.accept();
            let mut going_on = peer.try_send_bytes(head).is_ok();
            while going_on && ended.recv_timeout(ms(5)).is_err() {
                going_on = peer.try_send_bytes("a").is_ok();
            }
            asking.join().unwrap()
        });
        // A machine that stalls over the head makes a timeout of it.
        let bounded = match &error {
            Error::Refused(refusal) => head.ends_with("\r\n\r\n1;") || refusal.body.len() < 16_000,
            error => matches!(error, Error::Timeout(Timeout::Handshake)),
        };
        assert!(bounded, "{error:?}");
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

/// Both ends of landline agree on a subprotocol.
#[test]
fn both_ends_know_the_subprotocol() {
    let chosen = Recorder::new();
    let sender = chosen.sender();
    let builder = Server::builder().subprotocols(["chat", "v2.chat"]);
    let server = TestServer::start(
        builder.on_upgrade(move |ws, _| sender.send(ws.subprotocol().map(str::to_owned))),
    );
    for (offered, expected) in [
        (&["v2.chat", "chat"][..], Some("chat")),
        (&["v3.chat", "v2.chat"], Some("v2.chat")),
        (&["v3.chat"], None),
        (&[], None),
    ] {
        let client = Client::new().subprotocols(offered.iter().copied());
        let (ws, _messages) = client.open(server.url()).unwrap();
        assert_eq!(ws.subprotocol(), expected, "{offered:?}");
        assert_eq!(chosen.next().as_deref(), expected, "{offered:?}");
    }
}

/// A redirect is a refusal like any other, unless following is asked for.
#[test]
fn redirects_are_not_followed_by_default() {
    let raw = RawServer::new();
    for status in [300, 301, 302, 303, 304, 307, 308] {
        let answer = found("/elsewhere").replace("302", &status.to_string());
        let (_, outcome) = ask(&Client::new(), &raw.url(), &[(&raw, &answer)]);
        let error = outcome.unwrap_err();
        assert!(!error.is_transient(), "{error}");
        let refusal = refusal(error);
        assert_eq!(refusal.status, status);
        assert_eq!(refusal.headers["location"], "/elsewhere");
        assert!(raw.try_accept().is_none(), "{status} was followed");
    }
}

/// The five statuses that redirect (RFC 9110, section 15.4) are followed by a new request of the
/// same kind, to a Location that may be relative, and without its fragment.
#[test]
fn redirects_are_followed() {
    let raw = RawServer::new();
    let client = Client::new().redirects(1).subprotocols(["chat"]);
    let url = format!("{}/a/b?c=d", raw.url());
    let authority = &raw.url()["ws://".len()..];
    for (status, location, target) in [
        (301, "/new".to_owned(), "/new"),
        (302, "new?x=1#part".to_owned(), "/a/new?x=1"),
        (303, "../new".to_owned(), "/new"),
        (307, "?y".to_owned(), "/a/b?y"),
        (308, format!("//{authority}/new"), "/new"),
        (301, format!("ws://{authority}"), "/"),
        (302, format!("http://{authority}/new#part"), "/new"),
        (303, String::new(), "/a/b?c=d"),
    ] {
        let answer = found(&location).replace("302", &status.to_string());
        let (requests, outcome) = ask(&client, &url, &[(&raw, &answer), (&raw, SWITCHING)]);
        assert_eq!(outcome.unwrap(), None);
        let line = format!("GET {target} HTTP/1.1\r\n");
        assert!(
            requests[1].starts_with(&line),
            "{location}: {}",
            requests[1]
        );
        for (name, is_same) in [
            ("host", true),
            ("sec-websocket-protocol", true),
            ("sec-websocket-key", false),
        ] {
            let [first, second] = [0, 1].map(|at: usize| field(&requests[at], name).unwrap());
            assert_eq!(first == second, is_same, "{name}");
        }
    }
}

/// A server of landline may send a client of landline elsewhere.
#[test]
fn landline_follows_landline() {
    let server = TestServer::start(
        Server::builder()
            .should_upgrade(|request| match request.path() {
                "/new" => Ok(Upgrade::new()),
                _ => Err(Reply::new(308).header("Location", "/new")),
            })
            .on_upgrade(|ws, request| ws.send(request.path())),
    );
    let (_ws, mut messages) = Client::new().redirects(1).open(server.url()).unwrap();
    assert_eq!(messages.recv().unwrap().as_text(), Some("/new"));
    let error = landline::open(server.url()).unwrap_err();
    assert_eq!(refusal(error).status, 308);
}

/// The redirect beyond the last allowed is the refusal, so that loops end.
#[test]
fn redirects_are_counted() {
    let raw = RawServer::new();
    let around = found("/around");
    for most in [1, 2, 5] {
        let client = Client::new().redirects(most);
        let answers = vec![(&raw, &*around); most + 1];
        let (requests, outcome) = ask(&client, &raw.url(), &answers);
        assert_eq!(requests.len(), most + 1);
        assert_eq!(refusal(outcome.unwrap_err()).status, 302);
        assert!(
            raw.try_accept().is_none(),
            "one more than {most} was followed"
        );
    }
}

/// A redirect that says not clearly where to, or to what is no WebSocket, is an error that is not
/// worth a retry, and repeats nothing that the server sent.
#[test]
fn unusable_locations_are_errors() {
    let client = Client::new().redirects(5);
    let missing = refused(&client, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n");
    assert!(!missing.is_transient());
    assert_eq!(refusal(missing).status, 302);
    for location in [
        "/one\r\nLocation: /two",
        "ftp://elsewhere.example/",
        "file:///elsewhere",
        "javascript:elsewhere",
        "http://",
        "ws://elsewhere.example:99999/",
        "ws://[elsewhere/",
        "/elsewhere\u{e9}\u{0}",
    ] {
        let error = refused(&client, &found(location));
        assert!(
            matches!(error, Error::Handshake(_)),
            "{location}: {error:?}"
        );
        assert!(!error.to_string().contains("elsewhere"), "{error}");
        assert!(!error.is_transient(), "{error}");
    }
}

/// `https` in a Location is `wss`, whose server is asked with TLS or not at all.
#[test]
fn redirects_to_tls_are_followed_with_tls() {
    let client = Client::new().redirects(1);
    for scheme in ["https", "wss"] {
        let raw = RawServer::new();
        let location = format!("{scheme}://{}/", dead_port());
        let (_, outcome) = ask(&client, &raw.url(), &[(&raw, &found(&location))]);
        let error = outcome.unwrap_err();
        // A build that speaks TLS finds nobody there.
        assert!(
            matches!(error, Error::Tls(_) | Error::Connect(_)),
            "{error:?}"
        );
    }
}

/// Credentials and the Host override are for one origin: scheme, host and port. They go along
/// within it, and do not come back once it was left; everything else goes along.
#[test]
fn credentials_stay_with_their_origin() {
    let [own, other] = [RawServer::new(), RawServer::new()];
    let secret = ["authorization", "proxy-authorization", "cookie"];
    let client = secret
        .iter()
        .fold(Client::new(), |client, name| client.header(*name, "secret"));
    let client = client
        .header("Host", "a.example")
        .header("X-Own", "1")
        .header("X-Own", sensitive("2"))
        .header("X-Api-Key", sensitive("3"))
        .subprotocols(["chat"])
        .sensitive_subprotocols(["token.4"])
        .redirects(2);
    let userinfo = Client::new().redirects(2);
    let with = |url: String, userinfo: &str| url.replace("ws://", &format!("ws://{userinfo}@"));
    let renamed = own.url().replace("127.0.0.1", "localhost");
    for (hops, kept) in [
        ([(&own, own.url()), (&own, "/c".to_owned())], [true, true]),
        (
            [(&own, with(own.url(), "eve:1")), (&other, other.url())],
            [true, false],
        ),
        (
            [(&other, with(other.url(), "eve:1")), (&own, own.url())],
            [false, false],
        ),
        ([(&own, renamed.clone()), (&own, own.url())], [false, false]),
    ] {
        let [first, second] = [0, 1].map(|at: usize| found(&hops[at].1));
        let answers = [
            (&own, &*first),
            (hops[0].0, &*second),
            (hops[1].0, SWITCHING),
        ];
        let (requests, outcome) = ask(&client, &own.url(), &answers);
        outcome.unwrap();
        for (request, kept) in requests.iter().zip([true, kept[0], kept[1]]) {
            for name in secret {
                assert_eq!(field(request, name), kept.then_some("secret"), "{request}");
            }
            assert_eq!(
                field(request, "host") == Some("a.example"),
                kept,
                "{request}"
            );
            let expected = if kept { &["1", "2"][..] } else { &["1"] };
            assert_eq!(values(request, "x-own"), expected);
            assert_eq!(field(request, "x-api-key"), kept.then_some("3"));
            let offered = if kept { "chat, token.4" } else { "chat" };
            assert_eq!(field(request, "sec-websocket-protocol"), Some(offered));
        }
        let (requests, outcome) = ask(&userinfo, &with(own.url(), "ada:lovelace"), &answers);
        outcome.unwrap();
        for (request, kept) in requests.iter().zip([true, kept[0], kept[1]]) {
            let expected = kept.then_some("Basic YWRhOmxvdmVsYWNl");
            assert_eq!(field(request, "authorization"), expected, "{request}");
        }
    }
}

/// Makes a header's value that is marked as sensitive.
fn sensitive(value: &'static str) -> HeaderValue {
    let mut value = HeaderValue::from_static(value);
    value.set_sensitive(true);
    value
}

/// One deadline covers all redirects together.
#[test]
fn redirects_share_the_deadline() {
    let config = Config::new().handshake_timeout(ms(300));
    let client = Client::new().config(config).redirects(1_000);
    let raw = RawServer::new();
    let (end, ended) = mpsc::channel();
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let error = client.open(raw.url()).map(drop).unwrap_err();
            end.send(()).unwrap();
            error
        });
        let mut peers = Vec::new();
        while ended.recv_timeout(ms(20)).is_err() {
            if let Some(mut peer) = raw.try_accept() {
                let _ = peer.try_send_bytes(found("/around"));
                peers.push(peer);
            }
        }
        let error = asking.join().unwrap();
        assert!(
            matches!(error, Error::Timeout(Timeout::Handshake)),
            "{error:?}"
        );
    });
}

/// A status that will be the same tomorrow is told from one that may pass.
#[test]
fn passing_refusals_are_transient() {
    for (transient, statuses) in [
        (true, &[408, 429, 500, 502, 503, 504][..]),
        (
            false,
            &[
                200, 204, 301, 308, 400, 401, 403, 404, 405, 410, 426, 431, 501, 505,
            ],
        ),
    ] {
        for status in statuses {
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
            let error = refused(&Client::new(), &answer);
            assert_eq!(error.is_transient(), transient, "{status}");
            assert_eq!(refusal(error).status, *status);
        }
    }
    let invalid = landline::open("ws://a.example:99999/").unwrap_err();
    assert!(!invalid.is_transient(), "{invalid:?}");
}
