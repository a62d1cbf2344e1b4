"""Who belongs to a launcher, whatever group, session or parent they have."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import wait_for
from ipi.utils.softexit import Softexit
from mixpi.cli import main
from mixpi.errors import MixpiError
from mixpi.run import guardian
from mixpi.run.processes import LINUX, Child, dying_with_us, guarded, stop_all
from mixpi.run.stopping import hear_once


pytestmark = pytest.mark.skipif(not LINUX, reason="needs /proc")


def bash(tmp_path: Path, text: str, name: str = "cheap-0") -> Child:
    return Child(name, ["bash", "-c", text], cwd=tmp_path, log=tmp_path / f"{name}.log")


def test_family_is_found_by_descent_and_by_its_mark(tmp_path):
    with guarded():
        # a child in a session of its own, and one whose parent has ended
        child = bash(tmp_path, "setsid --wait sleep 600 & (setsid sleep 601 &) ; wait")
        other = bash(tmp_path, "sleep 602", "cheap-1")

        def sleepers() -> set[int]:
            names = {p.pid: _read(Path(f"/proc/{p.pid}/comm")) for p in child.family()}
            return {pid for pid, name in names.items() if name == b"sleep\n"}

        # what starts them is there for a moment, too
        wait_for(lambda: len(sleepers()) == 2 and len(other.family()) >= 1)
        found = sleepers()
        assert all(child.owns(pid) and not other.owns(pid) for pid in found)
        assert all(os.getsid(pid) != os.getsid(0) for pid in found)
        child.signal(signal.SIGKILL)
        assert child.wait(10.0) and child.family() == []
        assert other.returncode is None
    assert other.wait(10.0), "nothing outlives the block"


def test_family_of_a_child_that_clears_its_environment(tmp_path):
    with guarded():
        child = bash(tmp_path, "exec env -i bash -c 'sleep 600 & sleep 601'")
        wait_for(lambda: len(child.family()) >= 3)
        family = child.family()
        child.signal(signal.SIGTERM)
        assert child.wait(10.0)
        wait_for(lambda: not any(guardian.look_at(one.pid) for one in family))


def test_stopped_child_is_woken_to_end(tmp_path):
    with guarded():
        child = bash(
            tmp_path, "trap 'echo heard; exit 3' TERM; echo ready; while :; do sleep 0.1; done"
        )
        wait_for(lambda: "ready" in child.output())
        os.kill(child.pid, signal.SIGSTOP)
        wait_for(lambda: child.state == "T")
        stop_all([child], patience=1.0)
        assert child.returncode == 3 and "heard" in child.output()


def test_children_are_deaf_to_warnings_and_hear_the_pipe(tmp_path):
    text = "import signal as s; print([s.getsignal(n).name for n in (s.SIGUSR1, s.SIGQUIT)])"
    with guarded():
        child = Child("cheap-0", [sys.executable, "-c", text], cwd=tmp_path, log=tmp_path / "a.log")
        assert child.wait(30.0) and "['SIG_IGN', 'SIG_IGN']" in child.output()
        child = bash(tmp_path, "yes | head -1; echo ${PIPESTATUS[0]}", "cheap-1")
        assert child.wait(30.0) and "141" in child.output()


@pytest.mark.parametrize("watched", [True, False], ids=["guardian", "kernel"])
def test_killed_launcher(tmp_path, watched):
    """By the guardian, or (where that was killed too) by the kernel's word to direct children."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "socket"))
    text = f"""
import os, signal, time
from pathlib import Path
from mixpi.run.processes import Child, guarded
folder = Path({str(tmp_path)!r})
with guarded(sockets=[folder / "socket"]):
    for name in ("i-pi", "cheap-0"):
        prefix = "setsid --wait " * {watched} * (name != "i-pi")
        sign = f"trap 'date +%s%N > {{name}}.end; exit' TERM; "
        argv = ["bash", "-c", sign + "touch " + name + ".up; while :; do sleep 0.1; done"]
        Child(name, prefix.split() + argv, cwd=folder, log=folder / (name + ".log"))
    time.sleep(600)
"""
    launcher = subprocess.Popen([sys.executable, "-c", text])
    wait_for(lambda: all((tmp_path / f"{name}.up").exists() for name in ("i-pi", "cheap-0")))
    [guard] = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if str(tmp_path / "socket").encode() in _read(path) and b"watch" in _read(path)
    ]
    if not watched:
        os.kill(guard, signal.SIGKILL)
    launcher.kill()
    launcher.wait()
    wait_for(lambda: all(_read(tmp_path / f"{name}.end") for name in ("i-pi", "cheap-0")))
    if watched:
        ended = [int((tmp_path / f"{name}.end").read_text()) for name in ("i-pi", "cheap-0")]
        assert ended[0] < ended[1], "i-PI first"
        wait_for(lambda: not (tmp_path / "socket").exists())
        wait_for(lambda: guardian.look_at(guard) is None)


