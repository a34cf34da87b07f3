//! A server as systemd and people run it: `service [ADDRESS]...`, such as `127.0.0.1:9001` or
//! `unix:/run/app.sock`. It listens at the sockets that systemd hands it, or else at the addresses,
//! and stops within two seconds of Ctrl-C or SIGTERM.
#![allow(clippy::print_stdout, reason = "a program that says where it listens")]

use std::env;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use landline::Server;
use listenfd::ListenFd;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let addresses: Vec<_> = env::args().skip(1).collect();
    let handed = sockets_of_systemd()?;
    let builder = Server::builder().on_upgrade(|ws, _request| {
        ws.on_message(|ws, message| ws.send(message));
    });
    let server = if !handed.is_empty() {
        builder.bind(handed)?
    } else if !addresses.is_empty() {
        builder.bind(addresses)?
    } else {
        builder.bind("127.0.0.1:9001")?
    };
    // With its feature `termination` the crate hears SIGTERM and SIGHUP too.
    let stopping = server.clone();
    ctrlc::set_handler(move || stopping.stop_within(Duration::from_secs(2)))?;
    for address in server.local_addrs() {
        println!("listening on {address}");
    }
    let report = server.wait()?;
    println!(
        "closed {}, cut {}",
        report.closed().len(),
        report.cut().len()
    );
    for stuck in report.stuck() {
        println!("left behind {stuck}");
    }
    Ok(())
}

/// Takes the sockets of `.socket` units, of either kind.
fn sockets_of_systemd() -> io::Result<Vec<OwnedFd>> {
    let mut handed = ListenFd::from_env();
    let mut sockets = Vec::new();
    for number in 0..handed.len() {
        if let Ok(Some(listener)) = handed.take_tcp_listener(number) {
            sockets.push(listener.into());
        } else if let Some(listener) = handed.take_unix_listener(number)? {
            sockets.push(listener.into());
        }
    }
    Ok(sockets)
}
