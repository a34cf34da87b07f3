#!/usr/bin/env bash
# Prosody ends a connection on which a message arrives in fragments: 1003 "Continuation frames are not supported".
#
# RFC 6455 5.4: clients and servers MUST support fragmented messages, and what stands between may cut a message as well.
# The words of its Close refer to RFC 7395 3.3.3, XMPP's rules. Who speaks XMPP sends each element in one frame.
source "$(dirname "$0")/common.sh"
install_debian prosody=0.12.3-1+deb12u1 lua5.4

cat >serve.py <<'PYTHON'
import glob
import os
import subprocess

from wire import CLOSE, CONTINUATION, PING, TEXT, Peer, close_code, free_port

port = free_port()
here = os.getcwd()
with open("settings.lua", "w") as settings:
    settings.write(
        f"""
pidfile = "{here}/pid"; data_path = "{here}"; run_as_root = true
modules_enabled = {{ "websocket", "saslauth" }}
c2s_require_encryption = false; consider_websocket_secure = true; authentication = "anonymous"
http_ports = {{ {port} }}; http_interfaces = {{ "127.0.0.1" }}; https_ports = {{}}
c2s_ports = {{}}; s2s_ports = {{}}; log = {{ error = "{here}/log" }}
VirtualHost "localhost"
"""
    )
with open("usr/bin/prosody") as source, open("start.lua", "w") as start:
    for line in source:
        start.write(line.replace("'/usr/lib/", f"'{here}/usr/lib/"))
libraries = glob.glob(f"{here}/usr/lib/*-linux-gnu/lua/5.4")[0]
lua = {
    "LUA_PATH": f"{here}/usr/lib/prosody/?.lua;{here}/usr/share/lua/5.4/?.lua;{here}/usr/share/lua/5.4/?/init.lua;;",
    "LUA_CPATH": f"{here}/usr/lib/prosody/?.so;{libraries}/?.so;;",
}
prosody = ["usr/bin/lua5.4", "start.lua", "--foreground", "--config", f"{here}/settings.lua"]
nothing = subprocess.DEVNULL
server = subprocess.Popen(prosody, stdin=nothing, stdout=nothing, stderr=nothing, env={**os.environ, **lua})
opening = b'<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" to="localhost" version="1.0"/>'


def answer(*frames):
    peer = Peer.client(port, "/xmpp-websocket", Sec_WebSocket_Protocol="xmpp")
    for frame in frames:
        peer.send(*frame)
    opcode, payload, *_ = peer.receive()
    if opcode == CLOSE:
        return f"Close {close_code(payload)} {payload[2:].decode()}"
    return payload[:5].decode()


try:
    print("a ping:", answer((PING, b"a")))
    print("one frame:", answer((TEXT, opening)))
    print("two fragments:", answer((TEXT, opening[:20], False), (CONTINUATION, opening[20:])))
finally:
    server.kill()
PYTHON
python3 serve.py >seen

expect seen <<'SEEN'
a ping: a
one frame: <open
two fragments: Close 1003 Continuation frames are not supported, RFC 7395 3.3.3
SEEN
