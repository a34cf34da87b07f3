//! Servers that several benches compare.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use landline::ServerBuilder;

use crate::shared::frames::answer_batches;
use crate::shared::process::announce;

/// Serves with landline.
pub(crate) fn serve_landline(builder: ServerBuilder) -> Result<(), Box<dyn Error>> {
    let server = builder.bind("127.0.0.1:0")?;
    announce(server.local_addr());
    server.wait()?;
    Ok(())
}

/// Echoes with landline.
pub(crate) fn echo_by_landline(builder: ServerBuilder) -> Result<(), Box<dyn Error>> {
    serve_landline(builder.on_upgrade(|ws, _request| {
        ws.on_message(|ws, message| ws.send(message));
    }))
}

/// Runs `serve` for every connection on a thread of its own; how a connection ends is nobody's concern here.
pub(crate) fn accept_each(
    serve: impl Fn(TcpStream) -> Result<(), Box<dyn Error>> + Clone + Send + 'static,
) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    announce(listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        let serve = serve.clone();
        thread::Builder::new().spawn(move || drop(serve(stream)))?;
    }
    Ok(())
}

/// Does the handshake.
pub(crate) fn upgrade<S: Read + Write>(stream: S) -> Result<S, Box<dyn Error>> {
    // The load sends nothing before it has the answer to its handshake, so nothing is left behind here.
    let socket = tungstenite::accept(stream).map_err(|_| "no handshake")?;
    Ok(socket.into_inner())
}

/// Echoes as tungstenite's users write it.
pub(crate) fn echo_by_tungstenite(stream: impl Read + Write) -> Result<(), Box<dyn Error>> {
    let mut socket = tungstenite::accept(stream).map_err(|_| "no handshake")?;
    loop {
        let message = socket.read()?;
        if message.is_text() || message.is_binary() {
            socket.send(message)?;
        }
    }
}

/// Echoes with frames parsed by hand, and checks nothing.
pub(crate) fn echo_at_the_limit(stream: impl Read + Write) -> Result<(), Box<dyn Error>> {
    answer_batches(upgrade(stream)?, |stream, frames| {
        Ok(stream.write_all(frames)?)
    })
}
