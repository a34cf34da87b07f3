//! TLS through proxies, and TLS to proxies: one within the other.

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
    std::thread::scope(|scope| {
        let client = trusting().proxy(format!("https://{}", raw.local_addr()));
        let connecting = scope.spawn(move || error_of(&client, "ws://example.com/"));
        let mut peer = raw.accept();
        peer.gulp(4096);
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

/// TLS handshakes with a proxy that fall silent are errors at the deadline.
#[test]
fn silent_secure_proxies_time_out() {
    let raw = RawServer::new();
    let client = trusting()
        .proxy(format!("https://{}", raw.local_addr()))
        .connect_timeout(ms(50));
    let error = error_of(&client, "wss://example.com/");
    let Error::Proxy(source) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(source.kind(), std::io::ErrorKind::TimedOut);
    let address = raw.local_addr().to_string();
    assert!(error.to_string().contains(&address), "{error}");
}
