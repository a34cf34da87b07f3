//! The servers that are compared.

use std::error::Error;
use std::io::Read;
use std::net::{TcpListener, TcpStream};

use landline::{Identity, Server};
use native_tls::TlsStream;
use tungstenite::protocol::WebSocketConfig;

use crate::shared::process::{Program, announce};
use crate::shared::servers::{
    accept_each, echo_at_the_limit, echo_by_landline, echo_by_tungstenite,
};
use crate::tls::{acceptor, certificate};

/// All of them. The last is measured against the others.
pub(crate) const SERVERS: &[Program] = &[
    Program {
        name: "limit",
        serve: || accept_each_over_tls(echo_at_the_limit),
    },
    Program {
        name: "tungstenite",
        serve: || accept_each_over_tls(echo_by_tungstenite),
    },
    Program {
        name: "landline",
        serve: || {
            let (chain, key) = certificate()?;
            echo_by_landline(Server::builder().tls(Identity::from_pem(chain, key)))
        },
    },
];

/// Those that are only looked at while they are idle.
pub(crate) const OTHERS: &[Program] = &[
    Program {
        name: "streams",
        serve: hold_streams,
    },
    Program {
        name: "threads",
        serve: || accept_each_over_tls(hold_here),
    },
    Program {
        name: "landline ws",
        serve: || echo_by_landline(Server::builder()),
    },
];

fn accept_each_over_tls(
    echo: fn(TlsStream<TcpStream>) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let acceptor = acceptor()?;
    accept_each(move |stream| echo(acceptor.accept(stream)?))
}

/// Echoes one message on each connection and keeps it.
fn hold_streams() -> Result<(), Box<dyn Error>> {
    let acceptor = acceptor()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    announce(listener.local_addr()?);
    let mut held = Vec::new();
    for stream in listener.incoming() {
        held.push(echo_once(acceptor.accept(stream?)?)?);
    }
    Ok(())
}

/// Echoes one message and keeps the connection until it has another.
fn hold_here(stream: TlsStream<TcpStream>) -> Result<(), Box<dyn Error>> {
    echo_once(stream)?.read_exact(&mut [0])?;
    Ok(())
}

/// Keeps no buffer but OpenSSL's.
fn echo_once(stream: TlsStream<TcpStream>) -> Result<TlsStream<TcpStream>, Box<dyn Error>> {
    let small = WebSocketConfig::default().read_buffer_size(512);
    let mut socket =
        tungstenite::accept_with_config(stream, Some(small)).map_err(|_| "no handshake")?;
    let message = socket.read()?;
    socket.send(message)?;
    Ok(socket.into_inner())
}
