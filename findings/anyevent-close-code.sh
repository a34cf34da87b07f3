#!/usr/bin/env bash
# AnyEvent::WebSocket::Client for Perl answers each Close with 1005, so three of three servers tell an orderly end as a lost
# connection, 1006.
#
# RFC 6455 7.4.1: an endpoint must not set 1005 in a Close. The client's own program is told the right code.
source "$(dirname "$0")/common.sh"
install_debian libanyevent-websocket-client-perl=0.54-1 libprotocol-websocket-perl=0.26-3
install_python websockets==17.4 aiohttp==3.14.5
install_node ws@8.23.0
PERL5LIB=$folder/usr/share/perl5:$(printf '%s:' "$folder"/usr/lib/*-linux-gnu/perl5/5.*)
export PERL5LIB

cat >client.pl <<'PERL'
use AnyEvent;
use AnyEvent::WebSocket::Client;
my $done = AnyEvent->condvar;
my $connection;
AnyEvent::WebSocket::Client->new->connect($ARGV[0])->cb(sub {
    $connection = shift->recv;
    $connection->on(finish => sub { $done->send($_[0]->close_code) });
});
print $done->recv, "\n";
PERL

cat >websockets_server.py <<'PYTHON'
import sys
from websockets.sync.server import serve


def handle(client):
    client.close(int(sys.argv[2]))
    print(client.protocol.close_code, client.protocol.parser_exc, flush=True)


serve(handle, "127.0.0.1", int(sys.argv[1])).serve_forever()
PYTHON
cat >aiohttp_server.py <<'PYTHON'
import sys
from aiohttp import web


async def handle(request):
    client = web.WebSocketResponse()
    await client.prepare(request)
    await client.close(code=int(sys.argv[2]))
    print(client.close_code, client.exception(), flush=True)
    return client


app = web.Application()
app.router.add_get("/", handle)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
PYTHON
cat >ws_server.js <<'JAVASCRIPT'
const [port, code] = process.argv.slice(2).map(Number);
new (require("ws").Server)({ host: "127.0.0.1", port }).on("connection", (client) => {
    client.on("error", (error) => console.error(error.message));
    client.on("close", (told) => console.log(told));
    client.close(code);
});
JAVASCRIPT

cat >meet.py <<'PYTHON'
import subprocess
import sys

from wire import CLOSE, Peer, close_code, connect, free_port, listen

SERVERS = {
    "websockets": [sys.executable, "websockets_server.py"],
    "aiohttp": [sys.executable, "aiohttp_server.py"],
    "ws": ["node", "ws_server.js"],
}


def client(port):
    return subprocess.Popen(["perl", "client.pl", f"ws://127.0.0.1:{port}/"], stdout=subprocess.PIPE, text=True)


def told(process):
    return process.communicate(timeout=20)[0].strip()


for code in 1000, 4001:
    listener, port = listen()
    process = client(port)
    peer = Peer.server(listener)
    peer.send(CLOSE, code.to_bytes(2, "big"))
    answer = close_code(peer.receive()[1])
    peer.input.close()
    peer.connection.close()
    print(f"Close {code}: answered with {answer}, its program is told {told(process)}")
    for name, command in SERVERS.items():
        port = free_port()
        server = subprocess.Popen([*command, str(port), str(code)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            connect(port).close()
            told(client(port))
            print(f"    a server of {name} is told", server.stdout.readline().strip())
        finally:
            server.kill()
PYTHON
python meet.py >seen

expect seen <<'SEEN'
Close 1000: answered with 1005, its program is told 1000
    a server of websockets is told 1006 invalid status code
    a server of aiohttp is told 1006 Invalid close code: 1005
    a server of ws is told 1006
Close 4001: answered with 1005, its program is told 4001
    a server of websockets is told 1006 invalid status code
    a server of aiohttp is told 1006 Invalid close code: 1005
    a server of ws is told 1006
SEEN
