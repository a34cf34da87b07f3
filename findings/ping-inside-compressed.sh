#!/usr/bin/env bash
# A ping between the fragments of a compressed message ends the connection of two libraries.
#
# RFC 6455 5.4: "Control frames MAY be injected in the middle of a fragmented message." Both take it between the
# fragments of a message that is not compressed. Who pings by a clock hits this now and then.
source "$(dirname "$0")/common.sh"
install_python tornado==6.6.1 wsproto==1.3.2

python >seen <<'PYTHON'
import asyncio
import logging
import threading

import tornado
import tornado.web
import tornado.websocket
import wsproto
import wsproto.events
from wsproto.extensions import PerMessageDeflate

from wire import CONTINUATION, PING, PONG, TEXT, Peer, deflate, free_port, listen

logging.disable()


def serve_tornado(port):
    class Echo(tornado.websocket.WebSocketHandler):
        def get_compression_options(self):
            return {}

        def on_message(self, message):
            self.write_message(message)

    ready = threading.Event()

    async def run():
        tornado.web.Application([("/", Echo)]).listen(port, "127.0.0.1")
        ready.set()
        await asyncio.Event().wait()

    threading.Thread(target=lambda: asyncio.run(run()), daemon=True).start()
    ready.wait()


def serve_wsproto(listener):
    """Sends back what comes, as its documentation shows it."""

    def serve_one(connection):
        protocol = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        text = ""
        while data := connection.recv(4096):
            protocol.receive_data(data)
            for event in protocol.events():
                answer = None
                if isinstance(event, wsproto.events.Request):
                    answer = wsproto.events.AcceptConnection(extensions=[PerMessageDeflate()])
                elif isinstance(event, wsproto.events.Ping):
                    answer = event.response()
                elif isinstance(event, wsproto.events.TextMessage):
                    text += event.data
                    if event.message_finished:
                        answer, text = wsproto.events.Message(data=text), ""
                elif isinstance(event, wsproto.events.CloseConnection):
                    answer = event.response()
                if answer:
                    connection.sendall(protocol.send(answer))

    def accept():
        while True:
            threading.Thread(target=serve_one, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def try_it(name, port):
    for compressed in (False, True):
        peer = Peer.client(port, Sec_WebSocket_Extensions="permessage-deflate; server_no_context_takeover")
        payload = deflate(b"hello") if compressed else b"hello"
        peer.send(TEXT, payload[:3], last=False, compressed=compressed)
        peer.send(PING, b"ping")
        opcode, *_ = peer.receive()
        peer.send(CONTINUATION, payload[3:])
        kind = "compressed" if compressed else "plain"
        print(f"{name}, {kind}: {'a Pong' if opcode == PONG else 'no Pong'}, then {peer.receive_text()}")


port = free_port()
serve_tornado(port)
try_it(f"tornado {tornado.version}", port)
listener, port = listen()
serve_wsproto(listener)
try_it(f"wsproto {wsproto.__version__}", port)
PYTHON

expect seen <<'SEEN'
tornado 6.6.1, plain: a Pong, then hello
tornado 6.6.1, compressed: a Pong, then the end of the stream
wsproto 1.3.2, plain: a Pong, then hello
wsproto 1.3.2, compressed: a Pong, then Close 1007
SEEN
