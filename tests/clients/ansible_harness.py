"""Ansible for a test, out of a venv of its own: it is large, and nothing else needs it."""

import os
import subprocess

from harness import ROOT, clean_environment

PYTHON = ROOT / ".cache/ansible/bin/python"
#: Why there is none, if so.
MISSING = None if (ROOT / ".cache/ansible/.ready").is_file() and os.access(PYTHON, os.X_OK) else "no Ansible in .cache/ansible"


def playbook(path, *words, timeout=180, **environment):
    """Plays it on this machine, as whoever runs the test; how it ended."""
    settings = {
        "ANSIBLE_LOCALHOST_WARNING": "False", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_RETRY_FILES_ENABLED": "False", "LC_ALL": "C.UTF-8",
        "ANSIBLE_PYTHON_INTERPRETER": str(PYTHON),
    }
    command = [PYTHON, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local", path, *words]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, env=clean_environment(**{**settings, **environment}),
    )
