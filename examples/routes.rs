//! Serves a page, WebSockets and JSON on one port: `routes [ADDR]`. Open it in a browser.
#![allow(clippy::print_stdout, reason = "a program that says where it listens")]

use std::env;

use landline::{Next, Reply, Request, Router, Server};

const PAGE: &str = r#"<!doctype html>
<title>landline</title>
<form><input placeholder="Say something" autofocus></form>
<ul></ul>
<script>
  const show = (line) => {
    const item = document.createElement("li");
    item.textContent = line;
    document.querySelector("ul").append(item);
  };
  const ws = new WebSocket(location.origin.replace("http", "ws") + "/echo");
  ws.onopen = () => ["hello", "is anybody there?"].forEach((text) => ws.send(text));
  ws.onmessage = (event) => show(`The server says: ${event.data}`);
  ws.onclose = (event) => show(`Closed with ${event.code}`);
  document.forms[0].onsubmit = (event) => {
    event.preventDefault();
    ws.send(document.querySelector("input").value);
    event.target.reset();
  };
</script>
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1);
    let router = Router::new()
        .get("/", |_request| Reply::html(PAGE))
        .websocket("/echo", |ws, _request| {
            ws.on_message(|ws, message| ws.send(message));
        })
        .websocket("/rooms/{room}", |ws, request| {
            let room = request.parameter("room").unwrap_or_default().to_owned();
            ws.on_text(move |ws, text| ws.send(format!("{room}: {text}")));
        })
        .scope("/api/v1", |scope| {
            scope.middleware(require_token).get("/status", |request| {
                let connections = request.server().connection_count();
                Reply::json(format!("{{\"connections\":{connections}}}"))
            })
        });
    let server = Server::builder()
        .router(router)
        .bind(address.as_deref().unwrap_or("127.0.0.1:9001"))?;
    println!("listening on http://{}", server.local_addr());
    server.wait()?;
    Ok(())
}

fn require_token(request: &mut Request, next: Next<'_>) -> Reply {
    match request.header("Authorization") {
        Some("Bearer open-sesame") => next.run(request),
        _ => Reply::text("Bring a token\n")
            .with_status(401)
            .header("WWW-Authenticate", "Bearer"),
    }
}
