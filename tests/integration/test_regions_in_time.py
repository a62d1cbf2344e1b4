"""Regions with a memory in real runs: what is written, and restarts."""

from __future__ import annotations

import os
import re
import signal
from itertools import pairwise

import numpy as np
import pytest
from ase.io import read
from conftest import (
    evaluations,
    faulty_driver,
    read_steps,
    silicon,
    the_rest_slow,
    two_layers,
    wait_for,
)
from mixpi.output.run_state import read_state


pytestmark = pytest.mark.full


#: i-PI's states have nine digits.
PRINTED = 3e-7
MEMORY = {
    "core": 2.5, "blend": 4.0, "buffer": 3.0, "every": 3, "tau_in": 4.0, "tau_out": 20.0,
    "leave": 3.0,
}  # fmt: skip
PLAIN = {name: MEMORY[name] for name in ("core", "blend", "buffer")}
LANGEVIN = """<dynamics mode='nvt'><timestep units='femtosecond'>1</timestep>
<thermostat mode='langevin'><tau units='femtosecond'>50</tau></thermostat></dynamics>"""
PILE = LANGEVIN.replace("'langevin'", "'pile_l'")


def moving(**given):
    """Hot enough that atoms come and go."""
    options = {"temperature": 3000.0, "dynamics": LANGEVIN, "stride": 1, "regions": MEMORY}
    return {"atoms": silicon(), **options, **given}


def done(case, *arguments):
    ended = case.mixpi("run", *(arguments or ["input.xml"]), "--no-reference", "--quiet")
    assert ended.returncode == 0, ended.stderr
    return ended


def weights(case):
    return np.array([a.arrays["mix_weight"] for a in read(case.folder / "mix.extxyz", ":")])


def compare(part, whole, beads=1):
    for bead in range(beads):
        np.testing.assert_allclose(
            part.positions(bead), whole.positions(bead), rtol=0, atol=PRINTED
        )
    tables = [np.loadtxt(case.folder / "md.out") for case in (part, whole)]
    np.testing.assert_allclose(*tables, rtol=PRINTED, atol=PRINTED)
    rows = [read_steps(case.folder / "mix.steps") for case in (part, whole)]
    for name in ("step", "core", "blend", "buffer", "net_force", "potential", "work_0"):
        np.testing.assert_allclose(rows[0][name], rows[1][name], rtol=PRINTED, atol=PRINTED)


def with_frames(case):
    case.config["output"] = {"stride": 1}
    return case


def test_weights_change_every_so_many_steps(make_case):
    case = with_frames(make_case(steps=12, **moving()))
    done(case)
    found = weights(case)
    changed = [not np.array_equal(a, b) for a, b in pairwise(found)]
    assert [k + 1 for k, it_has in enumerate(changed) if it_has] == [3, 6, 9, 12]
    still = with_frames(make_case(folder="still", steps=6, **moving(regions=MEMORY | {"every": 0})))
    done(still)
    assert np.ptp(weights(still), axis=0).max() == 0.0


@pytest.mark.parametrize("beads", the_rest_slow([1, 3], 1))
@pytest.mark.parametrize("layers", the_rest_slow(["force", "delta"], "delta"))
def test_a_restart_from_any_checkpoint_is_exact(make_case, beads, layers):
    """Step 7 lies between two rebuilds, and hysteresis is under way."""
    given = moving(dynamics=PILE if beads > 1 else LANGEVIN, checkpoint=7, beads=beads)
    if layers == "delta":
        given |= two_layers(beads=beads)
        given |= {"cheap_cluster": {"command": faulty_driver("slow", 0)}}
        given |= {"cheap": {"command": faulty_driver("slow", 0)}}
        given |= {"expensive": {"command": faulty_driver("stiff", 0)}}
    whole = make_case(folder="whole", steps=20, **given)
    done(whole)
    part = make_case(folder="part", steps=10, **given)
    done(part)
    checkpoint = part.folder / "md.checkpoint"
    text, count = re.subn(r"<total_steps>\s*10\s*<", "<total_steps>20<", checkpoint.read_text())
    assert count == 1
    checkpoint.write_text(text)
    state = read_state(checkpoint)["regions.weights"]
    assert np.count_nonzero((state > 0) & (state < 1))
    done(part, "md.checkpoint")
    compare(part, whole, beads)


ENDINGS = ["EXIT", "SIGINT", "SIGTERM", "kill i-PI", "kill launcher"]


