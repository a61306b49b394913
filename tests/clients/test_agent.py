"""The agent as a process: Consul, changes that are told, local requests, days when the server is away."""

import datetime
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import zoneinfo

import harness
from agent_harness import Agent
from consul_fake import Consul


class TestConsul(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="warifu-consul-")
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name)
        self.consul = Consul()
        self.addCleanup(self.consul.stop)
        self.consul.kv.update({"app/host": "db", "app/pool/size": "5", "app/": "", "one": "1"})
        self.consul.instance("n2", "web", 2, ["blue", "v2"])
        self.consul.instance("n1", "web", 1, ["green"])
        self.consul.instance("n1", "web", 3, ["green"], status="critical")

    def begin(self, contents, config="", token="consul-token"):
        agent = Agent(self.path, f'''
            consul {{ address = "{self.consul.address}" token = "{token}" }}
            template {{ contents = <<EOT
{contents}
EOT
              destination = "{self.path}/out" }} {config}''')
        self.addCleanup(agent.stop)
        return agent

    def text(self):
        path = self.path / "out"
        return path.read_text() if path.exists() else ""

    def test_what_consul_refuses_is_said_and_nothing_is_written(self):
        agent = self.begin('{{ key "one" }}', token="wrong")
        harness.eventually(lambda: "Consul answered 403" in agent.logged())
        self.assertEqual(self.text(), "")
        self.assertEqual(agent.ask("GET", "/agent/v1/health")[0], 503)

    def test_keys_services_and_nodes_are_rendered_and_followed(self):
        agent = self.begin(
            '{{ key "one" }} {{ keyOrDefault "none" "d" }} {{ keyExists "one" }} {{ keyExists "none" }}\n'
            '{{ range ls "app" }}{{ .Key }}={{ .Value }} {{ end }}\n'
            '{{ range tree "app" }}{{ .Key }}={{ .Value }} {{ end }}\n'
            '{{ range $top, $pairs := tree "app" | byKey }}{{ $top }}:{{ range $k, $p := $pairs }}{{ $k }}={{ $p.Value }}{{ end }} {{ end }}\n'
            '{{ range services }}{{ .Name }}{{ .Tags }}{{ end }}\n'
            '{{ range service "web" }}{{ .Node }}:{{ .Address }}:{{ .Port }}:{{ .Status }} {{ end }}\n'
            '{{ range service "blue.web" }}{{ .ID }} {{ end }}|{{ range service "web|any" }}{{ .ID }} {{ end }}\n'
            '{{ range $tag, $of := service "web" | byTag }}{{ $tag }}{{ len $of }} {{ end }}\n'
            '{{ range nodes }}{{ .Node }} {{ end }}{{ with node "n1" }}{{ .Node.Address }}{{ range .Services }} {{ .ID }}{{ end }}{{ end }} {{ datacenters }}')
        harness.eventually(agent.is_rendered)
        self.assertEqual(self.text(), (
            "1 d true false\n"
            "host=db \n"
            "host=db pool/size=5 \n"
            "host:=db pool:size=5 \n"
            "web[blue green v2]\n"
            "n1:10.0.0.1:8001:passing n2:10.0.0.1:8002:passing \n"
            "web-2 |web-1 web-3 web-2 \n"
            "blue1 green1 v21 \n"
            "n1 n2 10.0.0.1 web-1 web-3 [dc1]\n"))
        self.consul.put(lambda consul: consul.kv.update({"one": "2"}))
        harness.eventually(lambda: self.text().startswith("2 "), 5)
        # It waits in Consul, and asks no more than it must.
        time.sleep(1.5)
        before = len(self.consul.seen)
        time.sleep(1.5)
        self.assertEqual(len(self.consul.seen), before)


