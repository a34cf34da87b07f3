//! Connections that a server's handler serves, and the list that a server has of them.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;

use landline::{CloseCode, Message, Server, WebSocket};

use crate::support::*;

/// A handler that returns closes with 1000, one that fails with 1011, and only the latter is told.
#[test]
fn serve_closes_as_its_handler_returns() {
    let events = Arc::new(Mutex::new(Recorder::new()));
    let told = Arc::clone(&events);
    let server = TestServer::start(Server::builder().config(quiet()).serve(
        move |ws, mut messages, request| {
            told.lock().unwrap().record_all(&ws);
            let word = messages.recv()?;
            let number: u8 = word.as_text().unwrap_or_default().parse()?;
            ws.send(format!("{number} {}", request.path()))?;
            Ok(())
        },
    ));
    let mut peer = RawPeer::client_of(&server);
    peer.send_text("7");
    assert_eq!(peer.read_frame(), Frame::text("7 /"));
    assert_eq!(peer.read_close(), Some(1000));
    peer.send_close(1000, "");
    peer.read_eof();
    let Event::Close(event) = events.lock().unwrap().next() else {
        panic!("not only on_close")
    };
    assert!(event.is_ordinary() && event.code() == CloseCode::NORMAL);

    let mut peer = RawPeer::client_of(&server);
    peer.send_text("seven");
    assert_eq!(peer.read_close(), Some(1011));
    peer.send_close(1011, "");
    peer.read_eof();
    let Event::Error(error) = events.lock().unwrap().next() else {
        panic!("no error")
    };
    assert!(error.contains("invalid digit"), "{error}");
    assert_eq!(
        events.lock().unwrap().next_close().code(),
        CloseCode::INTERNAL_ERROR
    );
}

/// A handler whose peer closed in order gets the end as `None`, and one whose peer was lost gets
/// `Err(Closed)`, which `?` hands on without a further failure being told.
#[test]
fn lost_peers_are_no_failures_of_a_handler() {
    let events = Arc::new(Mutex::new(Recorder::new()));
    let told = Arc::clone(&events);
    let server = TestServer::start(Server::builder().config(quiet()).serve(
        move |ws, messages, _| {
            told.lock().unwrap().record_all(&ws);
            for message in messages {
                ws.send(message?)?;
            }
            Ok(())
        },
    ));
    for (ends, code) in [(true, 1000), (false, 1006)] {
        let mut peer = RawPeer::client_of(&server);
        peer.send_text("a");
        assert_eq!(peer.read_frame(), Frame::text("a"));
        if ends {
            peer.send_close(1000, "");
            assert_eq!(peer.read_close(), Some(1000));
        }
        drop(peer);
        let Event::Close(event) = events.lock().unwrap().next() else {
            panic!("not on_close")
        };
        assert_eq!(event.code(), code);
    }
}

/// The reading end may be moved to another thread, which goes on to the end of the connection
/// although the handler has returned: that began the end.
#[test]
fn served_reading_end_may_be_moved() {
    let (sender, receiver) = mpsc::channel();
    let events = Arc::new(Mutex::new(Recorder::new()));
    let told = Arc::clone(&events);
    let server = TestServer::start(Server::builder().config(quiet()).serve(
        move |ws, mut messages, _| {
            told.lock().unwrap().record_all(&ws);
            let (begun, has_begun) = mpsc::channel();
            let heard = sender.clone();
            thread::spawn(move || {
                let _ = begun.send(messages.recv());
                messages.for_each(|message| drop(heard.send(message)));
            });
            let _ = next(&has_begun);
            Ok(())
        },
    ));
    let mut peer = RawPeer::client_of(&server);
    peer.send_text("moved");
    assert_eq!(peer.read_close(), Some(1000));
    peer.send_text("still delivered");
    assert_eq!(next(&receiver), Ok(Message::from("still delivered")));
    peer.send_close(1000, "");
    peer.read_eof();
    assert_eq!(
        events.lock().unwrap().next_close().code(),
        CloseCode::NORMAL
    );
    settled("the connection is off the server's list", || {
        server.connection_count() == 0
    });
}

/// A moved reading end that is dropped after the handler has returned ends the connection like any
/// other: the closing handshake is done and `on_close` runs.
#[test]
fn moved_reading_end_may_be_dropped() {
    let events = Arc::new(Mutex::new(Recorder::new()));
    let told = Arc::clone(&events);
    let server = TestServer::start(Server::builder().config(quiet()).serve(
        move |ws, mut messages, _| {
            told.lock().unwrap().record_close(&ws);
            let (begun, has_begun) = mpsc::channel();
            thread::spawn(move || {
                let _ = begun.send(messages.recv());
                // The handler has returned when the server's Close has left.
                settled("the handler has returned", || !ws.is_open());
                drop(messages);
            });
            let _ = next(&has_begun);
            Ok(())
        },
    ));
    let mut peer = RawPeer::client_of(&server);
    peer.send_text("moved");
    assert_eq!(peer.read_close(), Some(1000));
    peer.send_close(1000, "");
    assert_eq!(peer.read_end(), End::Eof);
    assert_eq!(
        events.lock().unwrap().next_close().code(),
        CloseCode::NORMAL
    );
}

/// A server knows its open connections, by handles that are equal to those of its callbacks.
#[test]
fn server_lists_its_connections() {
    let (sender, receiver) = mpsc::channel();
    let server = TestServer::with(quiet(), move |ws| drop(sender.send(ws.clone())));
    let peers: Vec<_> = (0..5).map(|_| RawPeer::client_of(&server)).collect();
    let handles: HashSet<_> = (0..5).map(|_| next(&receiver)).collect();
    assert_eq!(handles.len(), 5);
    assert_eq!(server.connection_count(), 5);
    assert_eq!(
        server.connections().into_iter().collect::<HashSet<_>>(),
        handles
    );
    let addresses: HashSet<_> = handles.iter().map(WebSocket::peer_addr).collect();
    let expected = peers
        .iter()
        .map(|peer| peer.stream.local_addr().unwrap().into())
        .collect();
    assert_eq!(addresses, expected);
    drop(peers);
    settled("nobody is left", || server.connection_count() == 0);
    assert_eq!(server.connections(), []);
}

/// Handles are equal and hash alike if they are of the same connection; ids are never given twice.
#[test]
fn handles_are_equal_by_connection() {
    let server = TestServer::echo();
    let (one, _reading_one) = landline::open(server.url()).unwrap();
    let (other, _reading_other) = landline::open(server.url()).unwrap();
    let hash = |ws: &WebSocket| {
        let mut hasher = DefaultHasher::new();
        ws.hash(&mut hasher);
        hasher.finish()
    };
    assert_eq!(one, one.clone());
    assert_eq!(hash(&one), hash(&one.clone()));
    assert_ne!(one, other);
    assert_ne!(one.id(), other.id());
    assert_eq!(one.peer_addr(), server.local_addr());
    settled("the server lists it by its other end", || {
        let at_server = server.connections().into_iter();
        at_server
            .map(|ws| ws.peer_addr())
            .any(|address| address == one.local_addr())
    });
    assert!(format!("{one:?}").contains(&one.id().to_string()));
}
