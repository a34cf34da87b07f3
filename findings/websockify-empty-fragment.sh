#!/usr/bin/env bash
# websockify ends a connection with 1002, "Unexpected continuation frame", when a message begins with an empty fragment.
#
# RFC 6455 5.4 lets each fragment be of any size, and who streams may open a message before there is a first byte. An
# empty fragment in the middle or at the end does no harm.
source "$(dirname "$0")/common.sh"
install_python websockify==0.13.0

python >seen <<'PYTHON'
import subprocess
import sys
import threading
from importlib.metadata import version

from wire import BINARY, CLOSE, CONTINUATION, Peer, free_port, listen


def send_back(listener):
    while True:
        connection, _ = listener.accept()
        while data := connection.recv(1024):
            connection.sendall(data)


listener, backend = listen()
threading.Thread(target=send_back, args=(listener,), daemon=True).start()
port = free_port()
command = [sys.executable, "-m", "websockify", f"127.0.0.1:{port}", f"127.0.0.1:{backend}"]
server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    print(f"websockify {version('websockify')}")
    for fragments in ([b"ab", b"cd", b""], [b"ab", b"", b"cd"], [b"", b"ab", b"cd"]):
        peer = Peer.client(port)
        for number, fragment in enumerate(fragments):
            peer.send(CONTINUATION if number else BINARY, fragment, last=number == 2)
        received = b""
        while len(received) < 4:
            opcode, payload, _, _ = peer.receive()
            if opcode == CLOSE:
                received = f"Close {int.from_bytes(payload[:2], 'big')} {payload[2:].decode()}"
                break
            received += payload
        print(f"fragments {fragments}: {received}")
        peer.connection.close()
        peer.input.close()
finally:
    server.terminate()
PYTHON

expect seen <<'SEEN'
websockify 0.13.0
fragments [b'ab', b'cd', b'']: b'abcd'
fragments [b'ab', b'', b'cd']: b'abcd'
fragments [b'', b'ab', b'cd']: Close 1002 Procotol error: Unexpected continuation frame
SEEN
