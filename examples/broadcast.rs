//! Passes every text on to everybody who is connected: `broadcast [ADDR]`.
#![allow(clippy::print_stdout, reason = "a program that says where it listens")]

use std::env;

use landline::{CloseCode, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1);
    let server = Server::builder()
        .on_upgrade(|ws, request| {
            let server = request.server().clone();
            ws.on_text(move |_, text| {
                for everybody in server.connections() {
                    // Waiting for room would make one slow reader everybody's problem.
                    if everybody.try_send(&text).is_err() {
                        let _ = everybody.close_with(CloseCode::POLICY_VIOLATION, "too slow");
                    }
                }
            });
        })
        .bind(address.as_deref().unwrap_or("127.0.0.1:9001"))?;
    println!("listening on {}", server.url());
    server.wait()?;
    Ok(())
}
