//! Passes every message on to everybody who is connected: `broadcast [ADDR]`.
#![allow(clippy::print_stdout, reason = "a program that says where it listens")]

use std::env;

use landline::{Group, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1);
    let everybody = Group::new();
    let server = Server::builder()
        .on_upgrade(move |ws, _request| {
            everybody.join(ws);
            let everybody = everybody.clone();
            ws.on_message(move |_, message| {
                // It waits for nobody: a connection that reads too slowly is closed.
                everybody.send(message);
            });
        })
        .bind(address.as_deref().unwrap_or("127.0.0.1:9001"))?;
    println!("listening on {}", server.url());
    server.wait()?;
    Ok(())
}
