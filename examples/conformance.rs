//! The peer that the Autobahn test suite examines, in both roles: an echo.
//!
//! ```text
//! conformance server ADDR                  echoes on ADDR (port 0: any free port); prints where it listens
//! conformance server-tls ADDR CERT KEY     the same over TLS, with a certificate and its key in PEM files
//! conformance client ADDR                  runs every case of the fuzzing server at ADDR, a host:port or ws:// URL
//! ```
//!
//! `.ci/conformance` builds on these command lines.
#![allow(clippy::print_stdout, reason = "a program that says where it listens")]

use std::{env, error::Error, fs};

use landline::{Client, Compression, Config, Identity, Server, ServerBuilder};

const AGENT: &str = "landline";

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["server", addr] => serve(Server::builder(), addr),
        ["server-tls", addr, cert, key] => {
            let identity = Identity::from_pem(fs::read(cert)?, fs::read(key)?);
            serve(Server::builder().tls(identity), addr)
        }
        ["client", addr] => run_cases(addr),
        _ => Err("usage: conformance server ADDR | server-tls ADDR CERT KEY | client ADDR".into()),
    }
}

fn serve(builder: ServerBuilder, addr: &str) -> Result<(), Box<dyn Error>> {
    let server = builder
        .config(config().compression(Compression::new()))
        .on_upgrade(|ws, _request| {
            ws.on_message(|ws, message| ws.send(message));
        })
        .bind(addr)?;
    println!("listening on {}", server.url());
    server.wait()?;
    Ok(())
}

fn run_cases(addr: &str) -> Result<(), Box<dyn Error>> {
    // Some cases of the suite compress only for a client that offers messages that stand alone.
    let compression = Compression::new().context_takeover(false);
    let client = Client::new().config(config().compression(compression));
    let base = base_url(addr);
    for case in 1..=case_count(&client, &base)? {
        run_case(
            &client,
            &format!("{base}/runCase?case={case}&agent={AGENT}"),
        )
        .map_err(|error| format!("case {case}: {error}"))?;
    }
    update_reports(&client, &base)
}

fn case_count(client: &Client, base: &str) -> Result<u32, Box<dyn Error>> {
    let (_ws, mut messages) = client.open(format!("{base}/getCaseCount"))?;
    let count = messages.recv()?;
    Ok(count
        .as_text()
        .ok_or("the case count is no text")?
        .parse()?)
}

/// Echoes until the connection ends, however the case ends it: what is right, the suite judges.
fn run_case(client: &Client, url: &str) -> Result<(), Box<dyn Error>> {
    let (ws, messages) = client.open(url)?;
    for message in messages.map_while(Result::ok) {
        // While the connection closes, messages may still come in and none can be sent.
        let _ = ws.send(message);
    }
    Ok(())
}

/// Tells the suite that all cases have run. It answers by dropping the connection, without a Close.
fn update_reports(client: &Client, base: &str) -> Result<(), Box<dyn Error>> {
    let (_ws, messages) = client.open(format!("{base}/updateReports?agent={AGENT}"))?;
    messages.for_each(drop);
    Ok(())
}

/// Room for the suite's largest message, 16 MiB, and no pings of our own: the suite counts every frame it gets.
fn config() -> Config {
    Config::new().max_message_size(64 << 20).ping_interval(None)
}

fn base_url(addr: &str) -> String {
    let addr = addr.trim_end_matches('/');
    if addr.contains("://") {
        addr.to_owned()
    } else {
        format!("ws://{addr}")
    }
}
