"""The echo server with websockets: websockets_server.py LEVEL"""

import asyncio
import os
import sys
import threading

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory


async def echo(ws):
    try:
        async for message in ws:
            await ws.send(message)
    except ConnectionClosed:
        pass


async def main(level):
    deflate = ServerPerMessageDeflateFactory(compress_settings={"level": level, "memLevel": 8})
    async with serve(echo, "127.0.0.1", 0, extensions=[deflate], compression=None, ping_interval=None) as server:
        host, port = server.sockets[0].getsockname()
        print(f"{host}:{port}", flush=True)
        await server.serve_forever()


def end_with_the_load():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end_with_the_load, daemon=True).start()
asyncio.run(main(int(sys.argv[1])))
