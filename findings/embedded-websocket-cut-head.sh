#!/usr/bin/env bash
# The framer of embedded-websocket, a crate for devices, ends the connection when a frame's head is cut between two reads,
# and answers a ping that is cut in its payload with one pong for each part.
#
# TCP keeps no borders. A burst longer than the framer's buffer, 4,000 bytes in the crate's example, is enough: it ends the
# connection if a head falls on the buffer's end.
source "$(dirname "$0")/common.sh"

cat >Cargo.toml <<'CARGO'
[package]
name = "echo"
version = "0.0.0"
edition = "2021"

[dependencies]
embedded-websocket = "=0.9.5"
httparse = "=1.10.1"
CARGO
mkdir src
cat >src/main.rs <<'RUST'
// The crate's example of a server: sends each text back, and prints how each connection ended.
use embedded_websocket::framer::{Framer, ReadResult};
use embedded_websocket::{read_http_header, WebSocketSendMessageType, WebSocketServer};
use std::io::Read;
use std::net::{TcpListener, TcpStream};

fn main() {
    let listener = TcpListener::bind(std::env::args().nth(1).unwrap()).unwrap();
    for stream in listener.incoming() {
        println!("{}", serve(stream.unwrap()));
    }
}

fn serve(mut stream: TcpStream) -> String {
    let (mut read, mut write, mut frame, mut cursor) = ([0; 4000], [0; 4000], [0; 4000], 0);
    let size = stream.read(&mut read).unwrap();
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut request = httparse::Request::new(&mut headers);
    request.parse(&read[..size]).unwrap();
    let context = read_http_header(request.headers.iter().map(|field| (field.name, field.value)));
    let context = context.unwrap().unwrap();
    let mut server = WebSocketServer::new_server();
    let mut framer = Framer::new(&mut read, &mut cursor, &mut write, &mut server);
    framer.accept(&mut stream, &context).unwrap();
    loop {
        match framer.read(&mut stream, &mut frame) {
            Ok(ReadResult::Text(text)) => {
                framer.write(&mut stream, WebSocketSendMessageType::Text, true, text.as_bytes()).unwrap()
            }
            Ok(ReadResult::Closed) => return "closed".into(),
            Ok(_) => (),
            Err(error) => return format!("{error:?}"),
        }
    }
}
RUST
CARGO_TARGET_DIR=target cargo build --quiet 2>/dev/null

cat >ask.py <<'PYTHON'
import subprocess
import time

from wire import CLOSE, PING, TEXT, Peer, frame, free_port

port = free_port()
server = subprocess.Popen(["target/debug/echo", f"127.0.0.1:{port}"], stdout=subprocess.PIPE, text=True)


def meet(name, *parts):
    """Sends these segments and a Close, and prints how it ended there, and what came back if it is short."""
    peer = Peer.client(port)
    seen = []
    try:
        for part in parts:
            peer.connection.sendall(part)
            time.sleep(0.3)
        peer.send(CLOSE, b"\x03\xe8")
    except ConnectionError:
        pass
    while (found := peer.receive()) is not None and found[0] != CLOSE:
        seen.append(found[1])
    shown = "" if len(parts[0]) > 1000 else f"{seen}, "
    print(f"{name}: {shown}{server.stdout.readline().strip()}")


def masked(*parts):
    """A frame whose mask is zero."""
    first, second, *payload = frame(*parts)
    return bytes([first, second | 0x80, 0, 0, 0, 0, *payload])


text, ping = masked(TEXT, b"hello"), masked(PING, b"abc")
try:
    meet("a message", text)
    meet("cut in its payload", text[:8], text[8:])
    meet("cut behind its first byte", text[:1], text[1:])
    meet("cut in its mask", text[:4], text[4:])
    meet("a ping", ping)
    meet("cut in its payload", ping[:7], ping[7:])
    meet("a hundred messages of 50 bytes together", masked(TEXT, bytes(50)) * 100)
    meet("a hundred messages of 41 bytes together", masked(TEXT, bytes(41)) * 100)
finally:
    server.kill()
PYTHON
python3 ask.py >seen

expect seen <<'SEEN'
a message: [b'hello'], closed
cut in its payload: [b'hello'], closed
cut behind its first byte: [], WebSocket(ReadFrameIncomplete)
cut in its mask: [], WebSocket(ReadFrameIncomplete)
a ping: [b'abc'], closed
cut in its payload: [b'a', b'bc'], closed
a hundred messages of 50 bytes together: closed
a hundred messages of 41 bytes together: WebSocket(ReadFrameIncomplete)
SEEN
