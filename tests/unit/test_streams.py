"""The output can go away; what a command says by its exit code cannot."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import clean_environment


MIXPI = f"{sys.executable} -m mixpi.cli"


def shell(command: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        env=clean_environment() | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (f"{MIXPI} config | head -1", 0, ""),
        (f"{MIXPI} config > /dev/full", 1, "cannot write the output: No space left on device"),
        (f"{MIXPI} config >&-", 1, "cannot write the output: Bad file descriptor"),
        # its outcome is not its output
        (f"{MIXPI} check nothing.xml >&- 2>&-", 1, ""),
        (f"{MIXPI} check nothing.xml > /dev/full 2>&1", 1, ""),
    ],
)
def test_lost_output(command, code, said):
    done = shell(command)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def test_terminal_that_knows_ascii_only():
    done = shell(f"{MIXPI} config", LC_ALL="C", PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and "\\xc5; atoms closer" in done.stdout
    assert done.stdout.isascii() and done.stderr == ""
