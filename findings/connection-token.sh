#!/usr/bin/env bash
# Eight of twelve clients refuse a 101 that says "Connection: keep-alive, Upgrade".
#
# RFC 6455 4.1: the field has to contain the token "Upgrade", and it is a list (RFC 9110 7.6.1), as Firefox's requests
# show with the same words. These clients compare the whole value. A server had better send the one word, and keep other
# parts of a program from adding to it.
source "$(dirname "$0")/common.sh"
install_python aiohttp==3.14.5 tornado==6.6.1 picows==2.3.1 ws4py==0.6.0 PyQt6==6.11.0 PyQt6-Qt6==6.11.2 websockets==17.4 \
    autobahn==26.10.2 websocket-client==1.9.2
install_node undici@7.30.2 websocket@1.0.35 faye-websocket@0.11.4 websocket-driver@0.8.0 ws@8.23.0

python >seen <<'PYTHON'
import time

from clients import Meeting
from wire import TEXT, Peer

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
SEEN
