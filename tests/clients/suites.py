"""Suites in other languages: a program is told a server of its own and answers in the Test Anything Protocol; each of its tests counts."""

import re
import subprocess

from harness import Server, clean_environment

# A skipped test would pass unseen: it is none here.
RESULT = re.compile(r"^(not )?ok \d+ - ([^#\n]*?)( # SKIP.*| # TODO.*)?$", re.MULTILINE)


def run(test, words, environment=None, **server):
    """Runs the program of these words against a new server, within a unittest."""
    server = Server(**server)
    test.addCleanup(server.stop)
    told = {"WARIFU_URL": server.url, "WARIFU_ROOT": server.root, "WARIFU_CA": server.ca, "FOLDER": str(server.path)}
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, cwd=server.path,
        env=clean_environment(**(environment or {}), **{key: value for key, value in told.items() if value}),
    )
    test.assertTrue(RESULT.search(done.stdout), done.stdout + done.stderr)
    failed = False
    for found in RESULT.finditer(done.stdout):
        bad, what, excuse = found.groups()
        failed = failed or bool(bad or excuse)
        with test.subTest(what):
            # What node tells of a failure stands below its line, what others tell is in the error output.
            told = done.stdout[found.start():].split("\n# Subtest", 1)[0]
            test.assertFalse(bad or excuse, f"{told}\n{done.stderr}")
    test.assertEqual(done.returncode == 0, not failed, done.stdout + done.stderr)
