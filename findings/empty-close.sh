#!/usr/bin/env bash
# An empty Close, a browser's close(), is told as a lost connection by aiohttp and WebSocket-Node; Qt tells both as 1000.
#
# RFC 6455 7.1.5: 1005 for a Close without a code, 1006 where none came. Qt tells even a refused handshake as 1000, and
# simple-websocket a lost connection as 1005, as if it had been closed. So goodbyes had better carry a code.
source "$(dirname "$0")/common.sh"
install_python aiohttp==3.14.5 PyQt6==6.11.0 PyQt6-Qt6==6.11.2 simple-websocket==1.1.0 wsproto==1.3.2
install_node websocket@1.0.35 faye-websocket@0.11.4 websocket-driver@0.8.0 ws@8.23.0 undici@7.30.2

python >seen <<'PYTHON'
import time

from clients import Meeting
from wire import CLOSE, PING, PONG, Peer


def told(name, closes):
    with Meeting(name) as meeting:
        peer = Peer.server(meeting.listener)
        time.sleep(0.5)  # simple-websocket does not see what comes with the 101
        peer.send(PING)
        assert peer.receive()[0] == PONG
        if closes:
            peer.send(CLOSE)
            peer.receive()
        peer.input.close()
        peer.connection.close()
        return meeting.ending()[0].split()[0]


for name in ("aiohttp", "websocket", "PyQt6", "simple-websocket", "faye-websocket", "ws", "undici"):
    print(f"{name:16} an empty Close: {told(name, True)}   FIN and no Close: {told(name, False)}")
PYTHON

expect seen <<'SEEN'
aiohttp          an empty Close: 1006   FIN and no Close: 1006
websocket        an empty Close: 1006   FIN and no Close: 1006
PyQt6            an empty Close: 1000   FIN and no Close: 1000
simple-websocket an empty Close: 1005   FIN and no Close: 1005
faye-websocket   an empty Close: 1000   FIN and no Close: 1006
ws               an empty Close: 1005   FIN and no Close: 1006
undici           an empty Close: 1005   FIN and no Close: 1006
SEEN
