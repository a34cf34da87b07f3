//! Sends every message back: `echo_server [ADDR]`.
#![allow(clippy::print_stdout, reason = "a program that says where it listens")]

use std::env;

use landline::Server;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1);
    let server = Server::builder()
        .on_upgrade(|ws, _request| {
            ws.on_message(|ws, message| ws.send(message));
        })
        .bind(address.as_deref().unwrap_or("127.0.0.1:9001"))?;
    println!("listening on {}", server.url());
    server.wait()?;
    Ok(())
}
