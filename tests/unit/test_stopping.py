"""Signals end a block wherever they come up: also in C code that makes another error of them."""

import contextlib
import signal
import subprocess
import sys

import numpy as np
import pytest
from mixpi.cli import main
from mixpi.drivers.client import run_driver
from mixpi.errors import MixpiError
from mixpi.run.stopping import Interrupted, ending_as_ctrl_c


class Unlucky:
    """No file: as numpy looks at what it is given, a signal comes up in Python code."""

    @property
    def __class__(self):
        signal.raise_signal(signal.SIGTERM)
        return Unlucky


def replaced():
    """As ``distil`` ended that was stopped while it wrote a frame."""
    np.zeros(3).tofile(Unlucky())


def in_our_words():
    try:
        replaced()
    except TypeError as error:
        raise MixpiError(f"the frame cannot be written: {error}") from None


def lost():
    """Nothing is left of it: the code goes on as after a failure that it knows."""
    with contextlib.suppress(TypeError):
        np.zeros(3).tofile(Unlucky())


def plain():
    signal.raise_signal(signal.SIGTERM)


BLOCKS = [replaced, in_our_words, lost, plain]


@pytest.mark.parametrize("block", BLOCKS)
def test_command_ends_by_the_signal(block):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted) as raised, ending_as_ctrl_c():
        block()
    assert raised.value.args == (signal.SIGTERM,)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("block", BLOCKS)
def test_driver_ends_by_the_signal(block, capsys, tmp_path):
    assert run_driver(block, address=str(tmp_path / "socket"), deadline=1.0) == 0
    assert capsys.readouterr().out.endswith("driver: stopped by SIGTERM\n")


def test_a_program_ends_as_it_says_wherever_it_was_stopped(tmp_path):
    """Python ends by SIGINT after a plain KeyboardInterrupt in code from a string."""
    (tmp_path / "stopped.py").write_text(
        "import signal, sys\n"
        "from mixpi.run.stopping import ending_as_ctrl_c\n"
        "try:\n"
        "    with ending_as_ctrl_c():\n"
        "        exec('signal.raise_signal(signal.SIGTERM)')\n"
        "except KeyboardInterrupt as stop:\n"
        "    sys.exit(128 + stop.args[0])\n"
    )
    done = subprocess.run([sys.executable, "-m", "stopped"], cwd=tmp_path, check=False)
    assert done.returncode == 128 + signal.SIGTERM


def test_without_a_signal_errors_are_what_they_are():
    with pytest.raises(TypeError, match="of its own"), ending_as_ctrl_c():
        raise TypeError("of its own")
    with ending_as_ctrl_c():
        pass


def test_ctrl_c_while_the_command_line_is_read(monkeypatch, capsys):
    def interrupted(_words):
        raise KeyboardInterrupt

    monkeypatch.setattr("mixpi.cli._parser", interrupted)
    assert main(["check", "input.xml"]) == 128 + signal.SIGINT
    assert "Traceback" not in capsys.readouterr().err
