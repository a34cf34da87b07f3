//! How a client connects, and why it cannot.

use std::error::Error as _;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::num::ParseIntError;
use std::sync::mpsc;
use std::thread;

use landline::{Client, CloseCode, Config, Error};

use crate::support::*;

/// A `set_up` that fails makes connecting fail with its error, and the server is told 1011.
#[test]
fn failing_set_up_fails_the_connect() {
    let raw = RawServer::new();
    thread::scope(|scope| {
        let served = scope.spawn(|| {
            let mut peer = raw.upgrade_with(&[]);
            let code = peer.read_close();
            peer.send_close(1011, "");
            code
        });
        let closed = Recorder::new();
        let failed = landline::connect(raw.url(), |ws| -> Result<(), ParseIntError> {
            closed.record_close(ws);
            "x".parse::<u8>().map(drop)
        });
        let Err(Error::Callback(text)) = failed else {
            panic!("{failed:?}")
        };
        assert!(text.contains("invalid digit"), "{text}");
        assert_eq!(served.join().unwrap(), Some(1011));
        assert_eq!(closed.next_close().code(), CloseCode::INTERNAL_ERROR);
    });
}

/// Nothing is read before `set_up` has returned: what comes meanwhile is delivered to what it sets.
#[test]
fn messages_wait_for_set_up() {
    let raw = RawServer::new();
    let heard = Recorder::new();
    thread::scope(|scope| {
        let (sent, was_sent) = mpsc::channel();
        let raw = &raw;
        let serving = scope.spawn(move || {
            let mut peer = raw.upgrade_with(&Frame::text("early").bytes(false));
            peer.send_text("later");
            sent.send(()).unwrap();
            peer
        });
        let ws = landline::connect(raw.url(), |ws| {
            next(&was_sent);
            heard.record_all(ws);
        });
        assert_eq!(heard.next(), Event::Text("early".into()));
        assert_eq!(heard.next(), Event::Text("later".into()));
        drop(serving.join().unwrap());
        drop(ws);
    });
}

/// A server that breaks off or hangs up in the handshake, and one that nobody is, may be there
/// later.
#[test]
fn lost_and_absent_servers_are_transient() {
    let raw = RawServer::new();
    let lost = thread::scope(|scope| {
        let connecting = scope.spawn(|| landline::open(raw.url()).map(drop).unwrap_err());
        let mut peer = raw.accept();
        peer.read_head();
        peer.reset();
        connecting.join().unwrap()
    });
    assert!(matches!(lost, Error::Io(_)), "{lost:?}");
    assert!(lost.is_transient() && lost.source().is_some());
    for begun in ["", "HTTP/1.1 101 Switching"] {
        let ended = refused(&Client::new(), begun);
        assert!(matches!(ended, Error::Io(_)), "{ended:?}");
        assert!(ended.is_transient() && ended.to_string().contains("closed"));
    }

    let absent = landline::open(format!("ws://{}", dead_port()))
        .map(drop)
        .unwrap_err();
    let Error::Connect(source) = &absent else {
        panic!("{absent:?}")
    };
    assert_eq!(source.kind(), ErrorKind::ConnectionRefused);
    assert!(absent.is_transient() && absent.source().is_some());
}

/// A server that never answers costs the handshake's time and no more, and so does one that never
/// ends its answer.
#[test]
fn silent_servers_time_out() {
    let client = Client::new().config(Config::new().handshake_timeout(ms(50)));
    for answer in [
        "",
        "HTTP/1.1 101 Switching Protocols\r\n",
        "HTTP/1.1 403 Forbidden\r\n",
    ] {
        let raw = RawServer::new();
        thread::scope(|scope| {
            let connecting = scope.spawn(|| client.open(raw.url()).map(drop).unwrap_err());
            let mut peer = raw.accept();
            // A stalled machine may have cut it by now.
            let _ = peer.try_send_bytes(answer);
            let error = connecting.join().unwrap();
            assert!(
                matches!(error, Error::Timeout(landline::Timeout::Handshake)),
                "{error:?}"
            );
            assert!(error.is_transient());
            drop(peer);
        });
    }
}

