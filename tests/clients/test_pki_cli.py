"""The commands `warifu pki …` against a running server: what they print, and with which code they end."""

import json
import subprocess
import tempfile
import unittest

from harness import Server, binary, clean_environment


class Commands(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.stop)
        must = self.server.must
        for mount in ["root", "int"]:
            must("POST", f"sys/mounts/{mount}", {"type": "pki", "config": {"max_lease_ttl": "87600h"}})
        must("POST", "root/root/generate/internal", {"common_name": "Root", "organization": "Story", "key_type": "ec",
                                                      "ttl": "80000h", "issuer_name": "top"})

    def run_it(self, *words, code=0):
        env = clean_environment(VAULT_ADDR=self.server.url, VAULT_TOKEN=self.server.root)
        ran = subprocess.run([binary(), "pki", *words], capture_output=True, text=True, timeout=60, env=env)
        self.assertEqual(ran.returncode, code, f"{words}\n{ran.stdout}\n{ran.stderr}")
        return ran.stdout + ran.stderr

    def test_an_intermediate_in_one_command_and_another_like_it(self):
        made = json.loads(self.run_it("issue", "-format=json", "-issuer_name=mid", "root/issuer/top", "int",
                                      "common_name=Mid", "organization=Story", "key_type=ec", "ttl=9000h"))
        self.assertEqual(made["data"]["issuer_name"], "mid")
        self.assertEqual(len(made["data"]["ca_chain"]), 2)
        seen = json.loads(self.run_it("verify-sign", "-format=json", "root/issuer/top", "int/issuer/mid"))
        self.assertEqual(set(seen.values()), {True}, seen)
        other = json.loads(self.run_it("verify-sign", "-format=json", "int/issuer/mid", "root/issuer/top"))
        self.assertEqual(set(other.values()), {False}, other)
        again = json.loads(self.run_it("reissue", "-format=json", "-issuer_name=mid2", "root/issuer/top", "int/issuer/mid",
                                       "int", "ttl=8000h"))
        self.assertEqual(again["data"]["key_id"], made["data"]["key_id"])
        listed = json.loads(self.run_it("list-intermediates", "-format=json", "root/issuer/top"))
        self.assertEqual(sum(listed.values()), 2, listed)
        named = json.loads(self.run_it("list-intermediates", "-format=json", "-use_names", "root/issuer/top"))
        self.assertEqual({"int/issuer/mid": True, "int/issuer/mid2": True}, named)
        self.assertIn("a CA", self.run_it("show", "int/issuer/mid"))
        self.run_it("issue", "root/nonsense", "int", "common_name=x", code=1)
        self.run_it("verify-sign", "root/issuer/none", "int/issuer/mid", code=2)

    def test_health_forecast_and_words(self):
        self.server.must("POST", "root/roles/web", {"allow_any_name": True, "key_type": "ec", "ttl": "1h"})
        leaf = self.server.must("POST", "root/issue/web", {"common_name": "www.a.test", "ip_sans": "192.0.2.1"}).data
        text = self.run_it("show", f"root/cert/{leaf['serial_number']}")
        for words in ["CN=www.a.test", "the host www.a.test", "the address 192.0.2.1", "no CA", "ServerAuth", "CN=Root"]:
            self.assertIn(words, text)
        for where in [["root"], []]:
            forecast = self.run_it("expiring", "-within=2h", *where)
            for words in ["www.a.test", "web", "root/"]:
                self.assertIn(words, forecast)
        self.assertIn("No certificate ends", self.run_it("expiring", "-within=2h", "-role=other", "root"))
        counted = json.loads(self.run_it("expiring", "-within=2h", "-format=json"))
        self.assertEqual(counted["root/"]["by_role"], {"web": 1})
        self.assertIn("No certificate ends", self.run_it("expiring", "-within=1m", "root"))
        # A leaf by the root is a warning: code 3.
        report = json.loads(self.run_it("health-check", "-format=json", "root", code=3))
        self.assertEqual(report["root_issued_leaves"][0]["status"], "warning")
        self.assertEqual(report["ca_validity_period"][0]["status"], "ok")
        self.run_it("health-check", "-return-indicator=critical", "root")
        # A word of information alone is told by the code, unless only more is asked for.
        self.run_it("health-check", "int", code=2)
        self.run_it("health-check", "-return-indicator=warning", "int")
        with tempfile.NamedTemporaryFile("w", suffix=".json") as settings:
            settings.write('{"ca_validity_period": {"enabled": true, "root_expiry_critical": "9000d"}}')
            settings.flush()
            only = ["health-check", "-default-disabled", f"-health-config={settings.name}"]
            report = json.loads(self.run_it(*only, "-format=json", "root", code=4))
            self.assertEqual(list(report), ["ca_validity_period"])
            self.assertNotIn("enable_auto_tidy", self.run_it(*only, "-list"))
            settings.write('nonsense')
            settings.flush()
            self.run_it(*only, "root", code=1)
        self.assertIn("enable_auto_tidy", self.run_it("health-check", "-list"))
        self.run_it("health-check", code=1)
        blind = self.server.must("POST", "auth/token/create", {"policies": ["default"]}).json["auth"]["client_token"]
        env = clean_environment(VAULT_ADDR=self.server.url, VAULT_TOKEN=blind)
        ran = subprocess.run([binary(), "pki", "health-check", "root"], capture_output=True, text=True, timeout=60, env=env)
        self.assertEqual(ran.returncode, 6, ran.stdout + ran.stderr)


if __name__ == "__main__":
    unittest.main()
