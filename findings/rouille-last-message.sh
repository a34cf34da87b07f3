#!/usr/bin/env bash
# rouille throws away the messages that arrive together with a Close, and sees a frame without payload only when another
# byte arrives: an empty Close, which a browser's close() sends, gets no answer.
#
# TCP keeps no borders, and RFC 6455 5.5.1 asks for a Close in answer. It reads 256 bytes at once, and what stands in
# front of a Close among these is lost; its comment says that no packet can be lost there.
source "$(dirname "$0")/common.sh"

cat >Cargo.toml <<'CARGO'
[package]
name = "echo"
version = "0.0.0"
edition = "2021"

[dependencies]
rouille = { version = "=3.6.2", default-features = false }
CARGO
mkdir src
cat >src/main.rs <<'RUST'
// Prints each message, and sends it back.
use rouille::websocket::{self, Message};

fn main() {
    let server = rouille::Server::new(std::env::args().nth(1).unwrap(), |request| {
        let (response, sockets) = websocket::start(request, None::<&str>).unwrap();
        std::thread::spawn(move || {
            let mut socket = sockets.recv().unwrap();
            while let Some(message) = socket.next() {
                if let Message::Text(text) = message {
                    println!("{text:?}");
                    let _ = socket.send_text(&text);
                }
            }
        });
        response
    });
    server.unwrap().run();
}
RUST
CARGO_TARGET_DIR=target cargo build --quiet 2>/dev/null

cat >ask.py <<'PYTHON'
import subprocess
import time

from wire import CLOSE, PING, TEXT, Peer, frame, free_port

port = free_port()
server = subprocess.Popen(["target/debug/echo", f"127.0.0.1:{port}"], stdout=subprocess.PIPE, text=True)


def answers(*parts):
    """What comes back within a second to these segments."""
    peer = Peer.client(port)
    for part in parts:
        peer.connection.sendall(part)
        time.sleep(0.3)
    return peer.receive_all(1)


def masked(*parts):
    return frame(*parts, masks=True)


close = masked(CLOSE, b"\x03\xe8")
try:
    print("a message, later a Close:", answers(masked(TEXT, b"apart"), close))
    print("a message and a Close together:", answers(masked(TEXT, b"together") + close))
    print("ten messages and a Close together:", answers(b"".join(masked(TEXT, b"ten") for _ in range(10)) + close))
    print("an empty Close:", answers(masked(CLOSE)))
    print("an empty ping:", answers(masked(PING)))
    print("an empty ping, and a message behind:", answers(masked(PING), masked(TEXT, b"behind")))
    print("an empty message:", answers(masked(TEXT)))
finally:
    server.kill()
print("the program saw", *server.stdout.read().split())
PYTHON
python3 ask.py >seen

expect seen <<'SEEN'
a message, later a Close: [b'apart', 'Close 1000', 'the end']
a message and a Close together: ['Close 1000', 'the end']
ten messages and a Close together: ['Close 1000', 'the end']
an empty Close: []
an empty ping: []
an empty ping, and a message behind: [b'', b'behind']
an empty message: []
the program saw "apart" "behind"
SEEN