class TestServer(unittest.TestCase):
    def setUp(self):
        self.server = harness.Server()
        self.addCleanup(self.server.stop)
        folder = tempfile.TemporaryDirectory(prefix="warifu-agent-")
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name)
        self.server.mount("kv", "kv", options={"version": "2"})
        self.put("one")
        self.server.must("PUT", "sys/policies/acl/app", {"policy": 'path "kv/data/app" { capabilities = ["read"] }'})
        self.server.approle("approle")
        role_id, secret_id = self.server.role("approle", "app", token_policies="app", token_ttl="1h")
        (self.path / "role").write_text(role_id)
        (self.path / "secret").write_text(secret_id)

    def put(self, value):
        self.server.must("PUT", "kv/data/app", {"data": {"v": value}})

    def begin(self, rest=""):
        (self.path / "agent.log").unlink(missing_ok=True)
        agent = Agent(self.path, f'''
            vault {{ address = "{self.server.url}" }}
            auto_auth {{
              method "approle" {{ config {{
                role_id_file_path = "{self.path}/role"
                secret_id_file_path = "{self.path}/secret"
                remove_secret_id_file_after_reading = false
              }} }}
              sink "file" {{ config {{ path = "{self.path}/token" mode = 0600 }} }}
            }}
            template {{
              contents = "{{{{ with secret \\"kv/data/app\\" }}}}{{{{ .Data.data.v }}}}{{{{ end }}}}"
              destination = "{self.path}/out"
              command = "echo ran >> {self.path}/ran"
            }}
            {rest}''')
        self.addCleanup(agent.stop)
        return agent

    def text(self, name="out"):
        path = self.path / name
        return path.read_text() if path.exists() else ""

    def test_an_outage_changes_nothing_and_a_start_without_the_server_serves_what_was_last_good(self):
        agent = self.begin(f'cache {{ path = "{self.path}/cache" max_stale = "1h" }}')
        harness.eventually(agent.is_rendered)
        harness.eventually(lambda: self.text("ran") == "ran\n")
        self.server.process.send_signal(signal.SIGSTOP)
        self.addCleanup(self.server.process.send_signal, signal.SIGCONT)
        agent.stop()
        # As after a reboot: what lay in memory is gone.
        (self.path / "out").unlink()
        agent.start()
        harness.eventually(agent.is_rendered)
        self.assertEqual(self.text(), "one")
        self.assertNotIn(b"one", (self.path / "cache").read_bytes())
        # On another host's disk it would not open.
        agent.stop()
        (self.path / "out").unlink()
        (self.path / "cache.key").write_bytes(b"x" * 32)
        agent.start()
        harness.eventually(lambda: "damaged or of another host" in agent.logged())
        self.assertEqual(self.text(), "")
        self.server.process.send_signal(signal.SIGCONT)
        harness.eventually(lambda: self.text() == "one", 60)

    def test_a_change_of_a_secret_arrives_by_itself(self):
        agent = self.begin('template_config { static_secret_render_interval = "1h" }')
        harness.eventually(agent.is_rendered)
        harness.eventually(lambda: "the server tells of changes" in agent.logged())
        for n in range(5):
            self.put(f"value {n}")
            # A poll is an hour away. Seconds, so that a busy machine is no failure; scripts/bench says how fast it is.
            harness.eventually(lambda: self.text() == f"value {n}", 10, 0.01)
        # A server that ends does not wait for those who wait, and finds them again.
        began = time.monotonic()
        self.server.end()
        self.assertLess(time.monotonic() - began, 10)
        self.assertEqual(self.text(), "value 4")

    def test_a_change_waits_for_its_window_unless_somebody_asks_for_it(self):
        """The zone, the days, the hours: a window that is open now in one zone is closed in another."""
        now = datetime.datetime.now(datetime.timezone.utc)
        days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

        def window(zone, from_now, day_offset=0):
            """Three hours that begin so many hours from now, as the clock of that zone shows it."""
            local = now.astimezone(zoneinfo.ZoneInfo(zone))
            start = local + datetime.timedelta(hours=from_now)
            end = start + datetime.timedelta(hours=3)
            day = days[(start.weekday() + day_offset) % 7]
            return f'change_window {{ time_zone = "{zone}" days = ["{day}"] hours = "{start:%H:%M}-{end:%H:%M}" }}'

        for zone in ["Asia/Tokyo", "America/New_York"]:
            self.put("one")
            with self.subTest(zone=zone, window="open"):
                agent = self.begin(window(zone, -1))
                harness.eventually(lambda: self.text() == "one")
                harness.eventually(lambda: "tells of changes" in agent.logged())
                self.put("two")
                harness.eventually(lambda: self.text() == "two")
                agent.stop()
            for name, shut in [("hours", window(zone, 5)), ("days", window(zone, -1, 3))]:
                with self.subTest(zone=zone, window=f"closed by {name}"):
                    agent = self.begin(shut)
                    harness.eventually(agent.is_rendered)
                    harness.eventually(lambda: "tells of changes" in agent.logged())
                    before = self.text()
                    self.put(f"{zone} {name}")
                    harness.eventually(lambda: "a change waits for its window" in agent.logged())
                    self.assertEqual(self.text(), before)
                    # What somebody asks for by name waits for nothing.
                    agent.rotate(f"{self.path}/out")
                    harness.eventually(lambda: self.text() == f"{zone} {name}")
                    agent.stop()

    def test_what_would_expire_outside_the_window_is_changed_and_said_aloud(self):
        self.server.mount("pki", "pki")
        self.server.must("POST", "pki/root/generate/internal", {"common_name": "CA", "key_type": "ec", "ttl": "24h"})
        self.server.must("POST", "pki/roles/app", {"allow_any_name": True, "key_type": "ec", "ttl": "9s"})
        self.server.must("PUT", "sys/policies/acl/app", {"policy": """
            path "kv/data/app" { capabilities = ["read"] }
            path "pki/issue/app" { capabilities = ["update"] }"""})
        tomorrow = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=2)
        day = tomorrow.strftime("%a").lower()
        agent = self.begin(f'''
            template {{
              contents = "{{{{ with pkiCert \\"pki/issue/app\\" \\"common_name=a.internal\\" }}}}{{{{ .Cert }}}}{{{{ .Key }}}}{{{{ end }}}}"
              destination = "{self.path}/tls"
            }}
            change_window {{ time_zone = "Etc/UTC" days = ["{day}"] hours = "09:00-10:00" }}''')
        harness.eventually(agent.is_rendered)
        first = self.text("tls")
        harness.eventually(lambda: self.text("tls") != first)
        harness.eventually(lambda: "outside the change window: it would expire" in agent.logged())
        self.assertEqual(self.text(), "one", "and nothing else was changed")

    def test_local_requests_get_the_token_only_where_the_header_stands(self):
        port = harness.free_port()
        agent = self.begin(f'''
            api_proxy {{ use_auto_auth_token = true }}
            listener "tcp" {{ address = "127.0.0.1:{port}" tls_disable = true require_request_header = true }}
            listener "unix" {{ address = "{self.path}/metrics.sock" role = "metrics_only" }}''')
        harness.eventually(agent.is_rendered)

        def ask(path, sock=None, **headers):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            if sock:
                connection.sock = socket.socket(socket.AF_UNIX)
                connection.sock.connect(sock)
            connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read()

        self.assertEqual(ask("/v1/kv/data/app")[0], 412)
        self.assertEqual(ask("/v1/kv/data/app", X_Vault_Request="false")[0], 412)
        status, body = ask("/v1/kv/data/app", X_Vault_Request="true")
        self.assertEqual((status, json.loads(body)["data"]["data"]), (200, {"v": "one"}))
        self.assertEqual(ask("/v1/kv/data/other", X_Vault_Request="true")[0], 403)
        # A token of its own is kept, even a wrong one.
        self.assertEqual(ask("/v1/kv/data/app", X_Vault_Request="true", X_Vault_Token="hvs.wrong")[0], 403)
        metrics = str(self.path / "metrics.sock")
        self.assertEqual(ask("/v1/kv/data/app", metrics, X_Vault_Request="true")[0], 404)
        self.assertIn(b"warifu_agent_rendered 1", ask("/agent/v1/metrics", metrics)[1])
        self.assertEqual(ask("/agent/v1/quit", metrics)[0], 404)

    def test_the_log_is_as_the_configuration_says_and_the_command_line_before_it(self):
        agent = self.begin(f'log_level = "debug" log_format = "json" log_file = "{self.path}/file.log"')
        harness.eventually(agent.is_rendered)
        lines = [json.loads(line) for line in harness.eventually(agent.logged).splitlines()]
        self.assertIn(("DEBUG", "fetched"), {(line["level"], line["message"]) for line in lines})
        self.assertEqual((self.path / "file.log").read_text().splitlines()[:3], agent.logged().splitlines()[:3])
        self.assertEqual((self.path / "file.log").stat().st_mode & 0o007, 0)
        agent.stop()
        agent = self.begin('log_level = "debug" log_format = "json"')
        agent.stop()
        agent.environment = {"VAULT_LOG_LEVEL": "warn", "VAULT_LOG_FORMAT": "standard"}
        (self.path / "agent.log").unlink()
        agent.start()
        harness.eventually(agent.is_rendered)
        self.assertEqual(agent.logged(), "")

    @unittest.skipUnless(os.getuid() == 0 and pathlib.Path("/usr/bin/python3").exists(), "only root can be somebody else")
    def test_only_the_users_that_are_named_get_what_is_for_envoy(self):
        agent = self.begin(f"""sds {{
            socket_path = "{self.path}/sds.sock"
            mode = "0666"
            allowed_uids = [65533]
            generic "word" {{ contents = "word" }} }}""")
        harness.eventually(agent.is_rendered)
        self.path.chmod(0o711)
        asks = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect(sys.argv[1])\n"
                "try:\n s.sendall(b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n' + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])); print(len(s.recv(9)))\n"
                "except OSError: print(0)")
        for user, length in [(0, "9"), (65533, "9"), (65534, "0")]:
            done = subprocess.run(["/usr/bin/python3", "-S", "-c", asks, f"{self.path}/sds.sock"], user=user, cwd="/",
                                  capture_output=True, text=True, check=False, timeout=20)
            self.assertEqual(done.stdout.strip(), length, f"{user}: {done.stderr}")
        self.assertIn("uid=65534", agent.logged())

    def test_a_rotation_is_asked_for_by_name(self):
        agent = self.begin()
        harness.eventually(agent.is_rendered)
        self.assertEqual(agent.ask("POST", "/agent/v1/rotate", {"template": "none"})[0], 404)
        self.assertEqual(agent.ask("POST", "/agent/v1/rotate", {})[0], 400)
        agent.rotate(f"{self.path}/out")
        time.sleep(1)
        # The same content: no file is touched, no command runs.
        self.assertEqual(self.text("ran"), "ran\n")
        self.assertEqual(agent.ask("POST", "/agent/v1/quit")[0], 204)
        agent.process.wait(10)


if __name__ == "__main__":
    unittest.main()
