//! A chat over several server processes, joined by Redis: `cluster ADDR [REDIS_URL]`. Start one on each
//! machine, with the same broker, and open any of them in a browser.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that says where it listens, and how it gets on"
)]

mod bridge;

use std::env;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bridge::Bridge;
use landline::{Config, Messages, Outcome, Reply, Request, Router, Server, WebSocket};

/// The page of the example `chat`, with which this one shares what is said on the wire.
const PAGE: &str = include_str!("../../chat/chat.html");
const MAX_NAME: usize = 30;
const AWAY: &str = "The broker is away: nothing can be said until it is back";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().ok_or("usage: cluster ADDR [REDIS_URL]")?;
    let broker = arguments.next().unwrap_or("redis://127.0.0.1:6379".into());
    let bridge = Bridge::start(&broker, |is_back| {
        note(match is_back {
            true => "The broker is here: what is said is heard everywhere",
            false => AWAY,
        })
    })?;
    // Ids of connections are unique in one process only.
    let process = format!("{:016x}", rand::random::<u64>());
    let router = Router::new()
        .get("/", |_| Reply::html(PAGE))
        .get("/rooms/{room}", |_| Reply::html(PAGE))
        .serve("/rooms/{room}", move |ws, messages, request| {
            visit(&bridge, &process, &ws, messages, &request)
        });
    let server = Server::builder()
        .config(Config::new().max_message_size(4 << 10))
        .router(router)
        .bind(address.as_str())?;
    println!("listening on http://{}", server.local_addr());
    server.wait()?;
    Ok(())
}

fn visit(
    bridge: &Arc<Bridge>,
    process: &str,
    ws: &WebSocket,
    messages: Messages,
    request: &Request,
) -> Outcome {
    let room = request.parameter("room").unwrap_or_default();
    let name = request.query("name").unwrap_or("somebody");
    // Line breaks separate the parts of what is sent.
    let name: String = name.replace('\n', " ").chars().take(MAX_NAME).collect();
    let id = format!("{process}-{}", ws.id());
    let publish = |text, or_else| bridge.publish(room, text, ws, note(or_else));
    ws.send(format!("you\n{id}"))?;
    bridge.join(room, ws);
    publish(note(&format!("{name} has joined")), AWAY);
    for message in messages.map_while(Result::ok) {
        if let Some(text) = message.as_text() {
            // Without a number: there is no history that could tell it twice.
            let said = format!("said\n\n{}\n{id}\n{name}\n{text}", milliseconds());
            publish(said, "That was perhaps not heard: the broker is away");
        }
    }
    publish(note(&format!("{name} has left")), AWAY);
    bridge.remove_if_empty(room);
    Ok(())
}

fn note(text: &str) -> String {
    format!("note\n{}\n{text}", milliseconds())
}

/// Returns the milliseconds since 1970, as pages count them.
fn milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
