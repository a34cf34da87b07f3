#!/usr/bin/env bash
# aiosonic gives a message in fragments as its first fragment, without an error, and answers neither Ping nor Close.
#
# RFC 6455 5.4: a message is all its fragments; 5.5.1 and 5.5.2: a Ping gets its Pong, a Close its Close. Whoever watches
# such a client by pings takes it for dead, though it sends pings itself.
source "$(dirname "$0")/common.sh"
install_python aiosonic==1.3.3

python >seen <<'PYTHON'
import asyncio
import threading

import aiosonic
from importlib.metadata import version

from wire import CLOSE, CONTINUATION, PING, TEXT, Peer, listen

NAMES = {TEXT: "text", CLOSE: "Close", PING: "Ping"}
listener, port = listen()


def serve():
    peer = Peer.server(listener)
    peer.send(TEXT, b"one ", last=False)
    peer.send(CONTINUATION, b"two ", last=False)
    peer.send(CONTINUATION, b"three")
    peer.send(PING, b"still there?")
    peer.send(TEXT, b"whole")
    for _ in range(3):
        opcode, payload, _, _ = peer.receive()
        print(f"it sends {NAMES[opcode]} {payload}")
    peer.send(CLOSE, (4000).to_bytes(2, "big"))
    peer.connection.settimeout(2)
    try:
        print("at Close 4000 it sends", peer.receive())
    except TimeoutError:
        print("at Close 4000 it sends nothing")


async def echo():
    client = await aiosonic.WebSocketClient().connect(f"ws://127.0.0.1:{port}/")
    try:
        while True:
            await client.send_text(await client.receive_text())
    except aiosonic.exceptions.ConnectionDisconnected as error:
        print(f"its program is told {error!r}")


print(f"aiosonic {version('aiosonic')} is sent 'one two three' in three fragments, a Ping, and 'whole'")
serving = threading.Thread(target=serve)
serving.start()
asyncio.run(echo())
serving.join()
PYTHON

expect seen <<'SEEN'
aiosonic 1.3.3 is sent 'one two three' in three fragments, a Ping, and 'whole'
it sends Ping b''
it sends text b'one '
it sends text b'whole'
its program is told ConnectionDisconnected('Connection is closed')
at Close 4000 it sends nothing
SEEN
