#!/usr/bin/env bash
# Eight of twelve clients refuse a 101 that says "Connection: keep-alive, Upgrade", and picows' server refuses Firefox.
#
# RFC 6455 4.1 and 4.2.1: the field contains the token "Upgrade", and it is a list (RFC 9110 7.6.1). Firefox sends just
# these words in each of its requests. These peers compare the whole value. A server had better send the one word, and
# keep other parts of a program from adding to it.
source "$(dirname "$0")/common.sh"
install_python aiohttp==3.14.5 tornado==6.6.1 picows==2.3.1 ws4py==0.6.0 PyQt6==6.11.0 PyQt6-Qt6==6.11.2 websockets==17.4 \
    autobahn==26.10.2 websocket-client==1.9.2
install_node undici@7.30.2 websocket@1.0.35 faye-websocket@0.11.4 websocket-driver@0.8.0 ws@8.23.0

python >seen <<'PYTHON'
import asyncio
import socket
import threading
import time

import picows
from clients import Meeting
from wire import TEXT, Peer, free_port

REQUEST = """GET / HTTP/1.1\r
Host: 127.0.0.1\r
Connection: CONNECTION\r
Upgrade: websocket\r
Sec-WebSocket-Version: 13\r
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
\r
"""
CLIENTS = ["aiohttp", "tornado", "picows", "undici", "websocket", "faye-websocket", "ws4py", "PyQt6", "websockets"]


def opens(name, connection):
    with Meeting(name) as meeting:
        peer = Peer.server(meeting.listener, connection=connection)
        peer.connection.settimeout(5)  # undici gives up without hanging up
        time.sleep(0.5)  # ws4py can lose what comes right behind the 101
        try:
            peer.send(TEXT, b"hello")
            frame = peer.receive()
        except (ConnectionError, TimeoutError):
            return False
        return frame is not None and frame[1] == b"hello"


for name in [*CLIENTS, "autobahn", "websocket-client", "ws"]:
    answers = [f"{value!r}: {'open' if opens(name, value) else 'refused'}" for value in ("Upgrade", "keep-alive, Upgrade")]
    print(f"{name:16}", *answers)


async def serve():
    server = await picows.ws_create_server(lambda _: picows.WSListener(), "127.0.0.1", port)
    listening.set()
    await server.serve_forever()


port, listening = free_port(), threading.Event()
threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
listening.wait()
for value in ("Upgrade", "keep-alive, Upgrade"):
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        connection.sendall(REQUEST.replace("CONNECTION", value).encode())
        print(f"picows' server answers {value!r}: {connection.recv(4096).splitlines()[0].decode()}")
PYTHON

expect seen <<'SEEN'
aiohttp          'Upgrade': open 'keep-alive, Upgrade': refused
tornado          'Upgrade': open 'keep-alive, Upgrade': refused
picows           'Upgrade': open 'keep-alive, Upgrade': refused
undici           'Upgrade': open 'keep-alive, Upgrade': refused
websocket        'Upgrade': open 'keep-alive, Upgrade': refused
faye-websocket   'Upgrade': open 'keep-alive, Upgrade': refused
ws4py            'Upgrade': open 'keep-alive, Upgrade': refused
PyQt6            'Upgrade': open 'keep-alive, Upgrade': refused
websockets       'Upgrade': open 'keep-alive, Upgrade': open
autobahn         'Upgrade': open 'keep-alive, Upgrade': open
websocket-client 'Upgrade': open 'keep-alive, Upgrade': open
ws               'Upgrade': open 'keep-alive, Upgrade': open
picows' server answers 'Upgrade': HTTP/1.1 101 Switching Protocols
picows' server answers 'keep-alive, Upgrade': HTTP/1.1 400 Bad Request
SEEN
