"""A time step that follows the atoms, and an end: by mixpi, by plain i-PI, continued; bad input."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import numpy as np
import pytest
from ase import units
from ase.io import read
from conftest import silicon
from mixpi import MixpiError
from mixpi.check.checking import check
from mixpi.ipi.time_step import GROWTH
from test_faults import run
from test_steps import again, same_as, stop_at
from test_thermostat import by_hand, free_centre, nvt


pytestmark = [pytest.mark.full, pytest.mark.usefixtures("warm_probe")]


#: Å, fs, eV.
DISPLACEMENT, LONGEST, ENERGY, FIRST = 0.02, 0.7, 2.0, 0.1
NVE = "<dynamics mode='nve'><timestep units='femtosecond'>{}</timestep></dynamics>"


def fast_atom(make_case, **given):
    """An atom of some eV among others at rest, and every step written."""
    atoms = silicon()
    velocities = np.zeros((len(atoms), 3))
    direction = np.array([1.0, 2.0, -2.0]) / 3.0
    velocities[0] = np.sqrt(2.0 * ENERGY / atoms.get_masses()[0]) * direction
    case = make_case(atoms=atoms, stride=1, dynamics=NVE.format(FIRST), **given)
    rows = [f"Si {x!r} {y!r} {z!r}\n" for x, y, z in velocities.tolist()]
    (case.folder / "velocities.xyz").write_text(f"{len(rows)}\n\n{''.join(rows)}")
    text = case.input.read_text()
    begin, end = text.index("<velocities"), text.index("</velocities>")
    own = "<velocities mode='xyz' units='ase'>velocities.xyz"
    case.input.write_text(text[:begin] + own + text[end:])
    free_centre(case)
    case.config["remove_net_force"] = False
    case.config["output"] = {"stride": 1, "forces": True, "velocities": True}
    case.config["time_step"] = {"displacement": DISPLACEMENT, "longest": LONGEST}
    return case


def times(case) -> np.ndarray:
    return np.loadtxt(case.folder / "md.out")[:, 1]


def test_steps_are_those_of_the_fastest_atom(make_case):
    """Velocity Verlet, written out, with the forces of the frames."""
    case = fast_atom(make_case, steps=60)
    done = run(case)
    assert done.returncode == 0, done.stderr
    frames = read(case.folder / "mix.extxyz", ":")
    masses = frames[0].get_masses()[:, None]
    unit = units.fs**2  # of accelerations in ASE's units, to Å/fs²
    x, v, dt = frames[0].positions, frames[0].arrays["velocities"], FIRST
    energy = 0.5 * masses[0, 0] * np.sum((v[0] / units.fs) ** 2)
    assert energy == pytest.approx(ENERGY, rel=1e-6) and np.count_nonzero(v) == 3
    wanted = [0.0]
    for one, other in pairwise(frames):
        dt = min(LONGEST, GROWTH * dt, DISPLACEMENT / np.linalg.norm(v, axis=1).max())
        wanted.append(wanted[-1] + dt)
        forces = [frame.get_forces() / masses * unit for frame in (one, other)]
        x = x + v * dt + 0.5 * forces[0] * dt**2
        v = v + 0.5 * (forces[0] + forces[1]) * dt
        np.testing.assert_allclose(other.positions, x, atol=1e-6)
        np.testing.assert_allclose(other.arrays["velocities"], v, atol=1e-7)
    np.testing.assert_allclose(times(case), wanted, rtol=1e-6)
    np.testing.assert_allclose([frame.info["time"] for frame in frames], wanted, rtol=1e-6)
    gaps = np.diff(wanted)
    assert gaps[0] == pytest.approx(GROWTH * FIRST) and gaps.max() > 5 * FIRST
    assert (gaps[1:] < 1.01 * gaps[:-1]).any(), "the limit of growth is not all that there is"


def test_a_run_that_was_stopped_goes_on_exactly(make_case):
    reference = fast_atom(make_case, folder="reference", steps=15)
    case = fast_atom(make_case, folder="stopped", steps=15)
    assert run(reference).returncode == 0
    stop_at(case, 5)
    again(case)
    same_as(case, reference, last=15)


def test_plain_i_pi_has_both(make_case):
    cases = [fast_atom(make_case, folder=folder, steps=30) for folder in ("mixpi", "i-pi")]
    for case in cases:
        case.config["end"] = {"time": 2.0}
        case.write()
    assert run(cases[0]).returncode == 0
    assert "I-PI reports success" in by_hand(cases[1])
    np.testing.assert_array_equal(times(cases[0]), times(cases[1]))


def test_an_end_in_time(make_case):
    case = make_case(steps=400)
    case.config["end"] = {"time": 7.5}
    done = run(case)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(times(case), np.arange(9.0))
    report = json.loads((case.folder / "mixpi.report.json").read_text())
    assert report["status"] == "finished" and report["steps"] == 8
    state = ElementTree.parse(case.folder / "RESTART")
    assert state.findtext("step").strip() == state.findtext("total_steps").strip() == "8"
    assert "'end: time', 7.5 fs, is reached" in (case.folder / "logs" / "i-pi.log").read_text()
    # to go on from there
    text = (case.folder / "RESTART").read_text()
    before = ElementTree.fromstring(text).findtext("total_steps")
    assert text.count(f"<total_steps>{before}</total_steps>") == 1
    with pytest.raises(MixpiError, match="has done all its 8 steps"):
        list(check(case.folder / "RESTART", drivers=False))
    (case.folder / "RESTART").write_text(text.replace(f"total_steps>{before}<", "total_steps>12<"))
    del case.config["end"]
    again(case)
    np.testing.assert_allclose(times(case), np.arange(13.0))


def test_an_end_where_an_atom_is(make_case):
    case = fast_atom(make_case, steps=400)
    start = silicon().positions[0, 2]
    case.config["end"] = {"where": f"index == 0 and abs(z - {start}) > 0.5"}
    done = run(case)
    assert done.returncode == 0, done.stderr
    moved = abs(case.positions()[:, 0, 2] - start)
    assert moved[-1] > 0.5 and moved[-2] < 0.5 and len(moved) < 60


MTS = "<dynamics mode='nve'><timestep units='femtosecond'>1</timestep><nmts>[4]</nmts></dynamics>"
BAD = {
    "thermostat": ({"dynamics": nvt()}, {}, "the mode 'nvt'"),
    "beads": ({"beads": 2}, {}, "2 beads"),
    "steps in steps": ({"dynamics": MTS}, {}, r"<nmts> \[4\]"),
    "no displacement": ({}, {"time_step": {"longest": 1.0}}, "time_step.displacement"),
    "a negative one": (
        {},
        {"time_step": {"displacement": -1.0, "longest": 1.0}},
        "time_step.displacement.*greater than 0",
    ),
    "hysteresis": (
        {"regions": {"core": 2.5, "blend": 2.0, "buffer": 3.0, "tau_in": 5.0}},
        {},
        "leave either out",
    ),
    "no end": ({}, {"end": {}}, "says not when"),
    "words": ({}, {"end": {"where": "species He"}}, "end.where"),
    "no such species": ({}, {"end": {"where": "species == He"}}, "'He' .* is in no atom"),
    "at once": ({}, {"end": {"where": "index == 3 and z < 90"}}, "atom 3 .* after its first step"),
}


@pytest.mark.parametrize("name", BAD)
def test_check_refuses(make_case, name):
    given, config, said = BAD[name]
    case = make_case(**given)
    case.config["time_step"] = {"displacement": DISPLACEMENT, "longest": LONGEST}
    case.config |= config
    case.write()
    with pytest.raises(MixpiError, match=f"(?s){said}"):
        list(check(case.input, drivers=False))


def test_check_says_what_will_be(make_case):
    case = fast_atom(make_case, steps=30)
    where = "index == 0 and z > 90"
    case.config["end"] = {"time": 2.0, "where": where}
    case.write()
    said = list(check(case.input, drivers=False))
    assert "time step: 0.02 Å of the fastest atom, 0.7 fs at most" in said
    assert f"end: after 2 fs, or when an atom meets '{where}', or after 30 steps" in said


@pytest.mark.parametrize("name", ["thermostat", "beads"])
def test_plain_i_pi_refuses(make_case, name):
    given, _, said = BAD[name]
    case = make_case(**given)
    case.config["time_step"] = {"displacement": DISPLACEMENT, "longest": LONGEST}
    ipi = case.start_i_pi()
    assert said in ipi.communicate(timeout=60)[0]
    assert ipi.returncode != 0 and not (case.folder / "RESTART").exists()
