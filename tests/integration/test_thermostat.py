"""The region thermostat in whole runs: by mixpi, by plain i-PI, stopped and continued; bad input.

What it does to single atoms is in tests/unit/test_region_thermostat.py.
"""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from ase.io import read
from conftest import command_driver, the_rest_slow
from mixpi import MixpiError
from mixpi.check.checking import check
from test_faults import run
from test_steps import again, same_as, stop_at


def nvt(mode: str = "langevin", ensemble: str = "nvt") -> str:
    return (
        f"<dynamics mode='{ensemble}'><timestep units='femtosecond'>1</timestep>"
        f"<thermostat mode='{mode}'><tau units='femtosecond'>20</tau></thermostat></dynamics>"
    )


def free_centre(case) -> None:
    """i-PI takes the common velocity away unless it is told not to."""
    text = case.input.read_text()
    fixed = "<motion mode='dynamics'><fixcom>False</fixcom>"
    case.input.write_text(text.replace("<motion mode='dynamics'>", fixed))


def by_hand(case) -> str:
    """What plain i-PI says of a run with drivers that were started by hand."""
    ipi = case.start_i_pi()
    drivers = []
    for pool in ("cheap", "expensive"):
        address = case.config[pool]["socket"]["address"]
        words = case.config[pool]["command"].format(address=address).split()
        drivers.append(subprocess.Popen(words, cwd=case.folder, stderr=subprocess.PIPE))
    said = ipi.communicate(timeout=60)[0]
    for driver in drivers:
        driver.terminate()
        driver.communicate()
    return said


def test_without_a_region_it_is_i_pi_s_own(make_case):
    stock = make_case(folder="stock", steps=12, stride=1, seeds="none", dynamics=nvt())
    ours = make_case(folder="ours", steps=12, stride=1, seeds="none", dynamics=nvt())
    ours.config["thermostat"] = {"acts_on": "cheap"}
    for case in (stock, ours):
        done = run(case)
        assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(ours.positions(), stock.positions())
    rows = [np.loadtxt(case.folder / "md.out") for case in (stock, ours)]
    np.testing.assert_array_equal(*rows)


@pytest.mark.parametrize(
    ("acts_on", "still"), the_rest_slow([("cheap", 1.0), ("expensive", 0.0)], ("cheap", 1.0))
)
def test_atoms_where_it_does_not_act_move_as_without(make_case, acts_on, still):
    """No forces: what moves an atom otherwise is the thermostat."""
    found = {}
    for name, dynamics in (("nve", nvt(ensemble="nve")), ("nvt", nvt()), ("ours", nvt())):
        driver = {"command": command_driver("zero")}
        regions = {"core": 2.5, "blend": 3.0, "buffer": 2.0}
        given = {"steps": 20, "stride": 1, "expensive": driver, "regions": regions}
        case = make_case(folder=name, dynamics=dynamics, **given)
        case.config["output"] = {"stride": 1}
        if name == "ours":
            case.config["thermostat"] = {"acts_on": acts_on}
        free_centre(case)
        done = run(case)
        assert done.returncode == 0, done.stderr
        found[name] = case.positions()
    weights = np.array([a.arrays["mix_weight"] for a in read(case.folder / "mix.extxyz", ":")])
    untouched, whole = (np.all(weights == w, axis=0) for w in (still, 1.0 - still))
    assert untouched.sum() > 2 and whole.sum() > 2
    np.testing.assert_array_equal(found["ours"][:, untouched], found["nve"][:, untouched])
    np.testing.assert_array_equal(found["ours"][:, whole], found["nvt"][:, whole])
    partly = np.any((weights > 0.0) & (weights < 1.0), axis=0)
    for other in ("nve", "nvt"):
        assert np.abs(found["ours"] - found[other])[-1, partly].max() > 1e-4


@pytest.mark.full
def test_plain_i_pi_has_it_too(make_case):
    cases = []
    for folder in ("mixpi", "i-pi"):
        case = make_case(folder=folder, steps=15, stride=1, dynamics=nvt())
        case.config["thermostat"] = {"acts_on": "cheap"}
        case.write()
        cases.append(case)
    assert run(cases[0]).returncode == 0
    by_hand(cases[1])
    np.testing.assert_array_equal(cases[0].positions(), cases[1].positions())