/// Of a name's addresses one that answers is enough, whichever it is.
#[test]
fn any_address_of_a_name_will_do() {
    let addresses: Vec<SocketAddr> = ("localhost", 0).to_socket_addrs().unwrap().collect();
    for address in addresses {
        let server = landline::Server::builder()
            .on_upgrade(|ws, _| ws.on_message(|ws, message| ws.send(message)))
            .bind(address)
            .unwrap();
        let port = tcp_addr(&server).port();
        let (ws, mut messages) = landline::open(format!("ws://localhost:{port}/")).unwrap();
        assert_eq!(ws.peer_addr().ip(), Some(address.ip()));
        ws.send("hello").unwrap();
        assert_eq!(messages.recv().unwrap(), landline::Message::from("hello"));
    }
    let dead = format!("ws://localhost:{}/", dead_port().port());
    let error = landline::open(dead).map(drop).unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{error:?}");
}

/// A server on IPv6 is reached by its URL.
#[test]
fn ipv6_urls_reach_their_server() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let server = landline::Server::builder()
        .on_upgrade(|_, _| ())
        .bind("[::1]:0")
        .unwrap();
    assert!(server.url().starts_with("ws://[::1]:"), "{}", server.url());
    let (ws, _messages) = landline::open(server.url()).unwrap();
    assert_eq!(ws.peer_addr(), server.local_addr());
}

/// A name that does not exist is an error of connecting.
#[test]
fn unknown_names_cannot_be_connected_to() {
    let client = Client::new().no_proxy().connect_timeout(ms(5000));
    let error = client
        .open("ws://no-such-host.invalid/")
        .map(drop)
        .unwrap_err();
    let expected = matches!(
        error,
        Error::Connect(_) | Error::Timeout(landline::Timeout::Handshake)
    );
    assert!(expected, "{error:?}");
}

/// What cannot be asked for is refused before a byte is sent: nobody knocks.
#[test]
fn unusable_urls_and_settings_are_invalid() {
    let raw = TcpListener::bind("127.0.0.1:0").unwrap();
    raw.set_nonblocking(true).unwrap();
    let address = raw.local_addr().unwrap();
    let url = format!("ws://{address}/");
    let invalid = [
        landline::open("").map(drop),
        landline::open("no url").map(drop),
        landline::open("/chat").map(drop),
        landline::open("ws://").map(drop),
        landline::open(format!("{address}")).map(drop),
        landline::open("ws://127.0.0.1:99999/").map(drop),
        landline::open(format!("ftp://{address}/")).map(drop),
        landline::connect(format!("file://{address}/"), |_| ()).map(drop),
        Client::new().header("Bad Name", "a").open(&url).map(drop),
        Client::new()
            .header("X-Bad", "a\r\nX-Injected: b")
            .open(&url)
            .map(drop),
        Client::new().header("Upgrade", "h2c").open(&url).map(drop),
        Client::new()
            .header("Sec-WebSocket-Key", "mine")
            .open(&url)
            .map(drop),
        Client::new()
            .header("Content-Length", "5")
            .open(&url)
            .map(drop),
        Client::new().subprotocols(["a b"]).open(&url).map(drop),
        Client::new()
            .subprotocols(["chat", "chat"])
            .open(&url)
            .map(drop),
        Client::new().subprotocols([""]).open(&url).map(drop),
    ];
    for (at, outcome) in invalid.into_iter().enumerate() {
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{at}: {error:?}");
        assert!(!error.is_transient() && !error.to_string().is_empty());
    }
    assert_eq!(
        raw.accept().unwrap_err().kind(),
        ErrorKind::WouldBlock,
        "somebody knocked"
    );
}

/// `wss://` and `https://` are refused as TLS, not as bad URLs: this build does not speak it.
#[test]
fn wss_is_an_error_of_tls() {
    for scheme in ["wss", "https"] {
        let url = format!("{scheme}://{}/", dead_port());
        let error = landline::open(url).map(drop).unwrap_err();
        // A build that speaks TLS finds nobody there.
        assert!(
            matches!(error, Error::Tls(_) | Error::Connect(_)),
            "{error:?}"
        );
    }
}

/// `http://` URLs mean the same as `ws://`.
#[test]
fn http_urls_are_taken() {
    let server = TestServer::echo();
    let url = server.url().replace("ws://", "http://");
    let (ws, mut messages) = landline::open(url).unwrap();
    ws.send("hello").unwrap();
    assert_eq!(messages.recv().unwrap(), landline::Message::from("hello"));
}
