#!/usr/bin/env bash
# Pike's WebSocket client names its host twice in the handshake, and sends every frame without a payload unmasked.
#
# RFC 9112 3.2 asks a server for 400 where a request has Host more than once, RFC 6455 5.1 for a mask on all frames; a
# server closes at a frame without. The Pong to an empty ping is such a frame, and ws and many others ping so. Port and
# query are left out as well. The program is told of a refusal as of a close with 0.
source "$(dirname "$0")/common.sh"
install_debian pike8.0-core=8.0.1738-1+b2
install_node ws@8.23.0
install_python aiohttp==3.14.5 tornado==6.6.1
sed -i "s#/usr/lib/pike8.0#$folder&#" usr/lib/pike8.0/master.pike

cat >client.pike <<'PIKE'
// Sends back each text, and prints how it ended.
int main(int count, array(string) arguments) {
    object client = Protocols.WebSocket.Connection();
    client->onopen = lambda(mixed id) { write("open, "); };
    client->onmessage = lambda(object frame, mixed id) {
        if (frame->opcode == Protocols.WebSocket.FRAME_TEXT) client->send_text(frame->text);
    };
    client->onclose = lambda(int code, mixed id) { write("closed with %d\n", code); exit(0); };
    client->connect(Standards.URI(arguments[1]));
    return -1;
}
PIKE

cat >ws.js <<'NODE'
const server = new (require("ws").Server)({ host: "127.0.0.1", port: process.argv[2] });
server.on("connection", (socket) => {
    socket.on("error", () => {});
    socket.ping();
});
NODE

cat >aiohttp_server.py <<'PYTHON'
import sys
from aiohttp import web
async def accept(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    return socket
application = web.Application()
application.router.add_get("/", accept)
web.run_app(application, host="127.0.0.1", port=int(sys.argv[1]), print=None)
PYTHON

cat >tornado_server.py <<'PYTHON'
import asyncio, sys
from tornado.web import Application
from tornado.websocket import WebSocketHandler
async def main():
    Application([("/", WebSocketHandler)]).listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()
asyncio.run(main())
PYTHON

cat >ask.py <<'PYTHON'
import os
import socket
import subprocess
import sys
import threading

from wire import PING, TEXT, Peer, connect, free_port, listen


def pike(port, path="/"):
    master = f"-m{os.getcwd()}/usr/lib/pike8.0/master.pike"
    command = ["usr/bin/pike8.0", master, "client.pike", f"ws://127.0.0.1:{port}{path}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def frames():
    """What the client sends to a server that takes everything."""
    listener, port = listen()
    client = pike(port, "/chat?room=one")
    peer = Peer.server(listener)
    print("ws://127.0.0.1:PORT/chat?room=one:", peer.head[0], *(line for line in peer.head if "Host" in line), sep="\n  ")
    for name, parts in {
        "a text": (TEXT, b"hello"),
        "an empty text": (TEXT,),
        "a ping": (PING, b"abc"),
        "an empty ping": (PING,),
    }.items():
        peer.send(*parts)
        print(f"the answer to {name}:", "masked" if peer.connection.recv(100)[1] & 0x80 else "without a mask")
    client.kill()


def meet(name, command):
    """Connects the client through a listener, and prints what its program says and what the server sent last."""
    port = free_port()
    server = subprocess.Popen([*command, str(port)], stderr=subprocess.DEVNULL)
    connect(port).close()
    listener, between = listen()
    client = pike(between)
    ends = listener.accept()[0], connect(port)
    heard = {}
    threads = [threading.Thread(target=pass_on, args=(*way, heard)) for way in (ends, ends[::-1])]
    for thread in threads:
        thread.start()
    print(f"{name}: {client.communicate(timeout=20)[0].strip()};", heard[ends[1]])
    server.kill()


def pass_on(source, target, heard):
    while data := source.recv(65536):
        line = data.split(b"\r\n")[0]
        heard[source] = line.decode() if line.startswith(b"HTTP") else f"the last frame was {data.hex(' ')}"
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


frames()
meet("aiohttp", [sys.executable, "aiohttp_server.py"])
meet("tornado", [sys.executable, "tornado_server.py"])
meet("ws", ["node", "ws.js"])
PYTHON
python3 ask.py >seen

expect seen <<'SEEN'
ws://127.0.0.1:PORT/chat?room=one:
  GET /chat HTTP/1.1
  Host: 127.0.0.1
  Host: 127.0.0.1
the answer to a text: masked
the answer to an empty text: without a mask
the answer to a ping: masked
the answer to an empty ping: without a mask
aiohttp: closed with 0; HTTP/1.0 400 Bad Request
tornado: closed with 0; HTTP/1.1 400 Bad Request
ws: open, closed with 1002; the last frame was 88 02 03 ea
SEEN
