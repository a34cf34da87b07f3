//! Through proxies: what they are asked, and what comes of their answers.

use std::io::ErrorKind;
use std::thread;

use landline::{Client, Config, Error};

use super::relay::{Protocol, Relay};
use super::{assert_echo, calling_localhost, error_of};
use crate::support::*;

/// A proxy is asked for the URL's host and port, or for its address if names are looked up here, and is
/// told user and password, decoded.
#[test]
fn proxies_are_asked_for_the_server() {
    let server = TestServer::echo();
    for (scheme, protocol, asked_for) in [
        ("http", Protocol::Http, "localhost:81"),
        ("socks5h", Protocol::Socks5, "localhost:81"),
        ("socks5", Protocol::Socks5, "[::1]:81"),
    ] {
        for (user, credentials) in [("", None), ("us%20er:p%3Aw@", Some("us er:p:w"))] {
            let relay = Relay::start(protocol, false, credentials.is_some(), tcp_addr(&server));
            let url = format!("{scheme}://{user}{}", relay.address());
            let client = calling_localhost().proxy(url);
            assert_echo(&client, "ws://localhost:81/");
            let asked = relay.next();
            assert_eq!(asked.server, asked_for, "{scheme}");
            assert_eq!(asked.credentials.as_deref(), credentials, "{scheme}");
            for (host, asked_for) in [("192.0.2.1", "192.0.2.1:80"), ("[::1]", "[::1]:80")] {
                assert_echo(&client, &format!("ws://{host}/"));
                assert_eq!(relay.next().server, asked_for, "{scheme}");
            }
        }
    }
}

/// A proxy that wants credentials is an error of its own: of HTTP with status, headers and body.
#[test]
fn proxies_that_want_credentials_are_told_apart() {
    let server = TestServer::echo();
    let relay = Relay::start(Protocol::Http, false, true, tcp_addr(&server));
    let error = error_of(
        &Client::new().proxy(relay.address().to_string()),
        "ws://example.com/",
    );
    let Error::ProxyRefused(refusal) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(refusal.status, 407);
    assert_eq!(refusal.headers["proxy-authenticate"], "Basic");
    assert_eq!(&refusal.body[..], b"who's it?");
    let text = error.to_string();
    let begin = format!("the proxy {} refused to connect: 407 ", relay.address());
    assert!(text.starts_with(&begin), "{text}");
    assert!(!error.is_transient());

    let relay = Relay::start(Protocol::Socks5, false, true, tcp_addr(&server));
    let url = format!("socks5h://{}", relay.address());
    let error = error_of(&Client::new().proxy(url), "ws://example.com/");
    let Error::Proxy(source) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(source.kind(), ErrorKind::PermissionDenied);
    assert!(!error.is_transient());
}

/// Asks through a proxy that answers each message of ours with the next of these.
#[track_caller]
fn answered(scheme: &str, url: &str, answers: &[&[u8]]) -> Error {
    let raw = RawServer::new();
    thread::scope(|scope| {
        let client = Client::new().proxy(format!("{scheme}://secret:secret@{}", raw.local_addr()));
        let connecting = scope.spawn(move || error_of(&client, url));
        let mut peer = raw.accept();
        for answer in answers {
            peer.wait_for_bytes();
            let _ = peer.try_send_bytes(answer);
        }
        peer.send_fin();
        let error = connecting.join().unwrap();
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains("secret"), "{text}");
            assert!(text.contains(&raw.local_addr().to_string()), "{text}");
        }
        error
    })
}

