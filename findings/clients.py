"""Small clients of several libraries, for the findings: each sends back every message and prints how it ended."""

import subprocess
import sys

from wire import listen

PYTHON = {
    "websockets": """
from websockets.sync.client import connect
with connect(url, proxy=None) as client:
    for message in client:
        client.send(message)
    print(client.close_code, client.close_reason)
""",
    "aiohttp": """
import asyncio, aiohttp
async def main():
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as client:
        async for message in client:
            await client.send_str(message.data)
        print(client.close_code)
asyncio.run(main())
""",
    "tornado": """
import asyncio
from tornado.websocket import websocket_connect
async def main():
    client = await websocket_connect(url)
    while (message := await client.read_message()) is not None:
        await client.write_message(message)
    print(client.close_code, client.close_reason)
asyncio.run(main())
""",
    "autobahn": """
import asyncio
from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol
class Protocol(WebSocketClientProtocol):
    def onMessage(self, payload, is_binary):
        self.sendMessage(payload, is_binary)
    def onClose(self, clean, code, reason):
        print(code, reason)
        ended.set_result(None)
async def main():
    global ended
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    factory = WebSocketClientFactory(url, loop=loop)
    factory.protocol = Protocol
    await loop.create_connection(factory, factory.host, factory.port)
    await ended
asyncio.run(main())
""",
    "picows": """
import asyncio
from picows import WSListener, WSMsgType, ws_connect
class Listener(WSListener):
    def on_ws_frame(self, transport, frame):
        if frame.msg_type == WSMsgType.TEXT:
            transport.send(WSMsgType.TEXT, frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            print(frame.get_close_code(), frame.get_close_message().decode())
            transport.send_close(frame.get_close_code())
            transport.disconnect()
async def main():
    transport, _ = await ws_connect(Listener, url)
    await transport.wait_disconnected()
asyncio.run(main())
""",
    "websocket-client": """
import websocket
client = websocket.create_connection(url)
while True:
    opcode, payload = client.recv_data()
    if opcode == websocket.ABNF.OPCODE_CLOSE:
        print(int.from_bytes(payload[:2], "big"), payload[2:].decode())
        break
    client.send(payload, opcode)
""",
    "ws4py": """
from ws4py.client.threadedclient import WebSocketClient
class Client(WebSocketClient):
    def received_message(self, message):
        self.send(message.data, message.is_binary)
    def closed(self, code, reason=None):
        print(code, reason and reason.decode())
client = Client(url)
client.connect()
client.run_forever()
""",
    "simple-websocket": """
import simple_websocket
client = simple_websocket.Client(url)
try:
    while True:
        client.send(client.receive())
except simple_websocket.ConnectionClosed as error:
    print(error.reason, error.message)
""",
    "PyQt6": """
from PyQt6.QtCore import QCoreApplication, QUrl
from PyQt6.QtWebSockets import QWebSocket
application = QCoreApplication([])
client = QWebSocket()
def end():
    print(client.closeCode().value, client.closeReason())
    application.quit()
client.textMessageReceived.connect(client.sendTextMessage)
client.errorOccurred.connect(lambda error: print(client.errorString(), file=sys.stderr))
client.disconnected.connect(end)
client.open(QUrl(url))
application.exec()
""",
}
NODE = {
    "ws": """
const client = new (require("ws"))(url);
client.on("message", (data) => client.send(data.toString()));
client.on("close", (code, reason) => console.log(code, reason.toString()));
""",
    "undici": """
const client = new (require("undici").WebSocket)(url);
client.onmessage = (event) => client.send(event.data);
client.onclose = (event) => console.log(event.code, event.reason);
""",
    "websocket": """
const client = new (require("websocket").client)();
client.on("connect", (connection) => {
    connection.on("message", (message) => connection.sendUTF(message.utf8Data));
    connection.on("close", (code, reason) => console.log(code, reason));
});
client.connect(url);
""",
    "faye-websocket": """
const client = new (require("faye-websocket").Client)(url);
client.on("message", (event) => client.send(event.data));
client.on("close", (event) => console.log(event.code, event.reason));
""",
}


class Meeting:
    """A client's process, and the listener to which it connects."""

    def __init__(self, name, url=None):
        if url is None:
            self.listener, port = listen()
            url = f"ws://127.0.0.1:{port}/"
        if name in PYTHON:
            command = [sys.executable, "-c", f"import sys\nurl = sys.argv[1]\n{PYTHON[name]}", url]
        else:
            command = ["node", "-e", f"const url = process.argv[1];\n{NODE[name]}", url]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def ending(self):
        """What the client printed at its end; the last line of its complaint if it printed nothing."""
        output, complaint = self.process.communicate(timeout=20)
        return (output.strip() or complaint.strip()).splitlines()[-1:]
