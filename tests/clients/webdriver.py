"""A real browser for a test: Chromium through chromedriver, spoken to in the WebDriver protocol, which is JSON over HTTP."""

import json
import pathlib
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request

from harness import eventually, free_port

DRIVER, CHROMIUM = shutil.which("chromedriver"), shutil.which("chromium")
#: Why there is none, if so.
MISSING = None if DRIVER and CHROMIUM else "no chromium, or no chromedriver"
#: Seconds for what a browser does in one on a machine that is not busy.
PATIENCE = 60
#: The key under which the protocol names an element.
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """A window without a screen, which reaches this machine and nothing else."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="warifu-browser-")
        self.port = free_port()
        self.log = open(pathlib.Path(self.folder.name) / "chromedriver.log", "wb")
        self.process = subprocess.Popen(
            [DRIVER, f"--port={self.port}"], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
        )
        self.session = ""
        eventually(self._ready, PATIENCE)
        words = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server",
            "--disable-background-networking", "--disable-component-update", f"--user-data-dir={self.folder.name}/profile",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
        ]
        wanted = {"browserName": "chrome", "pageLoadStrategy": "normal", "goog:chromeOptions": {"binary": CHROMIUM, "args": words}}
        self.session = "/session/" + self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data, method=method)
        request.add_header("content-type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return json.loads(reply.read())["value"]
        except urllib.error.HTTPError as refusal:
            raise AssertionError(f"{method} {path}: {refusal.read().decode()}") from None

    def _ready(self):
        try:
            return self._call("GET", "/status")["ready"]
        except (OSError, urllib.error.URLError):
            return False

    def go(self, url):
        self._call("POST", f"{self.session}/url", {"url": url})

    def url(self):
        return self._call("GET", f"{self.session}/url")

    def find(self, css):
        """The element, once it is there."""
        query = {"using": "css selector", "value": css}
        found = eventually(lambda: self._call("POST", f"{self.session}/elements", query), PATIENCE)
        return found[0][ELEMENT]

    def type(self, css, text):
        self._call("POST", f"{self.session}/element/{self.find(css)}/value", {"text": text})

    def click(self, css):
        self._call("POST", f"{self.session}/element/{self.find(css)}/click", {})

    def text(self):
        # Asked at once, as an element that was found may be gone with its page.
        script = {"script": "return document.body ? document.body.innerText : ''", "args": []}
        return self._call("POST", f"{self.session}/execute/sync", script)

    def shows(self, words):
        """Waits until the page says so."""
        try:
            return eventually(lambda: words in self.text(), PATIENCE)
        except AssertionError:
            raise AssertionError(f"{self.url()} shows: {self.text()}") from None

    def forget(self):
        """Who logged in before is not known any more."""
        self._call("DELETE", f"{self.session}/cookie")

    def stop(self):
        if self.session:
            self._call("DELETE", self.session)
        self.process.terminate()
        self.process.wait(20)
        self.log.close()
        self.folder.cleanup()
