#!/usr/bin/env bash
# Kamailio hangs up without a Close when an empty message arrives; its 101 holds a Content-Length, and a Via spelled "Sia".
#
# RFC 6455 5.2 allows an empty payload, RFC 9110 8.6 no Content-Length in a 1xx. SIP's own keep-alive, a message of two
# line ends, is answered. A client that keeps the connection alive by empty messages is cut by each. Every Close, 4001 too,
# is answered with 1000.
source "$(dirname "$0")/common.sh"
install_debian kamailio=5.6.3-2 kamailio-websocket-modules=5.6.3-2

cat >serve.py <<'PYTHON'
import glob
import os
import subprocess

from wire import CLOSE, PING, TEXT, Peer, close_code, free_port

port = free_port()
modules = os.path.abspath(glob.glob("usr/lib/*-linux-gnu/kamailio/modules")[0])
with open("server.cfg", "w") as settings:
    settings.write(
        f"""#!KAMAILIO
children=2
mpath="{modules}/"
listen=tcp:127.0.0.1:{port}
tcp_accept_no_cl=yes
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "xhttp.so"
loadmodule "websocket.so"
request_route {{ sl_send_reply("200", "OK"); exit; }}
event_route[xhttp:request] {{ ws_handle_handshake(); }}
"""
    )
nothing = subprocess.DEVNULL
kamailio = ["usr/sbin/kamailio", "-DD", "-E", "-f", "server.cfg", "-Y", os.getcwd(), "-w", os.getcwd()]
server = subprocess.Popen(kamailio, stdin=nothing, stdout=nothing, stderr=nothing)


def answer(opcode, payload):
    peer = Peer.client(port, Sec_WebSocket_Protocol="sip")
    peer.send(opcode, payload)
    frame = peer.receive()
    if frame is None:
        return "the end of the stream"
    return f"Close {close_code(frame[1])}" if frame[0] == CLOSE else frame[1]


try:
    odd = [line.split(" ")[0] for line in Peer.client(port, Sec_WebSocket_Protocol="sip").head if line.startswith(("Sia", "Via", "Content-Length"))]
    print("in the 101:", *odd)
    print("a ping:", answer(PING, b"a"))
    print("two line ends:", answer(TEXT, b"\r\n\r\n"))
    print("an empty message:", answer(TEXT, b""))
    print("Close 4001:", answer(CLOSE, b"\x0f\xa1"))
finally:
    server.terminate()
PYTHON
python3 serve.py >seen

expect seen <<'SEEN'
in the 101: Sia: Content-Length:
a ping: b'a'
two line ends: b'\r\n'
an empty message: the end of the stream
Close 4001: Close 1000
SEEN
