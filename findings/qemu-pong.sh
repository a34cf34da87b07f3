#!/usr/bin/env bash
# QEMU's WebSocket for VNC answers a ping with everything that arrived behind it as well: one Pong of 26 bytes for "a".
#
# RFC 6455 5.5.3: a Pong has the application data of the Ping that it answers. The data that came in one segment with
# the ping is handled all the same, but a second ping is not answered. A client that looks for its own payload in a pong
# takes the connection for dead. Each Close is answered with 1000, whatever code it had.
source "$(dirname "$0")/common.sh"
install_debian qemu-system-x86=1:7.2+dfsg-7+deb12u18+b3

cat >serve.py <<'PYTHON'
import socket
import subprocess

from wire import BINARY, CLOSE, PING, Peer, close_code, frame, free_port

# The number of a display is a port's distance from 5900; the WebSocket has a port of its own.
display = next(n for n in range(50, 500) if socket.socket().connect_ex(("127.0.0.1", 5900 + n)))
port = free_port()
qemu = ["usr/bin/qemu-system-x86_64", "-L", "usr/share/qemu", "-L", "usr/share/seabios", "-M", "none"]
qemu += ["-display", "none", "-vnc", f"127.0.0.1:{display},websocket={port}"]
server = subprocess.Popen(qemu, stdin=subprocess.DEVNULL)


def connect():
    peer = Peer.client(port, Sec_WebSocket_Protocol="binary")
    assert peer.receive()[1] == b"RFB 003.008\n"
    return peer


def ping(payload):
    return frame(PING, payload, masks=True)


try:
    version = frame(BINARY, b"RFB 003.008\n", masks=True)

    peer = connect()
    peer.connection.sendall(ping(b"a"))
    print("a ping alone:", peer.receive()[1])

    behind = version + frame(BINARY, b"\x01", masks=True)
    peer = connect()
    peer.connection.sendall(ping(b"a") + behind)
    pong = peer.receive()[1]
    print("a ping and two messages: pong of", len(pong), "bytes, the frames behind it are in it:", pong == b"a" + behind)
    print("and the messages were read:", peer.receive()[1], peer.receive()[1])

    peer = connect()
    peer.connection.sendall(ping(b"a") + ping(b"b"))
    pongs = [len(peer.receive()[1])]
    peer.connection.sendall(version)
    while (answer := peer.receive()[0]) != BINARY:
        pongs.append(answer)
    print("two pings in one segment: pongs of", pongs, "bytes")

    peer = connect()
    peer.send(CLOSE, b"\x0f\xa1")
    print("Close 4001: answered with", close_code(peer.receive()[1]))
finally:
    server.kill()
PYTHON
python3 serve.py >seen

expect seen <<'SEEN'
a ping alone: b'a'
a ping and two messages: pong of 26 bytes, the frames behind it are in it: True
and the messages were read: b'\x01\x01' b'\x00\x00\x00\x00'
two pings in one segment: pongs of [8] bytes
Close 4001: answered with 1000
SEEN
