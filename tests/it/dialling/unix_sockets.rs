//! Clients over Unix sockets.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, process, thread};

use landline::{Client, Error};

use super::error_of;
use crate::support::*;

/// A Unix socket with a path, which goes with it.
pub(super) struct Bound {
    pub(super) listener: UnixListener,
    pub(super) path: PathBuf,
}

impl Bound {
    pub(super) fn new() -> Self {
        // A colon and a space, which URLs write otherwise.
        let path = Self::free_path().with_extension("a:b c");
        let listener = UnixListener::bind(&path).unwrap();
        Self { listener, path }
    }

    /// Returns a path where no socket is.
    pub(super) fn free_path() -> PathBuf {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = temp_dir().join(format!("landline-{}-{count}.sock", process::id()));
        let _ = fs::remove_file(&path);
        path
    }

    /// Returns the path as a URL has it.
    fn in_url(&self) -> String {
        let path = self.path.to_str().unwrap();
        path.replace(':', "%3A").replace(' ', "%20")
    }

    /// Accepts a client, answers it, sends back its message, and returns the head of its request.
    fn serve_one(&self) -> String {
        let (mut stream, _) = self.listener.accept().unwrap();
        let head = read_head(&mut stream);
        stream
            .write_all(with_accept_key(SWITCHING, &head).as_bytes())
            .unwrap();
        let mut peer = tungstenite::WebSocket::from_raw_socket(
            stream,
            tungstenite::protocol::Role::Server,
            None,
        );
        let message = peer.read().unwrap();
        peer.send(message).unwrap();
        while peer.read().is_ok() {}
        head
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn read_head(stream: &mut UnixStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

/// Connects once, and returns the head of the request.
#[track_caller]
fn request_over(bound: &Bound, client: &Client, url: &str) -> String {
    thread::scope(|scope| {
        let serving = scope.spawn(|| bound.serve_one());
        let (ws, mut messages) = client.open(url).unwrap();
        assert!(ws.peer_addr().is_unix());
        ws.send("hello").unwrap();
        assert_eq!(messages.recv().unwrap().as_text(), Some("hello"));
        assert!(messages.close().is_clean());
        serving.join().unwrap()
    })
}

/// The socket is the client's, Host and path are the URL's; or the URL names the socket, and Host is one
/// that servers accept.
#[test]
fn requests_say_what_their_urls_say() {
    let bound = Bound::new();
    let client = Client::new().unix_socket(&bound.path);
    let head = request_over(&bound, &client, "ws://example.com:81/a?b");
    assert!(head.starts_with("GET /a?b HTTP/1.1\r\n"), "{head}");
    assert_eq!(field(&head, "host"), Some("example.com:81"));

    let url = format!("ws+unix:{}:/a?b", bound.in_url());
    for client in [Client::new(), Client::new().proxy("http://127.0.0.1:1")] {
        let head = request_over(&bound, &client, &url);
        assert!(head.starts_with("GET /a?b HTTP/1.1\r\n"), "{head}");
        assert_eq!(field(&head, "host"), Some("localhost"));
    }
    let head = request_over(
        &bound,
        &Client::new(),
        &format!("ws+unix:{}", bound.in_url()),
    );
    assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
}

/// A redirect within the origin stays on the socket.
#[test]
fn redirects_stay_on_the_socket() {
    let bound = Bound::new();
    let url = format!("ws+unix:{}:/a", bound.in_url());
    let head = thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let (mut stream, _) = bound.listener.accept().unwrap();
            read_head(&mut stream);
            stream.write_all(found("/b").as_bytes()).unwrap();
            bound.serve_one()
        });
        let (ws, mut messages) = Client::new().redirects(1).open(&url).unwrap();
        ws.send("hello").unwrap();
        messages.recv().unwrap();
        drop((ws, messages));
        serving.join().unwrap()
    });
    assert!(head.starts_with("GET /b "), "{head}");
}

/// A socket that nobody serves is an error that names it; a path that cannot be one is invalid.
#[test]
fn errors_name_the_socket() {
    for (client, url) in [
        (Client::new().unix_socket("/no/such.sock"), "ws://a/"),
        (Client::new(), "ws+unix:/no/such.sock:/"),
    ] {
        let error = error_of(&client, url);
        assert!(matches!(error, Error::Connect(_)), "{error:?}");
        assert!(error.is_transient());
        let text = error.to_string();
        assert!(
            text.starts_with("cannot connect to unix:/no/such.sock: "),
            "{text}"
        );
    }
    for path in [String::new(), "x".repeat(300)] {
        let error = error_of(&Client::new().unix_socket(path), "ws://a/");
        assert!(matches!(error, Error::Invalid(_)), "{error:?}");
    }
}

/// TLS goes over a Unix socket, with the URL's host.
#[test]
#[cfg(feature = "tls")]
fn tls_goes_over_unix_sockets() {
    let bound = Bound::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..2 {
                let (stream, _) = bound.listener.accept().unwrap();
                let stream = acceptor().accept(stream).unwrap();
                let mut peer = tungstenite::accept(stream).unwrap();
                let message = peer.read().unwrap();
                peer.send(message).unwrap();
                while peer.read().is_ok() {}
            }
        });
        let by_url = format!("wss+unix:{}:/", bound.in_url());
        let by_client = trusting().unix_socket(&bound.path);
        for (client, url) in [(by_client, "wss://localhost/"), (trusting(), &*by_url)] {
            let (ws, mut messages) = client.open(url).unwrap();
            ws.send("hello").unwrap();
            assert_eq!(messages.recv().unwrap().as_text(), Some("hello"));
            messages.close();
        }
    });
}
