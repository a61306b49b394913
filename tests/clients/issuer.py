"""A real OpenID provider for a test: tests/clients/node/issuer.mjs on a free port, and what the test asks of it."""

import json
import pathlib
import shutil
import subprocess
import urllib.request

from harness import ROOT, eventually, free_port

MODULES = ROOT / ".cache/node/node_modules"
NODE = shutil.which("node")
#: Why there is none, if so.
MISSING = None if NODE and (MODULES / "oidc-provider").is_dir() else "no node, or no oidc-provider in .cache/node"
CLIENT = {"client_id": "warifu", "client_secret": "the secret of warifu at its issuer"}


class Issuer:
    """A provider with one client that is warifu, one that is a CI server, and these people."""

    def __init__(self, folder, people=None, redirect_uris=()):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        loopback = {"application_type": "native", "response_types": ["code"], "grant_types": ["authorization_code"]}
        clients = [
            {**CLIENT, **loopback, "redirect_uris": ["http://localhost/oidc/callback", *redirect_uris]},
            {"client_id": "ci", "client_secret": "the secret of the CI server", "redirect_uris": [], "response_types": [],
             "grant_types": ["client_credentials"]},
        ]
        settings = {"port": self.port, "modules": str(MODULES), "clients": clients, "people": people or {}}
        self.log = open(pathlib.Path(folder) / "issuer.log", "wb")
        self.process = subprocess.Popen(
            [NODE, ROOT / "tests/clients/node/issuer.mjs"], stdin=subprocess.PIPE, stdout=self.log, stderr=self.log,
        )
        self.process.stdin.write(json.dumps(settings).encode())
        self.process.stdin.close()
        eventually(self._ready)

    def _ready(self):
        text = pathlib.Path(self.log.name).read_text()
        if self.process.poll() is not None:
            raise AssertionError(f"the issuer has ended:\n{text}")
        return "ready" in text

    def _post(self, path, body):
        request = urllib.request.Request(f"{self.url}{path}", data=json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.read().decode()

    def job(self, **claims):
        """The token of a CI job with these claims."""
        return self._post("/ci", claims)

    def clock(self, seconds):
        """Sets the issuer's clock to so many seconds after the true one."""
        self._post("/clock", {"seconds": seconds})

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()
