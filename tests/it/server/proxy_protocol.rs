//! Behind proxies that speak the PROXY protocol, by hand; with real ones: `proxies`.

#[cfg(unix)]
use std::os::unix::net::UnixStream;

use landline::{Config, Error, Reply, Server, ServerBuilder};

use crate::support::*;

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";
const UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
/// As hitch writes it: an IPv4 address and a TLV.
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x11\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb\x04\0\x02ab";

/// Says who asks.
fn who() -> ServerBuilder {
    Server::builder().on_request(|request| {
        let client = request.client_addr();
        let client = client.map_or("nobody".to_owned(), |client| client.to_string());
        let peer = request.peer_addr().ip();
        let peer = peer.map_or("unix".to_owned(), |peer| peer.to_string());
        Reply::text(format!("{client} by {peer}"))
    })
}

fn get(host: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into()
}

/// A listed proxy's header names the client, in each version, however it is cut, and nothing behind it
/// is lost; LOCAL and UNKNOWN leave the proxy's own address.
#[test]
fn headers_name_the_client() {
    let server = TestServer::start(who().proxy_protocol(["127.0.0.1"]));
    for (header, expected) in [
        (V1, "192.0.2.7 by 127.0.0.1"),
        (V2, "192.0.2.7 by 127.0.0.1"),
        (UNKNOWN, "127.0.0.1 by 127.0.0.1"),
        (LOCAL, "127.0.0.1 by 127.0.0.1"),
    ] {
        let bytes = [header, &get("localhost")].concat();
        for pace in PACES {
            let reply = exchange(&server, pace, &bytes);
            assert_eq!((reply.status, &*reply.body), (200, expected), "{pace:?}");
        }
    }
}

/// A WebSocket's first frames may come in one segment with the header.
#[test]
fn frames_behind_the_header_are_delivered() {
    let builder = Server::builder().on_upgrade(|ws, _| ws.on_text(|ws, text| ws.send(text)));
    let server = TestServer::start(builder.proxy_protocol(["127.0.0.0/8"]));
    for header in [V1, V2, UNKNOWN, LOCAL] {
        let mut peer = RawPeer::dial(&server);
        let frame = peer.encode(&Frame::text("hello"));
        let request = upgrade_request("localhost").into_bytes();
        peer.send_bytes([header, &request, &frame].concat());
        assert!(peer.read_head().contains(" 101 "));
        assert_eq!(peer.read_frame(), Frame::text("hello"));
    }
}

/// A listed proxy must begin with the header, and others must not: nobody guesses.
#[test]
fn only_listed_proxies_are_believed() {
    let server = TestServer::start(who().proxy_protocol(["127.0.0.2", "10.0.0.0/8"]));
    // Not listed: as ever, and the header is no request.
    let reply = exchange(&server, PACES[0], get("localhost"));
    assert_eq!(reply.body, "127.0.0.1 by 127.0.0.1");
    let reply = exchange(&server, PACES[0], [V1, &get("localhost")].concat());
    assert_eq!(reply.status, 400);
    // Listed: without the header it is hung up on, at once and without an answer.
    let refused = server.counters().refused;
    let broken = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 70000\r\n";
    let listed = "127.0.0.2".parse().unwrap();
    for bytes in [
        &get("localhost")[..],
        b"\x16\x03\x01\x02\0",
        broken,
        b"PROXY TCP9 ",
    ] {
        let mut peer = RawPeer::dial_from(&server, listed);
        peer.send_bytes([bytes, &[b'x'; 200]].concat());
        assert_eq!(peer.read_head_or_end(), "", "{}", bytes.escape_ascii());
    }
    assert_eq!(server.counters().refused, refused + 4);
    let mut peer = RawPeer::dial_from(&server, listed);
    peer.send_bytes([V1, &get("localhost")].concat());
    assert_eq!(peer.read_reply().body, "192.0.2.7 by 127.0.0.2");
}

/// The time for the header is that of the handshake.
#[test]
fn headers_have_the_deadline_of_the_handshake() {
    let config = Config::new().handshake_timeout(ms(300));
    let server = TestServer::start(who().config(config).proxy_protocol(["127.0.0.1"]));
    for begun in [&b""[..], &V1[..20], &V2[..14], &V2[..20]] {
        let mut peer = RawPeer::dial(&server);
        peer.send_bytes(begun);
        assert_eq!(peer.read_head_or_end(), "");
    }
    settled("no handshake is left", || server.counters().refused == 4);
}

