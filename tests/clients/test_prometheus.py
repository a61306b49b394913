"""Prometheus over a running server: it scrapes with a token from a file, its tools read our metrics and our rules, and alerts fire for real."""

import json
import re
import shutil
import subprocess
import unittest
import urllib.request

from harness import ROOT, Server, eventually, free_port

RULES = ROOT / "deploy/prometheus"
PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
# The names are Vault's, which are older than these customs of Prometheus.
CUSTOMS = re.compile(r'(counter metrics should have "_total" suffix|use base unit|non-counter metrics should not have "_total" suffix|'
                     r'metric names should not contain abbreviated units|non-histogram and non-summary metrics should not have "_(count|sum)" suffix)')


def promtool(*words, **more):
    return subprocess.run([PROMTOOL, *words], capture_output=True, text=True, timeout=60, **more)


@unittest.skipUnless(PROMTOOL, "no promtool")
class Rules(unittest.TestCase):
    def test_each_rule_fires_where_it_should_and_nowhere_else(self):
        for words in (["check", "rules", "warifu.rules.yml"], ["test", "rules", "warifu.rules.test.yml"]):
            done = promtool(*words, cwd=RULES)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_each_rule_is_tried_both_ways(self):
        text = (RULES / "warifu.rules.yml").read_text()
        cases = (RULES / "warifu.rules.test.yml").read_text()
        for name in re.findall(r"alert: (\w+)", text):
            self.assertRegex(cases, rf"alertname: {name}\n +exp_alerts:\n", f"{name} is not seen to fire")

    def test_the_example_of_a_configuration_is_one(self):
        done = promtool("check", "config", "--syntax-only", "prometheus.yml", cwd=RULES)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


@unittest.skipUnless(PROMETHEUS and PROMTOOL, "no prometheus")
class Scraped(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = server = Server(tls=True)
        cls.addClassCleanup(server.stop)
        server.must("PUT", "sys/policies/acl/prometheus", {"policy": (ROOT / "policies/prometheus.hcl").read_text()})
        server.must("PUT", "sys/audit/first", {"type": "file", "options": {"file_path": f"{server.path}/first.log"}})
        (server.path / "folder").mkdir()
        server.must("PUT", "sys/audit/second", {"type": "file", "options": {"file_path": f"{server.path}/folder/second.log"}})
        # So that every series has something to tell: a login, a lease, a refusal, a limit that is reached.
        server.must("POST", "sys/auth/userpass", {"type": "userpass"})
        server.must("POST", "auth/userpass/users/ann", {"password": "p", "token_ttl": "1h"})
        server.must("POST", "auth/userpass/login/ann", {"password": "p"}, token=None)
        server.must("POST", "sys/quotas/rate-limit/login", {"path": "auth/userpass", "rate": 0.001, "interval": "1h"})
        for _ in range(3):
            server.call("POST", "auth/userpass/login/ann", {"password": "p"}, token=None)

    def setUp(self):
        (self.server.path / "token").write_text(self.server.token("prometheus"))

    def metrics(self):
        request = urllib.request.Request(
            f"{self.server.url}/v1/sys/metrics?format=prometheus", headers={"X-Vault-Token": self.server.root})
        with urllib.request.urlopen(request, context=self.server._context, timeout=30) as answer:
            return answer.read().decode()

    def test_promtool_finds_nothing_but_vaults_names(self):
        text = self.metrics()
        done = promtool("check", "metrics", input=text)
        told = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        self.assertEqual([line for line in told if not CUSTOMS.search(line)], [])
        # What the rules ask for exists.
        wanted = set(re.findall(r"\b((?:vault|process)_\w+?)(?:_sum|_count)?\b(?=[\[{ ]|$)", self.expressions(), re.MULTILINE))
        self.assertGreater(len(wanted), 12)
        families = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
        self.assertEqual(wanted - families, set())

    def expressions(self):
        text = (RULES / "warifu.rules.yml").read_text()
        return "\n".join(re.sub(r"^ +#.*$", "", e, flags=re.MULTILINE) for e in re.findall(r"^ +expr: (.*?)(?=^ +(?:for|labels):)", text, re.MULTILINE | re.DOTALL))

    def prometheus(self):
        """A Prometheus with the rules of deploy/, which only waits less; gives a function that asks it."""
        folder = self.server.path / "prometheus"
        folder.mkdir()
        rules = (RULES / "warifu.rules.yml").read_text()
        (folder / "warifu.rules.yml").write_text(re.sub(r"^( +)for: \w+$", r"\1for: 0s", rules, flags=re.MULTILINE))
        config = (RULES / "prometheus.yml").read_text()
        for there, here in (("15s", "200ms"), ("/etc/prometheus/warifu-ca.pem", self.server.ca), ("vault.example:8200", self.server.url.split("//")[1]),
                            ("/etc/prometheus/warifu-token", f"{self.server.path}/token")):
            self.assertIn(there, config)
            config = config.replace(there, here)
        (folder / "prometheus.yml").write_text(config)
        port = free_port()
        log = open(folder / "log", "wb")
        running = subprocess.Popen(
            [PROMETHEUS, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

        def end():
            running.terminate()
            running.wait(20)
            log.close()
        self.addCleanup(end)

        def ask(path):
            self.assertIsNone(running.poll(), (folder / "log").read_text())
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=10) as answer:
                    return json.load(answer)["data"]
            except OSError:
                return {}
        return ask

    def test_alerts_fire_when_a_device_dies_and_when_the_server_is_sealed(self):
        ask = self.prometheus()

        def value(query):
            found = ask(f"query?query={query}").get("result", [])
            return found and float(found[0]["value"][1])

        def firing():
            return {(alert["labels"]["alertname"], alert["labels"].get("device")) for alert in ask("alerts").get("alerts", []) if alert["state"] == "firing"}
        eventually(lambda: value("vault_core_unsealed") == 1.0, seconds=60)
        self.assertEqual(value("up"), 1.0)
        quiet = firing()
        # The limit that refused in setUpClass, and nothing else, may be told.
        self.assertEqual({name for name, _ in quiet} - {"WarifuRateLimited"}, set())
        # The folder goes, and a file stands in its place: what is opened again cannot be written.
        folder = self.server.path / "folder"
        shutil.rmtree(folder)
        folder.write_text("")
        eventually(lambda: self.server.must("GET", "sys/mounts") and ("WarifuAuditDeviceDown", "second/") in firing(), seconds=60)
        self.assertNotIn(("WarifuAuditDeviceDown", "first/"), firing())
        folder.unlink()
        folder.mkdir()
        eventually(lambda: self.server.must("GET", "sys/mounts") and ("WarifuAuditDeviceDown", "second/") not in firing(), seconds=60)
        # Sealed, it knows no token: the scrape is refused, and that is told.
        self.server.must("PUT", "sys/seal")
        eventually(lambda: ("WarifuDown", None) in firing(), seconds=60)
        self.server.unseal()
        eventually(lambda: ("WarifuDown", None) not in firing(), seconds=60)
        # A token that has ended is no scrape either.
        (self.server.path / "token").write_text("hvs.nobody")
        eventually(lambda: ("WarifuDown", None) in firing(), seconds=60)


if __name__ == "__main__":
    unittest.main()
