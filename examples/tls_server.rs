//! Sends every message back, over TLS: `tls_server ADDR CERT KEY`, the last two in PEM.
#![allow(clippy::print_stdout, reason = "a program that says where it listens")]

use std::{env, fs};

use landline::{Identity, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [address, certificate, key] = &arguments[..] else {
        return Err("usage: tls_server ADDR CERT KEY".into());
    };
    let server = Server::builder()
        .tls(Identity::from_pem(fs::read(certificate)?, fs::read(key)?))
        .on_upgrade(|ws, _request| {
            ws.on_message(|ws, message| ws.send(message));
        })
        .bind(address)?;
    println!("listening on {}", server.url());
    server.wait()?;
    Ok(())
}
