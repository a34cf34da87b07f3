#!/usr/bin/env bash
# Reconnecting clients of npm differ in which Close ends them for good: sockette stays away after 1001, robust-websocket
# after 1011, @gamestdio/websocket after any code of the program's own.
#
# 1001 is what a server says that goes away (RFC 6455 7.4.1), before a restart as well; 1011 what it says when a handler
# fails. Some come back even from 1000 and 1008, and knock for ever. All of them come back from 1012.
source "$(dirname "$0")/common.sh"
install_node sockette@2.0.6 robust-websocket@1.0.0 reconnecting-websocket@4.4.0 websocket-ts@2.3.0 \
    @gamestdio/websocket@0.3.2 websocket-heartbeat-js@1.1.3 phoenix@1.8.16 ws@8.23.0

cat >client.js <<'JAVASCRIPT'
// client.js NAME URL: what a page needs of a browser comes from ws and a few stand-ins.
const [name, url] = process.argv.slice(2);
globalThis.WebSocket = require("ws");
globalThis.window = Object.assign(globalThis, { addEventListener() {}, removeEventListener() {} });
globalThis.location = { protocol: "http:", host: "" };
globalThis.document = { createEvent, addEventListener() {} };
function createEvent() {
    return Object.assign(new Event("any"), { initCustomEvent() {} });
}
Object.defineProperty(globalThis, "navigator", { value: { onLine: true }, configurable: true });
const made = require(name);
const start = {
    "websocket-ts": () => new made.WebsocketBuilder(url).withBackoff(new made.ConstantBackoff(500)).build(),
    "websocket-heartbeat-js": () => new made.default({ url }),
    sockette: () => new made(url, {}),
    phoenix: () => new made.Socket(url, { transport: WebSocket }).connect(),
};
start[name] ? start[name]() : new (made.default ?? made)(url);
setInterval(() => {}, 1000);
JAVASCRIPT

python3 >seen <<'PYTHON'
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

from wire import CLOSE, Peer

CLIENTS = ["reconnecting-websocket", "sockette", "robust-websocket", "@gamestdio/websocket", "websocket-ts"]
CLIENTS += ["websocket-heartbeat-js", "phoenix"]
CODES = [1000, 1001, 1008, 1011, 1012, 1013, 4001]


def comes_back(name, code):
    """Whether a client connects again within ten seconds after this Close."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(60)
    client = subprocess.Popen(["node", "client.js", name, f"ws://127.0.0.1:{listener.getsockname()[1]}/"])
    try:
        peer = Peer.server(listener)
        peer.send(CLOSE, code.to_bytes(2, "big"))
        peer.receive()
        peer.input.close()
        peer.connection.close()
        listener.settimeout(10)
        listener.accept()
        return True
    except TimeoutError:
        assert client.poll() is None, "the client has failed"
        return False
    finally:
        client.kill()


with ThreadPoolExecutor(len(CODES)) as pool:
    for name in CLIENTS:
        back = list(pool.map(lambda code: comes_back(name, code), CODES))
        away = [str(code) for code, came in zip(CODES, back) if not came]
        print(f"{name:22} stays away after {', '.join(away) or 'none of them'}")
PYTHON

expect seen <<'SEEN'
reconnecting-websocket stays away after none of them
sockette               stays away after 1000, 1001
robust-websocket       stays away after 1000, 1008, 1011
@gamestdio/websocket   stays away after 4001
websocket-ts           stays away after none of them
websocket-heartbeat-js stays away after none of them
phoenix                stays away after none of them
SEEN
