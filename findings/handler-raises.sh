#!/usr/bin/env bash
# What a client is told when the server's handler raises: an ordinary goodbye, no code at all, or an HTTP response.
#
# RFC 6455 7.4.1 has 1011 for it. So neither 1000 nor 1005 proves that the other side meant to end, and what begins with
# "HTTP/1.1" inside an open WebSocket is no frame (read as one: a Close of 84 bytes, without FIN and with RSV1).
source "$(dirname "$0")/common.sh"
install_python sanic==25.12.1 granian==2.8.9 flask-sock==0.7.0 flask==3.1.2 werkzeug==3.1.9

cat >with_sanic.py <<'PYTHON'
from sanic import Sanic

app = Sanic("app")


@app.websocket("/")
async def handle(request, ws):
    await ws.recv()
    raise ValueError("a mistake in the handler")
PYTHON
cat >with_asgi.py <<'PYTHON'
async def app(scope, receive, send):
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    await receive()
    raise ValueError("a mistake in the handler")
PYTHON
cat >with_flask.py <<'PYTHON'
import sys

from flask import Flask
from flask_sock import Sock

app = Flask("app")


@Sock(app).route("/")
def handle(ws):
    ws.receive()
    raise ValueError("a mistake in the handler")


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]))
PYTHON

python >seen <<'PYTHON'
import subprocess
from importlib.metadata import version
from subprocess import DEVNULL

from wire import TEXT, Peer, free_port


def try_it(name, command, look):
    port = free_port()
    command = [argument.replace("PORT", str(port)) for argument in command]
    server = subprocess.Popen(command, stdout=DEVNULL, stderr=DEVNULL)
    try:
        peer = Peer.client(port)
        peer.send(TEXT, b"go")
        print(f"{name} {version(name)}: {look(peer)}")
    finally:
        server.terminate()
        server.wait()


sanic = ["sanic", "with_sanic:app", "--port=PORT", "--single-process"]
try_it("sanic", sanic, Peer.receive_text)
try_it("granian", ["granian", "--interface", "asgi", "--port", "PORT", "with_asgi:app"], Peer.receive_text)
try_it("flask-sock", ["python", "with_flask.py", "PORT"], lambda peer: peer.input.readline())
PYTHON

expect seen <<'SEEN'
sanic 25.12.1: Close 1000
granian 2.8.9: Close without a code
flask-sock 0.7.0: b'HTTP/1.1 500 INTERNAL SERVER ERROR\r\n'
SEEN
