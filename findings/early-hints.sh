#!/usr/bin/env bash
# HAProxy's early hints reach WebSocket handshakes too: a 103 goes before the 101, and most clients take it for a refusal.
#
# RFC 9110 15.2: a client has to be able to parse responses 1xx in front of the one that counts, and may ignore them.
source "$(dirname "$0")/common.sh"
install_debian haproxy=2.6.12-1+deb12u4
install_python websockets==17.4 websocket-client==1.9.2 autobahn==26.10.2 picows==2.3.1 simple-websocket==1.1.0 \
    PyQt6==6.11.0 PyQt6-Qt6==6.11.2 aiohttp==3.14.5 tornado==6.6.1
install_node faye-websocket@0.11.4 websocket-driver@0.8.0 ws@8.23.0 undici@7.30.2

python >seen <<'PYTHON'
import select
import subprocess
import time
from pathlib import Path

from clients import Meeting
from wire import TEXT, Peer, connect, free_port, listen

CLIENTS = ["websockets", "websocket-client", "autobahn", "picows", "simple-websocket", "faye-websocket", "PyQt6"]

listener, backend = listen()
port = free_port()
Path("haproxy.cfg").write_text(f"""
defaults
    mode http
    timeout client 30s
    timeout server 30s
    timeout connect 5s
frontend hints
    bind 127.0.0.1:{port}
    http-request early-hint Link "</style.css>; rel=preload; as=style"
    use_backend echo
backend echo
    server echo 127.0.0.1:{backend}
""")
proxy = subprocess.Popen(["usr/sbin/haproxy", "-f", "haproxy.cfg", "-db"], stderr=subprocess.DEVNULL)
try:
    connect(port).close()
    for name in [*CLIENTS, "aiohttp", "tornado", "undici", "ws"]:
        with Meeting(name, f"ws://127.0.0.1:{port}/") as meeting:
            select.select([listener], [], [], 20)
            time.sleep(0.5)  # a backend that takes its time: faye-websocket opens if both responses arrive in one piece
            peer = Peer.server(listener)
            try:
                peer.send(TEXT, b"hello")
                frame = peer.receive()
            except ConnectionError:
                frame = None
            print(f"{name:16}", "opens" if frame and frame[1] == b"hello" else "refuses")
finally:
    proxy.kill()
PYTHON

expect seen <<'SEEN'
websockets       refuses
websocket-client refuses
autobahn         refuses
picows           refuses
simple-websocket refuses
faye-websocket   refuses
PyQt6            refuses
aiohttp          opens
tornado          opens
undici           opens
ws               opens
SEEN
