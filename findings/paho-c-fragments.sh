#!/usr/bin/env bash
# Paho's MQTT client in C sends a message in fragments back in its Pong when a ping stands between them, and loses the
# message; of two packets in one message it leaves the second until more arrives.
#
# RFC 6455 5.5.3: a Pong has the application data of its Ping; 5.4: control frames may stand between fragments. MQTT 3.1.1,
# section 6: packets need not keep to the borders of frames. Every Close is answered with 1001, and an MQTT
# DISCONNECT follows it that is in no frame.
source "$(dirname "$0")/common.sh"
install_debian libpaho-mqtt1.3=1.3.12-1 paho.mqtt.c-examples=1.3.12-1

cat >meet.py <<'PYTHON'
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from wire import BINARY, CLOSE, CONTINUATION, PING, Peer, close_code, frame, listen


def publish(text):
    return b"\x30" + bytes([3 + len(text)]) + b"\0\x01t" + text


HELLO = publish(b"hello")


class Subscriber:
    """A client that has subscribed to the topic "t", and prints what is published there."""

    def __enter__(self):
        listener, port = listen()
        command = ["stdbuf", "-oL", "usr/bin/paho_c_sub", "t", "-c", f"ws://127.0.0.1:{port}/", "--keepalive", "5"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.peer = Peer.server(listener, Sec_WebSocket_Protocol="mqtt")
        self.peer.receive()
        self.peer.send(BINARY, b"\x20\x02\0\0")
        request = self.peer.receive()[1]
        self.peer.send(BINARY, b"\x90\x03" + request[2:4] + b"\0")
        time.sleep(0.5)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def published(*parts):
    """What the client prints, by then and at the next message, which comes two seconds after the last of the parts."""
    with Subscriber() as subscriber:
        for part in parts:
            subscriber.peer.connection.sendall(part)
            time.sleep(0.5)
        time.sleep(1.5)
        subscriber.peer.connection.sendall(frame(BINARY, publish(b"----")))
        time.sleep(1)
        subscriber.process.kill()
        return subscriber.process.stdout.read().split()


def pongs():
    with Subscriber() as subscriber:
        parts = [frame(BINARY, HELLO[:4], last=False), frame(PING, b"abc"), frame(CONTINUATION, HELLO[4:])]
        subscriber.peer.connection.sendall(b"".join(parts))
        return [subscriber.peer.receive()[1], subscriber.peer.receive()[1]]


def closed():
    with Subscriber() as subscriber:
        subscriber.peer.send(CLOSE, b"\x0f\xa1")
        return [close_code(subscriber.peer.receive()[1]), subscriber.peer.input.read()]


fragments = [frame(BINARY, HELLO[:4], last=False), frame(CONTINUATION, HELLO[4:])]
cases = {
    "fragments in one segment:": lambda: published(b"".join(fragments)),
    "fragments with the ping 'abc' between, pongs:": pongs,
    "the same, printed:": lambda: published(fragments[0] + frame(PING, b"abc") + fragments[1]),
    "a packet over two messages:": lambda: published(frame(BINARY, HELLO[:4]), frame(BINARY, HELLO[4:])),
    "Close 4001, answered with, and behind it:": closed,
}
with ThreadPoolExecutor(len(cases)) as pool:
    for name, found in zip(cases, pool.map(lambda case: case(), cases.values())):
        print(name, found)

with Subscriber() as subscriber:
    subscriber.peer.send(BINARY, HELLO + publish(b"second"))
    subscriber.process.stdout.readline()
    start = time.monotonic()
    time.sleep(2)
    subscriber.peer.send(BINARY, publish(b"third"))
    subscriber.process.stdout.readline()
    print("two packets in one message: the second waits for the next message:", time.monotonic() - start > 1.9)
PYTHON
python3 meet.py >seen

expect seen <<'SEEN'
fragments in one segment: ['hello', '----']
fragments with the ping 'abc' between, pongs: [b'0\x08\x00\x01abc', b'thello']
the same, printed: ['----']
a packet over two messages: ['hello', '----']
Close 4001, answered with, and behind it: [1001, b'\xe0\x00']
two packets in one message: the second waits for the next message: True
SEEN
