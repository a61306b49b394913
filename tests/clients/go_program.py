"""Small Go programs of ours around other people's libraries, built when there is Go and its modules can be had."""

import pathlib
import shutil
import subprocess
import unittest

import harness

GO = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
UNREACHABLE = ["dial tcp", "no such host", "connection refused", "module lookup disabled"]


def build(folder, name):
    """The binary of the program in this folder beside us; without Go or its modules, its tests are skipped."""
    if not GO:
        raise unittest.SkipTest("Go is not installed")
    built = harness.ROOT / ".cache" / name
    built.parent.mkdir(exist_ok=True)
    made = subprocess.run([GO, "build", "-o", str(built), "."], cwd=pathlib.Path(__file__).resolve().parent / folder,
                          capture_output=True, text=True, timeout=900, check=False,
                          env=harness.clean_environment(CGO_ENABLED="0", GOFLAGS="-mod=readonly"))
    if made.returncode:
        if any(word in made.stderr for word in UNREACHABLE):
            raise unittest.SkipTest(f"the modules of {folder} cannot be fetched here")
        raise AssertionError(made.stderr[-3000:])
    return str(built)
