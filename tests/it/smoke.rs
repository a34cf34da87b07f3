//! The support itself: raw peers and landline understand each other in both roles.

use crate::support::*;

/// A raw client and a landline server echo, and close in order.
#[test]
fn raw_client_talks_to_a_server() {
    let server = TestServer::echo();
    let mut raw = RawPeer::client_of(&server);
    raw.send_text("hello");
    assert_eq!(raw.read_frame(), Frame::text("hello"));
    raw.send_close(1000, "bye");
    assert_eq!(raw.read_close(), Some(1000));
    raw.read_eof();
}

/// A landline client and a raw server echo, and close in order.
#[test]
fn raw_server_talks_to_a_client() {
    let raw = RawServer::new();
    let events = Recorder::new();
    let (mut peer, ws) = raw.meet(&landline::Client::new(), |ws| events.record_all(ws));
    peer.send_text("hello");
    assert_eq!(events.next(), Event::Text("hello".into()));
    ws.send("back").unwrap();
    assert_eq!(peer.read_frame(), Frame::text("back"));
    peer.send_close(4000, "enough");
    assert_eq!(peer.read_close(), Some(4000));
    drop(peer);
    assert_eq!(ws.wait_closed().unwrap().code(), 4000);
    assert_eq!(events.next_close().reason(), "enough");
}

/// A test runs alone in a process of its own, where what it counts is its own.
#[test]
fn child_process_counts_only_its_own() {
    alone(|| {
        let before = Resources::now();
        let server = TestServer::echo();
        let raw = RawPeer::client_of(&server);
        settled("the connection has its thread", || {
            threads_named("landline-").len() >= 3
        });
        assert!(open_fds() > before.fds);
        drop((raw, server));
        before.settle_back();
    });
}

/// A probe beside its control says that a server is served.
#[test]
fn probe_keeps_up_with_its_control() {
    let server = TestServer::echo();
    Probe::of(&server).keeps_up();
}
