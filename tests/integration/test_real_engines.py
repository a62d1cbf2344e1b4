"""Real LAMMPS and MACE under a run: killed in the middle, and continued from a RESTART."""

from __future__ import annotations

import os
import re
import signal

import numpy as np
import pytest
from conftest import TERSOFF, silicon
from mixpi.output.records import read_steps
from test_faults import evaluations, run, wait_for


pytestmark = pytest.mark.full


REGIONS = {"core": 2.6, "blend": 2.6, "buffer": 4.0}
STEPS = 250  # some seconds: time to be stopped


@pytest.fixture
def case(make_case, mace_tiny):
    def make(folder):
        return make_case(
            silicon(3),
            folder=folder,
            regions=REGIONS,
            cheap={"lammps": {"potential": TERSOFF}},
            expensive=mace_tiny,
            steps=STEPS,
            stride=1,
        )

    return make


@pytest.mark.slow
def test_each_engine_killed_in_mid_run(case):
    reference, disturbed = case("reference"), case("disturbed")
    assert run(reference).returncode == 0

    process = disturbed.start()
    for driver, after in (("cheap-0", 8), ("expensive-0", 25)):
        wait_for(lambda after=after: evaluations(disturbed) >= after, 60)
        os.kill(disturbed.pid_in(f"logs/{driver}"), signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    for driver in ("cheap-0", "expensive-0"):
        assert f"driver {driver} was killed by SIGKILL; starting it again" in output
    assert read_steps(disturbed.folder / "mix.steps")["lost_drivers"][-1] == 2
    assert evaluations(disturbed) == STEPS + 1
    # LAMMPS starts with another order of atoms: its sums round differently
    np.testing.assert_allclose(disturbed.positions(), reference.positions(), rtol=0, atol=1e-7)
    assert disturbed.nothing_left()


@pytest.mark.slow
def test_restart_continues_where_it_stopped(case):
    reference, stopped = case("reference"), case("stopped")
    assert run(reference).returncode == 0
    process = stopped.start()
    wait_for(lambda: evaluations(stopped) >= 10, 60)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    done = stopped.mixpi("run", "RESTART", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    last = stopped.positions()[-1]
    np.testing.assert_allclose(last, reference.positions()[-1], rtol=0, atol=1e-6)


@pytest.mark.slow
def test_check_and_run_of_the_whole_chain(case):
    good = case("good")
    done = good.mixpi("check", "input.xml")
    assert done.returncode == 0, done.stderr
    assert "LAMMPS computes this system" in done.stdout
    assert re.search(r"the model loads by symmetrix; its interaction range is 8 Å", done.stdout)
    assert done.stdout.rstrip().endswith("all in order")
    done = good.mixpi("run", "input.xml")
    assert done.returncode == 0, done.stderr
    for words in (
        "waiting for expensive",
        "net force: mean",
        "temperature:",
        "speed-up: ",
    ):
        assert words in done.stdout
    assert (good.folder / "mixpi.report.json").exists()