/// A health check is a header and no more; it is no record above DEBUG.
#[test]
fn health_checks_are_no_news() {
    alone(|| {
        let logger = Logger::install(|_| {});
        let server = TestServer::start(who().proxy_protocol(["127.0.0.1"]));
        let check = b"PROXY TCP4 127.0.0.1 127.0.0.1 56324 443\r\n";
        for header in [&check[..], UNKNOWN, LOCAL] {
            let mut peer = RawPeer::dial(&server);
            peer.send_bytes(header);
            peer.send_fin();
            assert_eq!(peer.read_head_or_end(), "");
            let peer = RawPeer::dial(&server);
            peer.reset();
        }
        server.stop();
        server.wait().unwrap();
        let records = logger.so_far();
        let news = |record: &&String| !record.starts_with("DEBUG") && !record.starts_with("TRACE");
        assert_eq!(records.iter().find(news), None);
    });
}

/// Behind a proxy on this machine the Host is judged by the address that the client has reached, as it
/// would be without the proxy.
#[test]
fn hosts_are_judged_by_what_the_client_reached() {
    let server = TestServer::start(who().proxy_protocol(["127.0.0.1"]));
    let to_loopback = b"PROXY TCP4 127.0.0.1 127.0.0.1 56324 443\r\n";
    for (header, host, status) in [
        (V1, "app.example", 200),
        (V2, "app.example", 200),
        (to_loopback, "app.example", 403),
        (to_loopback, "localhost", 200),
        (LOCAL, "app.example", 403),
    ] {
        let reply = exchange(&server, PACES[0], [header, &get(host)].concat());
        assert_eq!(reply.status, status, "{} {host}", header.escape_ascii());
    }
}

/// The address that the header names may be that of a trusted proxy, whose own header then names the
/// client.
#[test]
fn headers_and_trusted_proxies_go_together() {
    let builder = who()
        .proxy_protocol(["127.0.0.1"])
        .trusted_proxies(["192.0.2.7"])
        .client_addr_header("X-Forwarded-For");
    let server = TestServer::start(builder);
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n";
    let by_trusted = exchange(&server, PACES[0], [V1, request].concat());
    assert_eq!(by_trusted.body, "203.0.113.9 by 127.0.0.1");
    let other = b"PROXY TCP4 192.0.2.8 198.51.100.1 56324 443\r\n";
    let by_other = exchange(&server, PACES[0], [other, &request[..]].concat());
    assert_eq!(by_other.body, "192.0.2.8 by 127.0.0.1");
}

/// The peers of a Unix socket may be listed; a client of a Unix socket behind the proxy has no address.
#[test]
#[cfg(unix)]
fn proxies_on_unix_sockets_are_listed_by_name() {
    let folder = Folder::new();
    let path = folder.file("a.sock");
    let builder = who().proxy_protocol(["unix"]);
    let _server = TestServer::of(builder.bind(format!("unix:{}", path.display())).unwrap());
    let on_unix = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8"[..], &[b'/'; 216]].concat();
    for (header, expected) in [
        (V1, "192.0.2.7 by unix"),
        (LOCAL, "nobody by unix"),
        (&on_unix, "nobody by unix"),
    ] {
        let mut peer = RawPeer::over_unix(UnixStream::connect(&path).unwrap());
        peer.send_bytes([header, &get("app.example")].concat());
        assert_eq!(peer.read_reply().body, expected);
    }
    let mut peer = RawPeer::over_unix(UnixStream::connect(&path).unwrap());
    peer.send_bytes(get("app.example"));
    assert_eq!(peer.read_head_or_end(), "");
}

/// Proxies stand for many clients, and have no limit of connections.
#[test]
fn listed_proxies_have_no_limit_of_their_own() {
    let builder = who()
        .proxy_protocol(["127.0.0.1"])
        .max_connections_per_ip(1);
    let server = TestServer::start(builder);
    let mut peers: Vec<_> = (0..3).map(|_| RawPeer::dial(&server)).collect();
    for peer in &mut peers {
        peer.send_bytes([V1, &get("localhost")].concat());
        assert_eq!(peer.read_reply().status, 200);
    }
}

/// A text that names no proxy is an error when binding.
#[test]
fn lists_are_checked() {
    for proxy in ["localhost", "", "Unix", "10.0.0.0/33"] {
        let error = who()
            .proxy_protocol([proxy])
            .bind("127.0.0.1:0")
            .unwrap_err();
        let Error::Invalid(text) = error else {
            panic!("{error:?}")
        };
        assert!(text.contains(&format!("{proxy:?}")), "{text}");
    }
}

#[cfg(feature = "tls")]
mod tls {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    /// The header stands before TLS, which begins right behind it.
    #[test]
    fn headers_stand_before_tls() {
        for header in [V1, V2, UNKNOWN, LOCAL] {
            let server = secure(who().proxy_protocol(["127.0.0.1"]));
            let mut stream = TcpStream::connect(server.local_addr()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(header).unwrap();
            let mut stream = CONNECTOR.connect("localhost", stream).unwrap();
            stream.write_all(&get("localhost")).unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).unwrap();
            assert!(reply.ends_with(" by 127.0.0.1"), "{reply}");
        }
    }
}
