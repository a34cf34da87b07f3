"""What several checks need: an example that serves, and a browser that is steered by the DevTools protocol over a pipe,
so that every step waits for what the page reports and none for a time."""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from subprocess import DEVNULL, PIPE

# Waits until the page shows all of this.
SEE = """
new Promise((resolve) => {
  const look = () => %s.every((line) => document.body.innerText.includes(line)) ? resolve() : setTimeout(look, 50);
  look();
})
"""
TYPE = """
{
  const form = [...document.forms].find((form) => !form.hidden);
  form.querySelector("input").value = %s;
  form.requestSubmit();
}
"""


class Broken(Exception):
    """The browser or the server did something else than it should."""


def expect(holds, otherwise):
    if not holds:
        raise Broken(otherwise)


@contextmanager
def serve_example(binary):
    """Runs an example; gives the host and port it listens on."""
    with serve(binary, "127.0.0.1:0") as host:
        yield host


@contextmanager
def serve(*command, **options):
    """Runs a server that says where it listens; gives its host and port."""
    with subprocess.Popen(command, stdin=DEVNULL, stdout=PIPE, text=True, **options) as server:
        try:
            line = server.stdout.readline()
            listening = re.fullmatch(r"listening on \w+://(\S+)\n", line)
            expect(listening, f"the server said {line!r}, not where it listens")
            yield listening[1].rstrip("/")
            expect(server.poll() is None, f"the server ended by itself, with status {server.returncode}")
        finally:
            server.kill()


class Browser:
    """Is headless Chromium at the other end of a pipe of JSON messages, each with a zero byte behind it."""

    FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-breakpad"]

    def __init__(self, commands, replies):
        self.commands, self.replies = commands, replies
        self.received = b""
        self.last_id = 0
        self.socket_errors = []
        self.page_errors = []

    @classmethod
    @contextmanager
    def start(cls):
        """Chromium reads commands from descriptor 3 and writes replies to descriptor 4."""
        (its_commands, commands), (replies, its_replies) = os.pipe(), os.pipe()
        profile = tempfile.mkdtemp(prefix="landline-browser-")
        flags = [*cls.FLAGS, *cls.QUIET, f"--user-data-dir={profile}", "--remote-debugging-pipe"]
        redirect = f'exec "$@" 3<&{its_commands} 4>&{its_replies}'
        process = subprocess.Popen(
            ["bash", "-c", redirect, "bash", "chromium", *flags, "about:blank"],
            stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL,
            pass_fds=(its_commands, its_replies), start_new_session=True,
        )
        os.close(its_commands)
        os.close(its_replies)
        try:
            yield cls(commands, replies)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(commands)
            os.close(replies)
            shutil.rmtree(profile, ignore_errors=True)

    def run(self, url, script):
        """Opens a page in a tab of its own and gives what the promise of a script there becomes."""
        self.socket_errors = []
        tab = self.open(url)
        outcome = tab.run(script)
        tab.close()
        return outcome

    def open(self, url):
        """Opens a page in a tab of its own."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        tab = Tab(self, target, self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        tab.call("Page.enable")
        tab.call("Network.enable")
        tab.call("Runtime.enable")
        tab.call("Log.enable")
        tab.call("Page.navigate", url=url)
        tab.wait_for_page()
        return tab

    def call(self, method, tab=None, **params):
        self.last_id += 1
        command = {"id": self.last_id, "method": method, "params": params}
        if tab:
            command["sessionId"] = tab
        os.write(self.commands, json.dumps(command).encode() + b"\0")
        reply = self.wait_for(lambda message: message.get("id") == self.last_id)
        expect("error" not in reply, f"{method}: {reply.get('error')}")
        return reply["result"]

    def wait_for(self, is_it):
        while True:
            message = self.receive()
            if message.get("method") == "Network.webSocketFrameError":
                self.socket_errors.append(message["params"]["errorMessage"])
            self.note_page_error(message)
            if is_it(message):
                return message

    def note_page_error(self, message):
        """Notes what the browser's console would show in red, except that a server could not be reached."""
        params = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.page_errors.append(params["exceptionDetails"])
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "assert"):
                self.page_errors.append(params["args"])
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                if "ERR_CONNECTION_" not in params["entry"]["text"]:
                    self.page_errors.append(params["entry"])

    def receive(self):
        while b"\0" not in self.received:
            bytes_read = os.read(self.replies, 65536)
            expect(bytes_read, "chromium has ended, or could not start")
            self.received += bytes_read
        message, self.received = self.received.split(b"\0", 1)
        return json.loads(message)


class Tab:
    """Is one page of the browser."""

    def __init__(self, browser, target, session):
        self.browser, self.target, self.session = browser, target, session

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def run(self, script):
        """Gives what a script here, or its promise, becomes."""
        outcome = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        expect("exceptionDetails" not in outcome, f"{script}: {outcome}")
        return outcome["result"].get("value")

    def see(self, *lines):
        self.run(SEE % json.dumps(lines))

    def resize(self, width, height=700):
        """Gives the page a size in CSS pixels; it must not be wider."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        needed = self.run("document.documentElement.scrollWidth")
        expect(needed <= width, f"the page is {needed} pixels wide where {width} are there")

    def save_picture(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def type(self, text):
        """Types into the page's form and submits it."""
        self.run(TYPE % json.dumps(text))

    def enter(self, text):
        """Does so where that opens another page."""
        self.type(text)
        self.wait_for_page()

    def wait_for_page(self):
        loaded = {"method": "Page.loadEventFired", "sessionId": self.session}
        self.browser.wait_for(lambda message: loaded.items() <= message.items())

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)
