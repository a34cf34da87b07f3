#!/usr/bin/env bash
# After a message whose deflate stream has a final block, every later compressed message arrives empty, without an error.
#
# RFC 7692 7.2.3.4 has such a message as an example, and the first one is read well. The connection stays open, plain
# messages still arrive: what is lost is only missed by who counts bytes. websockets is safe where it keeps no context.
source "$(dirname "$0")/common.sh"
install_python websockets==17.4 tornado==6.6.1 autobahn==26.10.2

python >seen <<'PYTHON'
import asyncio
import logging
import threading
import zlib

import autobahn
import tornado
import tornado.web
import tornado.websocket
import websockets
from autobahn.asyncio.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from websockets.asyncio.server import serve

from wire import TEXT, Peer, deflate, free_port

logging.disable()


async def serve_websockets(port):
    async def send_back(ws):
        async for message in ws:
            await ws.send(message)

    await serve(send_back, "127.0.0.1", port)


async def serve_tornado(port):
    class Echo(tornado.websocket.WebSocketHandler):
        def get_compression_options(self):
            return {}

        def on_message(self, message):
            self.write_message(message)

    tornado.web.Application([("/", Echo)]).listen(port, "127.0.0.1")


async def serve_autobahn(port):
    class Echo(WebSocketServerProtocol):
        def onMessage(self, payload, is_binary):
            self.sendMessage(payload, is_binary)

    def accept(offers):
        return next(PerMessageDeflateOfferAccept(offer) for offer in offers if isinstance(offer, PerMessageDeflateOffer))

    factory = WebSocketServerFactory()
    factory.protocol = Echo
    factory.setProtocolOptions(perMessageCompressionAccept=accept)
    await asyncio.get_running_loop().create_server(factory, "127.0.0.1", port)


def start(server, port):
    ready = threading.Event()

    async def run():
        await server(port)
        ready.set()
        await asyncio.Event().wait()

    threading.Thread(target=lambda: asyncio.run(run()), daemon=True).start()
    ready.wait()


def deflate_finally(data):
    """RFC 7692 7.2.3.4: a final block, and an empty one begun behind it."""
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush(zlib.Z_FINISH) + b"\0"


for name, server in (
    (f"websockets {websockets.__version__}", serve_websockets),
    (f"tornado {tornado.version}", serve_tornado),
    (f"autobahn {autobahn.__version__}", serve_autobahn),
):
    port = free_port()
    start(server, port)
    peer = Peer.client(port, Sec_WebSocket_Extensions="permessage-deflate; server_no_context_takeover")
    came = []
    for text, compress in (("one", deflate_finally), ("two", deflate), ("three", deflate)):
        peer.send(TEXT, compress(text.encode()), compressed=True)
        came.append(peer.receive_text())
    peer.send(TEXT, b"four")
    print(f"{name} sends back one, two, three and a plain four as {[*came, peer.receive_text()]}")
PYTHON

expect seen <<'SEEN'
websockets 17.4 sends back one, two, three and a plain four as ['one', '', '', 'four']
tornado 6.6.1 sends back one, two, three and a plain four as ['one', '', '', 'four']
autobahn 26.10.2 sends back one, two, three and a plain four as ['one', '', '', 'four']
SEEN
