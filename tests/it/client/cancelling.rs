//! Waits of a client that another thread ends.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use landline::{Canceller, Client, Error};

use crate::support::*;

/// Asserts that connecting is under way, and that a cancel ends it, and all that come later.
#[track_caller]
fn cancelled(client: &Client, url: String, is_under_way: impl FnOnce()) {
    let connecting = thread::spawn({
        let client = client.clone();
        move || client.open(url).map(drop).unwrap_err()
    });
    is_under_way();
    client.canceller().cancel();
    let error = connecting.join().unwrap();
    assert!(matches!(error, Error::Cancelled), "{error:?}");
    assert!(!error.is_transient());
    let later = client.clone().open("ws://127.0.0.1:1").map(drop);
    assert!(matches!(later, Err(Error::Cancelled)), "{later:?}");
}

/// A handshake that is not answered ends with the cancel, and its server is told by the end of the
/// connection.
#[test]
fn handshakes_are_cancelled() {
    for answer in ["", "HTTP/1.1 101 Switching", "HTTP/1.1 403 No\r\n\r\nbe"] {
        let raw = RawServer::new();
        let mut peer = None;
        cancelled(&Client::new(), raw.url(), || {
            let peer = peer.insert(raw.accept());
            peer.read_head();
            peer.send_bytes(answer);
        });
        peer.unwrap().read_end();
    }
}

/// A listener that lets nobody in any more: its queue is full, and who connects waits.
pub(crate) fn full_listener() -> (TcpListener, SocketAddr, Vec<TcpStream>) {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        None,
    );
    let socket = socket.unwrap();
    rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    rustix::net::listen(&socket, 0).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let fill = || TcpStream::connect_timeout(&address, ms(300)).ok();
    let filling = std::iter::from_fn(fill).collect();
    (listener, address, filling)
}

/// So does a connect whose SYN nobody answers.
#[test]
fn connects_are_cancelled() {
    let (_listener, address, _filling) = full_listener();
    cancelled(&Client::new(), format!("ws://{address}"), || {
        settled("a socket connects", || is_connecting(address));
    });
}

/// Tells whether a socket of this machine has sent its SYN there and has no answer.
fn is_connecting(to: SocketAddr) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let remote = format!("0100007F:{:04X} 02", to.port());
    table.lines().any(|line| line.contains(&remote))
}

/// A client with a canceller of its own goes on, and its own ends it.
#[test]
fn cancellers_are_given() {
    let server = TestServer::echo();
    let client = Client::new();
    let other = client.clone().with_canceller(Canceller::new());
    client.canceller().cancel();
    assert!(client.open(server.url()).is_err());
    let (ws, _messages) = other.open(server.url()).unwrap();
    other.clone().canceller().cancel();
    assert!(other.open(server.url()).is_err());
    assert!(ws.is_open(), "a cancel ends waits, not what is open");
}
