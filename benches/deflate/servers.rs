//! The servers that are compared.

use std::error::Error;

use landline::{Compression, Config, Server};

use crate::by_hand::{Streams, serve_the_limit};
use crate::process::{EchoServer, announce};
use crate::workload::{Workload, level};

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

/// The least size that is compressed: less than the smallest workload.
const MIN_SIZE: usize = 100;

/// Tells whether a frame is the echo of a workload's message: the same compressor makes the same bytes.
pub(crate) fn is_echo(workload: &Workload, frame: &[u8]) -> Result<bool, Box<dyn Error>> {
    let mut echo = Vec::new();
    Streams::new().append(&workload.payload(), None, &mut echo);
    Ok(frame == echo)
}

pub(crate) fn serve_landline() -> Result<(), Box<dyn Error>> {
    let compression = Compression::new().level(level()).min_size(MIN_SIZE);
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
