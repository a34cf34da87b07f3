#!/usr/bin/env bash
# SWI-Prolog's WebSocket says 1011 when a ping stands between the fragments of a message, hands unsolicited pongs to the
# program as messages, and answers every Close with 1000.
#
# RFC 6455 5.4 allows control frames there, 5.5.3 pongs that nobody asked for. Its documentation says of both frames that
# pings are answered and pongs ignored; so they are, the pings outside of messages and the pongs inside. The program sees
# an I/O error. Chromium sends a large message in fragments of 131,000 bytes.
source "$(dirname "$0")/common.sh"
install_debian swi-prolog-nox=9.0.4+dfsg-2

cat >echo.pl <<'PROLOG'
:- use_module(library(http/websocket)).
:- use_module(library(http/thread_httpd)).
:- use_module(library(http/http_dispatch)).

:- http_handler(root(.), http_upgrade_to_websocket(echo, []), [spawn([])]).

echo(WebSocket) :-
    ws_receive(WebSocket, Message),
    (   Message.opcode == close
    ->  true
    ;   format(string(Text), "~w: ~w", [Message.opcode, Message.data]),
        ws_send(WebSocket, text(Text)),
        echo(WebSocket)
    ).

:- current_prolog_flag(argv, [Port]), atom_number(Port, Number),
   http_server(http_dispatch, [port(localhost:Number)]),
   thread_get_message(stop).
PROLOG

cat >ask.py <<'PYTHON'
import glob
import os
import subprocess

from wire import CLOSE, CONTINUATION, PING, PONG, TEXT, Peer, close_code, frame, free_port

port = free_port()
swipl = [glob.glob("usr/lib/swi-prolog/bin/*/swipl")[0], f"--home={os.getcwd()}/usr/lib/swi-prolog", "echo.pl", str(port)]
server = subprocess.Popen(swipl, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def answers(*frames):
    """What comes back, a message or a Close being the last."""
    peer = Peer.client(port)
    peer.connection.sendall(b"".join(frame(*parts, masks=True) for parts in frames))
    seen = []
    while True:
        opcode, payload, *_ = peer.receive()
        seen.append(f"Close {close_code(payload)}" if opcode == CLOSE else payload)
        if opcode in (CLOSE, TEXT):
            return seen


first, rest = (TEXT, b"hel", False), (CONTINUATION, b"lo")
try:
    print("in fragments:", *answers(first, rest))
    print("a ping between:", *answers(first, (PING, b"abc"), rest))
    print("a pong between:", *answers(first, (PONG, b"abc"), rest))
    print("a ping before:", *answers((PING, b"abc"), first, rest))
    print("a pong before:", *answers((PONG, b"abc"), first, rest))
    print("Close 4001:", *answers((CLOSE, b"\x0f\xa1")))
finally:
    server.kill()
PYTHON
python3 ask.py >seen

expect seen <<'SEEN'
in fragments: b'text: hello'
a ping between: Close 1011
a pong between: b'text: hello'
a ping before: b'abc' b'text: hello'
a pong before: b'pong: abc'
Close 4001: Close 1000
SEEN
