"""Absurd but finite numbers stop a run before they enter it, and RESTART is of before."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from conftest import command_driver, faulty_driver, silicon, the_rest_slow


pytestmark = pytest.mark.full


def run(case, name="input.xml"):
    return case.mixpi("run", name, "--no-reference", "--quiet")


@pytest.mark.parametrize(
    ("pool", "size"), the_rest_slow([("cheap", -1e308), ("expensive", 1e30)], ("cheap", -1e308))
)
def test_absurd_forces_lose_nothing(make_case, pool, size):
    """In the middle of a run: the state is the last that was stored, and goes on like no other."""
    toy = {"command": command_driver("toy")}
    case = make_case(steps=12, stride=1, cheap=toy)
    good = case.config[pool]["command"]
    case.config[pool]["command"] = faulty_driver("huge", 6, size)
    done = run(case)
    assert done.returncode == 1
    assert f"the {pool} driver's force on atom 1 " in done.stderr, done.stderr
    assert "at step 5" in done.stderr and "limits: force" in done.stderr
    assert case.nothing_left()
    assert ElementTree.parse(case.folder / "RESTART").findtext("step").strip() == "4"
    assert np.abs(case.positions()).max() < 100.0
    assert np.abs(case.forces()).max() < 100.0
    case.config[pool]["command"] = good
    done = run(case, "RESTART")
    assert done.returncode == 0, done.stderr
    reference = make_case(folder="reference", steps=12, stride=1, cheap=toy)
    assert run(reference).returncode == 0
    np.testing.assert_allclose(case.positions(), reference.positions(), atol=1e-7)


def test_a_run_that_heats_up_is_warned_of_and_stops(make_case):
    """200 fs steps in a steep field: the atoms gain energy at each."""
    long = "<dynamics mode='nve'><timestep units='femtosecond'>200</timestep></dynamics>"
    case = make_case(
        silicon(rattle=0.3),
        steps=2000,
        seeds="none",
        dynamics=long,
        cheap={"command": command_driver("toy")},
    )
    case.config["limits"] = {"temperature": 40_000.0, "warn_temperature": 2000.0}
    done = run(case)
    assert done.returncode == 1
    text = done.stdout + done.stderr
    assert "more than 2000 K" in text, text
    assert "the most is 40000 K" in text
