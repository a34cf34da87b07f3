"""A WebSocket peer that writes and reads every frame itself, for the findings. Only the standard library."""

import base64
import hashlib
import os
import socket
import time
import zlib

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
CONTINUATION = 0


class Peer:
    """One end of a connection. Clients mask what they send, servers do not."""

    def __init__(self, connection, masks):
        connection.settimeout(20)
        self.connection, self.masks = connection, masks
        self.input = connection.makefile("rb")

    @classmethod
    def client(cls, port, path="/", **fields):
        """Connects to a server on loopback, which may just begin. A field's name is written with underscores."""
        peer = cls(connect(port), masks=True)
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        peer.connection.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        peer.head = peer.read_head()
        assert peer.head[0].split()[1] == "101", peer.head
        return peer

    @classmethod
    def server(cls, listener, connection="Upgrade", behind=b"", **fields):
        """Takes a client's connection. The answer's field Connection can be said; `behind` leaves in one write with it."""
        peer = cls(listener.accept()[0], masks=False)
        peer.head = peer.read_head()
        key = next(line.split(": ", 1)[1] for line in peer.head if line.lower().startswith("sec-websocket-key:"))
        accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest())
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", f"Connection: {connection}"]
        lines += [f"Sec-WebSocket-Accept: {accept.decode()}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        peer.connection.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode() + behind)
        return peer

    def read_head(self):
        lines = []
        while line := self.input.readline().decode().strip():
            lines.append(line)
        return lines

    def field(self, name):
        """The value of a field of the other side's head, or None."""
        for line in self.head:
            found, _, value = line.partition(":")
            if found.lower() == name.lower():
                return value.strip()

    def send(self, opcode, payload=b"", last=True, compressed=False):
        self.connection.sendall(frame(opcode, payload, last, compressed, self.masks))

    def receive(self):
        """The next frame, as opcode, payload, whether it is the last of its message, and its RSV1; None at the end."""
        try:
            head = self.input.read(2)
            if len(head) < 2:
                return None
            size, masked = head[1] & 0x7F, head[1] & 0x80
            if size > 125:
                size = int.from_bytes(self.input.read({126: 2, 127: 8}[size]), "big")
            mask = self.input.read(4) if masked else bytes(4)
            payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(self.input.read(size)))
        except ConnectionError:
            return None
        return head[0] & 15, payload, bool(head[0] & 0x80), bool(head[0] & 0x40)

    def receive_all(self, patience):
        """What comes until the end, or until nothing comes for so many seconds: payloads, and Closes in words."""
        self.connection.settimeout(patience)
        seen = []
        try:
            while (found := self.receive()) is not None:
                seen.append(f"Close {close_code(found[1])}" if found[0] == CLOSE else found[1])
            seen.append("the end")
        except TimeoutError:
            pass
        return seen

    def receive_text(self):
        """The next message, inflated on its own if it is compressed, as long as it is one frame; or how it ended."""
        frame = self.receive()
        if frame is None:
            return "the end of the stream"
        opcode, payload, last, compressed = frame
        if opcode == CLOSE:
            return f"Close {close_code(payload)}"
        assert last, frame
        return (inflate(payload) if compressed else payload).decode()


def frame(opcode, payload=b"", last=True, compressed=False, masks=False):
    """A frame's bytes."""
    first = (0x80 if last else 0) | (0x40 if compressed else 0) | opcode
    mask_bit, size = (0x80 if masks else 0), len(payload)
    if size < 126:
        head = bytes([first, mask_bit | size])
    elif size < 65536:
        head = bytes([first, mask_bit | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, mask_bit | 127]) + size.to_bytes(8, "big")
    if masks:
        mask = os.urandom(4)
        head += mask
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return head + payload


def close_code(payload):
    return int.from_bytes(payload[:2], "big") if payload else "without a code"


def deflate(data):
    """A message's payload (RFC 7692 7.2.1), without a window that was there before."""
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inflate(payload):
    return zlib.decompressobj(wbits=-15).decompress(payload + b"\0\0\xff\xff")


def listen():
    """Listens on a free port of loopback; gives the socket and its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)
    return listener, listener.getsockname()[1]


def connect(port):
    """Connects to a server on loopback, for as long as twenty seconds until it listens."""
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.1)
    raise TimeoutError(f"nobody listens at port {port}")


def free_port():
    listener, port = listen()
    listener.close()
    return port
