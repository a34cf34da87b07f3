//! A chat with rooms: `chat [ADDR]`. Open it in two tabs of a browser.
#![allow(clippy::print_stdout, reason = "a program that says where it listens")]

use std::collections::{BTreeMap, VecDeque};
use std::env;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use landline::{
    CloseCode, Config, Group, Message, Messages, Outcome, Reply, Request, Router, Server, WebSocket,
};

/// It shows what people have typed by `textContent`, which is never read as HTML.
const PAGE: &str = include_str!("chat.html");
const HISTORY: usize = 20;
const MAX_NAME: usize = 30;
const MAX_PEOPLE: usize = 100;

/// One lock, so that everybody sees the same order, in the history too. It may be held while
/// sending, as a group never waits.
static ROOMS: Mutex<BTreeMap<String, Room>> = Mutex::new(BTreeMap::new());

#[derive(Default)]
struct Room {
    group: Group,
    names: BTreeMap<u64, String>,
    /// What was said, the last first.
    history: VecDeque<Message>,
    last_number: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let router = Router::new()
        .get("/", |_| Reply::new(303).header("Location", "/rooms/lobby"))
        .get("/rooms/{room}", |_| Reply::html(PAGE))
        .serve("/rooms/{room}", visit);
    let server = Server::builder()
        .config(Config::new().max_message_size(4 << 10))
        .router(router)
        .bind(env::args().nth(1).as_deref().unwrap_or("127.0.0.1:9001"))?;
    println!("listening on http://{}", server.local_addr());
    server.wait()?;
    Ok(())
}

fn visit(ws: WebSocket, messages: Messages, request: Request) -> Outcome {
    let room = request.parameter("room").unwrap_or_default();
    let name = request.query("name").unwrap_or_default();
    // Line breaks separate the parts of what is sent.
    let name: String = name.replace('\n', " ").chars().take(MAX_NAME).collect();
    let mut rooms = ROOMS.lock()?;
    let entered = rooms.entry(room.into()).or_default().enter(&ws, &name);
    drop(rooms);
    if !entered {
        ws.close_with(CloseCode::TRY_AGAIN_LATER, "the room is full")?;
        return Ok(());
    }
    for message in messages.map_while(Result::ok) {
        if let (Some(text), Some(room)) = (message.as_text(), ROOMS.lock()?.get_mut(room)) {
            room.say(&ws, &name, text);
        }
    }
    // The connection has ended and is no member any more: the goodbye is for the rest.
    let mut rooms = ROOMS.lock()?;
    let left = rooms.get_mut(room).map(|room| room.leave(&ws, &name));
    // Whoever names a room makes it, so the last to leave takes it away.
    if left == Some(0) {
        rooms.remove(room);
    }
    Ok(())
}

impl Room {
    /// Returns false if the room is full.
    fn enter(&mut self, ws: &WebSocket, name: &str) -> bool {
        if !self.group.join_up_to(ws, MAX_PEOPLE) {
            return false;
        }
        // This does not wait either: nothing else is in its queue.
        let _ = ws.send(format!("you\n{}", ws.id()));
        let _ = ws.send_all(self.history.iter().rev());
        self.names.insert(ws.id(), name.into());
        self.tell(&format!("{name} has joined"));
        true
    }

    fn say(&mut self, ws: &WebSocket, name: &str, text: &str) {
        let now = milliseconds();
        // Greater than any before, after a restart too: by it a page knows what it has shown.
        self.last_number = now.max(self.last_number + 1);
        let (number, id) = (self.last_number, ws.id());
        let message = Message::from(format!("said\n{number}\n{now}\n{id}\n{name}\n{text}"));
        self.group.send(&message);
        self.history.push_front(message);
        self.history.truncate(HISTORY);
    }

    /// Returns how many are left.
    fn leave(&mut self, ws: &WebSocket, name: &str) -> usize {
        self.names.remove(&ws.id());
        self.tell(&format!("{name} has left"));
        self.names.len()
    }

    /// Tells what has happened, and who is here now.
    fn tell(&self, what: &str) {
        let names: Vec<_> = self.names.values().map(String::as_str).collect();
        self.group.send(format!("note\n{}\n{what}", milliseconds()));
        self.group.send(format!("here\n{}", names.join("\n")));
    }
}

/// Returns the milliseconds since 1970, as pages count them.
fn milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
