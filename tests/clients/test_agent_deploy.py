"""The pieces in deploy/, each looked at by what will read it, as far as it is here."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import go_program
import harness
from test_agent_envoy import envoy_binary

DEPLOY = harness.ROOT / "deploy"


def run(*words, **more):
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False,
                          env=harness.clean_environment(**more))


class TestDeploy(unittest.TestCase):
    def test_the_agents_configurations_are_right(self):
        for path in ["agent/agent.hcl", "envoy/agent.hcl"]:
            done = run(harness.binary(), "template", "-check", f"-config={DEPLOY / path}")
            self.assertEqual(done.returncode, 0, f"{path}: {done.stderr}")

    def test_a_mistake_is_found_without_a_server(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "agent.hcl"
            path.write_text('template { destination = "/x" contents = "{{ nosuch }}" }')
            done = run(harness.binary(), "template", "-check", f"-config={path}")
            self.assertEqual(done.returncode, 1)
            self.assertIn('function "nosuch" not defined', done.stderr)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd-analyze")
    def test_the_units_are_right(self):
        done = run("systemd-analyze", "verify", "--man=no", str(DEPLOY / "systemd/warifu-agent.service"))
        wrong = [line for line in done.stderr.splitlines() if "not executable" not in line and "No such file" not in line]
        self.assertEqual(wrong, [])

    @unittest.skipUnless(envoy_binary(), "no Envoy")
    def test_envoy_accepts_its_bootstrap(self):
        done = run(envoy_binary(), "--mode", "validate", "-c", str(DEPLOY / "envoy/bootstrap.yaml"))
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])


class TestNomad(unittest.TestCase):
    """The jobs, read by Nomad's own parser, and what their template stanzas hold."""

    @classmethod
    def setUpClass(cls):
        cls.parser = go_program.build("nomad_jobs", "nomad-jobs")

    def jobs(self):
        done = run(self.parser, *map(str, sorted((DEPLOY / "nomad").glob("*.hcl"))))
        self.assertEqual(done.returncode, 0, done.stderr)
        return {job["ID"]: job for job in map(json.loads, done.stdout.splitlines())}

    def test_nomad_reads_them(self):
        jobs = self.jobs()
        self.assertEqual(sorted(jobs), ["web", "web-with-agent"])
        tasks = {task["Name"]: task for task in jobs["web-with-agent"]["TaskGroups"][0]["Tasks"]}
        hooks = {name: (task["Lifecycle"]["Hook"], task["Lifecycle"]["Sidecar"]) for name, task in tasks.items() if task["Lifecycle"]}
        self.assertEqual(hooks, {"secrets-first": ("prestart", False), "secrets-fresh": ("poststart", True)})
        self.assertEqual(jobs["web"]["TaskGroups"][0]["Tasks"][0]["Vault"]["Role"], "web")

    def test_nomad_refuses_what_is_wrong(self):
        right = (DEPLOY / "nomad/sidecar.nomad.hcl").read_text()
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "job.hcl"
            for wrong in [right.replace("hook ", "hok "), right.replace('driver = "exec"', 'drivr = "exec"'), right[:-3]]:
                self.assertNotEqual(wrong, right)
                path.write_text(wrong)
                self.assertEqual(run(self.parser, str(path)).returncode, 1)

    def test_what_nomad_renders_is_right(self):
        """A template that Nomad fills in by itself is one of ours; what it fills in for our agent is a configuration."""
        with tempfile.TemporaryDirectory() as folder:
            source, out = pathlib.Path(folder) / "agent.ctmpl", pathlib.Path(folder) / "agent.hcl"
            seen = 0
            for job in self.jobs().values():
                for task in job["TaskGroups"][0]["Tasks"]:
                    for template in task["Templates"] or []:
                        seen += 1
                        source.write_text(template["EmbeddedTmpl"])
                        left, right = template["LeftDelim"], template["RightDelim"]
                        config = pathlib.Path(folder) / "config.hcl"
                        config.write_text(f'template {{ source = "{source}" destination = "{out}" '
                                          f'left_delimiter = "{left}" right_delimiter = "{right}" }}')
                        done = run(harness.binary(), "template", "-check", f"-config={config}")
                        self.assertEqual(done.returncode, 0, done.stderr)
                        if template["DestPath"].endswith("agent.hcl"):
                            done = run(harness.binary(), "template", f"-config={config}",
                                       NOMAD_SECRETS_DIR="/secrets", NOMAD_ALLOC_DIR="/alloc")
                            self.assertEqual(done.returncode, 0, done.stderr)
                            done = run(harness.binary(), "template", "-check", f"-config={out}")
                            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(seen, 3)


