#!/usr/bin/env bash
# tshark shows a compressed message in fragments without inflating it, and with takeover no message behind it at all.
#
# RFC 7692 6.1: the fragments of a message are one deflate stream, RSV1 stands on the first. tshark asks the last frame.
# The bytes that it has not inflated are missing in its window, so what is referred back to them is lost as well.
source "$(dirname "$0")/common.sh"
install_debian tshark=4.0.17-0+deb12u3

python3 >seen <<'PYTHON'
import itertools
import struct
import subprocess
import zlib

from wire import CONTINUATION, TEXT, frame

REQUEST = b"""GET / HTTP/1.1
Host: server
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Extensions: permessage-deflate

""".replace(b"\n", b"\r\n")
ANSWER = b"""HTTP/1.1 101 Switching Protocols
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
Sec-WebSocket-Extensions: permessage-deflate

""".replace(b"\n", b"\r\n")


def write_capture(path, frames):
    """A capture of raw IPv4: the handshakes of TCP and HTTP, then the server's frames, each in its segment."""
    client, server = (bytes([10, 0, 0, 1]), 40000), (bytes([10, 0, 0, 2]), 80)
    sent = {client: 1, server: 1}
    with open(path, "wb") as capture:
        capture.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))

        def add(sender, flags, data=b""):
            receiver = server if sender is client else client
            tcp = struct.pack(">HHIIBBHHH", sender[1], receiver[1], sent[sender], sent[receiver], 80, flags, 65535, 0, 0)
            head = struct.pack(">BBHHHBBH", 69, 0, 40 + len(data), 0, 0, 64, 6, 0) + sender[0] + receiver[0]
            packet = head + tcp + data
            capture.write(struct.pack("<IIII", 0, next(clock), len(packet), len(packet)) + packet)
            sent[sender] += len(data) + (flags >> 1 & 1)

        clock = itertools.count()
        add(client, 2), add(server, 18), add(client, 16)
        add(client, 24, REQUEST), add(server, 24, ANSWER)
        for data in frames:
            add(server, 24, data)


def show(what, frames):
    write_capture("capture", frames)
    command = ["usr/bin/tshark", "-r", "capture", "-Y", "websocket", "-V"]
    output = subprocess.run(command, capture_output=True, text=True, errors="replace").stdout
    print(f"{what}:")
    for part in output.split("\nFrame "):
        texts = [line.strip() for line in part.splitlines() if line.startswith("        Text: ")]
        opcode = next(line.split("Opcode: ")[1] for line in part.splitlines() if "Opcode: " in line)
        print(f"    {opcode}: {ascii(texts[0]) if texts else 'no text'}")


def message(compressor, fragments):
    data = (compressor.compress(b"hello hello hello") + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
    if fragments == 1:
        return [frame(TEXT, data, compressed=True)]
    return [frame(TEXT, data[:4], last=False, compressed=True), frame(CONTINUATION, data[4:])]


print(subprocess.run(["usr/bin/tshark", "-v"], capture_output=True, text=True).stdout.splitlines()[0])
compressor = zlib.compressobj(wbits=-15)
show("two messages, each in one frame", message(compressor, 1) + message(compressor, 1))
compressor = zlib.compressobj(wbits=-15)
show("two messages, the first in two frames", message(compressor, 2) + message(compressor, 1))
PYTHON

expect seen <<'SEEN'
TShark (Wireshark) 4.0.17 (Git v4.0.17 packaged as 4.0.17-0+deb12u3).
two messages, each in one frame:
    Text (1): 'Text: hello hello hello'
    Text (1): 'Text: hello hello hello'
two messages, the first in two frames:
    Text (1): no text
    Continuation (0): 'Text: \ufffdH\ufffd\ufffd\ufffdW\ufffd@\ufffd'
    Text (1): no text
SEEN
