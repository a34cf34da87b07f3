"""A server with uWebSockets, by socketify: on each path it exchanges messages with an echo, compressed as that path's
name says, and with plain ones between. It closes with 1000 when all have come back, else with 4000."""

from exchange import messages

# Compressors and decompressors: shared ones keep nothing between messages.
WAYS = {
    "shared": ("SHARED_COMPRESSOR", "SHARED_DECOMPRESSOR"),
    "3KB": ("DEDICATED_COMPRESSOR_3KB", "DEDICATED_DECOMPRESSOR_512B"),
    "16KB": ("DEDICATED_COMPRESSOR_16KB", "DEDICATED_DECOMPRESSOR_4KB"),
    "256KB": ("DEDICATED_COMPRESSOR_256KB", "DEDICATED_DECOMPRESSOR_32KB"),
}


class Talk:
    def __init__(self):
        self.left = ((message, compressed) for message in messages() for compressed in (True, False))
        self.expected = None

    def go_on(self, ws):
        message, compressed = next(self.left, (None, None))
        if message is None:
            return ws.end(1000, "all came back")
        self.expected = message
        ws.send(message, 1 if isinstance(message, str) else 2, compressed)

    def hear(self, ws, came):
        if came != self.expected:
            print(f"{len(self.expected)} of {type(self.expected).__name__} came back as {came[:50]!r}", flush=True)
            return ws.end(4000, "not the same")
        self.go_on(ws)


def main():
    # It wants a library of the system's that is not everywhere: whoever asks for the ways alone has no need of it.
    from socketify import App, AppListenOptions, CompressOptions

    app, talks = App(), {}

    def upgrade(response, request, context):
        fields = (request.get_header(f"sec-websocket-{name}") for name in ("key", "protocol", "extensions"))
        response.upgrade(*fields, context, Talk())

    for name, (compressor, decompressor) in WAYS.items():
        app.ws(f"/{name}", {
            "compression": int(CompressOptions[compressor]) | int(CompressOptions[decompressor]),
            "max_payload_length": 32 << 20,
            "max_backpressure": 64 << 20,
            "idle_timeout": 120,
            "upgrade": upgrade,
            "open": lambda ws: ws.get_user_data().go_on(ws),
            "message": lambda ws, message, opcode: ws.get_user_data().hear(ws, message),
        })
    app.listen(AppListenOptions(port=0, host="127.0.0.1"), lambda config: print(f"listening on ws://127.0.0.1:{config.port}", flush=True))
    app.run()


if __name__ == "__main__":
    main()
