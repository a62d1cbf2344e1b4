"""``mixpi run --runs``: real i-PI, sockets and processes; each run is as it would be alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import (
    Case,
    command_driver,
    evaluations,
    faulty_driver,
    mixpi,
    silicon,
    wait_for,
)
from mixpi.output.records import read_steps


pytestmark = pytest.mark.full


POTENTIALS = Path(__file__).parents[2] / "ipi_inputs" / "potentials"
STEPS = 12


def several(case, *arguments, runs=3, timeout=120.0):
    words = ["run", "input.xml", "--quiet", "--runs", str(runs), *arguments]
    return mixpi(*words, cwd=case.folder, timeout=timeout)


def run_of(case, number):
    """A run as a case of its own, to look at."""
    return Case(case.folder / "runs" / str(number), case.config)


def report(case):
    return json.loads((case.folder / "runs" / "mixpi.report.json").read_text())


@pytest.fixture
def toys(make_case):
    """Toy drivers on both sides, at the addresses that are theirs by default."""

    def make(folder="case", *, expensive=None, **xml):
        case = make_case(silicon(1), folder=folder, **{"steps": STEPS, "stride": 1, **xml})
        case.config["cheap"] = {"command": command_driver("zero")}
        case.config["expensive"] = expensive or {"command": command_driver("toy")}
        case.write()
        return case

    return make


@pytest.fixture
def lammps(make_case):
    """A distilled potential everywhere, another one near the seed, both by LAMMPS."""
    case = make_case(
        silicon(2),
        steps=STEPS,
        stride=1,
        temperature=600.0,
        regions={"core": 2.6, "blend": 2.0, "buffer": 3.5},
    )
    for name in ("si-uf3.uf3", "si-snap-fast.snapcoeff", "si-snap-fast.snapparam"):
        shutil.copy(POTENTIALS / name, case.folder)
    uf3 = ["pair_style uf3 3", "pair_coeff * * si-uf3.uf3 Si"]
    snap = ["pair_style snap", "pair_coeff * * si-snap-fast.snapcoeff si-snap-fast.snapparam Si"]
    case.config["cheap"] = {"lammps": {"potential": uf3}}
    case.config["expensive"] = {"lammps_cluster": {"potential": snap}}
    case.write()
    return case


def same(first: Path, second: Path) -> None:
    """The same trajectory, to the last digit that is written."""
    for name in ("md.out", "md.pos_0.extxyz", "md.for_0.extxyz"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_each_run_is_as_it_would_be_alone(lammps):
    case = lammps
    done = several(case, runs=2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished") == 2 and "shared expensive-0: " in done.stdout
    assert not case.processes()
    found = report(case)
    assert [run["steps"] for run in found["runs"]] == [STEPS] * 2
    shared = found["shared"]["expensive-0"]
    assert shared["evaluations"] == 2 * (STEPS + 1) and 0.0 < shared["share"] <= 1.0
    ends = [run_of(case, number).positions()[-1] for number in (1, 2)]
    assert np.abs(ends[0] - ends[1]).max() > 0.01
    # the second one again as any other folder, with a driver of its own
    run, alone = case.folder / "runs" / "2", case.folder / "alone" / "2"
    alone.mkdir(parents=True)
    for path in run.iterdir():
        if path.is_symlink() or path.name == "input.xml":
            shutil.copy(path, alone / path.name, follow_symlinks=False)
    done = mixpi("run", "input.xml", "--no-reference", "--quiet", cwd=alone)
    assert done.returncode == 0, done.stderr
    same(run, alone)


def test_finished_runs_are_left_and_others_added(toys, tmp_path):
    """Though a shared driver was killed on the way, which is replaced."""
    case = toys(expensive={"command": faulty_driver("die", 9, tmp_path / "died")})
    done = several(case, runs=1)
    assert done.returncode == 0, done.stderr
    assert "driver expensive-0 was killed by SIGKILL; starting it again" in done.stderr
    assert report(case)["restarts"] == {"expensive-0": 1}
    before = (case.folder / "runs/1/md.out").stat().st_mtime_ns
    done = several(case, runs=2)
    assert done.returncode == 0, done.stderr
    assert (case.folder / "runs/1/md.out").stat().st_mtime_ns == before
    found = report(case)["runs"]
    assert [run["steps"] for run in found] == [STEPS] * 2
    assert [run["message"] for run in found] == ["it was finished before", ""]
    assert [evaluations(run_of(case, number)) for number in (1, 2)] == [STEPS + 1] * 2


def test_stopped_runs_go_on(toys):
    case = toys(steps=40, expensive={"command": faulty_driver("slow", 0.03)})
    process = case.start("--runs", "2", "--at-once", "1", "--quiet")
    wait_for(lambda: evaluations(run_of(case, 1)) > 5)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, output
    assert "run 1: interrupted: stopped by SIGTERM" in output
    assert "run 2: interrupted: not started" in output
    assert "the same command continues what is not finished" in output
    assert 5 <= report(case)["runs"][0]["steps"] < 40  # the sixth evaluation ends the fifth step
    assert not case.processes()
    done = several(case, runs=2)
    assert done.returncode == 0, done.stderr
    for number in (1, 2):
        folder = run_of(case, number).folder
        np.testing.assert_array_equal(read_steps(folder / "mix.steps")["step"], np.arange(41))
        parts = json.loads((folder / "mixpi.report.json").read_text())["continued_from"]
        assert len(parts) == (number == 1)


def test_a_run_that_is_killed_takes_no_other_with_it(toys):
    case = toys(steps=40, expensive={"command": faulty_driver("slow", 0.03)})
    process = case.start("--runs", "2", "--quiet")
    first, second = run_of(case, 1), run_of(case, 2)
    wait_for(lambda: evaluations(first) > 5)
    os.kill(first.pid_in("."), signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "run 1: failed: i-PI was killed by SIGKILL" in output
    assert evaluations(second) == 41
    assert [run["status"] for run in report(case)["runs"]] == ["failed", "finished"]
    assert not case.processes()


def test_drivers_that_cannot_start_end_all(toys):
    case = toys(expensive={"command": f"{sys.executable} -c 'raise SystemExit(3)'"})
    done = several(case, runs=2)
    assert done.returncode == 1
    assert "run 1, 2: failed: driver expensive-0 ended with exit code 3" in done.stderr
    assert not case.processes()


@pytest.mark.slow
def test_without_seeds_there_is_nothing_to_share(toys):
    case = toys()
    case.config["seeds"] = "none"
    case.write()
    done = several(case, runs=1)
    assert done.returncode == 0, done.stderr
    assert report(case)["shared"] == {} and not (case.folder / "runs/logs/relay.log").exists()


@pytest.mark.slow
def test_killed_launcher_leaves_states_and_no_process(toys):
    case = toys(steps=400, expensive={"command": faulty_driver("slow", 0.03)})
    process = case.start("--runs", "2", "--quiet")
    wait_for(lambda: min(evaluations(run_of(case, number)) for number in (1, 2)) > 5)
    process.kill()
    process.communicate()
    wait_for(lambda: not case.processes())
    for number in (1, 2):
        assert (run_of(case, number).folder / "RESTART").exists()
