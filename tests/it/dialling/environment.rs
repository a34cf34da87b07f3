//! Proxies that the environment names.

use std::path::Path;

use landline::{Client, Error};

use super::relay::{Protocol, Relay};
use super::{assert_echo, calling_localhost, error_of};
use crate::support::*;

/// The environment's proxy is for hosts elsewhere, unless the client says otherwise; this machine is
/// reached directly.
#[test]
fn environments_name_proxies() {
    // Nobody is there: who asks this proxy fails.
    let (proxy, none) = (Path::new("http://user:secret@127.0.0.1:1"), Path::new(""));
    let variables = [
        ("http_proxy", proxy),
        ("https_proxy", proxy),
        ("all_proxy", none),
        ("ws_proxy", none),
        ("WS_PROXY", none),
        ("NO_PROXY", none),
        ("no_proxy", Path::new("direct.invalid")),
    ];
    alone_with(&variables, || {
        let server = TestServer::echo();
        let port = tcp_addr(&server).port();
        for host in ["127.0.0.1", "localhost"] {
            assert_echo(&Client::new(), &format!("ws://{host}:{port}/"));
        }
        let error = error_of(&Client::new(), "ws://example.invalid/");
        assert!(matches!(error, Error::Proxy(_)), "{error:?}");
        let text = format!("{error} {error:?}");
        assert!(
            text.contains("127.0.0.1:1") && !text.contains("secret"),
            "{text}"
        );
        for client in [Client::new(), Client::new().no_proxy()] {
            let error = error_of(&client, "ws://direct.invalid/");
            assert!(matches!(error, Error::Connect(_)), "{error:?}");
        }
        let error = error_of(&Client::new().no_proxy(), "ws://example.invalid/");
        assert!(matches!(error, Error::Connect(_)), "{error:?}");
        let relay = Relay::start(Protocol::Http, false, false, tcp_addr(&server));
        let client = calling_localhost().proxy(relay.address().to_string());
        assert_echo(&client, "ws://direct.invalid/");
        assert!(relay.was_asked());
        // What the program dials goes its own way.
        let address = tcp_addr(&server);
        let client =
            calling_localhost().dial_with(move |_, _, _| std::net::TcpStream::connect(address));
        assert_echo(&client, "ws://example.invalid/");
    });
}
