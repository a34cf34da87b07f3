#!/usr/bin/env bash
# CivetWeb as it comes answers no ping and no Close, and chooses the last subprotocol offered when the program names none.
#
# RFC 6455 5.5.2 and 5.5.1: both MUST be answered. `enable_websocket_ping_pong`, off by default, mends the pings alone.
# A keepalive that waits for pongs cuts such a server, whose connection is healthy; each goodbye ends without a code.
# A handler that knows of no subprotocols still agrees on one that it does not speak.
source "$(dirname "$0")/common.sh"
install_debian libcivetweb-dev=1.15+dfsg-4

cat >serve.c <<'C'
#include <civetweb.h>
#include <stdio.h>
#include <unistd.h>

static int accept_each(const struct mg_connection *peer, void *data) { return 0; }
static void begin(struct mg_connection *peer, void *data) {}
static void end(const struct mg_connection *peer, void *data) {}

static int echo(struct mg_connection *peer, int head, char *payload, size_t size, void *data) {
    if ((head & 15) == MG_WEBSOCKET_OPCODE_TEXT)
        mg_websocket_write(peer, MG_WEBSOCKET_OPCODE_TEXT, payload, size);
    return 1;
}

/* One WebSocket echo at "/". The second argument is the setting for pings. */
int main(int count, char **arguments) {
    const char *settings[] = {"listening_ports", "127.0.0.1:0", "num_threads", "8", NULL, NULL, NULL};
    if (count > 1)
        settings[4] = "enable_websocket_ping_pong", settings[5] = arguments[1];
    struct mg_callbacks callbacks = {0};
    struct mg_context *context = mg_start(&callbacks, NULL, settings);
    struct mg_server_port port;
    if (!context || mg_get_server_ports(context, 1, &port) != 1)
        return 1;
    mg_set_websocket_handler(context, "/", accept_each, begin, echo, end, NULL);
    printf("%d\n", port.port);
    fflush(stdout);
    return pause();
}
C
gcc -I usr/include serve.c -L usr/lib/*-linux-gnu -lcivetweb -lpthread -o serve

cat >ask.py <<'PYTHON'
import socket
import subprocess

from wire import CLOSE, PING, PONG, TEXT, Peer


def answer(port, opcode, payload):
    """What comes back for a frame before the echo of a text that is sent behind it, or how the connection ends."""
    peer = Peer.client(port)
    peer.send(opcode, payload)
    if opcode != CLOSE:
        peer.send(TEXT, b"behind it")
    frame = peer.receive()
    if frame is None:
        return "the end of the stream"
    return {PONG: "pong", CLOSE: "Close", TEXT: "nothing"}[frame[0]]


for settings in [], ["yes"]:
    server = subprocess.Popen(["./serve", *settings], stdout=subprocess.PIPE)
    port = int(server.stdout.readline())
    print("enable_websocket_ping_pong:", *(settings or ["as it comes"]))
    print("  a ping:", answer(port, PING, b"a"))
    print("  Close 4001:", answer(port, CLOSE, b"\x0f\xa1"))
    chosen = Peer.client(port, Sec_WebSocket_Protocol="chat, superchat").field("Sec-WebSocket-Protocol")
    print("  offered chat, superchat:", chosen)
    server.kill()
PYTHON
python3 ask.py >seen

expect seen <<'SEEN'
enable_websocket_ping_pong: as it comes
  a ping: nothing
  Close 4001: the end of the stream
  offered chat, superchat: superchat
enable_websocket_ping_pong: yes
  a ping: pong
  Close 4001: the end of the stream
  offered chat, superchat: superchat
SEEN
