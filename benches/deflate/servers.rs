//! The servers that are compared.

use std::error::Error;

use landline::{Compression, Config, Server};

use crate::by_hand::serve_the_limit;
use crate::process::{EchoServer, announce};

/// All of them. The last is measured against the others.
pub(crate) const SERVERS: &[EchoServer] = &[
    EchoServer {
        name: "limit",
        serve: serve_the_limit,
    },
    EchoServer {
        name: "landline",
        serve: serve_landline,
    },
];

/// Those that can be started and are compared with nothing: none.
pub(crate) const OTHERS: &[EchoServer] = &[];

fn serve_landline() -> Result<(), Box<dyn Error>> {
    // Less than the smallest message of the load.
    let compression = Compression::new().min_size(100);
    let server = Server::builder()
        .config(Config::new().compression(compression))
        .on_upgrade(|ws, _request| {
            ws.on_message(|ws, message| ws.send(message));
        })
        .bind("127.0.0.1:0")?;
    announce(server.local_addr());
    server.wait()?;
    Ok(())
}
