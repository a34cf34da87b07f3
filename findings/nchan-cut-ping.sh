#!/usr/bin/env bash
# nchan, the publish and subscribe module of nginx, answers no ping whose payload arrives in two parts, takes the next
# frame for its rest, and ends the connection with two Closes; a message in fragments is published as its first one.
#
# TCP keeps no borders, and RFC 6455 5.4 asks each endpoint for fragments. Cut in front of its payload a ping is answered,
# and messages may be cut anywhere. Behind the first Close nothing may be sent (5.5.1). The 101 has a Content-Length.
source "$(dirname "$0")/common.sh"
install_debian nginx=1.22.1-9+deb12u11 libnginx-mod-nchan=1:1.3.6+dfsg-2

cat >ask.py <<'PYTHON'
import os
import subprocess
import time

from wire import CONTINUATION, PING, TEXT, Peer, frame, free_port

port = free_port()
bodies = "\n".join(f"{kind}_temp_path {kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
with open("nginx.conf", "w") as settings:
    settings.write(
        f"""load_module {os.getcwd()}/usr/lib/nginx/modules/ngx_nchan_module.so;
user root;
daemon off;
pid nginx.pid;
error_log error.log;
events {{}}
http {{
    access_log off;
    {bodies}
    server {{
        listen 127.0.0.1:{port};
        location / {{ nchan_pubsub websocket; nchan_channel_id $arg_id; nchan_store_messages off; }}
    }}
}}
"""
    )
server = subprocess.Popen(["usr/sbin/nginx", "-p", os.getcwd(), "-c", "nginx.conf"], stderr=subprocess.DEVNULL)
channels = iter(range(100))


def answers(*parts):
    """What comes back within a second to the one who sends these bytes, and to another one of the same channel."""
    path = f"/?id={next(channels)}"
    peers = [Peer.client(port, path), Peer.client(port, path)]
    time.sleep(0.3)
    for part in parts:
        peers[0].connection.sendall(part)
        time.sleep(0.3)
    return [peer.receive_all(1) for peer in peers]


def masked(*parts):
    """A frame whose mask is zero, so that its payload is seen wherever it comes back."""
    first, second, *payload = frame(*parts)
    return bytes([first, second | 0x80, 0, 0, 0, 0, *payload])


ping, text = masked(PING, b"abc"), masked(TEXT, b"hello")
fragments = masked(TEXT, b"he", False) + masked(CONTINUATION, b"llo")
try:
    print("in the 101:", Peer.client(port, "/?id=x").field("Content-Length"))
    print("a ping cut in front of its payload:", answers(ping[:6], ping[6:])[0])
    print("a ping cut in its payload:", answers(ping[:7], ping[7:])[0])
    print("and a message behind it, which begins with", text[:3], "-", answers(ping[:7], ping[7:], text)[0])
    print("a message cut in its payload:", *answers(text[:8], text[8:]))
    print("a message in fragments:", *answers(fragments))
finally:
    server.terminate()
    server.wait()
PYTHON
python3 ask.py >seen

expect seen <<'SEEN'
in the 101: 0
a ping cut in front of its payload: [b'abc']
a ping cut in its payload: []
and a message behind it, which begins with b'\x81\x85\x00' - [b'\x81\x85\x00', 'Close without a code', 'Close 1000', 'the end']
a message cut in its payload: [b'hello'] [b'hello']
a message in fragments: [b'he', 'Close without a code', 'Close 1000', 'the end'] [b'he']
SEEN
