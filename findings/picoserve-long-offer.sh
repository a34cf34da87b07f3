#!/usr/bin/env bash
# picoserve, a Rust server for devices, sees no subprotocols at all when the offer is longer than 32 bytes, and says 1002
# when a ping or a pong stands between the fragments of a message.
#
# Its documentation names no limit, and the same client is taken with its shorter offer; a browser then fails, as none is
# chosen. RFC 6455 5.4 allows control frames there. Each text that it writes by Display is two fragments, the last empty.
source "$(dirname "$0")/common.sh"

cat >Cargo.toml <<'CARGO'
[package]
name = "device"
version = "0.0.0"
edition = "2021"

[dependencies]
picoserve = { version = "=0.20.1", features = ["tokio", "ws"] }
tokio = { version = "=1.54.1", features = ["rt", "net", "macros"] }
CARGO
mkdir src
cat >src/main.rs <<'RUST'
// Chooses the last subprotocol offered, and sends back each text by its Display.
use picoserve::futures::Either;
use picoserve::io::{Read, Write};
use picoserve::response::ws::{Message, SocketRx, SocketTx, WebSocketCallback, WebSocketUpgrade};
use picoserve::response::IntoResponse;

struct Echo;

impl WebSocketCallback for Echo {
    async fn run<R: Read, W: Write<Error = R::Error>>(
        self,
        mut receiver: SocketRx<R>,
        mut sender: SocketTx<W>,
    ) -> Result<(), W::Error> {
        let mut buffer = [0; 1024];
        loop {
            match receiver.next_message(&mut buffer, std::future::pending::<()>()).await? {
                Either::First(Ok(Message::Text(text))) => sender.send_display(text).await?,
                Either::First(Ok(Message::Ping(data))) => sender.send_pong(data).await?,
                Either::First(Ok(_)) => (),
                Either::First(Err(error)) => return sender.close((error.code(), "")).await,
                Either::Second(()) => return Ok(()),
            }
            sender.flush().await?;
        }
    }
}

async fn accept(upgrade: WebSocketUpgrade) -> impl IntoResponse {
    let last = upgrade.protocols().and_then(|offer| offer.last().map(str::to_owned));
    upgrade.on_upgrade(Echo).with_protocol(last.unwrap_or("none".into()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let application = picoserve::Router::new().route("/", picoserve::routing::get(accept));
    let listener = tokio::net::TcpListener::bind(std::env::args().nth(1).unwrap()).await.unwrap();
    let config = picoserve::Config::const_default();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = picoserve::Server::new_tokio(&application, &config, &mut [0; 2048]).serve(stream).await;
    }
}
RUST
CARGO_TARGET_DIR=target cargo build --quiet

cat >ask.py <<'PYTHON'
import subprocess

from wire import CLOSE, CONTINUATION, PING, PONG, TEXT, Peer, close_code, free_port

port = free_port()
server = subprocess.Popen(["target/debug/device", f"127.0.0.1:{port}"])


def offer(names):
    peer = Peer.client(port, Sec_WebSocket_Protocol=names)
    print(f"{len(names)} bytes, {names}: {peer.field('Sec-WebSocket-Protocol')}")
    peer.connection.close()


def answers(*frames):
    """What comes back, a message or a Close being the last."""
    peer = Peer.client(port)
    for parts in frames:
        peer.send(*parts)
    seen = []
    while True:
        opcode, payload, last, _ = peer.receive()
        seen.append(f"Close {close_code(payload)}" if opcode == CLOSE else payload)
        if opcode in (CLOSE, TEXT, CONTINUATION) and last:
            peer.connection.close()
            return seen


first, rest = (TEXT, b"hel", False), (CONTINUATION, b"lo")
try:
    offer("chat")
    offer("graphql-transport-ws, graphql-ws")
    offer("v5.channel.k8s.io, v4.channel.k8s.io")
    print("a text:", *answers((TEXT, b"hello")))
    print("in fragments:", *answers(first, rest))
    print("a ping between:", *answers(first, (PING, b"abc"), rest))
    print("a pong between:", *answers(first, (PONG, b"abc"), rest))
finally:
    server.kill()
PYTHON
python3 ask.py >seen

expect seen <<'SEEN'
4 bytes, chat: chat
32 bytes, graphql-transport-ws, graphql-ws: graphql-ws
36 bytes, v5.channel.k8s.io, v4.channel.k8s.io: none
a text: b'hello' b''
in fragments: b'hello' b''
a ping between: Close 1002
a pong between: Close 1002
SEEN
