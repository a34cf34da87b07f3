//! The servers that are compared.

use std::error::Error;

use crate::by_hand::{accept_each, echo_at_the_limit, echo_by_tungstenite};
use crate::process::{EchoServer, announce};

/// All of them. The last is measured against the others.
pub(crate) const SERVERS: &[EchoServer] = &[
    EchoServer {
        name: "limit",
        serve: || accept_each(echo_at_the_limit),
    },
    EchoServer {
        name: "tungstenite",
        serve: || accept_each(echo_by_tungstenite),
    },
    EchoServer {
        name: "landline",
        serve: serve_landline,
    },
];

/// Those that can be started and are compared with nothing: none.
pub(crate) const OTHERS: &[EchoServer] = &[];

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
