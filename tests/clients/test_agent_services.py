"""HAProxy and PostgreSQL run with secrets that the agent renders: certificate and password rotate under load, no request fails."""

import collections
import http.server
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

import harness
from agent_harness import Agent

NAME = "service.internal"
# Short enough that several renewals fall into the load.
CERTIFICATE_SECONDS = 9
LOAD_SECONDS = 24
PASSWORD_SECONDS = 3
CLIENTS = 4

HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
POSTGRES = next(iter(sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
PKI = f'{{{{ with pkiCert \\"pki/issue/service\\" \\"common_name={NAME}\\" }}}}{{{{ .Cert }}}}{{{{ .CA }}}}{{{{ .Key }}}}{{{{ end }}}}'


class Service(unittest.TestCase):
    """A server with a secret and an authority, and an agent that supervises the service."""

    def setUp(self):
        self.server = harness.Server()
        self.addCleanup(self.server.stop)
        folder = tempfile.TemporaryDirectory(prefix="warifu-service-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.folder.chmod(0o755)
        self.server.mount("secret", "kv", options={"version": "2"})
        self.server.mount("pki", "pki")
        made = self.server.must("POST", "pki/root/generate/internal",
                                {"common_name": "Service CA", "key_type": "ec", "ttl": "24h"})
        self.ca = made.data["certificate"]
        (self.folder / "ca.pem").write_text(self.ca)
        self.server.must("POST", "pki/roles/service", {
            "allowed_domains": NAME, "allow_bare_domains": True, "key_type": "ec", "ttl": f"{CERTIFICATE_SECONDS}s"})
        self.server.must("PUT", "sys/policies/acl/service", {"policy": """
            path "secret/data/service" { capabilities = ["read"] }
            path "pki/issue/service" { capabilities = ["update"] }"""})
        self.server.approle("approle")
        role_id, secret_id = self.server.role("approle", "service", token_policies="service", token_ttl="1h")
        (self.folder / "role-id").write_text(role_id)
        (self.folder / "secret-id").write_text(secret_id)

    def secret(self, **data):
        self.server.must("POST", "secret/data/service", {"data": data})

    def begin(self, rest):
        self.agent = Agent(self.folder, f'''
            vault {{ address = "{self.server.url}" }}
            auto_auth {{ method "approle" {{ config = {{
              role_id_file_path = "{self.folder}/role-id"
              secret_id_file_path = "{self.folder}/secret-id"
            }} }} }}
            {rest}''')
        self.addCleanup(self.agent.stop)

    def log(self):
        return self.agent.logged()[-3000:]

    def load(self, request, rotate):
        """Runs requests side by side while `rotate(n)` changes the password; gives what they gave and what failed."""
        end = time.monotonic() + LOAD_SECONDS
        seen, failures = collections.Counter(), []

        def client():
            while time.monotonic() < end:
                try:
                    seen[request()] += 1
                except Exception as failure:  # whatever it is, it is a request that failed
                    failures.append(repr(failure)[:300])

        clients = [threading.Thread(target=client, daemon=True) for _ in range(CLIENTS)]
        for one in clients:
            one.start()
        rotations = 0
        while time.monotonic() < end - PASSWORD_SECONDS:
            time.sleep(PASSWORD_SECONDS)
            rotations += 1
            rotate(rotations)
        for one in clients:
            one.join(LOAD_SECONDS + 60)
        self.agent.check()
        return seen, failures, rotations


class Quiet(http.server.ThreadingHTTPServer):
    """A connection that HAProxy drops is nothing to speak of."""

    def handle_error(self, request, client_address):
        pass


class Backend(http.server.BaseHTTPRequestHandler):
    """Answers who knows a password that is or was one; says which."""

    protocol_version = "HTTP/1.1"
    passwords = set()

    def do_GET(self):
        password = self.headers.get("X-Password", "")
        body = password.encode()
        self.send_response(200 if password in self.passwords else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@unittest.skipUnless(HAPROXY, "HAProxy is not installed")
class TestHaproxy(Service):
    def test_no_request_fails_while_its_certificate_and_its_password_rotate(self):
        backend = Quiet(("127.0.0.1", 0), Backend)
        threading.Thread(target=backend.serve_forever, daemon=True).start()
        self.addCleanup(backend.shutdown)
        Backend.passwords = {"password-0"}
        self.secret(password="password-0")
        folder, port = self.folder, harness.free_port()
        (folder / "haproxy.ctmpl").write_text(f"""
global
    stats socket {folder}/admin.sock mode 600 level admin expose-fd listeners
    hard-stop-after 20s
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend in
    bind 127.0.0.1:{port} ssl crt {folder}/tls.pem
    http-request set-header X-Password {{{{ with secret "secret/data/service" }}}}{{{{ .Data.data.password }}}}{{{{ end }}}}
    default_backend out
backend out
    server one 127.0.0.1:{backend.server_port}
""")
        reload = f"[ ! -s {folder}/haproxy.pid ] || kill -USR2 $(cat {folder}/haproxy.pid)"
        self.begin(f'''
            template {{ destination = "{folder}/tls.pem" contents = "{PKI}" command = "{reload}" }}
            template {{ source = "{folder}/haproxy.ctmpl" destination = "{folder}/haproxy.cfg" command = "{reload}" }}
            exec {{
              command = ["{HAPROXY}", "-W", "-db", "-p", "{folder}/haproxy.pid", "-f", "{folder}/haproxy.cfg"]
              restart_on_secret_changes = "never"
            }}''')
        context = ssl.create_default_context(cadata=self.ca)
        serials = collections.Counter()

        def request():
            with socket.create_connection(("127.0.0.1", port), 10) as plain:
                with context.wrap_socket(plain, server_hostname=NAME) as connection:
                    connection.sendall(f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
                    answer = b""
                    while piece := connection.recv(4096):
                        answer += piece
                    head, _, body = answer.partition(b"\r\n\r\n")
                    if not head.startswith(b"HTTP/1.1 200 "):
                        raise OSError(f"answered {answer[:80]!r}")
                    serials[connection.getpeercert()["serialNumber"]] += 1
                    return body.decode()

        def is_up():
            self.agent.check()
            try:
                return request()
            except OSError:
                return None

        harness.eventually(is_up, 30)

        def rotate(n):
            Backend.passwords.add(f"password-{n}")
            self.secret(password=f"password-{n}")

        seen, failures, rotations = self.load(request, rotate)
        print(f"haproxy: {sum(seen.values())} requests, {len(serials)} certificates, {len(seen)} passwords, {len(failures)} failures")
        self.assertEqual(failures, [], self.log())
        self.assertGreaterEqual(len(serials), 3)
        self.assertGreaterEqual(len(seen), rotations - 1, "the passwords did not arrive")
        self.assertGreater(sum(seen.values()), LOAD_SECONDS * 5, "this was no load")


@unittest.skipUnless(POSTGRES, "PostgreSQL is not installed")
class TestPostgres(Service):
    """Two roles take turns: the one that rests gets a new password, then the secret names it. So no connection meets a
    password that was just taken away."""

    def setUp(self):
        super().setUp()
        # The database refuses to run as root.
        self.user = "postgres" if os.geteuid() == 0 else None
        self.data = self.folder / "data"
        self.port = harness.free_port()
        run = self.folder / "run"
        run.mkdir()
        if self.user:
            shutil.chown(run, self.user)
            shutil.chown(self.folder, self.user)
        self.as_user(POSTGRES / "initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "-N")
        (self.data / "pg_hba.conf").write_text("local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")

    def prefix(self):
        return ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups"] if self.user else []

    def as_user(self, *words):
        done = subprocess.run([*self.prefix(), *map(str, words)], capture_output=True, text=True, timeout=120, check=False,
                              cwd="/", env=harness.clean_environment())
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def sql(self, text):
        return self.as_user(POSTGRES / "psql", "-h", self.folder / "run", "-p", self.port, "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-Atc", text)

    def test_no_query_fails_while_its_certificate_and_its_password_rotate(self):
        folder = self.folder
        self.secret(user="app_0", password="password-0")
        (folder / "service.ctmpl").write_text(f"""{{{{ with secret "secret/data/service" }}}}[app]
host={NAME}
hostaddr=127.0.0.1
port={self.port}
dbname=postgres
sslmode=verify-full
sslrootcert={folder}/ca.pem
user={{{{ .Data.data.user }}}}
password={{{{ .Data.data.password }}}}
{{{{ end }}}}""")
        owner = f'user = "{self.user}"' if self.user else ""
        reload = f"[ ! -s {self.data}/postmaster.pid ] || kill -HUP $(head -n 1 {self.data}/postmaster.pid)"
        command = [*self.prefix(), str(POSTGRES / "postgres"), "-D", str(self.data), "-p", str(self.port),
                   "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}/run", "-c", "ssl=on",
                   "-c", f"ssl_cert_file={folder}/tls.pem", "-c", f"ssl_key_file={folder}/tls.pem", "-c", "fsync=off"]
        words = ", ".join(f'"{word}"' for word in command)
        self.begin(f'''
            template {{ destination = "{folder}/tls.pem" contents = "{PKI}" command = "{reload}" {owner} }}
            template {{ source = "{folder}/service.ctmpl" destination = "{folder}/service.conf" }}
            exec {{ command = [{words}] restart_on_secret_changes = "never" restart_stop_signal = "SIGINT" }}''')

        def is_up():
            self.agent.check()
            ready = [POSTGRES / "pg_isready", "-q", "-h", folder / "run", "-p", str(self.port)]
            return subprocess.run(ready, check=False, env=harness.clean_environment()).returncode == 0

        harness.eventually(is_up, 60)
        self.sql("CREATE ROLE app_0 LOGIN PASSWORD 'password-0'; CREATE ROLE app_1 LOGIN PASSWORD 'password-0'")
        environment = harness.clean_environment(PGSERVICEFILE=str(folder / "service.conf"), PGSERVICE="app", HOME=str(folder))
        versions = set()

        def query():
            text = "SELECT current_user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            done = subprocess.run([POSTGRES / "psql", "-XAtc", text], capture_output=True, text=True, timeout=30, check=False,
                                  env=environment)
            if done.returncode or not done.stdout.strip().endswith("|t"):
                raise OSError(done.stderr or done.stdout)
            versions.add((folder / "tls.pem").read_text())
            return done.stdout.strip()

        query()

        def rotate(n):
            self.sql(f"ALTER ROLE app_{n % 2} PASSWORD 'password-{n}'")
            self.secret(user=f"app_{n % 2}", password=f"password-{n}")
            harness.eventually(lambda: f"password-{n}" in (folder / "service.conf").read_text(), 5)

        seen, failures, rotations = self.load(query, rotate)
        print(f"postgres: {sum(seen.values())} queries, {len(versions)} certificates, {rotations} passwords, {len(failures)} failures")
        self.assertEqual(failures, [], self.log())
        self.assertEqual(set(seen), {"app_0|t", "app_1|t"})
        self.assertGreaterEqual(len(versions), 3)
        self.assertGreater(sum(seen.values()), LOAD_SECONDS, "this was no load")


del Service

if __name__ == "__main__":
    unittest.main()
