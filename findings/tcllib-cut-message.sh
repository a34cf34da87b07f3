#!/usr/bin/env bash
# A server of tcllib hands over a message that the end of the stream has cut, as if it were whole, and then Close 1001.
#
# RFC 6455 7.1.5: without a Close the code is 1006, and a part of a message is none. tcllib's client, where frames have no
# mask, checks the length. A real Close is told rightly, and never answered. The server takes only who offers a
# subprotocol: without one its look for a handler ends in a Tcl error, and nobody answers.
source "$(dirname "$0")/common.sh"
install_debian tcllib=1.21+dfsg-1 tcl8.6=8.6.13+dfsg-2

cat >server.tcl <<'TCL'
lappend auto_path {*}[glob usr/share/tcltk/tcllib*]
package require websocket
::logger::setlevel critical
proc tell {socket type message} {
    puts "its program is told: $type '$message'"
    if {$type eq "disconnect"} { exit }
}
proc accept {socket address port} {
    fconfigure $socket -translation crlf
    gets $socket
    while {[gets $socket line] > 0} {
        regexp {^(.*?): (.*)$} $line -> name value
        lappend fields $name $value
    }
    if {[catch {::websocket::test $::server $socket / $fields} answer]} {
        puts "it cannot tell whether it is a WebSocket: $answer"
        exit
    }
    ::websocket::upgrade $socket
}
set server [socket -server accept -myaddr 127.0.0.1 [lindex $argv 0]]
::websocket::server $server
::websocket::live $server / tell
puts "listening, websocket [package present websocket]"
flush stdout
vwait forever
TCL

python3 >seen <<'PYTHON'
import socket
import subprocess
from pathlib import Path

from wire import CLOSE, TEXT, Peer, frame, free_port

print(*(path.name for path in Path("usr/share/tcltk").glob("tcllib*")))
message = frame(TEXT, b"transfer 1000000 euro", masks=True)
goodbye = frame(CLOSE, (4000).to_bytes(2, "big") + b"bye", masks=True)
for what, sent, fields in (
    ("A message, Close 4000 and FIN", message + goodbye, {"Sec_WebSocket_Protocol": "chat"}),
    ("A message without its last 8 bytes, and FIN", message[:-8], {"Sec_WebSocket_Protocol": "chat"}),
    ("A client without a subprotocol", b"", {}),
):
    port = free_port()
    command = ["tclsh8.6", "server.tcl", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        print(f"{what}:", server.stdout.readline(), end="")
        try:
            peer = Peer.client(port, **fields)
        except IndexError:  # no status
            peer = None
        else:
            peer.connection.sendall(sent)
            peer.connection.shutdown(socket.SHUT_WR)
        print(server.stdout.read(), end="")
        print("it sends", peer and peer.receive() or "nothing")
PYTHON

expect seen <<'SEEN'
tcllib1.21
A message, Close 4000 and FIN: listening, websocket 1.4.2
its program is told: connect '/ {}'
its program is told: text 'transfer 1000000 euro'
its program is told: close '4000 bye'
its program is told: disconnect 'Disconnected from remote end'
it sends nothing
A message without its last 8 bytes, and FIN: listening, websocket 1.4.2
its program is told: connect '/ {}'
its program is told: text 'transfer 1000'
its program is told: close '1001 {Endpoint going away}'
its program is told: disconnect 'Disconnected from remote end'
it sends nothing
A client without a subprotocol: listening, websocket 1.4.2
it cannot tell whether it is a WebSocket: key "protocols" not known in dictionary
it sends nothing
SEEN
