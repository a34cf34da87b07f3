//! The peer that the Autobahn test suite examines, in both roles: an echo.
//!
//! ```text
//! conformance server ADDR [SETTING..]      echoes on ADDR (port 0: any free port); prints where it listens
//! conformance server-tls ADDR CERT KEY     the same over TLS, with a certificate and its key in PEM files
//! conformance client ADDR                  runs every case of the fuzzing server at ADDR, a host:port or ws:// URL
//! conformance echo URL [SETTING..]         echoes what the server at URL sends, until it closes
//! ```
//!
//! A setting is one of compression: `takeover` or `alone` for our messages, `peer-alone` for the peer's,
//! `streams`, which echoes everything in fragments, and `window=BITS`.
//!
//! `.ci/conformance` and `.ci/compression` build on these command lines.
#![allow(clippy::print_stdout, reason = "a program that says where it listens")]

use std::{
    env,
    error::Error,
    fs,
    io::{self, Write},
    sync::Mutex,
    thread,
};

use landline::{Client, Compression, Config, Identity, Message, Server, ServerBuilder, WebSocket};

const AGENT: &str = "landline";
/// The number of cases that a client runs side by side.
const AT_ONCE: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["server", addr, ref settings @ ..] => {
            let (compression, streams) = read_settings(settings)?;
            serve(Server::builder(), addr, compression, streams)
        }
        ["server-tls", addr, cert, key] => {
            let identity = Identity::from_pem(fs::read(cert)?, fs::read(key)?);
            serve(
                Server::builder().tls(identity),
                addr,
                Compression::new(),
                false,
            )
        }
        ["client", addr] => run_cases(addr),
        ["echo", url, ref settings @ ..] => echo(url, settings),
        _ => Err(USAGE.into()),
    }
}

const USAGE: &str = "usage: conformance server ADDR [SETTING..] | server-tls ADDR CERT KEY | client ADDR \
    | echo URL [SETTING..]";

/// Returns the compression, and whether to echo in fragments.
fn read_settings(words: &[&str]) -> Result<(Compression, bool), Box<dyn Error>> {
    let (mut compression, mut streams) = (Compression::new(), false);
    for word in words {
        compression = match word.split_once('=').unwrap_or((word, "")) {
            ("takeover", "") => compression.context_takeover(true),
            ("alone", "") => compression.context_takeover(false),
            ("peer-alone", "") => compression.peer_context_takeover(false),
            ("window", bits) => compression.window_bits(bits.parse()?),
            ("streams", "") => {
                streams = true;
                compression.streams(true)
            }
            _ => return Err(USAGE.into()),
        };
    }
    Ok((compression, streams))
}

fn serve(
    builder: ServerBuilder,
    addr: &str,
    compression: Compression,
    streams: bool,
) -> Result<(), Box<dyn Error>> {
    let server = builder
        .config(config().compression(compression))
        .on_upgrade(move |ws, _request| {
            ws.on_message(move |ws, message| give_back(ws, &message, streams));
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
    let cases = Mutex::new(1..=case_count(&client, &base)?);
    let next = || cases.lock().ok()?.next();
    let run = || {
        while let Some(case) = next() {
            let url = format!("{base}/runCase?case={case}&agent={AGENT}");
            run_case(&client, &url).map_err(|error| format!("case {case}: {error}"))?;
        }
        Ok::<(), String>(())
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(run)).collect();
        let mut ended = running.into_iter().map(|running| running.join());
        ended.try_for_each(|ended| ended.unwrap_or(Err("a thread panicked".into())))
    })?;
    update_reports(&client, &base)
}

/// Echoes whatever a server sends.
fn echo(url: &str, settings: &[&str]) -> Result<(), Box<dyn Error>> {
    let (compression, streams) = read_settings(settings)?;
    let client = Client::new().config(config().compression(compression));
    let (ws, messages) = client.open(url)?;
    if ws.compression().is_none() {
        return Err("the server does not compress".into());
    }
    for message in messages {
        give_back(&ws, &message?, streams)?;
    }
    Ok(())
}

fn give_back(ws: &WebSocket, message: &Message, streams: bool) -> io::Result<()> {
    if !streams {
        return ws.send(message).map_err(io::Error::other);
    }
    let writer = match message {
        Message::Text(_) => ws.text_writer(),
        Message::Binary(_) => ws.binary_writer(),
    };
    let mut writer = writer.map_err(io::Error::other)?;
    writer.write_all(message.as_bytes())?;
    writer.finish()
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