@pytest.mark.full
@pytest.mark.parametrize(
    ("mode", "beads"), the_rest_slow([("langevin", 1), ("pile_l", 2)], ("langevin", 1))
)
def test_a_run_that_was_stopped_goes_on_exactly(make_case, mode, beads):
    def make(folder):
        case = make_case(folder=folder, steps=30, beads=beads, dynamics=nvt(mode))
        case.config["thermostat"] = {"acts_on": "cheap"}
        return case

    reference, case = make("reference"), make("stopped")
    assert run(reference).returncode == 0
    stop_at(case, 7)
    again(case)
    same_as(case, reference, last=30)


@pytest.mark.full
def test_check_says_where_it_acts(warm_probe, make_case):
    case = make_case(dynamics=nvt())
    case.config["thermostat"] = {"acts_on": "cheap"}
    case.write()
    [line] = [line for line in check(case.input, drivers=False) if line.startswith("thermostat")]
    [regions] = [line for line in check(case.input, drivers=False) if line.startswith("regions")]
    core, blend = (int(regions.split()[k]) for k in (1, 3))
    assert f"on {64 - core - blend} of 64 atoms in full, on {blend} in part" in line


@pytest.mark.full
def test_check_warns_where_all_is_expensive(warm_probe, make_case):
    case = make_case(dynamics=nvt(), regions={"core": 12.0, "blend": 2.0, "buffer": 2.0})
    case.config["thermostat"] = {"acts_on": "cheap"}
    case.write()
    assert any("acts on no atom" in line for line in check(case.input, drivers=False))


BAD = {
    "global": (nvt("svr"), "cheap", "mode='svr'"),
    "coloured noise": (nvt("gle"), "cheap", "mode='gle'"),
    "nve": (nvt(ensemble="nve"), "cheap", "none that acts"),
    "no thermostat": (
        "<dynamics mode='nvt'><timestep units='femtosecond'>1</timestep></dynamics>",
        "cheap",
        "none that acts",
    ),
    "no such species": (nvt(), "species He", "acts_on: no atom matches 'species He'"),
    "words": (nvt(), "everywhere", "acts_on: 'everywhere' is not understood"),
    "no atom": (nvt(), [64], "acts_on: .*64"),
    "empty": (nvt(), [], "thermostat.acts_on: .* is none of these"),
    "a number": (nvt(), 3, "thermostat.acts_on: 3 is none of these"),
}


@pytest.mark.full
@pytest.mark.parametrize("name", BAD)
def test_check_refuses(warm_probe, make_case, name):
    dynamics, acts_on, said = BAD[name]
    case = make_case(dynamics=dynamics)
    case.config["thermostat"] = {"acts_on": acts_on}
    case.write()
    with pytest.raises(MixpiError, match=said):
        list(check(case.input, drivers=False))


def test_nothing_expensive_to_be_thermostatted(warm_probe, make_case):
    case = make_case(dynamics=nvt(), seeds="none")
    case.config["thermostat"] = {"acts_on": "expensive"}
    case.write()
    with pytest.raises(MixpiError, match="nothing would be thermostatted"):
        list(check(case.input, drivers=False))


@pytest.mark.full
@pytest.mark.parametrize("name", ["global", "nve", "no such species"])
def test_plain_i_pi_refuses(make_case, name):
    dynamics, acts_on, said = BAD[name]
    case = make_case(dynamics=dynamics)
    case.config["thermostat"] = {"acts_on": acts_on}
    case.write()
    ipi = case.start_i_pi()
    assert said in ipi.communicate(timeout=60)[0]
    assert ipi.returncode != 0 and not (case.folder / "RESTART").exists()


@pytest.mark.slow
def test_never_without_effect(make_case):
    """Inside a committee the mixing layer does not know its simulation."""
    case = make_case(dynamics=nvt())
    case.config["thermostat"] = {"acts_on": "cheap"}
    text = case.input.read_text()
    text = text.replace("<ffdirect", "<ffcommittee name='all'><weights>[1]</weights><ffdirect")
    text = text.replace("</ffdirect>", "</ffdirect></ffcommittee>")
    case.input.write_text(text.replace("forcefield='mix'", "forcefield='all'"))
    done = run(case)
    assert done.returncode == 1 and "'thermostat:' of the configuration is without" in done.stderr
