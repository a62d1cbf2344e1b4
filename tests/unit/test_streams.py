"""The output can go away; what a command says by its exit code cannot."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time

import pytest
from conftest import clean_environment
from mixpi.streams import Unbreakable


MIXPI = f"{sys.executable} -m mixpi.cli"


def shell(command: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        env=clean_environment() | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.full
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


@pytest.mark.full
def test_terminal_that_knows_ascii_only():
    done = shell(f"{MIXPI} config", LC_ALL="C", PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and "\\xc5; atoms closer" in done.stdout
    assert done.stdout.isascii() and done.stderr == ""


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_a_reader_who_stops_reading_holds_up_nobody(kind):
    ours, theirs = os.pipe() if kind == "pipe" else pty.openpty()
    reader, writer = (ours, theirs)
    with os.fdopen(writer, "w") as file:
        stream = Unbreakable(file)
        stream.patience = 0.2
        start = time.monotonic()
        for number in range(8_000):
            stream.write(f"line {number}: é\n")
        stalled = time.monotonic() - start
        read = bytearray()
        while select.select([reader], [], [], 0.2)[0]:
            read += os.read(reader, 65536)
        stream.write("goes on\n")
        # a terminal hands on what it was given in pieces
        while not read.endswith(b"\n") or b"goes on" not in read:
            assert select.select([reader], [], [], 20.0)[0]
            read += os.read(reader, 65536)
    os.close(reader)
    text = read.decode(errors="replace")
    assert text.startswith("line 0: é") and text.rstrip().endswith("goes on")
    assert text.count("line") < 8_000 and stalled < 20.0
    assert stream.lost is None


@pytest.mark.full
def test_without_patience_all_arrives():
    done = shell(f"{MIXPI} config | (sleep 1; cat)")
    assert done.returncode == 0 and done.stdout.rstrip() == shell(f"{MIXPI} config").stdout.rstrip()
