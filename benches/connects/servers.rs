//! The servers that are connected to.

use std::error::Error;

use crate::by_hand::{accept_each, echo_by_tungstenite};
use crate::process::{EchoServer, announce};

/// All of them.
pub(crate) const SERVERS: &[EchoServer] = &[TUNGSTENITE, LANDLINE];

pub(crate) const OTHERS: &[EchoServer] = &[];

pub(crate) const TUNGSTENITE: EchoServer = EchoServer {
    name: "tungstenite",
    serve: || accept_each(echo_by_tungstenite),
};

pub(crate) const LANDLINE: EchoServer = EchoServer {
    name: "landline",
    serve: serve_landline,
};

fn serve_landline() -> Result<(), Box<dyn Error>> {
    let server = landline::Server::builder()
        .on_upgrade(|ws, _request| {
            ws.on_message(|ws, message| ws.send(message));
        })
        .bind("127.0.0.1:0")?;
    announce(server.local_addr());
    server.wait()?;
    Ok(())
}
