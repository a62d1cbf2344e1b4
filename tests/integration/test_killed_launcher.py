"""The launcher is killed, warned or stopped: what it started ends in order, nothing stays."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import (
    TERSOFF,
    clean_environment,
    evaluations,
    faulty_driver,
    silicon,
    the_rest_slow,
    wait_for,
)
from mixpi.errors import MixpiError
from mixpi.output.checkpoints import newest_checkpoint, read_checkpoint
from mixpi.run.locking import lock


#: What batch systems send before a time limit, at preemption, on request; and a lost terminal.
WARNINGS = [signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU, signal.SIGALRM]


def watchers() -> set[int]:
    """The guardians of all launchers."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"guardian.py\0watch" in path.read_bytes():
                found.add(int(path.parent.name))
        except OSError:
            continue
    return found


def script(case, name: str, text: str) -> str:
    path = case.folder / name
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
    return f"{name} {{address}}"


#: Drivers that are hard to find or to end.
DRIVERS = {
    "plain": lambda case: faulty_driver("slow", 0.05),
    # each in a session of its own, as mpirun's are; the script waits
    "behind a script, in another session": lambda case: script(
        case,
        "wrapper.sh",
        f"setsid --wait {faulty_driver('slow', 0.05).format(address='$1')}\nexit 5",
    ),
    # its parent has gone: only the mark tells whose it is
    "orphaned": lambda case: script(
        case,
        "orphan.sh",
        f"setsid {faulty_driver('slow', 0.05).format(address='$1')} &\nsleep 1000",
    ),
}


@pytest.mark.full
@pytest.mark.parametrize("kind", the_rest_slow(DRIVERS, "orphaned"))
def test_killed_launcher_leaves_a_restart_and_nothing_else(make_case, kind):
    case = make_case(steps=5000)
    case.config["expensive"]["command"] = DRIVERS[kind](case)
    process = case.start("--quiet")
    wait_for(lambda: evaluations(case) >= 3)
    mine = watchers()
    process.kill()
    process.communicate()
    with pytest.raises(MixpiError, match="is active"):
        lock(case.folder / "logs").close()  # as long as the old one writes, no new one may
    wait_for(case.nothing_left)
    wait_for(lambda: not [p for p in mine & watchers() if str(case.folder) in _files_of(p)])
    left = read_checkpoint(case.folder / "RESTART")
    assert left and 0 < left.step < 5000
    assert left.step >= evaluations(case) - 3


def _files_of(pid: int) -> str:
    names = []
    for path in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            names.append(os.readlink(path))
        except OSError:
            continue
    return " ".join(names)


@pytest.mark.slow
def test_killed_launcher_of_stopped_processes(make_case):
    """Neither i-PI nor a driver can hear: they are woken, and then killed if need be."""
    case = make_case(steps=5000, expensive={"command": faulty_driver("slow", 0.05)})
    process = case.start("--quiet")
    wait_for(lambda: evaluations(case) >= 3)
    os.kill(case.i_pi(process), signal.SIGSTOP)
    os.kill(case.pid_in("logs/expensive-0"), signal.SIGSTOP)
    process.kill()
    process.communicate()
    wait_for(case.nothing_left)
    assert read_checkpoint(case.folder / "RESTART")


@pytest.mark.full
@pytest.mark.parametrize("signum", the_rest_slow(WARNINGS, signal.SIGUSR1), ids=lambda s: s.name)
def test_warnings_of_batch_systems_stop_in_order(make_case, signum):
    """Sent to all processes, as batch systems do: the launcher decides."""
    case = make_case(steps=5000, expensive={"command": faulty_driver("slow", 0.05)})
    process = case.start("--quiet")
    wait_for(lambda: evaluations(case) >= 3)
    for pid in [*(p for p in case.processes() if p != process.pid), process.pid]:
        os.kill(pid, signum)
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 128 + signum, output
    assert f"stopped by {signum.name}" in output
    assert "continue with: mixpi run RESTART" in output
    assert "starting it again" not in output
    assert read_checkpoint(case.folder / "RESTART").step > 0
    assert case.nothing_left()


