//! Connections that the program takes one by one.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use landline::{
    Client, CloseCode, Config, Error, Incoming, Reply, Router, Server, Upgrade, WaitError,
};

use crate::support::*;

fn start(config: Config) -> (TestServer, Incoming) {
    let bound = Server::builder()
        .config(config)
        .bind_incoming("127.0.0.1:0");
    let (server, incoming) = bound.unwrap();
    (TestServer::of(server), incoming)
}

/// A program takes connections as they come, each open, with its request, and the thread that reads
/// drives it; a client whose handshake is slow holds up nobody.
#[test]
fn connections_are_taken_one_by_one() {
    let (server, mut incoming) = start(quiet());
    let mut slow = RawPeer::dial(&server);
    slow.send_bytes("GET /slow HTTP/1.1\r\n");
    let (_client, mut heard) = landline::open(server.url() + "/fast").unwrap();
    let (ws, mut messages, request) = incoming.next().unwrap();
    assert_eq!((request.path(), ws.path()), ("/fast", "/fast"));
    assert_eq!(ws, server.connections()[0]);
    ws.send("welcome").unwrap();
    assert_eq!(heard.recv().unwrap().as_text(), Some("welcome"));
    _client.send("hello").unwrap();
    assert_eq!(messages.recv().unwrap().as_text(), Some("hello"));
    let closed = thread::spawn(move || heard.recv().unwrap_err());
    assert_eq!(messages.close().code(), CloseCode::NORMAL);
    assert!(closed.join().unwrap().0.is_clean());
    let rest = upgrade_request("localhost").replace("GET / HTTP/1.1\r\n", "");
    slow.send_bytes(rest);
    assert!(slow.read_head().contains(" 101 "));
    assert_eq!(incoming.next().unwrap().2.path(), "/slow");
}

