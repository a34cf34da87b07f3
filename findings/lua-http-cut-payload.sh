#!/usr/bin/env bash
# lua-http raises "Connection timed out" when a frame of 126 to 65,535 bytes does not arrive whole with its head; shorter
# and longer frames may be cut anywhere.
#
# TCP keeps no borders, and many writers put a large frame on the wire in parts. The time-out has nothing to do with the
# one given to receive(), which is endless here.
source "$(dirname "$0")/common.sh"
install_debian lua5.2=5.2.4-3 lua-http=0.4-1 lua-compat53=0.7-2 lua-bit32=5.3.0-4

export LUA_PATH="$folder/usr/share/lua/5.2/?.lua;$folder/usr/share/lua/5.2/?/init.lua"
export LUA_CPATH="$folder/usr/lib/x86_64-linux-gnu/lua/5.2/?.so"
cat >echo.lua <<'LUA'
local websocket = require "http.websocket"

local function serve(_, stream)
    local socket = websocket.new_from_stream(stream, stream:get_headers())
    socket:accept()
    for message, kind in socket:each() do
        socket:send(message, kind)
    end
end

local server = require("http.server").listen {
    host = "127.0.0.1",
    port = tonumber(arg[1]),
    onstream = serve,
    onerror = function(_, _, _, failure) print((failure:gsub("\n.*", ""):gsub("^.*/", ""))) end,
}
io.stdout:setvbuf("no")
server:loop()
LUA

cat >ask.py <<'PYTHON'
import subprocess
import time

from wire import TEXT, Peer, frame, free_port

port = free_port()
server = subprocess.Popen(["usr/bin/lua5.2", "echo.lua", str(port)], stdout=subprocess.PIPE, text=True)


def answer(size, cut):
    """What comes back within three seconds to a message of this size, whose bytes behind `cut` leave a bit later."""
    peer = Peer.client(port)
    data = frame(TEXT, b"a" * size, masks=True)
    peer.connection.sendall(data[:cut])
    time.sleep(0.5)
    peer.connection.sendall(data[cut:])
    peer.connection.settimeout(3)
    try:
        return f"{len(peer.receive()[1])} bytes"
    except TimeoutError:
        return "nothing"


try:
    for size in (125, 126, 65535, 65536):
        print(f"{size} bytes, cut in the mask: {answer(size, 5)}")
        print(f"{size} bytes, cut in the payload: {answer(size, 100)}")
finally:
    server.kill()
print("the program gets an error:", *set(server.stdout.read().splitlines()))
PYTHON
python3 ask.py >seen

expect seen <<'SEEN'
125 bytes, cut in the mask: 125 bytes
125 bytes, cut in the payload: 125 bytes
126 bytes, cut in the mask: 126 bytes
126 bytes, cut in the payload: nothing
65535 bytes, cut in the mask: 65535 bytes
65535 bytes, cut in the payload: nothing
65536 bytes, cut in the mask: 65536 bytes
65536 bytes, cut in the payload: 65536 bytes
the program gets an error: websocket.lua:282: read: Connection timed out
SEEN
