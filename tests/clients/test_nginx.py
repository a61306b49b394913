"""nginx serves with a certificate that the agent renders and renews, under a steady load: no request fails."""

import collections
import json
import pathlib
import signal
import ssl
import socket
import threading
import time
import unittest

from agent_harness import Agent
from harness import Server, eventually, free_port
from nginx import NGINX, command, configuration

NAME = "web.internal"
# Short enough that several renewals fall into the load.
CERTIFICATE_SECONDS = 9
LOAD_SECONDS = 30
CLIENTS = 6


class Client(threading.Thread):
    """One connection and one request after the other, the certificate checked against the CA."""

    def __init__(self, port, context, end):
        super().__init__(daemon=True)
        self.port, self.context, self.end = port, context, end
        self.serials = collections.Counter()
        self.failures = []

    def run(self):
        while time.monotonic() < self.end:
            try:
                self.serials[self.request()] += 1
            except OSError as failure:  # TLS failures are among them
                self.failures.append(f"{time.monotonic():.3f} {failure!r}")

    def request(self):
        with socket.create_connection(("127.0.0.1", self.port), 5) as plain:
            with self.context.wrap_socket(plain, server_hostname=NAME) as connection:
                connection.sendall(f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
                answer = b""
                while piece := connection.recv(4096):
                    answer += piece
                if not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(b"password=first\n"):
                    raise OSError(f"an answer of {len(answer)} bytes: {answer[:60]!r}")
                return connection.getpeercert()["serialNumber"]


@unittest.skipUnless(NGINX, "nginx is not installed")
class Nginx(unittest.TestCase):
    def setUp(self):
        self.server = Server(tls=True)
        self.addCleanup(self.server.stop)
        self.folder = self.server.path / "sidecar"
        self.folder.mkdir()
        self.server.mount("secret", "kv", options={"version": "2"})
        self.server.must("POST", "secret/data/web", {"data": {"password": "first"}})
        self.server.mount("pki", "pki")
        made = self.server.must("POST", "pki/root/generate/internal", {"common_name": "Test CA", "key_type": "ec", "ttl": "24h"})
        self.ca = made.data["certificate"]
        self.server.must("POST", "pki/roles/web", {
            "allowed_domains": NAME, "allow_bare_domains": True, "key_type": "ec", "ttl": f"{CERTIFICATE_SECONDS}s",
        })
        self.server.must("PUT", "sys/policies/acl/web", {"policy": """
            path "secret/data/web" { capabilities = ["read"] }
            path "pki/issue/web" { capabilities = ["update"] }
        """})
        self.server.approle("approle")
        role_id, secret_id = self.server.role("approle", "web", token_policies="web", token_ttl="1h")
        (self.folder / "role-id").write_text(role_id)
        (self.folder / "secret-id").write_text(secret_id)
        self.port = free_port()
        self.agent = Agent(self.folder, self.configure())
        self.addCleanup(self.agent.stop)

    def configure(self):
        folder = self.folder
        (folder / "nginx.ctmpl").write_text(configuration(folder, f"""
        listen 127.0.0.1:{self.port} ssl;
        ssl_certificate {folder}/tls.pem;
        ssl_certificate_key {folder}/tls.pem;
        location / {{
            default_type text/plain;
            return 200 'password={{{{ with secret "secret/data/web" }}}}{{{{ .Data.data.password }}}}{{{{ end }}}}\\n';
        }}"""))
        reload = f"[ ! -s {folder}/nginx.pid ] || kill -HUP $(cat {folder}/nginx.pid)"
        return f"""
vault {{
  address = "{self.server.url}"
  ca_cert = "{self.server.ca}"
}}
auto_auth {{
  method "approle" {{
    config = {{
      role_id_file_path   = "{folder}/role-id"
      secret_id_file_path = "{folder}/secret-id"
    }}
  }}
}}
template {{
  contents    = "{{{{ with pkiCert \\"pki/issue/web\\" \\"common_name={NAME}\\" }}}}{{{{ .Cert }}}}{{{{ .CA }}}}{{{{ .Key }}}}{{{{ end }}}}"
  destination = "{folder}/tls.pem"
  command     = "{reload}"
}}
template {{
  source      = "{folder}/nginx.ctmpl"
  destination = "{folder}/nginx.conf"
  command     = "{reload}"
}}
exec {{
  command                   = {json.dumps(command(folder))}
  restart_on_secret_changes = "never"
}}
"""

    def context(self):
        return ssl.create_default_context(cadata=self.ca)

    def answers(self):
        self.agent.check()
        try:
            return Client(self.port, self.context(), 0).request()
        except OSError:
            return None

    def test_no_request_fails_while_the_certificate_is_renewed(self):
        eventually(self.answers)
        self.assertEqual((self.folder / "tls.pem").stat().st_mode & 0o777, 0o600)
        context, end = self.context(), time.monotonic() + LOAD_SECONDS
        clients = [Client(self.port, context, end) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(LOAD_SECONDS + 30)
        failures = [failure for client in clients for failure in client.failures]
        serials = sum((client.serials for client in clients), collections.Counter())
        requests = sum(serials.values())
        print(f"nginx: {requests} requests, {len(serials)} certificates, {len(failures)} failures")
        log = (self.folder / "nginx.log").read_text()
        self.assertEqual(failures, [], log[-3000:])
        self.assertGreaterEqual(len(serials), 3, "the certificate was renewed too seldom for this to say anything")
        self.assertGreater(requests, LOAD_SECONDS * 5, "this was no load")
        self.assertNotIn("[emerg]", log)

    def test_a_server_that_is_gone_leaves_the_service_as_it_is(self):
        eventually(self.answers)
        before = pathlib.Path(self.folder / "nginx.conf").read_bytes()
        self.server.process.send_signal(signal.SIGSTOP)
        try:
            end = time.monotonic() + 3
            while time.monotonic() < end:
                self.assertTrue(self.answers())
        finally:
            self.server.process.send_signal(signal.SIGCONT)
        self.assertEqual(pathlib.Path(self.folder / "nginx.conf").read_bytes(), before)
        serial = self.answers()
        eventually(lambda: self.answers() not in (None, serial), CERTIFICATE_SECONDS * 2)
