"""hvac's own integration suite, as its source distribution carries it, against our binary under the name of `vault`.

The suite starts its servers by itself, from the PATH. What is not run and what fails as expected stands in hvac.json with the reason; an
unexpected pass is a failure too.
"""

import json
import os
import pathlib
import subprocess
import sys
import tarfile
import unittest

from harness import ROOT, binary, clean_environment

HERE = pathlib.Path(__file__).resolve().parent
CACHE = ROOT / ".cache"
PREFIX = "tests.integration_tests."

# Audit files may lie where the suite wants them.
EXTRA = "unsafe_allow_api_audit_creation = true\n"


def version():
    for line in (HERE / "requirements.txt").read_text().splitlines():
        if line.startswith("hvac=="):
            return line.removeprefix("hvac==").strip()
    raise SystemExit("requirements.txt names no hvac")


def unpacked():
    """The folder of the source distribution, fetched once."""
    name = f"hvac-{version()}"
    folder = CACHE / name
    if not (folder / "tests").exists():
        fetch = ["download", "-q", "--no-deps", "--no-binary", "hvac", "-d", str(CACHE), f"hvac=={version()}"]
        subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *fetch], check=True, stdin=subprocess.DEVNULL)
        with tarfile.open(CACHE / f"{name}.tar.gz") as archive:
            members = [m for m in archive.getmembers() if (m.isfile() or m.isdir()) and ".." not in m.name and m.name.startswith(name)]
            archive.extractall(CACHE, members=members)
    (folder / "tests/config_files/generated").mkdir(exist_ok=True)
    return folder


def vault_in_path():
    """A folder in which `vault` is our binary, with what the suite takes for granted in its server's configuration."""
    folder = CACHE / "clients"
    (folder / "real").mkdir(parents=True, exist_ok=True)
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "extra.hcl").write_text(EXTRA)
    real = folder / "real/vault"
    real.unlink(missing_ok=True)
    real.symlink_to(binary())
    wrapper = folder / "bin/vault"
    wrapper.write_text(
        '#!/bin/sh\nhere=$(cd "$(dirname "$0")/.." && pwd)\n'
        'case $1 in server) exec "$here/real/vault" "$@" -config="$here/extra.hcl" ;; esac\n'
        'exec "$here/real/vault" "$@"\n'
    )
    wrapper.chmod(0o755)
    return folder / "bin"


def modules(folder):
    found = sorted((folder / "tests/integration_tests").rglob("test_*.py"))
    return [".".join(path.relative_to(folder / "tests/integration_tests").with_suffix("").parts) for path in found]


def run(say):
    """Runs the suite, each module in a process of its own; gives how many passed, failed and were skipped."""
    listed = json.loads((HERE / "hvac.json").read_text())
    folder = unpacked()
    environment = clean_environment(PATH=f"{vault_in_path()}:{os.environ['PATH']}", PYTHONPATH=str(HERE))
    passed, failed, skipped, seen = 0, 0, 0, set()
    for module in modules(folder):
        if module in listed["not run"]:
            say(f"skipped hvac {module}: {listed['not run'][module]}")
            skipped += 1
            continue
        done = subprocess.run(
            [sys.executable, "-W", "ignore", str(HERE / "hvac_suite.py"), PREFIX + module], cwd=folder, env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
        )
        results = [json.loads(line.removeprefix("RESULT ")) for line in done.stdout.splitlines() if line.startswith("RESULT ")]
        if not results or done.returncode:
            say(f"FAIL hvac {module}: nothing was run\n{done.stdout[-2000:]}")
            failed += 1
            continue
        counts = {"passed": 0, "failed": 0, "skipped": 0}
        for test, outcome, text in results:
            name = test.removeprefix(PREFIX)
            seen.add(name)
            reason = listed["expected to fail"].get(name)
            if outcome == "failed" and reason:
                say(f"expected hvac {name}: {reason}")
                outcome = "skipped"
            elif outcome == "passed" and reason:
                say(f"FAIL hvac {name}: passes, and is listed in hvac.json as failing: take it off")
                outcome = "failed"
            elif outcome == "failed":
                say(f"FAIL hvac {name}\n{text}")
            counts[outcome] += 1
        say(f"ok   hvac {module}: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped or listed")
        passed, failed, skipped = passed + counts["passed"], failed + counts["failed"], skipped + counts["skipped"]
    for name in listed["expected to fail"]:
        if name not in seen:
            say(f"FAIL hvac {name}: is listed in hvac.json, and there is no such test")
            failed += 1
    return passed, failed, skipped


class Results(unittest.TestResult):
    """Says each outcome on a line that the parent reads. A test that fails twice, in itself and in its clean-up, is one."""

    def __init__(self):
        super().__init__()
        self.outcomes = {}

    def note(self, test, outcome, text=""):
        if self.outcomes.get(test.id(), ("",))[0] != "failed":
            self.outcomes[test.id()] = (outcome, text)

    def addSuccess(self, test):
        self.note(test, "passed")

    def addError(self, test, err):
        self.note(test, "failed", self._exc_info_to_string(err, test))

    def addFailure(self, test, err):
        self.note(test, "failed", self._exc_info_to_string(err, test))

    def addSkip(self, test, reason):
        self.note(test, "skipped", reason)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.note(test, "failed", self._exc_info_to_string(err, test))


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    # Ours is not to be found before the suite's own modules.
    sys.path = [path for path in sys.path if pathlib.Path(path or ".").resolve() != HERE]
    results = Results()
    unittest.defaultTestLoader.loadTestsFromName(sys.argv[1]).run(results)
    for test, (outcome, text) in results.outcomes.items():
        print("RESULT " + json.dumps([test, outcome, text]))
    sys.stdout.flush()
    # What the suite has left running must not keep this process.
    os._exit(0)
