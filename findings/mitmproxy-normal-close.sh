#!/usr/bin/env bash
# Behind mitmproxy a server that vanishes in the middle of a message looks like one that said goodbye: Close 1000.
#
# RFC 6455 7.1.5: without a Close the code is 1006, which cannot be sent. mitmproxy's own log says ABNORMAL_CLOSURE.
source "$(dirname "$0")/common.sh"
install_python mitmproxy==11.0.2

python >seen <<'PYTHON'
import socket
import struct
import subprocess
import threading
from importlib.metadata import version

from wire import TEXT, Peer, free_port, listen


def serve(listener, resets):
    peer = Peer.server(listener)
    peer.receive()
    peer.send(TEXT, b"the first half of a mess", last=False)
    if resets:
        peer.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.input.close()
    peer.connection.close()


for resets in (False, True):
    listener, server_port = listen()
    threading.Thread(target=serve, args=(listener, resets)).start()
    port = free_port()
    command = ["mitmdump", "--mode", f"reverse:http://127.0.0.1:{server_port}/", "--listen-port", str(port)]
    command += ["--listen-host", "127.0.0.1", "--set", "confdir=mitmproxy"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        while "listening" not in proxy.stdout.readline():
            pass
        peer = Peer.client(port)
        peer.send(TEXT, b"go")
        how = "a reset" if resets else "a FIN and no Close"
        print(f"mitmproxy {version('mitmproxy')}: the server ends by {how}, the client is told {peer.receive_text()}")
        proxy.terminate()
        proxy.communicate()
PYTHON

expect seen <<'SEEN'
mitmproxy 11.0.2: the server ends by a FIN and no Close, the client is told Close 1000
mitmproxy 11.0.2: the server ends by a reset, the client is told Close 1000
SEEN
