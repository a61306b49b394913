"""A warifu server for a test: started on a free port, initialised, unsealed, and ended by its own process id."""

import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
POLICIES = ROOT / "policies"


def binary():
    """The binary under test."""
    path = pathlib.Path(os.environ.get("WARIFU_BIN", ROOT / "target/debug/warifu")).resolve()
    if not path.exists():
        raise SystemExit(f"{path} is missing: cargo build, or set WARIFU_BIN")
    return str(path)


def clean_environment(**more):
    """The environment without anybody's settings for Vault."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("VAULT_", "BAO_"))}
    return {**kept, **more}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def eventually(what, seconds=20, nap=0.1):
    """Asks until the answer is true; gives the answer."""
    end = time.monotonic() + seconds
    while True:
        answer = what()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError("it did not happen in time")
        time.sleep(nap)


class Answer:
    """A status and a JSON body."""

    def __init__(self, status, text):
        self.status = status
        self.json = json.loads(text) if text else {}

    def __repr__(self):
        return f"{self.status} {self.json}"

    @property
    def data(self):
        return self.json["data"]


class Server:
    """A running server, and calls of its API."""

    def __init__(self, tls=False, storage="sqlite", ready=True):
        self.folder = tempfile.TemporaryDirectory(prefix="warifu-clients-")
        self.path = pathlib.Path(self.folder.name)
        store = f'storage "sqlite" {{ path = "{self.path}/warifu.db" }}' if storage == "sqlite" else 'storage "inmem" {}'
        listener = 'listener "tcp" {\n  address = "127.0.0.1:0"\n' + ("" if tls else "  tls_disable = true\n") + "}\n"
        (self.path / "config.hcl").write_text(f'{store}\n{listener}audit_directory = "{self.path}"\n')
        self.tls = tls
        self.start()
        self.root = self.share = None
        if ready:
            self.make_ready()

    def make_ready(self):
        """Initialises and unseals it, with one share."""
        made = self.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1}, token=None)
        self.root, self.share = made.json["root_token"], made.json["keys"][0]
        assert self.unseal().json["sealed"] is False

    def start(self):
        """Starts it over what is in its folder: sealed, if it was there before."""
        self.log = open(self.path / "server.log", "wb")
        self.process = subprocess.Popen(
            [binary(), "server", f"-config={self.path}/config.hcl"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT, env=clean_environment(),
        )
        found = eventually(self._listening)
        self.url = f"{'https' if self.tls else 'http'}://{found}"
        self.ca = str(self.path / "tls-self-signed.pem") if self.tls else None
        self._context = ssl.create_default_context(cafile=self.ca) if self.tls else None

    def unseal(self):
        return self.call("PUT", "sys/unseal", {"key": self.share}, token=None)

    def _listening(self):
        text = (self.path / "server.log").read_text()
        if self.process.poll() is not None:
            raise AssertionError(f"the server has ended:\n{text}")
        return "server started" in text and re.search(r'Listener: tcp \(addr: "([^"]+)"', text)[1]

    def call(self, method, path, body=None, token="root", wrap=None):
        """Any request; a refusal is an answer, not an exception."""
        headers = {"X-Vault-Request": "true"}
        if token:
            headers["X-Vault-Token"] = self.root if token == "root" else token
        if wrap:
            headers["X-Vault-Wrap-TTL"] = wrap
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/v1/{path}", data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30, context=self._context) as reply:
                return Answer(reply.status, reply.read())
        except urllib.error.HTTPError as refusal:
            return Answer(refusal.code, refusal.read())

    def must(self, method, path, body=None, **more):
        answer = self.call(method, path, body, **more)
        assert answer.status in (200, 204), f"{method} {path}: {answer}"
        return answer

    def stop(self):
        """Ends it and takes its folder away."""
        self.end()
        self.folder.cleanup()

    def end(self):
        """Ends it; its folder stays."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    # What several tests set up.

    def mount(self, path, kind, **more):
        self.must("POST", f"sys/mounts/{path}", {"type": kind, **more})

    def approle(self, path):
        """Enables AppRole there; gives the accessor of the mount."""
        self.must("POST", f"sys/auth/{path}", {"type": "approle"})
        return self.must("GET", "sys/auth").data[f"{path}/"]["accessor"]

    def policies(self):
        """Applies policies/, where templates name the auth mounts services/ and ci/."""
        environment = clean_environment(VAULT_ADDR=self.url, VAULT_TOKEN=self.root, **({"VAULT_CACERT": self.ca} if self.ca else {}))
        subprocess.run([binary(), "policy", "apply", str(POLICIES)], env=environment, check=True, stdout=subprocess.DEVNULL)

    def token(self, policy):
        made = self.must("POST", "auth/token/create-orphan", {"policies": [policy], "ttl": "1h"})
        return made.json["auth"]["client_token"]

    def role(self, mount, name, **more):
        """Makes a role; gives its role id and a secret id."""
        self.must("POST", f"auth/{mount}/role/{name}", more)
        role_id = self.must("GET", f"auth/{mount}/role/{name}/role-id").data["role_id"]
        return role_id, self.must("POST", f"auth/{mount}/role/{name}/secret-id", {}).data["secret_id"]

    def login(self, mount, role_id, secret_id):
        made = self.must("POST", f"auth/{mount}/login", {"role_id": role_id, "secret_id": secret_id}, token=None)
        return made.json["auth"]["client_token"]
