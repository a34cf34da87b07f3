#!/usr/bin/env bash
# A client that has asked its question and ends its direction of the connection (SHUT_WR), as RFC 9293 3.6 lets it, gets
# no answer through microsocks and tinyproxy: they end the whole tunnel at its FIN. Through dante it gets it, as it does
# without a proxy. (squid 5.7 does as the first two.)
#
# RFC 9110 9.3.6 has a proxy close both connections "when a tunnel intermediary detects that either side has closed its
# connection", and these take the end of one direction for that. So a WebSocket's client that does not know what stands
# between half-closes only once both Close frames are there.
source "$(dirname "$0")/common.sh"
apt-get download -qq microsocks=1.0.3-2 tinyproxy-bin=1.11.1-2.1+deb12u1 dante-server=1.4.2+dfsg-7+b8 libwrap0 2>/dev/null
for package in *.deb; do dpkg -x "$package" .; done
export LD_LIBRARY_PATH=$(echo "$folder"/usr/lib/*-linux-gnu)

python3 >seen <<'PYTHON'
import socket
import subprocess
import threading
import time
from pathlib import Path
from subprocess import DEVNULL

from wire import free_port, listen


def answer(connection):
    question = b""
    while data := connection.recv(1024):
        question += data
    time.sleep(0.3)
    try:
        connection.sendall(b"answer to " + question)
    except OSError:
        pass
    connection.close()


def serve(listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def ask(port, steps):
    """Goes the steps to the tunnel, each with the end or the length of its answer, asks, and ends this direction."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.settimeout(20)
    for message, until in steps:
        connection.sendall(message)
        reply = b""
        while len(reply) < until if isinstance(until, int) else not reply.endswith(until):
            reply += connection.recv(1)
    connection.sendall(b"question")
    connection.shutdown(socket.SHUT_WR)
    reply = b""
    while data := connection.recv(1024):
        reply += data
    return reply.decode() or "nothing"


def through(name, command, settings, steps):
    port = free_port()
    Path("settings").write_text(settings.replace("PORT", str(port)))
    proxy = subprocess.Popen([part.replace("PORT", str(port)) for part in command], stdout=DEVNULL, stderr=DEVNULL)
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.1)
        print(f"{name}: {ask(port, steps)}")
    finally:
        proxy.kill()


listener, server = listen()
threading.Thread(target=serve, args=(listener,), daemon=True).start()
connect = [(f"CONNECT 127.0.0.1:{server} HTTP/1.1\r\nHost: 127.0.0.1:{server}\r\n\r\n".encode(), b"\r\n\r\n")]
socks = [(b"\5\1\0", 2), (b"\5\1\0\1\x7f\0\0\1" + server.to_bytes(2, "big"), 10)]
print(f"without a proxy: {ask(server, [])}")
through("microsocks", ["usr/bin/microsocks", "-i", "127.0.0.1", "-p", "PORT"], "", socks)
through("tinyproxy", ["usr/bin/tinyproxy", "-d", "-c", "settings"], "Port PORT\nListen 127.0.0.1\n", connect)
dante = """
internal: 127.0.0.1 port = PORT
external: lo
clientmethod: none
socksmethod: none
client pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }
socks pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }
"""
through("dante", ["usr/sbin/danted", "-f", "settings"], dante, socks)
PYTHON

expect seen <<'SEEN'
without a proxy: answer to question
microsocks: nothing
tinyproxy: nothing
dante: answer to question
SEEN
