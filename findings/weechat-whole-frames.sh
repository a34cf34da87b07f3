#!/usr/bin/env bash
# WeeChat's relay hangs up when a frame does not arrive whole in one read of 4,096 bytes.
#
# TCP keeps no borders: a frame of 5,000 bytes, or a small one that arrives in two segments, ends the connection without
# a Close. Fragments of one message, each a whole frame, are put together as they should be. Whoever talks to it sends
# frames below 4 KiB, each in one write.
source "$(dirname "$0")/common.sh"
install_debian weechat-headless=3.8-1 weechat-plugins=3.8-1

cat >serve.py <<'PYTHON'
import glob
import os
import subprocess
import time

from wire import CONTINUATION, TEXT, Peer, frame, free_port

port = free_port()
commands = ["/set relay.network.password secret", "/set relay.network.ipv6 off"]
commands += ["/set relay.network.bind_address 127.0.0.1", f"/relay add weechat {port}"]
weechat = ["usr/bin/weechat-headless", "--dir", "home", *(part for one in commands for part in ("-r", one))]
plugins = {"WEECHAT_EXTRA_LIBDIR": os.path.abspath(glob.glob("usr/lib/*-linux-gnu/weechat")[0])}
nothing = subprocess.DEVNULL
server = subprocess.Popen(weechat, stdin=nothing, stdout=nothing, stderr=nothing, env={**os.environ, **plugins})


def connect():
    peer = Peer.client(port, "/weechat")
    peer.send(TEXT, b"init password=secret\n")
    return peer


def answer(*parts):
    """What a `ping` gets as its answer: its own words back, or the end of the stream."""
    peer = connect()
    for part in parts:
        peer.connection.sendall(part)
        time.sleep(0.3)  # so that each part is a segment of its own
    frame = peer.receive()
    return f"answered, {len(frame[1])} bytes" if frame else "the end of the stream"


def text(payload, opcode=TEXT, last=True):
    return frame(opcode, payload, last, masks=True)


try:
    whole = text(b"ping hello\n")
    print("a small frame in one segment:", answer(whole))
    print("two in one segment:", answer(whole + whole))
    print("a message in two fragments:", answer(text(b"ping he", last=False), text(b"llo\n", CONTINUATION)))
    print("a small frame in two segments:", answer(whole[:8], whole[8:]))
    print("a frame of 4,000 bytes:", answer(text(b"ping " + b"x" * 3994 + b"\n")))
    print("a frame of 5,000 bytes:", answer(text(b"ping " + b"x" * 4994 + b"\n")))
finally:
    server.kill()
PYTHON
python3 serve.py >seen

expect seen <<'SEEN'
a small frame in one segment: answered, 26 bytes
two in one segment: answered, 26 bytes
a message in two fragments: answered, 26 bytes
a small frame in two segments: the end of the stream
a frame of 4,000 bytes: answered, 4015 bytes
a frame of 5,000 bytes: the end of the stream
SEEN
