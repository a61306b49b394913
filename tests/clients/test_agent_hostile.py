"""The agent as a process among those who mean ill: a full disk, a child that floods, a server that is another."""

import http.server
import pathlib
import resource
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

import harness
from agent_harness import Agent

VALUE = '{{ with secret \\"kv/data/app\\" }}{{ .Data.data.v }}{{ end }}'


class Patient(Agent):
    """One that a limit does not kill: its writes fail instead."""

    prefix = ["/bin/sh", "-c", "trap '' XFSZ; exec \"$@\"", "-"]


class TestHostile(unittest.TestCase):
    def setUp(self):
        self.server = harness.Server(tls=True)
        self.addCleanup(self.server.stop)
        folder = tempfile.TemporaryDirectory(prefix="warifu-hostile-")
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name)
        self.server.mount("kv", "kv", options={"version": "2"})
        self.put("one")
        (self.path / "token").write_text(self.server.root)

    def put(self, value):
        self.server.must("PUT", "kv/data/app", {"data": {"v": value}})

    def begin(self, rest, url=None, **environment):
        agent = Patient(self.path, f'vault {{ address = "{url or self.server.url}" ca_cert = "{self.server.ca}" }}\n'
                      f'auto_auth {{ method "token_file" {{ config {{ token_file_path = "{self.path}/token" }} }} }}\n{rest}',
                      **environment)
        self.addCleanup(agent.stop)
        return agent

    def template(self, name, contents=VALUE):
        return f'template {{ contents = "{contents}" destination = "{self.path}/{name}" }}\n'

    def text(self, name="out"):
        path = self.path / name
        return path.read_text() if path.exists() else ""

    def test_a_full_disk_keeps_the_old_file_and_leaves_nothing_behind(self):
        """A limit on the size of files fails a write in its midst, as a full disk does."""
        agent = self.begin(self.template("out") + self.template("small", "small"))
        harness.eventually(lambda: self.text() == "one" and "tells of changes" in agent.logged())
        resource.prlimit(agent.process.pid, resource.RLIMIT_FSIZE, (65536, 65536))
        self.put("x" * 100_000)
        harness.eventually(lambda: "the file could not be written" in agent.logged())
        self.assertEqual((self.text(), self.text("small")), ("one", "small"))
        names = {path.name for path in self.path.iterdir()}
        self.assertEqual(names, {"agent.hcl", "agent.log", "agent.sock", "token", "out", "small"})
        self.put("it fits")
        harness.eventually(lambda: self.text() == "it fits")

    def test_a_file_system_that_is_full_keeps_the_old_file_until_there_is_room(self):
        small = self.path / "small"
        small.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(small)], capture_output=True, check=False).returncode:
            self.skipTest("no file system can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", str(small)], check=True)
        agent = self.begin(self.template("small/out") + self.template("other"))
        harness.eventually(lambda: self.text("small/out") == "one" and "tells of changes" in agent.logged())
        self.put("x" * 100_000)
        harness.eventually(lambda: "No space left" in agent.logged())
        harness.eventually(lambda: len(self.text("other")) == 100_000)
        self.assertEqual([path.name for path in small.iterdir()], ["out"])
        self.assertEqual(self.text("small/out"), "one")
        subprocess.run(["mount", "-o", "remount,size=1m", str(small)], check=True)
        harness.eventually(lambda: len(self.text("small/out")) == 100_000)

    def test_a_server_that_drips_or_never_ends_is_given_up(self):
        """Each byte comes in time and the answer never does; or it comes as fast as it can, without an end."""
        ends = threading.Event()
        self.addCleanup(ends.set)

        class Dripping(http.server.BaseHTTPRequestHandler):
            piece, pause = b" ", 0.1

            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                try:
                    while not ends.wait(self.pause):
                        self.wfile.write(self.piece)
                except OSError:
                    pass

            do_PUT = do_POST = do_GET

            def log_message(self, *_):
                pass

        for piece, pause in [(b" ", 0.1), (b"[" * (1 << 20), 0)]:
            Dripping.piece, Dripping.pause = piece, pause
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Dripping)
            server.daemon_threads = True
            server.handle_error = lambda *_: None
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.addCleanup(server.shutdown)
            (self.path / "out").write_text("kept")
            (self.path / "agent.log").unlink(missing_ok=True)
            agent = self.begin(self.template("out") + self.template("plain", "plain"), f"http://127.0.0.1:{server.server_port}",
                               VAULT_CLIENT_TIMEOUT="2s")
            harness.eventually(lambda: self.text("plain") == "plain")
            harness.eventually(lambda agent=agent: agent.logged().count("login failed") >= 2, 30)
            status = pathlib.Path(f"/proc/{agent.process.pid}/status").read_text()
            most = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
            self.assertLess(most, 250_000, "KiB: an answer is bounded")
            self.assertEqual(self.text(), "kept")
            agent.stop()
            (self.path / "plain").unlink()

    def test_a_child_that_floods_its_output_costs_the_agent_nothing(self):
        agent = self.begin(self.template("out") + f'''
            exec {{ command = ["/bin/sh", "-c", "head -c 60000000 /dev/zero; echo flooded > {self.path}/flooded; exec sleep 600"] }}''')
        harness.eventually(lambda: self.text("flooded"), 60)
        status = pathlib.Path(f"/proc/{agent.process.pid}/status").read_text()
        resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
        self.assertLess(resident, 60_000, "KiB: the output went through the agent's memory")
        self.assertTrue(agent.is_rendered())

    def test_a_server_with_another_certificate_gets_no_token_and_changes_nothing(self):
        agent = self.begin(self.template("out"))
        harness.eventually(lambda: self.text() == "one")
        agent.stop()
        seen = []

        class Impostor(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                seen.append(self.path)

            do_PUT = do_POST = do_GET

            def log_message(self, *_):
                pass

        key, certificate = self.path / "key.pem", self.path / "certificate.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                        "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
                       check=True, capture_output=True)
        impostor = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Impostor)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        impostor.socket = context.wrap_socket(impostor.socket, server_side=True)
        impostor.handle_error = lambda *_: None
        threading.Thread(target=impostor.serve_forever, daemon=True).start()
        self.addCleanup(impostor.shutdown)
        agent = self.begin(self.template("out"), f"https://127.0.0.1:{impostor.server_port}")
        harness.eventually(lambda: "login failed" in agent.logged() or "fetching failed" in agent.logged())
        time.sleep(1)
        self.assertEqual((seen, self.text()), ([], "one"))
        self.assertNotIn(self.server.root, agent.logged())


if __name__ == "__main__":
    unittest.main()
