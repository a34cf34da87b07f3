#!/usr/bin/env bash
# microdot, the web framework for microcontrollers, ends a connection when a frame's two first bytes arrive apart, and at
# the first fragment; an empty message never reaches the program.
#
# TCP keeps no borders, RFC 6455 5.4 asks each endpoint for fragments, 5.2 allows an empty payload. Its Close has no code,
# so the peer is told 1005. The program's loop sees the same for a client that has left.
source "$(dirname "$0")/common.sh"
install_python microdot==2.7.0

cat >serve.py <<'PYTHON'
import asyncio

from microdot import Microdot
from microdot.websocket import with_websocket

app = Microdot()


@app.route("/")
@with_websocket
async def echo(request, ws):
    while True:
        await ws.send(await ws.receive())


async def serve():
    # Only the server that it makes knows the port that the system has chosen.
    server = asyncio.create_task(app.start_server(host="127.0.0.1", port=0))
    while app.server is None:
        await asyncio.sleep(0.01)
    print(app.server.sockets[0].getsockname()[1], flush=True)
    await server


asyncio.run(serve())
PYTHON

cat >ask.py <<'PYTHON'
import subprocess
import sys
import time

from wire import CLOSE, CONTINUATION, TEXT, Peer, close_code, frame

server = subprocess.Popen([sys.executable, "serve.py"], stdout=subprocess.PIPE)
port = int(server.stdout.readline())


def answer(*parts):
    """What comes back for these bytes, each part a segment of its own."""
    peer = Peer.client(port)
    for part in parts:
        peer.connection.sendall(part)
        time.sleep(0.3)
    found = peer.receive()
    if found is None:
        return "the end of the stream"
    return f"Close {close_code(found[1])}" if found[0] == CLOSE else found[1]


def text(payload, opcode=TEXT, last=True):
    return frame(opcode, payload, last, masks=True)


try:
    whole = text(b"whole")
    print("in one segment:", answer(whole))
    print("cut behind two bytes:", answer(whole[:2], whole[2:]))
    print("cut behind the first byte:", answer(whole[:1], whole[1:]))
    print("in two fragments:", answer(text(b"who", last=False) + text(b"le", CONTINUATION)))
    print("an empty message and another:", answer(text(b"") + text(b"other")))
    print("Close 4001:", answer(frame(CLOSE, b"\x0f\xa1", masks=True)))
finally:
    server.kill()
PYTHON
python ask.py >seen

expect seen <<'SEEN'
in one segment: b'whole'
cut behind two bytes: b'whole'
cut behind the first byte: Close without a code
in two fragments: Close without a code
an empty message and another: b'other'
Close 4001: Close without a code
SEEN
