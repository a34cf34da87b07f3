//! A chat with rooms: `chat [ADDR]`. Open it in two tabs of a browser.
#![allow(clippy::print_stdout, reason = "a program that says where it listens")]

use std::collections::{BTreeMap, VecDeque};
use std::env;
use std::sync::Mutex;

use landline::{
    CloseCode, Config, Group, Message, Messages, Outcome, Reply, Request, Router, Server, WebSocket,
};

/// Shows what people have typed by `textContent`, which is never read as HTML.
const PAGE: &str = r#"<!doctype html><title>landline chat</title>
<form><input name="name" placeholder="Your name" required autofocus></form>
<p></p><ul></ul>
<script>
  const [form] = document.forms, [input] = form;
  const show = (line) =>
    document.querySelector("ul").appendChild(document.createElement("li")).textContent = line;
  const kinds = {
    said: (name, ...lines) => show(`${name}: ${lines.join(" ")}`),
    note: show,
    here: (...names) => document.querySelector("p").textContent = `Here: ${names.join(", ")}`,
  };
  const hear = ([kind, ...lines]) => kinds[kind](...lines);
  if (location.search) {
    const ws = new WebSocket(location.href.replace("http", "ws"));
    ws.onmessage = ({ data }) => hear(data.split("\n"));
    ws.onclose = ({ code, reason }) => show(`Closed: ${code} ${reason}`);
    input.placeholder = "Say something";
    form.onsubmit = (event) => {
      event.preventDefault();
      ws.send(input.value);
      form.reset();
    };
  }
</script>
"#;
const HISTORY: usize = 20;
const MAX_NAME: usize = 30;
const MAX_PEOPLE: usize = 100;

/// Under one lock, so that everybody sees the same order, in the history too. It may be held while
/// sending, as a group never waits.
static ROOMS: Mutex<BTreeMap<String, Room>> = Mutex::new(BTreeMap::new());

#[derive(Default)]
struct Room {
    group: Group,
    names: BTreeMap<u64, String>,
    /// What was said, the last first.
    history: VecDeque<Message>,
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
    // Line breaks are what separates the parts of what is sent.
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
            room.say(format!("said\n{name}\n{text}").into());
        }
    }
    // The connection has ended and is no member any more: the goodbye is for the rest.
    let mut rooms = ROOMS.lock()?;
    let left = rooms.get_mut(room).map(|room| room.leave(&ws, &name));
    // Whoever names a room makes it, so who leaves it empty takes it away.
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
        let _ = ws.send_all(self.history.iter().rev());
        self.names.insert(ws.id(), name.into());
        self.tell(format!("note\n{name} has joined"));
        true
    }

    fn say(&mut self, message: Message) {
        self.group.send(&message);
        self.history.push_front(message);
        self.history.truncate(HISTORY);
    }

    /// Returns how many are left.
    fn leave(&mut self, ws: &WebSocket, name: &str) -> usize {
        self.names.remove(&ws.id());
        self.tell(format!("note\n{name} has left"));
        self.names.len()
    }

    /// Tells what has happened, and who is here now.
    fn tell(&self, what: String) {
        let names: Vec<_> = self.names.values().map(String::as_str).collect();
        self.group.send(what);
        self.group.send(format!("here\n{}", names.join("\n")));
    }
}
