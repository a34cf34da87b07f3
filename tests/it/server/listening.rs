//! Where a server listens.

use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};

use landline::{Error, Server, ServerBuilder};

use crate::support::*;

fn echo() -> ServerBuilder {
    Server::builder().on_upgrade(|ws, _| ws.on_text(|ws, text| ws.send(text)))
}

/// A name with several addresses is listened for on all of them, with one port, and each serves.
#[test]
fn names_are_listened_for_on_all_their_addresses() {
    let v6: SocketAddr = "[::1]:0".parse().unwrap();
    let all: [SocketAddr; 3] =
        ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0"].map(|address| address.parse().unwrap());
    let has_v6 = std::net::TcpListener::bind(v6).is_ok();
    let addresses: Vec<_> = all.into_iter().chain(has_v6.then_some(v6)).collect();
    let server = echo().bind(&addresses[..]).unwrap();
    let port = tcp_addr(&server).port();
    let bound: Vec<_> = server
        .local_addrs()
        .iter()
        .map(|own| (own.ip().unwrap(), own.port().unwrap()))
        .collect();
    let expected: Vec<_> = addresses
        .iter()
        .map(|address| (address.ip(), port))
        .collect();
    assert_eq!(bound, expected);
    for address in addresses {
        let (ws, mut messages) =
            landline::open(format!("ws://{}:{port}", host(address.ip()))).unwrap();
        ws.send("hello").unwrap();
        assert_eq!(
            messages.recv().unwrap().as_text(),
            Some("hello"),
            "{address}"
        );
    }
}

fn host(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// `localhost` is reached by every address that the system has for it.
#[test]
fn localhost_is_reached_by_each_of_its_addresses() {
    let server = echo().bind("localhost:0").unwrap();
    let port = tcp_addr(&server).port();
    for address in ("localhost", port).to_socket_addrs().unwrap() {
        if std::net::TcpListener::bind((address.ip(), 0)).is_ok() {
            TcpStream::connect(address).unwrap();
        }
    }
}

/// An address without a host says what to write.
#[test]
fn addresses_without_a_host_say_what_to_write() {
    for address in [":9001", "*:9001", "9001", "127.0.0.1"] {
        let error = echo().bind(address).unwrap_err();
        assert!(matches!(error, Error::Bind(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("0.0.0.0:9001"), "{address}: {text}");
    }
}

/// An address that this machine does not have is left out; one that is taken is an error; and nothing
/// else stays bound then.
#[test]
fn taken_addresses_are_errors() {
    let none = "192.0.2.1:0".parse().unwrap();
    let own: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let server = echo().bind(&[none, own][..]).unwrap();
    let taken = tcp_addr(&server);
    assert_eq!(taken.ip(), own.ip());
    let other = SocketAddr::from(([127, 0, 0, 2], taken.port()));
    let error = echo().bind(&[other, taken][..]).unwrap_err();
    assert!(error.to_string().contains(&taken.to_string()), "{error}");
    std::net::TcpListener::bind(other).unwrap();
}

/// One DEBUG record at `bind` tells what limits were found.
#[test]
fn limits_are_told_once() {
    alone(|| {
        let logger = Logger::install(|_| {});
        let server = TestServer::echo();
        RawPeer::client_of(&server);
        let records = logger.so_far();
        let told: Vec<_> = records
            .iter()
            .filter(|record| record.starts_with("DEBUG the system allows "))
            .collect();
        assert_eq!(told.len(), 1, "{records:#?}");
        for limit in ["descriptors", "threads", "memory maps", "control groups"] {
            assert!(told[0].contains(limit), "{told:?}");
        }
    });
}