@pytest.mark.parametrize("how", the_rest_slow(ENDINGS, "kill i-PI"))
def test_a_run_that_was_stopped_goes_on_exactly(make_case, how):
    slow = {"expensive": {"command": faulty_driver("slow", 0.03)}}
    whole = make_case(folder="whole", steps=60, **moving(checkpoint=5), **slow)
    done(whole)
    part = make_case(folder="part", steps=60, **moving(checkpoint=5), **slow)
    run = part.start("--quiet")
    wait_for(lambda: evaluations(part) > 22)
    if how == "EXIT":
        (part.folder / "EXIT").touch()
    elif how == "kill i-PI":
        os.kill(part.i_pi(run), signal.SIGKILL)
    else:
        run.send_signal({"SIGINT": 2, "SIGTERM": 15}.get(how, signal.SIGKILL))
    run.communicate(timeout=60)
    wait_for(part.nothing_left)
    (part.folder / "EXIT").unlink(missing_ok=True)
    state = "RESTART" if (part.folder / "RESTART").exists() else "md.checkpoint"
    assert (state == "RESTART") == (how != "kill i-PI")  # who is killed leaves none
    done(part, state)
    compare(part, whole)


def test_seeds_that_come_and_go(make_case):
    """Who has three neighbours within 2.2 Å, in hot silicon: now somebody, now nobody."""
    case = with_frames(make_case(steps=30, **moving(regions=PLAIN)))
    case.config["seeds"] = {"coordination": 2.2, "bounds": [3, 9]}
    said = done(case).stderr
    steps, weighted = read_steps(case.folder / "mix.steps"), (weights(case) > 0).any(axis=1)
    assert 0 < np.count_nonzero(steps["seeds"]) < 31
    np.testing.assert_array_equal(weighted, steps["seeds"] > 0)
    assert said.count("no atom is a seed at step") == 1


def test_a_state_without_ours_says_what_starts_anew(make_case):
    case = make_case(steps=8, checkpoint=6, **moving())
    done(case)
    path = case.folder / "md.checkpoint"
    path.write_text(path.read_text().split("<!-- mixpi")[0])
    said = done(case, "md.checkpoint").stderr
    assert "Anew starts the energy estimate" in said and "what the regions remember" in said


@pytest.mark.parametrize("memory", the_rest_slow([{"every": 0}, {"leave": 6.0}], {"leave": 6.0}))
def test_regions_that_have_changed_start_anew_and_it_is_said(make_case, memory):
    """Or a run goes on with the weights of the old ones, whatever is printed before it."""
    case = make_case(steps=8, checkpoint=6, seeds=[0], **moving(regions={**PLAIN, **memory}))
    done(case)
    # how fast weights follow may change without that
    case.config["regions"].update(tau_out=10.0)
    assert "has changed since" not in done(case, "md.checkpoint").stderr
    case.config["regions"].update(core=4.5, blend=2.0)
    case.config["seeds"] = [0, 40]
    said = done(case, "md.checkpoint").stderr
    assert "core (2.5, now 4.5), blend (4.0, now 2.0), seeds ([0], now [0, 40])" in said
    steps = read_steps(case.folder / "mix.steps")
    assert steps["core"][5] < 10 and np.all(steps["core"][7:] > 30)
    assert np.all(steps["seeds"][7:] == 2)


@pytest.mark.slow
def test_a_memory_that_comes_later_starts_anew(make_case):
    case = make_case(steps=8, checkpoint=6, **moving(regions=PLAIN))
    done(case)
    case.config["regions"] = MEMORY
    said = done(case, "md.checkpoint").stderr
    assert "Anew starts what the regions remember" in said


@pytest.mark.slow
def test_a_state_of_another_system_is_refused(make_case):
    case = make_case(steps=8, checkpoint=6, **moving())
    done(case)
    other = make_case(folder="other", steps=8, checkpoint=6, **moving(atoms=silicon(3)))
    done(other)
    path = case.folder / "md.checkpoint"
    own, foreign = (
        (c.folder / "md.checkpoint").read_text().split("<!-- mixpi") for c in (case, other)
    )
    path.write_text(own[0] + "<!-- mixpi" + foreign[1])
    ended = case.mixpi("run", "md.checkpoint", "--no-reference", "--quiet")
    assert ended.returncode != 0
    assert "is of another system than init.extxyz" in ended.stderr


@pytest.mark.parametrize(("regions", "message"), [
    ({"groups": "molecule"}, "has no array 'molecule'; it has"),
    ({"leave": 1.0}, "smaller than that at which they enter"),
    ({"every": -1}, "every"),
    ({"tau_in": -3}, "tau_in"),
    ({"profile": "smooth"}, "smooth weights are continuous"),
])  # fmt: skip
def test_bad_input(make_case, regions, message):
    case = make_case(regions=MEMORY | regions)
    ended = case.mixpi("check", "--fast", "input.xml")
    assert ended.returncode != 0
    assert message in ended.stderr
