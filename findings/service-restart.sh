#!/usr/bin/env bash
# Close 1012, "service restart", is told as a breach of the protocol: 1002 (Qt, faye-websocket), 1005 (ws4py).
#
# The registry of RFC 6455 11.7 has had 1012 to 1014 for years; 7.4.2 leaves 1000 to 2999 to such
# additions. Qt names the number 1002 in its words whatever came, faye-websocket keeps the reason, ws4py sends 1005, which
# may not be sent. At 1014 autobahn too drops the connection. So whoever restarts had better say 1001.
source "$(dirname "$0")/common.sh"
install_python PyQt6==6.11.0 PyQt6-Qt6==6.11.2 ws4py==0.6.0 autobahn==26.10.2 websockets==17.4
install_node faye-websocket@0.11.4 websocket-driver@0.8.0

python >seen <<'PYTHON'
import time

from clients import Meeting
from wire import CLOSE, TEXT, Peer, close_code

for name in ["PyQt6", "faye-websocket", "ws4py", "autobahn", "websockets"]:
    for code in (1001, 1012, 1013, 1014):
        with Meeting(name) as meeting:
            peer = Peer.server(meeting.listener)
            time.sleep(0.5)  # ws4py can lose what comes right behind the 101
            peer.send(TEXT, b"hello")
            assert peer.receive()[1] == b"hello"
            peer.send(CLOSE, code.to_bytes(2, "big") + b"come back")
            answer = peer.receive()
            sent = f"Close {close_code(answer[1])}" if answer else "nothing"
            peer.input.close()
            peer.connection.close()
            print(f"{name:14} {code}: sends {sent}, its program is told", *meeting.ending())
PYTHON

expect seen <<'SEEN'
PyQt6          1001: sends Close 1001, its program is told 1001 come back
PyQt6          1012: sends Close 1002, its program is told 1002 Invalid close code 1002 detected.
PyQt6          1013: sends Close 1002, its program is told 1002 Invalid close code 1002 detected.
PyQt6          1014: sends Close 1002, its program is told 1002 Invalid close code 1002 detected.
faye-websocket 1001: sends Close 1001, its program is told 1001 come back
faye-websocket 1012: sends Close 1002, its program is told 1002 come back
faye-websocket 1013: sends Close 1002, its program is told 1002 come back
faye-websocket 1014: sends Close 1002, its program is told 1002 come back
ws4py          1001: sends Close 1001, its program is told 1001 come back
ws4py          1012: sends Close 1005, its program is told 1005 Invalid Closing Frame Code: 1012
ws4py          1013: sends Close 1005, its program is told 1005 Invalid Closing Frame Code: 1013
ws4py          1014: sends Close 1005, its program is told 1005 Invalid Closing Frame Code: 1014
autobahn       1001: sends Close 1000, its program is told 1001 come back
autobahn       1012: sends Close 1000, its program is told 1012 come back
autobahn       1013: sends Close 1000, its program is told 1013 come back
autobahn       1014: sends nothing, its program is told 1006 connection was closed uncleanly ("I dropped the WebSocket TCP connection: invalid close code 1014")
websockets     1001: sends Close 1001, its program is told 1001 come back
websockets     1012: sends Close 1012, its program is told websockets.exceptions.ConnectionClosedError: received 1012 (service restart) come back; then sent 1012 (service restart) come back
websockets     1013: sends Close 1013, its program is told websockets.exceptions.ConnectionClosedError: received 1013 (try again later) come back; then sent 1013 (try again later) come back
websockets     1014: sends Close 1014, its program is told websockets.exceptions.ConnectionClosedError: received 1014 (bad gateway) come back; then sent 1014 (bad gateway) come back
SEEN
