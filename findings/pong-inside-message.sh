#!/usr/bin/env bash
# flask-sock answers a ping in the middle of the frame that it is sending: the Pong becomes part of the message.
#
# RFC 6455 5.4: control frames go between frames. simple-websocket's two threads write to one socket without a lock, so
# it shows where the client pings while a message is larger than what the socket takes at once. The message has the
# right length, its last bytes arrive as a next frame.
source "$(dirname "$0")/common.sh"
install_python flask-sock==0.7.0 simple-websocket==1.1.0 flask==3.1.2 werkzeug==3.1.9

python >seen <<'PYTHON'
import logging
import threading
import time
from importlib.metadata import version

from flask import Flask
from flask_sock import Sock
from werkzeug.serving import make_server

from wire import PING, Peer, free_port

logging.disable()
SIZE = 8 << 20
app = Flask("app")
sock = Sock(app)


@sock.route("/")
def send_much(ws):
    ws.send(b"a" * SIZE)
    ws.receive()


port = free_port()
server = make_server("127.0.0.1", port, app, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
peer = Peer.client(port)
time.sleep(2)  # until the socket is full; nothing announces that
peer.send(PING, b"still there?")
time.sleep(1)  # until the ping is answered; likewise
_, payload, _, _ = peer.receive()
foreign = bytes(byte for byte in payload if byte != ord("a"))
print(f"flask-sock {version('flask-sock')}, simple-websocket {version('simple-websocket')}")
print(f"sent {SIZE} times the letter a; arrived {len(payload)} bytes, among them {foreign}")
PYTHON

expect seen <<'SEEN'
flask-sock 0.7.0, simple-websocket 1.1.0
sent 8388608 times the letter a; arrived 8388608 bytes, among them b'\x8a\x0cstill there?'
SEEN