/// A proxy that cannot connect, or does not speak its protocol, is an error that says so and names both.
#[test]
fn failures_say_what_the_proxy_said() {
    let long = [&b"\x05\x05\0\x03\x0bexample.com"[..], b"\0\x50"].concat();
    for (scheme, answers, kind, words) in [
        (
            "http",
            &[&b"HTTP/1.1 200"[..]][..],
            ErrorKind::UnexpectedEof,
            "closed the connection",
        ),
        (
            "http",
            &[b"\x05\xff"],
            ErrorKind::InvalidData,
            "does not answer in HTTP",
        ),
        (
            "http",
            &[b"\x15\x03\x03\0\x02\x02\x28"],
            ErrorKind::InvalidData,
            "https:// was probably",
        ),
        (
            "http",
            &[b"HTTP/1.1 200 OK\r\n\r\nhello"],
            ErrorKind::InvalidData,
            "before anything was",
        ),
        (
            "socks5h",
            &[b"HTTP/1.1 400 Bad Request\r\n\r\n"],
            ErrorKind::InvalidData,
            "http:// was",
        ),
        (
            "socks5h",
            &[b"\x04\x5b"],
            ErrorKind::InvalidData,
            "does not speak SOCKS5",
        ),
        (
            "socks5h",
            &[b"\x05\xff"],
            ErrorKind::PermissionDenied,
            "no user",
        ),
        (
            "socks5h",
            &[b"\x05\x02", b"\x01\x01"],
            ErrorKind::PermissionDenied,
            "this password",
        ),
        (
            "socks5h",
            &[b"\x05\0", b"\x05\x01"],
            ErrorKind::Other,
            "general failure",
        ),
        (
            "socks5h",
            &[b"\x05\0", b"\x05\x02\0\x01"],
            ErrorKind::PermissionDenied,
            "rules",
        ),
        (
            "socks5h",
            &[b"\x05\0", b"\x05\x04\0\x01\0\0\0\0\0\0"],
            ErrorKind::HostUnreachable,
            "host",
        ),
        (
            "socks5h",
            &[b"\x05\0", &long],
            ErrorKind::ConnectionRefused,
            "refused",
        ),
        (
            "socks5h",
            &[b"\x05\0", b"\x05\0\0\x01\0\0\0\0\0\0x"],
            ErrorKind::InvalidData,
            "before",
        ),
        (
            "socks5h",
            &[b"\x05\0"],
            ErrorKind::UnexpectedEof,
            "closed the connection",
        ),
    ] {
        let error = answered(scheme, "ws://example.com:81/", answers);
        let Error::Proxy(source) = &error else {
            panic!("{answers:?}: {error:?}")
        };
        assert_eq!(source.kind(), kind, "{answers:?}: {error}");
        let text = error.to_string();
        assert!(
            text.starts_with("cannot connect to example.com:81 through the proxy "),
            "{text}"
        );
        assert!(text.contains(words), "{text}");
    }
    let error = answered(
        "http",
        "ws://a/",
        &[b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"],
    );
    assert!(
        matches!(error, Error::ProxyRefused(_)) && error.is_transient(),
        "{error:?}"
    );
}

/// Of a name's addresses a proxy is asked for one after the other.
#[test]
fn proxies_are_asked_for_each_address() {
    let raw = RawServer::new();
    let client = Client::new().proxy(format!("socks5://{}", raw.local_addr()));
    thread::scope(|scope| {
        let connecting = scope.spawn(|| client.open("ws://localhost/").map(drop));
        for (failure, last) in [
            (&b"\x05\x03"[..], false),
            (b"\x05\0\0\x01\0\0\0\0\0\0", true),
        ] {
            let mut peer = raw.accept();
            for answer in [b"\x05\0", failure] {
                peer.wait_for_bytes();
                peer.send_bytes(answer);
            }
            if last {
                let request = peer.read_head();
                assert_eq!(field(&request, "host"), Some("localhost"));
                peer.send_bytes(with_accept_key(SWITCHING, &request));
                connecting.join().unwrap().unwrap();
                return;
            }
        }
    });
}

/// A proxy that is not there is named, with the step.
#[test]
fn absent_proxies_are_named() {
    let dead = dead_port();
    let error = error_of(
        &Client::new().proxy(format!("http://u:secret@{dead}")),
        "wss://a/",
    );
    let Error::Proxy(source) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(source.kind(), ErrorKind::ConnectionRefused);
    let begin = format!("cannot connect to the proxy {dead}: ");
    let text = error.to_string();
    assert!(text.starts_with(&begin) && error.is_transient(), "{text}");
    assert!(!text.contains("secret") && !format!("{error:?}").contains("secret"));
}

/// A proxy's URL that cannot be used is invalid, and shown nowhere; neither is one that can.
#[test]
fn credentials_are_not_shown() {
    let client = Client::new().proxy("ftp://user:secret@host");
    let error = error_of(&client, "ws://example.com/");
    assert!(matches!(error, Error::Invalid(_)), "{error:?}");
    assert!(!error.to_string().contains("secret"));
    let client = Client::new().proxy("http://user:secret@host");
    assert!(!format!("{client:?}").contains("secret"));
}

/// A stream of the program's own may lead to the proxy.
#[test]
fn given_streams_lead_to_the_proxy() {
    let server = TestServer::echo();
    let relay = Relay::start(Protocol::Http, false, false, tcp_addr(&server));
    let address = relay.address();
    let client = calling_localhost()
        .proxy("http://proxy.example:3128")
        .dial_with(move |host, port, _| {
            assert_eq!((host, port), ("proxy.example", 3128));
            std::net::TcpStream::connect(address)
        });
    assert_echo(&client, "ws://example.com/");
    assert_eq!(relay.next().server, "example.com:80");
}

/// What a tunnel carries is as long as without it.
#[test]
fn tunnels_carry_large_messages() {
    let config = Config::new();
    let server = TestServer::echo_with(config);
    let relay = Relay::start(Protocol::Socks5, false, false, tcp_addr(&server));
    let client = calling_localhost().proxy(format!("socks5h://{}", relay.address()));
    let (ws, mut messages) = client.open("ws://example.com/").unwrap();
    let large = vec![7; 3 << 20];
    ws.send(&large).unwrap();
    assert_eq!(messages.recv().unwrap().as_bytes(), &large[..]);
}
