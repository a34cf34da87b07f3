//! Limits of a server: of all connections, of those from one address, of descriptors.

use std::fs::File;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};

use landline::{Router, Server, ServerBuilder};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::*;

const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Echoes at `/`, and has a page there too.
fn builder() -> ServerBuilder {
    Server::builder().router(
        Router::new()
            .websocket("/", |ws, _| ws.on_message(|ws, message| ws.send(message)))
            .get("/", |_| "a page"),
    )
}

/// Expects the refusal for want of room, whole.
#[track_caller]
fn is_turned_away(mut peer: RawPeer) {
    let head = peer.try_upgrade();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(field(&head, "retry-after").is_some(), "{head}");
    peer.read_eof();
}

/// Expects that a newcomer is served before long.
#[track_caller]
fn comes_in(server: &Server) {
    settled("a newcomer is served", || {
        RawPeer::dial(server)
            .try_upgrade()
            .starts_with("HTTP/1.1 101 ")
    });
}

#[track_caller]
fn still_echoes(peer: &mut RawPeer) {
    peer.send_text("still here");
    assert_eq!(peer.read_frame(), Frame::text("still here"));
}

/// Without descriptors the accept thread waits instead of spinning, and serves again by itself.
#[test]
fn descriptors_run_out_and_come_back() {
    alone(|| {
        let server = TestServer::echo();
        let mut open = RawPeer::client_of(&server);
        let low = Rlimit {
            current: Some(open_fds() as u64 + 20),
            ..getrlimit(Resource::Nofile)
        };
        setrlimit(Resource::Nofile, low).unwrap();
        let mut taken = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            taken.push(file);
        }
        // The one that is free now is the client's end; the server has none for its own.
        taken.pop();
        let mut raw = RawPeer::dial(&server);
        raw.send_bytes(upgrade_request(server.local_addr()));
        let used = cpu_time();
        raw.stream.set_read_timeout(Some(ms(1_500))).unwrap();
        let nothing = uninterrupted(|| raw.stream.peek(&mut [0])).unwrap_err();
        assert!(matches!(
            nothing.kind(),
            ErrorKind::WouldBlock | ErrorKind::TimedOut
        ));
        let used = cpu_time() - used;
        assert!(used < ms(300), "{used:?} of CPU time with nothing to do");
        still_echoes(&mut open);
        drop(taken);
        assert!(raw.read_head().starts_with("HTTP/1.1 101 "));
        Probe::of(&server).keeps_up();
    });
}

/// At the limit of connections a newcomer gets 503, wholly; when one has left, it is served.
#[test]
fn connections_beyond_the_limit_get_503() {
    let server = TestServer::start(builder().max_connections(2));
    let mut peers = [RawPeer::client_of(&server), RawPeer::client_of(&server)];
    for _ in 0..20 {
        is_turned_away(RawPeer::dial(&server));
    }
    peers.iter_mut().for_each(still_echoes);
    peers[0].send_close(1000, "");
    assert_eq!(peers[0].read_close(), Some(1000));
    comes_in(&server);
}

/// Landline's own client is told apart what a 503 is: refused, and worth another try.
#[test]
fn client_hears_of_the_limit() {
    let server = TestServer::start(builder().max_connections(1));
    let _raw = RawPeer::client_of(&server);
    let error = landline::open(server.url()).unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert!(matches!(error, landline::Error::Refused(why) if why.status == 503));
}

/// At the limit of connections a page gets 503 too, and says when to come again; when one has left,
/// it is served.
#[test]
fn pages_beyond_the_limit_get_503() {
    let server = TestServer::start(builder().max_connections(1));
    let mut peer = RawPeer::client_of(&server);
    for _ in 0..5 {
        let answer = fetch(&server, "GET /", &[]);
        assert_eq!(answer.status, 503);
        assert!(answer.field("retry-after").is_some(), "{answer:?}");
        is_turned_away(RawPeer::dial(&server));
    }
    still_echoes(&mut peer);
    peer.send_close(1000, "");
    assert_eq!(peer.read_close(), Some(1000));
    settled("a page is served", || {
        fetch(&server, "GET /", &[]).body == "a page"
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
    [&mut open, &mut other].into_iter().for_each(still_echoes);
    RawPeer::dial_from(&server, OTHER).upgrade();
    drop(silent);
    comes_in(&server);
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
