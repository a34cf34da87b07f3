//! Where redirects lead a client.

use std::sync::mpsc;
use std::thread;

use http::HeaderValue;
use landline::{Client, Config, Error, Reply, Server, Timeout, Upgrade};

use crate::support::*;

/// A redirect is a refusal like any other, unless following is asked for.
#[test]
fn redirects_are_not_followed_by_default() {
    let raw = RawServer::new();
    for status in [300, 301, 302, 303, 304, 307, 308] {
        let answer = redirect(status, "/elsewhere");
        let (_, outcome) = ask(&Client::new(), &raw.url(), &[(&raw, &answer)]);
        let error = outcome.unwrap_err();
        assert!(!error.is_transient(), "{error}");
        let refusal = refusal_of(error);
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
        let answer = redirect(status, &location);
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
    assert_eq!(refusal_of(error).status, 308);
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
        assert_eq!(refusal_of(outcome.unwrap_err()).status, 302);
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
    assert_eq!(refusal_of(missing).status, 302);
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
