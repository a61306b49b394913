"""Ansible: its collection community.hashi_vault by each way to log in, and the role of deploy/ansible, played into a folder."""

import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import ansible_harness as ansible
import issuer
from harness import ROOT, Server, binary

HERE = pathlib.Path(__file__).parent / "ansible"
DEPLOY = ROOT / "deploy/ansible"
PASSWORD, SECRET, WRONG = "the password of anna", "the password of the database", "00000000-not-it"


@unittest.skipIf(ansible.MISSING, ansible.MISSING)
class Collection(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if issuer.MISSING:
            raise unittest.SkipTest(issuer.MISSING)
        cls.server = server = Server(tls=True)
        cls.addClassCleanup(server.stop)
        cls.issuer = issuer.Issuer(server.path)
        cls.addClassCleanup(cls.issuer.stop)
        must = server.must
        server.mount("kv", "kv", options={"version": "2"})
        must("PUT", "kv/data/web", {"data": {"password": SECRET}})
        server.mount("pki", "pki")
        ca = must("POST", "pki/root/generate/internal", {"common_name": "CA", "key_type": "ec"}).data["certificate"]
        must("POST", "pki/roles/client", {"allow_any_name": True, "ttl": "1h", "key_type": "ec", "server_flag": False})
        must("POST", "pki/roles/server", {"allow_any_name": True, "ttl": "1h", "key_type": "ec"})
        policy = (
            'path "kv/*" { capabilities = ["read", "create", "update", "list"] }\n'
            'path "pki/issue/server" { capabilities = ["update"] }\npath "auth/token/create" { capabilities = ["update"] }'
        )
        must("PUT", "sys/policies/acl/host", {"policy": policy})
        rules = {"token_policies": "host", "token_ttl": "10m"}
        for kind in ("approle", "userpass", "jwt", "cert"):
            must("POST", f"sys/auth/{kind}", {"type": kind})
        role_id, secret_id = server.role("approle", "host", **rules)
        must("POST", "auth/userpass/users/anna", {"password": PASSWORD, **rules})
        must("POST", "auth/jwt/config", {"oidc_discovery_url": cls.issuer.url, "bound_issuer": cls.issuer.url})
        must("POST", "auth/jwt/role/host", {"role_type": "jwt", "user_claim": "sub", "bound_audiences": "hosts", **rules})
        must("POST", "auth/cert/certs/web", {"certificate": ca, "allowed_common_names": "web-*", **rules})
        cls.facts = {
            "url": server.url, "ca": server.ca, "token": server.token("host"), "role_id": role_id, "secret_id": secret_id,
            "password": PASSWORD, "expected": SECRET, "wrong": WRONG, "jwt": cls.issuer.job(sub="web-1", aud="hosts"),
            "other_jwt": cls.issuer.job(sub="web-1", aud="others"),
        }
        for prefix, name in (("", "web-1"), ("other_", "db-1")):
            made = must("POST", "pki/issue/client", {"common_name": name}).data
            for kind, text in (("certificate", f"{made['certificate']}\n{ca}\n"), ("key", made["private_key"])):
                file = server.path / f"{name}.{kind}"
                file.write_text(text)
                cls.facts[prefix + kind] = str(file)

    def play(self, name):
        facts = self.server.path / "facts.json"
        facts.write_text(json.dumps(self.facts))
        done = ansible.playbook(HERE / name, "-e", f"@{facts}")
        told = done.stdout + done.stderr
        self.assertEqual(done.returncode, 0, told)
        for fact in ("token", "secret_id", "password", "expected", "jwt", "other_jwt", "wrong"):
            self.assertNotIn(self.facts[fact], told, fact)
        return told

    def test_logins_with_one_thing_wrong_are_refused(self):
        self.play("refused.yml")

    def test_a_playbook_logs_in_by_each_method(self):
        self.play("playbook.yml")
        self.assertEqual(self.server.must("GET", "kv/data/written").data["data"], {"by": "ansible"})


@unittest.skipIf(ansible.MISSING, ansible.MISSING)
class Role(unittest.TestCase):
    """The agent's role, played into a folder as for an image: all but the service that runs."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="warifu-ansible-")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name) / "root"
        plays = pathlib.Path(folder.name) / "plays"
        shutil.copytree(DEPLOY, plays)
        (plays / "files").mkdir()
        (plays / "files/warifu").symlink_to(binary())
        shutil.copy(ROOT / "deploy/systemd/warifu-agent.service", plays / "files")
        for name in ("usr/local/bin", "etc/systemd/system"):
            (self.root / name).mkdir(parents=True)
        self.site = plays / "site.yml"
        self.inventory = pathlib.Path(folder.name) / "hosts"
        self.inventory.write_text("[warifu_agents]\nhost ansible_connection=local\n")
        template = self.root / "db.ctmpl"
        template.write_text('{{ with secret "kv/web" }}{{ .Data.data.password }}{{ end }}')
        owner = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        self.variables = {
            "warifu_agent_root": str(self.root), "warifu_agent_role_id": "of-this-host", "warifu_agent_owner": owner,
            "warifu_agent_secret_id_credential": "sealed-to-this-host", "ansible_become": False,
            "warifu_agent_templates": [{"source": str(template), "destination": "/etc/web/db", "command": "systemctl reload web"}],
        }

    def play(self, *words, **more):
        variables = json.dumps({**self.variables, **more})
        done = ansible.playbook(self.site, "-i", self.inventory, "-e", variables, *words)
        found = re.search(r"ok=(\d+)\s+changed=(\d+)\s+unreachable=0\s+failed=(\d+)", done.stdout)
        return done, found and tuple(int(number) for number in found.groups())

    def test_its_words_are_right(self):
        done, _ = self.play("--syntax-check")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_configuration_that_the_agent_would_refuse_is_not_put_in_place(self):
        done, _ = self.play(warifu_agent_templates=[{"source": '"', "destination": "/x"}])
        self.assertNotEqual(done.returncode, 0)
        self.assertFalse((self.root / "etc/warifu-agent/agent.hcl").exists())

    def test_it_makes_a_host_that_the_agent_takes_and_changes_nothing_twice(self):
        done, counts = self.play()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertGreater(counts[1], 4)
        self.assertNotIn("sealed-to-this-host", done.stdout)
        etc = self.root / "etc/warifu-agent"
        modes = {file.name: oct(file.stat().st_mode & 0o777) for file in etc.iterdir()}
        self.assertEqual(modes, {"role-id": "0o600", "secret-id.cred": "0o600", "agent.hcl": "0o640"})
        checked = subprocess.run([self.root / "usr/local/bin/warifu", "template", "-check", f"-config={etc}/agent.hcl"],
                                 stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        again, counts = self.play("--check", "--diff")
        self.assertEqual((again.returncode, counts and counts[1]), (0, 0), again.stdout)


if __name__ == "__main__":
    unittest.main()
