#!/usr/bin/env bash
# lighttpd's mod_wstunnel answers every Close with the code 12592: the letters "1000" where two bytes of a number belong.
#
# RFC 6455 5.5.1 has the code as a number in network byte order, so "10" is read as 12592, which may not be sent, and
# "00" as the reason. Whoever checks codes ends an ordinary goodbye as a violation.
source "$(dirname "$0")/common.sh"
apt-get download -qq lighttpd=1.4.69-1 libnettle8 libxxhash0 libpcre2-8-0 2>/dev/null
for package in *.deb; do dpkg -x "$package" .; done
export LD_LIBRARY_PATH=$(echo "$folder"/usr/lib/*-linux-gnu)

python3 >seen <<'PYTHON'
import subprocess
import threading
from pathlib import Path

from wire import CLOSE, TEXT, Peer, close_code, free_port, listen


def send_back(listener):
    connection, _ = listener.accept()
    while data := connection.recv(1024):
        connection.sendall(data)


listener, backend = listen()
threading.Thread(target=send_back, args=(listener,), daemon=True).start()
port = free_port()
Path("lighttpd.conf").write_text(f"""
server.document-root = "/var/empty"
server.bind = "127.0.0.1"
server.port = {port}
server.modules = ("mod_wstunnel")
wstunnel.server = ("/" => (("host" => "127.0.0.1", "port" => {backend})))
wstunnel.frame-type = "text"
""")
version = subprocess.run(["usr/sbin/lighttpd", "-v"], capture_output=True, text=True, check=True).stdout.split()[0]
server = subprocess.Popen(["usr/sbin/lighttpd", "-D", "-m", "usr/lib/lighttpd", "-f", "lighttpd.conf"])
try:
    peer = Peer.client(port)
    peer.send(TEXT, b"hello")
    print(f"{version} sends back {peer.receive_text()!r}")
    peer.send(CLOSE, (1000).to_bytes(2, "big"))
    opcode, payload, _, _ = peer.receive()
    assert opcode == CLOSE
    print(f"and answers Close 1000 with Close {close_code(payload)}, payload {payload}")
finally:
    server.kill()
PYTHON

expect seen <<'SEEN'
lighttpd/1.4.69 sends back 'hello'
and answers Close 1000 with Close 12592, payload b'1000'
SEEN
