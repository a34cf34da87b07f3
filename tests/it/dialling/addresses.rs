//! Names with several addresses.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use landline::{Client, Config, Server};
use socket2::{Domain, Socket, Type};

use super::assert_echo;
use crate::support::*;

/// An address that answers nothing, as its queue of connections is full, and what keeps it so.
fn silent(address: SocketAddr) -> Option<impl Sized> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).ok()?;
    socket.bind(&address.into()).ok()?;
    socket.listen(0).unwrap();
    let mut filling = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, ms(100)) {
        filling.push(stream);
    }
    Some((socket, filling))
}

/// A `::1` that answers nothing costs a moment before `127.0.0.1`, and not half of the whole time.
#[test]
fn silent_ipv6_costs_a_moment() {
    let builder =
        || Server::builder().on_upgrade(|ws, _| ws.on_message(|ws, message| ws.send(message)));
    let found = (0..20).find_map(|_| {
        let server = TestServer::of(builder().bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let port = tcp_addr(&server).port();
        Some((silent((Ipv6Addr::LOCALHOST, port).into())?, server))
    });
    let Some((_silent, server)) = found else {
        println!("there is no IPv6 here");
        return;
    };
    let client = Client::new().config(Config::new().handshake_timeout(Duration::from_secs(60)));
    let begun = Instant::now();
    assert_echo(
        &client,
        &format!("ws://localhost:{}/", tcp_addr(&server).port()),
    );
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(20), "it took {took:?}");
}
