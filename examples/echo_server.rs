//! Sends every message back: `echo_server [ADDR]`.

use std::env;

use landline::Server;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:9001".into());
    let server = Server::builder()
        .on_upgrade(|ws, _request| {
            ws.on_message(|ws, message| ws.send(message));
        })
        .bind(address)?;
    println!("listening on {}", server.url());
    server.wait()?;
    Ok(())
}