/// At most 128 connections wait to be taken. Whoever comes then gets 503 instead of the 101, and so it
/// goes on: each that is taken, or is never told 101, makes room for one.
#[test]
fn untaken_connections_are_bounded() {
    const MOST: usize = 128;
    let (server, mut incoming) = start(quiet());
    let status = |peer: &mut RawPeer| PlainReply::new(peer.try_upgrade(), String::new()).status;
    let peers: Vec<_> = (0..MOST).map(|_| RawPeer::client_of(&server)).collect();
    for _ in 0..3 {
        let mut late = RawPeer::dial(&server);
        let reply = PlainReply::new(late.try_upgrade(), String::new());
        assert_eq!(reply.status, 503);
        assert_eq!(reply.field("retry-after"), Some("1"));
    }
    // A page is none of them.
    let mut page = RawPeer::asking(&server, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(page.read_head().contains(" 426 "));
    settled("all wait", || incoming.receiver().len() == MOST);
    let taken = incoming.next().unwrap();
    let mut next_one = RawPeer::dial(&server);
    assert_eq!(status(&mut next_one), 101);
    assert_eq!(status(&mut RawPeer::dial(&server)), 503);
    assert_eq!(server.counters().refused, 5);
    drop((taken, peers));
}

/// Dropping the messages and the last handle closes with 1000, and does not wait for a peer that does
/// not answer; handles of the server's list and of callbacks do not count.
#[test]
fn drops_close_and_do_not_wait() {
    let (server, mut incoming) = start(patient());
    let mut peer = RawPeer::client_of(&server);
    let (ws, messages, _) = incoming.next().unwrap();
    let _listed = server.connections();
    let begin = Instant::now();
    drop(messages);
    // While there is a handle, somebody reads and answers.
    peer.send(&Frame::new(opcode::PING, "p"));
    assert_eq!(peer.read_frame(), Frame::new(opcode::PONG, "p"));
    let copy = ws.clone();
    drop(ws);
    copy.send("still there").unwrap();
    assert_eq!(peer.read_frame(), Frame::text("still there"));
    drop(copy);
    let waited = begin.elapsed();
    assert_eq!(peer.read_close(), Some(1000));
    // The peer has not answered: only a wait for it would have taken so long.
    assert!(waited < PATIENCE, "{waited:?}");
    assert_eq!(server.connection_count(), 1);
    peer.send_close(1000, "");
    settled("it is over", || server.connection_count() == 0);

    // The other way round: the handle first.
    let mut peer = RawPeer::client_of(&server);
    let (ws, mut messages, _) = incoming.next().unwrap();
    drop(ws);
    peer.send_text("hello");
    assert_eq!(messages.recv().unwrap().as_text(), Some("hello"));
    drop(messages);
    assert_eq!(peer.read_close(), Some(1000));
}

/// The iterator keeps the server running, and ends once that has been stopped, whoever waits; who waits
/// to be taken is told 1001, also where the iterator itself is dropped.
#[test]
fn iterators_end_with_their_server() {
    let (server, mut incoming) = Server::builder().bind_incoming("127.0.0.1:0").unwrap();
    let url = server.url();
    drop(server);
    let mut peer = RawPeer::connect_to(url.strip_prefix("ws://").unwrap());
    peer.upgrade();
    let (_, _, request) = incoming.next().unwrap();
    let server = request.server().clone();
    assert_eq!(peer.read_close(), Some(1000));
    peer.send_close(1000, "");
    let waiting = thread::spawn(move || incoming.next().is_none());
    server.stop();
    assert!(in_time("the wait ends", move || waiting.join().unwrap()));
    server.wait().unwrap();

    let (server, incoming) = start(quiet());
    let mut untaken = RawPeer::client_of(&server);
    settled("it waits", || incoming.receiver().len() == 1);
    let handle = server.handle();
    drop(server);
    handle.wait().unwrap();
    assert_eq!(untaken.read_close(), Some(1001));
    assert_eq!(incoming.count(), 1);

    let (server, incoming) = Server::builder().bind_incoming("127.0.0.1:0").unwrap();
    let mut untaken = RawPeer::client_of(&server);
    settled("it waits", || incoming.receiver().len() == 1);
    drop(server);
    drop(incoming);
    assert_eq!(untaken.read_close(), Some(1001));
}

/// Once the server accepts no more, the iterator ends behind the handshakes that are under way.
#[test]
fn iterators_end_behind_the_last_handshake() {
    let (server, mut incoming) = start(quiet());
    let mut slow = RawPeer::dial(&server);
    slow.send_bytes("GET /slow HTTP/1.1\r\n");
    let _open = RawPeer::client_of(&server);
    let open = incoming.next().unwrap();
    server.stop_accepting();
    settled("nobody listens", || {
        std::net::TcpStream::connect(server.local_addr()).is_err()
    });
    let rest = upgrade_request("localhost").replace("GET / HTTP/1.1\r\n", "");
    slow.send_bytes(rest);
    assert!(slow.read_head().contains(" 101 "));
    let (paths, heard) = mpsc::channel();
    let taking = thread::spawn(move || {
        for (_, _, request) in &mut incoming {
            paths.send(request.path().to_owned()).unwrap();
        }
    });
    assert_eq!(next(&heard), "/slow");
    in_time("the iterator ends", move || taking.join().unwrap());
    open.0.send("still open").unwrap();
}

/// `should_upgrade` decides as ever, and what it puts into the request is the connection's data; any
/// other handler is an error.
#[test]
fn only_should_upgrade_goes_with_it() {
    let builder = Server::builder().should_upgrade(|request| match request.path() {
        "/no" => Err(Reply::forbidden()),
        path => {
            let path = Arc::new(path.to_owned());
            request.extensions_mut().insert(path);
            Ok(Upgrade::new().header("X-Yes", "1"))
        }
    });
    let (server, mut incoming) = builder.bind_incoming("127.0.0.1:0").unwrap();
    let server = TestServer::of(server);
    assert!(landline::open(server.url() + "/no").is_err());
    let client = landline::open(server.url() + "/yes").unwrap();
    assert_eq!(client.0.response().unwrap().headers()["x-yes"], "1");
    let (ws, _, request) = incoming.next().unwrap();
    assert_eq!(**ws.data::<Arc<String>>().unwrap(), "/yes");
    assert_eq!(request.path(), "/yes");

    for builder in [
        Server::builder().on_upgrade(|_, _| ()),
        Server::builder().serve(|_, _, _| Ok(())),
        Server::builder().router(Router::new()),
        Server::builder().on_request(|_| Reply::forbidden()),
    ] {
        let error = builder.bind_incoming("127.0.0.1:0").unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{error:?}");
    }
}

/// A panic of the thread that reads closes that connection with 1011, as a handler's would.
#[test]
fn panics_of_who_reads_are_told() {
    let (server, mut incoming) = start(quiet());
    let mut peer = RawPeer::client_of(&server);
    let (ws, mut messages, _) = incoming.next().unwrap();
    let reading = thread::spawn(move || {
        let _ws = ws;
        messages.recv().unwrap();
        panic!("as a test's assertion does");
    });
    peer.send_text("hello");
    assert!(reading.join().is_err());
    assert_eq!(peer.read_close(), Some(1011));
}

/// A wait for the end of a connection that nobody reads is an error, and no wait for ever.
#[test]
fn nobody_waits_for_what_nobody_reads() {
    let (server, mut incoming) = start(quiet());
    let _peer = RawPeer::client_of(&server);
    let (ws, _messages, _) = incoming.next().unwrap();
    let waited = in_time("the wait", move || ws.wait_closed());
    assert!(
        matches!(waited, Err(WaitError::WouldDeadlock)),
        "{waited:?}"
    );
}

/// A stop names the connections that the program holds and does not read, and cuts them; afterwards
/// nothing is left of the others.
#[test]
fn stops_name_what_is_held() {
    alone(|| {
        let before = open_fds();
        let (server, mut incoming) = start(quiet());
        let client = Client::new().config(quiet());
        let read = client.connect(server.url() + "/read", |_| ()).unwrap();
        let (_, messages, _) = incoming.next().unwrap();
        let reading = thread::spawn(move || messages.count());
        let held = client.connect(server.url() + "/held", |_| ()).unwrap();
        let kept = incoming.next().unwrap();
        server.stop();
        assert_eq!(read.wait_closed().unwrap().code(), CloseCode::GOING_AWAY);
        settled("one is left", || server.connection_count() == 1);
        server.stop_within(ms(300));
        let report = server.wait().unwrap();
        let paths = |ended: &[landline::WebSocket]| {
            let paths = ended.iter().map(|ws| ws.path().to_owned());
            paths.collect::<Vec<_>>()
        };
        assert_eq!(paths(report.closed()), ["/read"]);
        assert_eq!(report.stuck().len(), 1);
        assert_eq!(report.stuck()[0].websocket(), Some(&kept.0));
        reading.join().unwrap();
        drop((kept, held, read));
        drop((report, incoming, server));
        settled("everything is closed", || open_fds() <= before);
    });
}
