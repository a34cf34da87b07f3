#!/usr/bin/env bash
# InspIRCd ends a connection at the second ping or pong within ten seconds: 1008 "WebSocket: Ping/pong flood".
#
# RFC 6455 5.5.2 and 5.5.3 let an endpoint send both at any time, and a pong unasked. A client that measures the delay
# once a second is cut after the first measurement; pings eleven seconds apart are answered. A Close gets no answer.
source "$(dirname "$0")/common.sh"
install_debian inspircd=3.15.0-1

cat >serve.py <<'PYTHON'
import os
import subprocess
import time

from wire import CLOSE, PING, PONG, Peer, close_code, free_port

port = free_port()
here = os.getcwd()
folders = "".join(f' {name}dir="{here}"' for name in ("data", "log", "runtime", "config"))
with open("server.conf", "w") as settings:
    settings.write(
        f"""
<server name="irc.example.com" description="example" network="Example">
<admin name="admin" nick="admin" email="admin@example.com">
<path moduledir="{here}/usr/lib/inspircd/modules"{folders}>
<bind address="127.0.0.1" port="{port}" type="clients" hook="websocket">
<module name="sha1">
<module name="websocket">
<wsorigin allow="*">
<connect name="all" allow="*" timeout="300" resolvehostnames="no">
"""
    )
inspircd = ["usr/sbin/inspircd", "--runasroot", "--nofork", "--nopid", "--config", f"{here}/server.conf"]
nothing = subprocess.DEVNULL
server = subprocess.Popen(inspircd, stdin=nothing, stdout=nothing, stderr=nothing)


def answer(*frames, pause=0):
    """What comes back behind the last of the frames."""
    peer = Peer.client(port, Origin="http://example.com")
    for opcode, payload in frames[:-1]:
        peer.send(opcode, payload)
        if opcode == PING:
            assert peer.receive()[:2] == (PONG, payload)
        time.sleep(pause)
    peer.send(*frames[-1])
    while frame := peer.receive():
        if frame[0] == PONG:
            return "pong"
        if frame[0] == CLOSE:
            return f"Close {close_code(frame[1])} {frame[1][2:].decode()}"
    return "the end of the stream"


try:
    print("one ping:", answer((PING, b"a")))
    print("two pings, eleven seconds apart:", answer((PING, b"a"), (PING, b"b"), pause=11))
    print("two pings, one second apart:", answer((PING, b"a"), (PING, b"b"), pause=1))
    print("a ping behind a pong:", answer((PONG, b""), (PING, b"b"), pause=1))
    print("a Close:", answer((CLOSE, b"\x03\xe8")))
finally:
    server.kill()
PYTHON
python3 serve.py >seen

expect seen <<'SEEN'
one ping: pong
two pings, eleven seconds apart: pong
two pings, one second apart: Close 1008 WebSocket: Ping/pong flood
a ping behind a pong: Close 1008 WebSocket: Ping/pong flood
a Close: the end of the stream
SEEN
