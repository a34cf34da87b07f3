#!/usr/bin/env bash
# libwebsockets answers the first of several pings that arrive together, and none of the later ones.
#
# RFC 6455 5.5.3 asks for a Pong to each Ping, and lets an endpoint answer only the latest. Whoever has sent another ping
# meanwhile, and waits for the latest one's payload, takes the connection for dead. Apart in time each is answered.
source "$(dirname "$0")/common.sh"
install_debian libwebsockets17=4.1.6-3 libwebsockets-test-server=4.1.6-3 libwebsockets-test-server-common=4.1.6-3

cat >ask.py <<'PYTHON'
import subprocess
import time

from wire import PING, PONG, TEXT, Peer, frame, free_port

port = free_port()
command = ["usr/bin/libwebsockets-test-server", "-p", str(port), "-r", "usr/share/libwebsockets-test-server"]
server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def pongs(*parts):
    """The payloads of the pongs to these bytes, each part a segment of its own, up to the echo of a message behind them."""
    peer = Peer.client(port, Sec_WebSocket_Protocol="lws-mirror-protocol")
    for part in parts:
        peer.connection.sendall(part)
        time.sleep(0.5)
    peer.send(TEXT, b"end")
    found = []
    while (received := peer.receive())[1] != b"end":
        if received[0] == PONG:
            found.append(received[1])
    return found


def ping(payload):
    return frame(PING, payload, masks=True)


try:
    print("two pings, one behind the other's pong:", pongs(ping(b"a"), ping(b"b")))
    print("two pings together:", pongs(ping(b"a") + ping(b"b")))
    print("three pings together:", pongs(ping(b"a") + ping(b"b") + ping(b"c")))
    print("with a message between:", pongs(ping(b"a") + frame(TEXT, b"text", masks=True) + ping(b"b")))
    print("together, and one later:", pongs(ping(b"a") + ping(b"b"), ping(b"c")))
finally:
    server.kill()
PYTHON
python3 ask.py >seen

expect seen <<'SEEN'
two pings, one behind the other's pong: [b'a', b'b']
two pings together: [b'a']
three pings together: [b'a']
with a message between: [b'a']
together, and one later: [b'a', b'c']
SEEN
