#!/usr/bin/env bash
# A greeting that arrives with the 101 stays unread: simple-websocket sees it with the next one, ws4py loses all but one.
#
# RFC 6455 4.1: once the server has answered, it may send. Over TCP the two often arrive together; in a test that sleeps
# between them, or with a server that speaks second, nothing of this shows. So it is for pings: no Pong.
source "$(dirname "$0")/common.sh"
install_python simple-websocket==1.1.0 wsproto==1.3.2 ws4py==0.6.0 websockets==17.4

python >seen <<'PYTHON'
from importlib.metadata import version

from clients import Meeting
from wire import PING, TEXT, Peer, frame


def answers(peer):
    """What comes back within two seconds."""
    peer.connection.settimeout(2)
    found = []
    try:
        while True:
            found.append(peer.receive()[1].decode())
    except TimeoutError:
        peer.input = peer.connection.makefile("rb")
        return ", ".join(sorted(found)) or "nothing"


for name in ("simple-websocket", "ws4py", "websockets"):
    with Meeting(name) as meeting:
        greeting = frame(TEXT, b"first") + frame(TEXT, b"second") + frame(PING, b"still there?")
        peer = Peer.server(meeting.listener, behind=greeting)
        print(f"{name} {version(name)} sends back {answers(peer)}", end="; ")
        peer.send(TEXT, b"third")
        print(f"after one more message {answers(peer)}")
PYTHON

expect seen <<'SEEN'
simple-websocket 1.1.0 sends back nothing; after one more message first, second, still there?, third
ws4py 0.6.0 sends back first; after one more message third
websockets 17.4 sends back first, second, still there?; after one more message third
SEEN
