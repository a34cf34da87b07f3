//! Whom a server lets in: limits, and who is behind a proxy.

use std::net::{IpAddr, Ipv4Addr};

use landline::{Client, Router, Server, ServerBuilder};

use crate::support::*;

const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Echoes at `/`, and says who asks, on a page and on a socket.
fn builder() -> ServerBuilder {
    Server::builder().router(
        Router::new()
            .websocket("/", |ws, _| ws.on_message(|ws, message| ws.send(message)))
            .get("/who", |request| request.client_addr().to_string())
            .websocket("/who", |ws, request| {
                ws.send(request.client_addr().to_string())
            }),
    )
}

/// Expects the refusal for want of room, whole.
#[track_caller]
fn is_turned_away(mut peer: RawPeer) {
    let head = peer.try_upgrade();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(head.contains("\r\nRetry-After: "), "{head}");
    peer.read_eof();
}

/// At the limit of connections a page gets 503 too, and says when to come again; when one has left,
/// it is served.
#[test]
fn pages_beyond_the_limit_get_503() {
    let server = TestServer::start(builder().max_connections(1));
    let mut peer = RawPeer::client_of(&server);
    for _ in 0..5 {
        let answer = fetch(&server, "GET /who", &[]);
        assert_eq!(answer.status, 503);
        assert!(answer.field("retry-after").is_some(), "{answer:?}");
        is_turned_away(RawPeer::dial(&server));
    }
    peer.send_text("still here");
    assert_eq!(peer.read_frame(), Frame::text("still here"));
    peer.send_close(1000, "");
    assert_eq!(peer.read_close(), Some(1000));
    settled("a page is served", || {
        fetch(&server, "GET /who", &[]).body == "127.0.0.1"
    });
}

/// The limit for one address, those in their handshake included, is nobody else's: others are
/// served, and so is it again when one of its own has left.
#[test]
fn address_beyond_its_limit_gets_503() {
    let server = TestServer::start(builder().max_connections_per_ip(2));
    let mut open = RawPeer::client_of(&server);
    let silent = RawPeer::dial(&server);
    let mut other = RawPeer::dial_from(&server, OTHER);
    other.upgrade();
    for _ in 0..5 {
        is_turned_away(RawPeer::dial(&server));
    }
    for peer in [&mut open, &mut other] {
        peer.send_text("still here");
        assert_eq!(peer.read_frame(), Frame::text("still here"));
    }
    RawPeer::dial_from(&server, OTHER).upgrade();
    drop(silent);
    settled("a newcomer is served", || {
        RawPeer::dial(&server)
            .try_upgrade()
            .starts_with("HTTP/1.1 101 ")
    });
}

/// A trusted proxy stands for many: the limit for one address is not for it.
#[test]
fn trusted_proxies_do_not_count() {
    let limited = builder().max_connections_per_ip(1);
    let server = TestServer::start(limited.trusted_proxies(["127.0.0.1"]));
    let through_proxy: Vec<_> = (0..5).map(|_| RawPeer::client_of(&server)).collect();
    let direct = RawPeer::dial_from(&server, OTHER);
    is_turned_away(RawPeer::dial_from(&server, OTHER));
    drop((through_proxy, direct));
}

/// Who is behind a trusted proxy is told by its headers, on pages and on sockets; anybody else's
/// headers say nothing.
#[test]
fn proxies_say_who_asks() {
    let trusting = TestServer::start(builder().trusted_proxies(["127.0.0.1", "10.0.0.0/8"]));
    let wary = TestServer::start(builder());
    for (field, client) in [
        (("X-Forwarded-For", "198.51.100.7"), "198.51.100.7"),
        (
            ("X-Forwarded-For", "192.0.2.1, 198.51.100.7, 10.1.2.3"),
            "198.51.100.7",
        ),
        (
            (
                "Forwarded",
                "for=192.0.2.1, for=\"[2001:db8::7]:4711\";proto=https",
            ),
            "2001:db8::7",
        ),
        (("Forwarded", "for=unknown"), "127.0.0.1"),
        (("X-Forwarded-For", "nobody"), "127.0.0.1"),
    ] {
        let line = format!("{}: {}", field.0, field.1);
        for (server, client) in [(&trusting, client), (&wary, "127.0.0.1")] {
            let page = fetch(server, "GET /who", &[line.as_str()]);
            assert_eq!(page.body, client, "{line}");
            let through_proxy = Client::new().header(field.0, field.1);
            assert_eq!(greeting(&through_proxy, server, "/who"), client, "{line}");
        }
    }
    let disagreeing = ["Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.2"];
    assert_eq!(fetch(&trusting, "GET /who", &disagreeing).body, "127.0.0.1");
}
