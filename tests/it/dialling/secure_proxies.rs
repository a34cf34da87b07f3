//! TLS through proxies, and TLS to proxies: one within the other.

use std::any::Any;
use std::io::ErrorKind;
use std::thread;

use landline::{Client, Config, Error, TlsOptions};

use super::relay::{Protocol, Relay};
use super::{assert_echo, error_of};
use crate::support::*;

/// TLS to the server goes through any proxy, TLS to the proxy around all of it, by either engine.
#[test]
fn tls_goes_within_tls() {
    let plain = TestServer::echo();
    let secure = secure_echo(Config::new());
    for (scheme, protocol, secure_proxy) in [
        ("http", Protocol::Http, false),
        ("socks5h", Protocol::Socks5, false),
        ("https", Protocol::Http, true),
    ] {
        for (server, ws) in [(&plain, "ws"), (&secure, "wss")] {
            let relay = Relay::start(protocol, secure_proxy, true, tcp_addr(server));
            let proxy = format!(
                "{scheme}://user:password@localhost:{}",
                relay.address().port()
            );
            for engine in engines() {
                let client = trusting_by(engine).proxy(&proxy);
                assert_echo(&client, &format!("{ws}://localhost/"));
                let asked = relay.next();
                assert_eq!(asked.credentials.as_deref(), Some("user:password"));
            }
        }
    }
}

/// Large messages pass both layers in both directions, and callbacks too.
#[test]
fn large_messages_pass_both_layers() {
    let secure = secure_echo(Config::new());
    let relay = Relay::start(Protocol::Http, true, false, tcp_addr(&secure));
    for engine in engines() {
        let client = trusting_by(engine).proxy(format!("https://{}", relay.address()));
        let heard = Recorder::new();
        let ws = client
            .connect("wss://localhost/", |ws| heard.record_all(ws))
            .unwrap();
        let large = "x".repeat(2 << 20);
        for text in ["a", &large, "b", &large] {
            ws.send(text).unwrap();
        }
        for text in ["a", &large, "b", &large] {
            assert_eq!(heard.next(), Event::Text(text.into()));
        }
        ws.close();
        assert!(ws.wait_closed().unwrap().is_clean());
    }
}

/// A proxy that is not who its certificate says is an error that names it.
#[test]
fn certificates_of_proxies_are_checked() {
    let server = TestServer::echo();
    let relay = Relay::start(Protocol::Http, true, false, tcp_addr(&server));
    let proxy = format!("https://{}", relay.address());
    for engine in engines() {
        let untrusting = Client::new().tls(TlsOptions::new().engine(engine));
        let error = error_of(&untrusting.proxy(&proxy), "ws://example.com/");
        assert!(matches!(error, Error::Tls(_)), "{error:?}");
        let text = error.to_string();
        assert!(
            text.contains(&format!("the proxy {}: ", relay.address())),
            "{text}"
        );
    }
}

/// A proxy that speaks no TLS is an error that names it and says so.
#[test]
fn plain_proxies_are_told() {
    let raw = RawServer::new();
    thread::scope(|scope| {
        let client = trusting().proxy(format!("https://{}", raw.local_addr()));
        let connecting = scope.spawn(move || error_of(&client, "ws://example.com/"));
        let mut peer = raw.accept();
        peer.wait_for_bytes();
        peer.send_bytes("HTTP/1.1 400 Bad Request\r\n\r\n");
        let error = connecting.join().unwrap();
        let text = error.to_string();
        let begin = format!("TLS: the proxy {}: ", raw.local_addr());
        assert!(
            text.starts_with(&begin) && text.contains("does not speak TLS"),
            "{text}"
        );
    });
}

/// Where a proxy with TLS stops.
#[derive(Clone, Copy, Debug)]
enum Stop {
    /// Without a word.
    Hello,
    /// Behind its TLS handshake.
    Secured,
    /// Behind the tunnel, in the server's TLS handshake.
    Tunnel,
}

/// A client's connection to a proxy that stops there, to be kept. A client of little patience may have
/// gone before.
fn stop_at(stop: Stop, peer: RawPeer) -> Box<dyn Any> {
    if let Stop::Hello = stop {
        return Box::new(peer);
    }
    let Ok(mut peer) = TlsPeer::accept_over(peer) else {
        return Box::new(());
    };
    if let Stop::Tunnel = stop {
        let _ = peer.try_send_bytes("HTTP/1.1 200 OK\r\n\r\n");
    }
    Box::new(peer)
}

/// A proxy with TLS that falls silent or hangs up anywhere is an error in time, which says whose turn it
/// was; nothing is left.
#[test]
fn secure_proxies_may_stop_anywhere() {
    alone(|| {
        let raw = RawServer::new();
        let (proxy, config) = (format!("https://{}", raw.local_addr()), Config::new());
        let hasty = config.clone().handshake_timeout(ms(500));
        let before = Resources::now();
        for engine in engines() {
            let trusting = trusting_by(engine).proxy(&proxy);
            for stop in [Stop::Hello, Stop::Secured, Stop::Tunnel] {
                // The first to connect reads the system's roots, which takes time.
                for (config, hangs_up) in [(&config, true), (&hasty, false)] {
                    let client = trusting.clone().config(config.clone());
                    let error = thread::scope(|scope| {
                        let connecting = scope.spawn(|| error_of(&client, "wss://example.com/"));
                        let peer = raw.accept_unless(|| connecting.is_finished());
                        let kept = peer.map(|peer| stop_at(stop, peer)).filter(|_| !hangs_up);
                        let error = connecting.join().unwrap();
                        drop(kept);
                        error
                    });
                    let is_right = match (&error, stop) {
                        (Error::Timeout(_), Stop::Tunnel) => !hangs_up,
                        (Error::Io(_) | Error::Tls(_), Stop::Tunnel) => hangs_up,
                        (Error::Proxy(error), _) => hangs_up || error.kind() == ErrorKind::TimedOut,
                        _ => false,
                    };
                    assert!(is_right, "{stop:?} {hangs_up}: {error:?}");
                    assert!(error.is_transient(), "{error:?}");
                }
            }
        }
        before.settle_back();
    });
}
