"""An agent for a test: a configuration, a process, and what its listener says."""

import http.client
import json
import pathlib
import socket
import subprocess

import harness


class Agent:
    """A running agent over a folder; ended by its own process id."""

    # Words before those of the agent, which become it.
    prefix = []

    def __init__(self, folder, config, **environment):
        self.folder = pathlib.Path(folder)
        self.socket = self.folder / "agent.sock"
        listener = (
            f'listener "unix" {{\n  address = "{self.socket}"\n'
            "  agent_api {\n    enable_rotate = true\n    enable_quit = true\n  }\n}\n"
        )
        (self.folder / "agent.hcl").write_text(config + "\n" + listener)
        self.environment = environment
        self.start()

    def start(self):
        self.log = open(self.folder / "agent.log", "ab")
        self.process = subprocess.Popen(
            [*self.prefix, harness.binary(), "agent", f"-config={self.folder}/agent.hcl"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT,
            env=harness.clean_environment(**self.environment),
        )

    def logged(self):
        return (self.folder / "agent.log").read_text()

    def ask(self, method, path, body=None):
        """A status and the body as text."""
        connection = http.client.HTTPConnection("agent")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(20)
        connection.sock.connect(str(self.socket))
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def check(self):
        """Fails with what it said, if it has ended."""
        if self.process.poll() is not None:
            raise AssertionError(f"the agent has ended:\n{self.logged()[-3000:]}")

    def is_rendered(self):
        self.check()
        try:
            return self.ask("GET", "/agent/v1/health")[0] == 200
        except OSError:
            return False

    def rotate(self, name):
        status, text = self.ask("POST", "/agent/v1/rotate", {"template": name})
        assert status == 204, text

    def stop(self):
        """Ends it, and its child with it."""
        self.process.terminate()
        try:
            self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
