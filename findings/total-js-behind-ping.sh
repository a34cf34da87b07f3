#!/usr/bin/env bash
# Total.js throws away whatever arrives in one segment behind a ping or a pong, takes an empty message for the one before
# once more, and makes a code of that message's letters when an empty Close follows.
#
# RFC 6455 5.4 allows control frames between fragments, and TCP keeps no borders: a message sent right behind a ping is
# lost, a message in fragments with a ping between is as well, both without an error. Each Pong says "PONG", where 5.5.3
# asks for the ping's payload. A Close with a code gets no answer.
source "$(dirname "$0")/common.sh"
install_node total5@0.0.14

cat >echo.js <<'NODE'
require("total5");
ROUTE("SOCKET / @text", (socket) => {
    socket.on("message", (client, message) => client.send(message, true));
    socket.on("close", (client, code, reason) => code && console.log("told: %d %s", code, reason));
});
Total.http({ load: "none", ip: "127.0.0.1", port: process.argv[2] });
NODE

cat >ask.py <<'PYTHON'
import subprocess
import time

from wire import CLOSE, CONTINUATION, PING, PONG, TEXT, Peer, frame, free_port

port = free_port()
output = open("output", "w")
server = subprocess.Popen(["node", "echo.js", str(port)], stdout=output, stderr=output)


def connected():
    """A connection; before its routes are there, the server hangs up."""
    for _ in range(100):
        try:
            return Peer.client(port)
        except IndexError:
            time.sleep(0.1)


def answers(*parts):
    """What comes back within two seconds to these segments."""
    peer = connected()
    for part in parts:
        peer.connection.sendall(part)
        time.sleep(0.3)
    return peer.receive_all(2)


def masked(*parts):
    return frame(*parts, masks=True)


one, two, first, rest = masked(TEXT, b"one"), masked(TEXT, b"two"), masked(TEXT, b"hel", False), masked(CONTINUATION, b"lo")
ping, pong, empty, close = masked(PING, b"abc"), masked(PONG, b"abc"), masked(TEXT), masked(CLOSE)
try:
    print("two messages together:", answers(one + two))
    print("a ping between, apart in time:", answers(one, ping, two))
    print("a ping between, together:", answers(one + ping + two))
    print("a pong between, together:", answers(one + pong + two))
    print("a message in fragments:", answers(first + rest))
    print("a ping between fragments:", answers(first + ping + rest))
    print("an empty message between:", answers(one, empty, two))
    print("a message, and an empty Close:", answers(one, close))
    print("Close 4001:", answers(masked(CLOSE, b"\x0f\xa1reason")))
finally:
    server.kill()
for line in open("output"):
    if line.startswith("told"):
        print(line, end="")
PYTHON
python3 ask.py >seen

expect seen <<'SEEN'
two messages together: [b'one', b'two']
a ping between, apart in time: [b'one', b'PONG', b'two']
a ping between, together: [b'one', b'PONG']
a pong between, together: [b'one']
a message in fragments: [b'hello']
a ping between fragments: [b'PONG']
an empty message between: [b'one', b'one', b'two']
a message, and an empty Close: [b'one', 'the end']
Close 4001: ['the end']
told: 28526 e
told: 4001 reason
SEEN
