//! What is offered, answered and agreed on.

use landline::{Client, Compression, Config, Error, Router, Server};

use super::*;

/// Returns how a server answers these lines of offers.
#[track_caller]
fn answered(server: &Server, offers: &[&str]) -> Option<String> {
    let mut request = upgrade_request(tcp_addr(server));
    for offer in offers {
        request = extended(&request, offer);
    }
    let head = RawPeer::asking(server, &request).read_head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    field(&head, "sec-websocket-extensions").map(ToOwned::to_owned)
}

const ALONE: &str = "permessage-deflate; server_no_context_takeover";

/// A server answers the first offer that it can take, and none where there is no such one; what it
/// cannot take is no error.
#[test]
fn servers_answer_offers() {
    let server = TestServer::echo_with(compressing());
    for (offers, answer) in [
        (&["permessage-deflate"][..], Some(ALONE.to_owned())),
        (
            &["permessage-deflate; client_max_window_bits"],
            Some(ALONE.to_owned()),
        ),
        (
            &["permessage-deflate; server_no_context_takeover; client_no_context_takeover"],
            Some(format!("{ALONE}; client_no_context_takeover")),
        ),
        (
            &["permessage-deflate; server_max_window_bits=\"10\""],
            Some(format!("{ALONE}; server_max_window_bits=10")),
        ),
        (&["permessage-deflate; server_max_window_bits=8"], None),
        (&["permessage-deflate; server_max_window_bits=16"], None),
        (&["permessage-deflate; unknown"], None),
        (&["permessage-deflate; client_no_context_takeover=1"], None),
        (
            &["permessage-deflate; client_max_window_bits; client_max_window_bits"],
            None,
        ),
        (
            &[
                "x-webkit-deflate-frame, permessage-deflate; unknown",
                "permessage-deflate",
            ],
            Some(ALONE.to_owned()),
        ),
        (
            &["\u{1}broken=\"", ", permessage-deflate"][1..],
            Some(ALONE.to_owned()),
        ),
        (&["="], None),
        (&[""], None),
    ] {
        assert_eq!(answered(&server, offers), answer, "{offers:?}");
    }
}

/// What was agreed is told by the handle, at both ends.
#[test]
fn both_ends_tell_what_is_agreed() {
    for (role, extensions, expected) in [
        (Role::Server, "permessage-deflate", [false, true]),
        (
            Role::Server,
            "permessage-deflate; client_no_context_takeover",
            [false, false],
        ),
        (Role::Client, "permessage-deflate", [true, true]),
        (
            Role::Client,
            "permessage-deflate; server_no_context_takeover",
            [true, false],
        ),
        (
            Role::Client,
            "permessage-deflate; client_no_context_takeover",
            [false, true],
        ),
    ] {
        let met = Agreed::by(role, compressing(), extensions);
        let agreed = met.ws.compression().unwrap();
        let takeover = [agreed.context_takeover, agreed.peer_context_takeover];
        assert_eq!(takeover, expected, "{role:?}: {extensions}");
        assert_eq!(agreed.window_bits, 15);
    }
    let met = Agreed::by(
        Role::Client,
        compressing(),
        "permessage-deflate; server_max_window_bits=9; client_max_window_bits=10",
    );
    let agreed = met.ws.compression().unwrap();
    assert_eq!((agreed.window_bits, agreed.peer_window_bits), (10, 9));
}

/// A client offers what every server takes.
#[test]
fn clients_offer_one_thing() {
    let met = Agreed::by(Role::Client, compressing(), "permessage-deflate");
    let offer = met.extensions.as_deref();
    assert_eq!(offer, Some("permessage-deflate; client_max_window_bits"));
    let config = quiet().compression(Compression::new().context_takeover(false));
    let met = Agreed::by(Role::Client, config, "permessage-deflate");
    let offer = "permessage-deflate; client_max_window_bits; client_no_context_takeover";
    assert_eq!(met.extensions.as_deref(), Some(offer));
    assert!(!met.ws.compression().unwrap().context_takeover);
    let config = quiet().compression(Compression::new().peer_context_takeover(false));
    let met = Agreed::by(Role::Client, config, "permessage-deflate");
    let offer = "permessage-deflate; client_max_window_bits; server_no_context_takeover";
    assert_eq!(met.extensions.as_deref(), Some(offer));
    // The answer lacks what was asked for.
    assert!(met.ws.compression().unwrap().peer_context_takeover);
}

/// Nothing is offered and nothing is answered by default, and an answer to nothing is an error.
#[test]
fn off_by_default() {
    let server = TestServer::echo_with(quiet());
    assert_eq!(answered(&server, &["permessage-deflate"]), None);
    let raw = RawServer::new();
    let (peer, ws) = raw.meet(&Client::new().config(quiet()), |_| {});
    assert_eq!(ws.compression(), None);
    drop(peer);
    let error = refused_answer(&Config::new(), "permessage-deflate");
    assert!(error.contains("not offered"), "{error}");
}

/// Returns the error of a client that gets this answer.
#[track_caller]
fn refused_answer(config: &Config, extensions: &str) -> String {
    let server = RawServer::new();
    let client = Client::new().config(config.clone());
    let connected = thread::scope(|scope| {
        scope.spawn(|| answer(&server, extensions));
        client.connect(server.url(), |_| {})
    });
    match connected {
        Err(error @ Error::Handshake(_)) => error.to_string(),
        other => panic!("{extensions}: {other:?}"),
    }
}

/// RFC 7692, section 7.1: an answer that may not be fails the handshake.
#[test]
fn bad_answers_fail() {
    for answer in [
        "permessage-deflate, permessage-deflate",
        "x-webkit-deflate-frame",
        "permessage-deflate; unknown",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=09",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; ;",
        "permessage-deflate; a=\"",
    ] {
        refused_answer(&compressing(), answer);
    }
}

/// Compression is a setting of a route as others are.
#[test]
fn routes_have_their_own() {
    let router = Router::new()
        .websocket("/plain", |_, _| {})
        .scope("/json", |scope| {
            scope.config(compressing()).websocket("", |_, _| {})
        });
    let server = TestServer::start(Server::builder().router(router));
    for (path, agreed) in [("/plain", false), ("/json", true)] {
        let client = Client::new().config(compressing());
        let ws = client
            .connect(format!("{}{path}", server.url()), |_| {})
            .unwrap();
        assert_eq!(ws.compression().is_some(), agreed, "{path}");
    }
}