def test_a_program_that_takes_the_place_of_another_is_seen():
    """While it does, the kernel shows no environment, and a shell's own looks odd for a while."""
    chain = '[ $1 = 0 ] && exec sleep 60; exec bash -c "$0" "$0" $(($1 - 1))'
    mark = f"{os.getpid()}-made:chain"
    environment = {**os.environ, guardian.MARK: mark}
    with subprocess.Popen(["bash", "-c", chain, chain, "60"], env=environment) as process:
        # before, it is still a copy of this process
        wait_for(lambda: guardian.mark_of(process.pid) == mark)
        seen = []
        while not _read(Path(f"/proc/{process.pid}/cmdline")).startswith(b"sleep"):
            seen.append(guardian.mark_of(process.pid))
        process.kill()
    assert set(seen) == {mark} and len(seen) > 50


def test_a_process_without_an_environment_keeps_nobody_waiting():
    with subprocess.Popen(["sleep", "60"], env={}) as process:
        wait_for(lambda: b"sleep" in _read(Path(f"/proc/{process.pid}/cmdline")))
        start = time.monotonic()
        assert guardian.mark_of(process.pid) == "" == guardian.mark_of(2)
        assert time.monotonic() - start < 0.5 * guardian.EXEC_PATIENCE
        process.kill()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_no_warning_is_early_enough(tmp_path):
    """Also before the program has taken the place of what starts it."""
    with guarded():
        child = bash(tmp_path, "sleep 0.2; echo whole")
        while child.returncode is None:
            os.kill(child.pid, signal.SIGALRM)
            time.sleep(0.001)
        assert child.returncode == 0 and "whole" in child.output()
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_what_is_deaf_to_warnings_still_ends_at_its_own_limit():
    """The bound on i-PI's look at an input is the signal by which batch systems warn."""
    text = "from mixpi.ipi.probe import limit; limit(1, 4 * 2**30)\nwhile True: pass"
    done = subprocess.run(dying_with_us([sys.executable, "-c", text]), timeout=60)
    assert done.returncode == -signal.SIGXCPU


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGXCPU])
def test_a_signal_has_its_own_exit_code(monkeypatch, signum):
    def stopped(_):
        os.kill(os.getpid(), signum)
        time.sleep(30.0)

    monkeypatch.setattr("mixpi.cli._config", stopped)
    assert main(["config"]) == 128 + signum


def test_i_pi_takes_all_words_to_stop_for_one():
    """At a second one i-PI, left alone, ends at once: without its RESTART."""
    before = signal.getsignal(signal.SIGXCPU)
    softexit = Softexit()
    try:
        hear_once(softexit)
        for signum in (signal.SIGXCPU, signal.SIGTERM, signal.SIGXCPU, signal.SIGINT):
            softexit._kill_handler(signum, None)
    finally:
        signal.signal(signal.SIGXCPU, before)
    assert softexit._killed


def test_what_cannot_be_started_says_why(tmp_path):
    done = subprocess.run(
        dying_with_us([str(tmp_path / "nothing")]), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == f"cannot start {tmp_path}/nothing: No such file or directory\n"
    with pytest.raises(MixpiError, match=r"cannot start cheap-0 in .*gone: No such file"):
        bash(tmp_path / "gone", "true")


def test_of_a_traceback_the_last_line_is_told(tmp_path):
    child = Child(
        "i-pi", [sys.executable, "-c", "print('before')\n1/0"], cwd=tmp_path, log=tmp_path / "log"
    )
    assert child.wait(30.0)
    assert child.tail() == "before\nZeroDivisionError: division by zero"