class TestEntrypoint(unittest.TestCase):
    """`warifu run` as a container has it."""

    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server()
        cls.server.must("PUT", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
        cls.server.must("PUT", "kv/data/web", {"data": {"password": "s3cret-value"}})
        cls.folder = tempfile.TemporaryDirectory(prefix="warifu-run-")
        cls.path = pathlib.Path(cls.folder.name)
        (cls.path / "agent.hcl").write_text(
            'env_template "PASSWORD" { contents = "{{ with secret \\"kv/web\\" }}{{ .Data.data.password }}{{ end }}" }')

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.folder.cleanup()

    def entry(self, *words, **more):
        return run(str(DEPLOY / "container/entrypoint.sh"), *words, WARIFU_BIN=harness.binary(),
                   WARIFU_CONFIG=str(self.path / "agent.hcl"), VAULT_ADDR=self.server.url, VAULT_TOKEN=self.server.root,
                   **more)

    def test_it_becomes_the_program(self):
        done = self.entry("sh", "-c", 'echo "got $PASSWORD"; exit 7', WARIFU_ONCE="1")
        self.assertEqual((done.stdout, done.returncode), ("got s3cret-value\n", 7), done.stderr)

    def test_it_supervises_and_ends_with_the_childs_code(self):
        done = self.entry("sh", "-c", 'echo "got $PASSWORD"; exit 9')
        self.assertEqual((done.stdout, done.returncode), ("got s3cret-value\n", 9), done.stderr)

    def as_process_1(self, script):
        """What a program says under an agent that is process 1 of its own name space, as in a container."""
        if run("unshare", "--pid", "--fork", "--mount-proc", "true").returncode:
            self.skipTest("no name space can be made here")
        return subprocess.Popen(
            ["unshare", "--pid", "--fork", "--mount-proc", str(DEPLOY / "container/entrypoint.sh"), "sh", "-c", script],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=harness.clean_environment(WARIFU_BIN=harness.binary(), WARIFU_CONFIG=str(self.path / "agent.hcl"),
                                          VAULT_ADDR=self.server.url, VAULT_TOKEN=self.server.root))

    def test_process_1_reaps_what_its_child_left_behind(self):
        # Five that lose their parent at once, and end a little later.
        begun = self.as_process_1(
            "for n in 1 2 3 4 5; do (sleep 0.3 &) ; done; sleep 2; "
            "grep -l '^State:.Z' /proc/[0-9]*/status; cat /proc/[0-9]*/comm | grep -c sleep; cat /proc/1/comm; exit 5")
        said, wrong = begun.communicate(timeout=60)
        self.assertEqual((said.split(), begun.returncode), (["0", "warifu"], 5), wrong)

    def test_process_1_passes_signals_on_and_ends_with_the_childs_code(self):
        begun = self.as_process_1("trap 'echo hup' HUP; trap 'echo term; exit 9' TERM; echo ready; while :; do sleep 0.1; done")
        self.addCleanup(begun.kill)
        self.assertEqual(begun.stdout.readline(), "ready\n")
        children = pathlib.Path(f"/proc/{begun.pid}/task/{begun.pid}/children")
        first = int(children.read_text().split()[0])
        for signal_, word in [(signal.SIGHUP, "hup\n"), (signal.SIGTERM, "term\n")]:
            os.kill(first, signal_)
            self.assertEqual(begun.stdout.readline(), word)
        self.assertEqual(begun.wait(30), 9)
        begun.communicate()

    def test_without_a_program_it_says_so(self):
        self.assertEqual(self.entry().returncode, 64)

    def direct(self, *words, **more):
        return run(harness.binary(), *words, VAULT_ADDR=self.server.url, VAULT_TOKEN=self.server.root, **more)

    def test_a_variable_needs_no_configuration(self):
        done = self.direct("run", "-env", "P=kv/web#password", "--", "sh", "-c", "echo $P -env=x", "-env")
        self.assertEqual((done.stdout, done.returncode), ("s3cret-value -env=x\n", 0), done.stderr)

    def test_the_programs_words_are_bytes(self):
        done = self.direct("run", "-env", "P=kv/web#password", "--", "sh", "-c", 'printf %s "$1" | od -An -tx1', "-", b"a\xff")
        self.assertEqual((done.stdout.split(), done.returncode), (["61", "ff"], 0), done.stderr)
        done = self.direct("run", "-supervise", "-env", "P=kv/web#password", "--", "echo", b"a\xff")
        self.assertEqual((done.stdout, done.returncode), ("", 1), done.stderr)

    def test_what_is_refused_ends_it_without_the_program(self):
        done = self.direct("run", "-env", "P=kv/none#password", "--", "sh", "-c", "echo started")
        self.assertEqual((done.stdout, done.returncode), ("", 1))
        self.assertNotIn("s3cret", done.stderr)
        # Nor does a token that is none keep it waiting.
        done = run(harness.binary(), "run", "-env", "P=kv/web#password", "--", "sh", "-c", "echo started", VAULT_ADDR=self.server.url,
                   VAULT_TOKEN="hvs.of-nobody")
        self.assertEqual((done.stdout, done.returncode), ("", 1))
        self.assertIn("login failed", done.stderr)

    def test_a_template_is_rendered_once_or_only_shown(self):
        source, place = self.path / "t.ctmpl", self.path / "out"
        source.write_text('{{ with secret "kv/web" }}p={{ .Data.data.password }}{{ end }}')
        shown = self.direct("template", f"-template={source}:{place}", "-dry")
        self.assertEqual((shown.stdout, shown.returncode), (f"> {place}\np=s3cret-value\n", 0), shown.stderr)
        self.assertFalse(place.exists())
        done = self.direct("template", f"-template={source}:{place}")
        self.assertEqual((place.read_text(), done.returncode), ("p=s3cret-value", 0), done.stderr)

    def test_what_needs_no_server_waits_for_none(self):
        source, place = self.path / "alone.ctmpl", self.path / "alone"
        source.write_text("{{ add 1 2 }}")
        began = time.monotonic()
        # Often, since it was a matter of chance once.
        for _ in range(20):
            place.unlink(missing_ok=True)
            done = run(harness.binary(), "template", f"-template={source}:{place}", VAULT_ADDR="http://127.0.0.1:1")
            self.assertEqual((place.read_text(), done.returncode), ("3", 0), done.stderr)
        self.assertLess(time.monotonic() - began, 55, "one of them waited")

    def test_a_template_that_fails_shows_no_value(self):
        source = self.path / "bad.ctmpl"
        source.write_text('{{ with secret "kv/web" }}\n{{ .Data.data.password | parseInt }}{{ end }}')
        done = self.direct("template", f"-template={source}:{self.path}/never")
        self.assertEqual(done.returncode, 1)
        self.assertIn("bad.ctmpl:2:", done.stderr)
        self.assertNotIn("s3cret", done.stderr + done.stdout)


if __name__ == "__main__":
    unittest.main()
