"""Headless Firefox, steered by WebDriver BiDi: it runs a script in a page, as peers.Browser does with Chromium."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from subprocess import DEVNULL, PIPE

from websockets.sync.client import connect

from peers import expect


class Firefox:
    def __init__(self, session):
        self.session = session
        self.last_id = 0

    @classmethod
    @contextmanager
    def start(cls):
        profile = tempfile.mkdtemp(prefix="landline-firefox-")
        process = subprocess.Popen(
            ["firefox-esr", "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"],
            stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, text=True, start_new_session=True,
            env={**os.environ, "HOME": profile},
        )
        try:
            listening = next(filter(None, (re.search(r"BiDi listening on (ws://\S+)", line) for line in process.stderr)), None)
            expect(listening, "firefox has ended, or could not start")
            with connect(f"{listening[1]}/session", max_size=None, proxy=None, compression=None) as session:
                firefox = cls(session)
                firefox.call("session.new", capabilities={})
                yield firefox
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stderr.close()
            shutil.rmtree(profile, ignore_errors=True)

    def run(self, url, script):
        """Opens a page in a tab of its own and gives what the promise of a script there becomes."""
        tab = self.call("browsingContext.create", type="tab")["context"]
        self.call("browsingContext.navigate", context=tab, url=url, wait="complete")
        outcome = self.call("script.evaluate", expression=script, target={"context": tab}, awaitPromise=True)
        self.call("browsingContext.close", context=tab)
        expect(outcome["type"] == "success", f"{script}: {outcome}")
        return outcome["result"].get("value")

    def call(self, method, **params):
        self.last_id += 1
        self.session.send(json.dumps({"id": self.last_id, "method": method, "params": params}))
        while True:
            reply = json.loads(self.session.recv())
            if reply.get("id") == self.last_id:
                expect(reply["type"] == "success", f"{method}: {reply}")
                return reply["result"]
