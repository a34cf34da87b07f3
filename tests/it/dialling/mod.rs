//! How a client gets to its server: over Unix sockets, by streams of the program's own, through
//! proxies.

mod addresses;
mod environment;
#[cfg(unix)]
mod given_streams;
mod proxies;
#[cfg(feature = "tls")]
#[cfg(unix)]
mod real_proxies;
#[cfg(unix)]
mod real_unix_servers;
mod relay;
#[cfg(feature = "tls")]
mod secure_proxies;
mod stalled_proxies;
#[cfg(unix)]
mod unix_sockets;

use landline::{Client, Error, Message};

/// Makes a client that calls its server by this machine's name, whatever the URL's: servers on loopback
/// addresses take no other from there.
fn calling_localhost() -> Client {
    Client::new().header("Host", "localhost")
}

/// Has a client say hello to a server that sends every message back.
#[track_caller]
fn assert_echo(client: &Client, url: &str) {
    let (ws, mut messages) = client.open(url).unwrap();
    for text in ["hello", &"long ".repeat(20_000)] {
        ws.send(text).unwrap();
        assert_eq!(messages.recv().unwrap(), Message::from(text));
    }
    assert!(messages.close().is_clean());
}

#[track_caller]
fn error_of(client: &Client, url: &str) -> Error {
    client.open(url).map(drop).unwrap_err()
}