@pytest.mark.slow
def test_sigterm_to_all_processes_at_once(make_case):
    """i-PI then hears it twice, and must write its RESTART all the same."""
    case = make_case(steps=5000, expensive={"command": faulty_driver("slow", 0.05)})
    process = case.start("--quiet")
    wait_for(lambda: evaluations(case) >= 3)
    for pid in case.processes():
        os.kill(pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 128 + signal.SIGTERM, output
    assert read_checkpoint(case.folder / "RESTART").step > 0
    assert case.nothing_left()


@pytest.mark.full
def test_i_pi_that_is_told_to_stop_has_not_finished(make_case):
    case = make_case(steps=5000, expensive={"command": faulty_driver("slow", 0.05)})
    process = case.start("--quiet")
    wait_for(lambda: evaluations(case) >= 3)
    os.kill(case.i_pi(process), signal.SIGTERM)
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 128 + signal.SIGTERM, output
    assert "interrupted: i-PI was told to stop by a signal" in output
    assert "continue with: mixpi run RESTART" in output


@pytest.mark.slow
def test_i_pi_that_is_stopped_is_named_and_ended(make_case):
    case = make_case(steps=5000, expensive={"command": faulty_driver("slow", 0.05)})
    process = case.start("--quiet")
    wait_for(lambda: evaluations(case) >= 3)
    pid = case.i_pi(process)
    os.kill(pid, signal.SIGSTOP)
    for line in process.stdout:
        if "is stopped (SIGSTOP)" in line:
            assert f"kill -CONT {pid}" in line
            break
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 128 + signal.SIGTERM, output
    assert read_checkpoint(case.folder / "RESTART").step > 0
    assert case.nothing_left()


@pytest.mark.full
def test_killed_i_pi_offers_its_last_checkpoint(make_case):
    slow = {"command": faulty_driver("slow", 0.02)}
    case = make_case(steps=5000, checkpoint=2, expensive=slow)
    process = case.start("--quiet")
    wait_for(lambda: evaluations(case) >= 8)
    os.kill(case.i_pi(process), signal.SIGKILL)
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 1
    offered = re.search(r"continue with: mixpi run (\S+)", output)
    assert offered, output
    assert read_checkpoint(case.folder / offered[1]).step >= 2
    assert case.nothing_left()


@pytest.mark.full
def test_driver_that_is_stopped_before_it_connects_is_replaced(make_case, tmp_path):
    case = make_case(steps=4)
    good = case.config["expensive"]["command"].format(address="$1")
    marker = tmp_path / "stopped"
    case.config["expensive"]["command"] = script(
        case, "once.sh", f"[ -e {marker} ] || {{ touch {marker}; kill -STOP $$; }}\nexec {good}"
    )
    done = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "driver expensive-0 is stopped and has not connected; ended" in done.stderr
    assert case.nothing_left()


@pytest.mark.slow
def test_driver_that_hangs_before_it_connects_is_replaced(make_case, tmp_path):
    case = make_case(steps=4)
    good = case.config["expensive"]["command"].format(address="$1")
    marker = tmp_path / "hung"
    case.config["expensive"]["command"] = script(
        case, "once.sh", f"[ -e {marker} ] || {{ touch {marker}; sleep 1000; }}\nexec {good}"
    )
    case.config["expensive"]["socket"]["connect_deadline"] = 40.0
    done = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "driver expensive-0 has not connected" in done.stderr
    assert case.nothing_left()


@pytest.mark.slow
@pytest.mark.parametrize("kill_launcher", the_rest_slow([False, True], False))
def test_ranks_under_mpirun(make_case, kill_launcher):
    """Each rank has a group of its own; the one that is connected stops."""
    lammps = {"potential": TERSOFF, "launch": "mpirun -n 2"}
    case = make_case(silicon(3), steps=100_000, cheap={"lammps": lammps})
    case.config["cheap"]["socket"]["reply_deadline"] = 5.0
    process = case.start("--quiet")
    wait_for(lambda: evaluations(case) >= 3, 120.0)
    ranks = [p for p in case.processes() if _name(p) == "lmp"]
    assert len(ranks) == 2
    assert len({os.getpgid(p) for p in ranks}) == 2 or len({os.getsid(p) for p in ranks}) == 1
    for pid in ranks:
        os.kill(pid, signal.SIGSTOP)
    if kill_launcher:
        process.kill()
        process.communicate()
        wait_for(case.nothing_left)
        assert read_checkpoint(case.folder / "RESTART")
        return
    before = evaluations(case)
    wait_for(lambda: evaluations(case) > before + 3, 120.0)
    assert not set(ranks) & set(case.processes())
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=90)
    assert "driver cheap-0 does not reply as it should" in output
    assert process.returncode == 128 + signal.SIGTERM
    assert case.nothing_left()


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


@pytest.mark.slow
def test_killed_while_the_speed_up_is_measured(make_case):
    case = make_case(steps=2, expensive={"command": faulty_driver("per-atom", 0.05)})
    process = case.start("--reference")
    for line in process.stdout:
        if "measuring its speed-up" in line:
            break
    wait_for(lambda: any("reference" in str(f) for f in case.processes().values()))
    process.kill()
    process.communicate()
    wait_for(case.nothing_left)


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", the_rest_slow(["reader gone", "closed", "full", "ascii"], "reader gone")
)
def test_what_becomes_of_the_output_does_not_matter(make_case, how):
    case = make_case(steps=3)
    case.write()
    redirect = {"reader gone": "| true", "closed": ">&- 2>&-", "full": "> /dev/full 2>&1"}
    environment = clean_environment()
    if how == "ascii":
        environment |= {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    command = f"{sys.executable} -m mixpi.cli run input.xml --no-reference"
    shell = f"set -o pipefail; {command} {redirect.get(how, '')}"
    done = subprocess.run(
        ["bash", "-c", shell], cwd=case.folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert evaluations(case) == 4

    # and a run that fails is one that fails
    case.config["expensive"]["command"] = faulty_driver("nan")
    case.write()
    done = subprocess.run(["bash", "-c", shell], cwd=case.folder, env=environment)
    assert done.returncode == 1


@pytest.mark.full
def test_folder_that_is_removed(make_case):
    case = make_case(steps=5000, expensive={"command": faulty_driver("slow", 0.05)})
    process = case.start("--quiet")
    wait_for(lambda: evaluations(case) >= 3)
    moved = case.folder.with_name("moved")
    case.folder.rename(moved)
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 1
    assert "was removed or renamed while the run went on" in output
    assert "Traceback" not in output
    case.folder = moved
    assert newest_checkpoint(moved)
    assert case.nothing_left()
