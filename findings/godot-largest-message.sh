#!/usr/bin/env bash
# Godot gives its program a message of exactly 65,536 bytes as an empty one; the connection goes on, and Godot's log alone
# says that data was dropped.
#
# Its buffer for input has 64 KiB, and one byte more gets 1009, as it should; the largest message that arrives has 65,535
# bytes. The empty one is of the kind of the message before. A server in Godot does so too.
source "$(dirname "$0")/common.sh"
install_debian godot3-server=3.2.3-stable-1+b3

cat >client.gd <<'GODOT'
extends SceneTree

var client = WebSocketClient.new()

func _init():
    client.connect("data_received", self, "_received")
    client.connect_to_url(OS.get_cmdline_args()[-1])

func _received():
    var peer = client.get_peer(1)
    var packet = peer.get_packet()
    print("seen: ", "text" if peer.was_string_packet() else "binary", " of ", packet.size(), " bytes")

func _idle(_delta):
    client.poll()
    if OS.get_ticks_msec() > 4000:
        quit()
    return false
GODOT

cat >ask.py <<'PYTHON'
import subprocess

from wire import BINARY, CLOSE, CONTINUATION, TEXT, Peer, close_code, listen


def tell(name, *frames):
    """Sends these frames to a client, and prints what its program sees, and what the client says at the end."""
    listener, port = listen()
    command = ["usr/bin/godot3-server", "-s", "client.gd", f"ws://127.0.0.1:{port}/"]
    client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    peer = Peer.server(listener)
    for parts in frames:
        peer.send(*parts)
    peer.send(CLOSE, b"\x03\xe8")
    while (found := peer.receive()) is not None and found[0] != CLOSE:
        pass
    peer.connection.close()
    output = client.communicate(timeout=20)[0]
    seen = [line[6:] for line in output.splitlines() if line.startswith("seen: ")]
    print(f"{name}: {', '.join(seen) or 'nothing'}; Close {close_code(found[1])}")


tell("a text of 65,535 bytes", (TEXT, b"a" * 65535))
tell("a text of 65,536 bytes", (TEXT, b"a" * 65536))
tell("in fragments", (TEXT, b"a" * 32768, False), (CONTINUATION, b"a" * 32768))
tell("between others", (TEXT, b"before"), (BINARY, bytes(65536)), (TEXT, b"behind"))
tell("a text of 65,537 bytes", (TEXT, b"a" * 65537))
PYTHON
python3 ask.py >seen

expect seen <<'SEEN'
a text of 65,535 bytes: text of 65535 bytes; Close 1000
a text of 65,536 bytes: binary of 0 bytes; Close 1000
in fragments: binary of 0 bytes; Close 1000
between others: text of 6 bytes, text of 0 bytes, text of 6 bytes; Close 1000
a text of 65,537 bytes: nothing; Close 1009
SEEN
