#!/usr/bin/env bash
# Emacs' websocket.el takes part of a goodbye for a message: of Close 1001 "server shutdown" its program is told "\351se".
#
# RFC 6455 5.5.1: a Close has a code and a reason. websocket.el takes one byte for the whole Close and goes on behind it:
# the size 17 is then a text frame's first byte, and the code's first byte its size, 3. So it is with reasons of 14, 15 and
# 16 bytes, and others by their letters. Fragments (5.4) too are handed over one by one, cut within a character.
source "$(dirname "$0")/common.sh"
install_debian elpa-websocket=1.13-3 emacs-nox=1:28.2+1-15+deb12u4 emacs-common=1:28.2+1-15+deb12u4

cat >client.el <<'LISP'
(require 'websocket)
(princ (format "Emacs %s\n" emacs-version))
(let ((open t))
  (websocket-open (car command-line-args-left)
                  :on-message (lambda (_ frame)
                                (princ (format "its program is told: %s %S\n" (websocket-frame-opcode frame)
                                               (websocket-frame-payload frame))))
                  :on-close (lambda (_) (princ "its program is told: closed\n") (setq open nil)))
  (while open (accept-process-output nil 0.1)))
LISP

python3 >seen <<'PYTHON'
import os
import subprocess
from pathlib import Path

from wire import CLOSE, CONTINUATION, TEXT, Peer, listen

lisp = Path("usr/share/emacs/28.2/lisp").absolute()
library = Path("usr/share/emacs/site-lisp/elpa-src/websocket-1.13").absolute()
folders = [lisp, *(path for path in lisp.rglob("*") if path.is_dir()), library]
dump = next(Path("usr/libexec").rglob("emacs.pdmp"))
environment = {**os.environ, "EMACSLOADPATH": ":".join(map(str, folders)), "EMACSDATA": str(lisp.parent / "etc")}
listener, port = listen()
command = ["usr/bin/emacs-nox", "--dump-file", dump, "--quick", "--batch", "-l", "client.el", f"ws://127.0.0.1:{port}/"]
with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as client:
    peer = Peer.server(listener)
    peer.send(TEXT, b"one fragment, caf\xc3", last=False)
    peer.send(CONTINUATION, b"\xa9 in another")
    peer.send(CLOSE, (1001).to_bytes(2, "big") + b"server shutdown")
    print(client.stdout.read(), end="")
    print("and sends", peer.receive() or "nothing")
PYTHON

expect seen <<'SEEN'
Emacs 28.2
its program is told: text "one fragment, caf\303"
its program is told: continuation "\251 in another"
its program is told: closed
its program is told: text "\351se"
and sends nothing
SEEN
