#!/usr/bin/env bash
# tornado's client agrees to client_no_context_takeover, and then refers back to its earlier messages all the same.
#
# RFC 7692 7.1.1.2: such a client "MUST" not use the window of an earlier message. A server that asked for it to save a
# window for each client cannot read the second message. The parameter has no value, and those are lost.
source "$(dirname "$0")/common.sh"
install_python tornado==6.6.1

python >seen <<'PYTHON'
import asyncio
import threading
import zlib

import tornado
from tornado.websocket import websocket_connect

from wire import Peer, inflate, listen

ANSWER = "permessage-deflate; client_no_context_takeover"
listener, port = listen()


def serve():
    peer = Peer.server(listener, Sec_WebSocket_Extensions=ANSWER)
    print(f"tornado {tornado.version} offers {peer.field('Sec-WebSocket-Extensions')}")
    print(f"and takes the answer {ANSWER}")
    for number in ("first", "second"):
        _, payload, _, _ = peer.receive()
        try:
            print(f"its {number} message, inflated on its own: {inflate(payload).decode()!r}")
        except zlib.error as error:
            print(f"its {number} message, inflated on its own: {error}")


async def send_twice():
    client = await websocket_connect(f"ws://127.0.0.1:{port}/", compression_options={})
    for _ in range(2):
        await client.write_message("the same words, the same words, said twice")
    await asyncio.to_thread(serving.join)


serving = threading.Thread(target=serve)
serving.start()
asyncio.run(send_twice())
PYTHON

expect seen <<'SEEN'
tornado 6.6.1 offers permessage-deflate; client_max_window_bits
and takes the answer permessage-deflate; client_no_context_takeover
its first message, inflated on its own: 'the same words, the same words, said twice'
its second message, inflated on its own: Error -3 while decompressing data: invalid distance too far back
SEEN
