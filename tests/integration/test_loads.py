"""Loads in whole runs: free atoms under a constant force, blended forces, corrections, restarts."""

from __future__ import annotations

import numpy as np
import pytest
from ase.io import read
from ase.units import fs
from conftest import command_driver, silicon, two_layers
from mixpi import MixpiError
from mixpi.check.checking import check
from mixpi.paths.fixed_mixing import FixedMixing
from mixpi.paths.starting_up import drivers_of, read_setting
from test_faults import run
from test_steps import again, same_as, stop_at


pytestmark = [pytest.mark.full, pytest.mark.usefixtures("warm_probe")]


TOYS = {
    "cheap": {"command": command_driver("toy")},
    "cheap_cluster": {"command": command_driver("toy")},
    "expensive": {"command": command_driver("zero")},
}
#: Opposite ones on the two outer layers of atoms.
SHEAR = [
    {"atoms": "where z > 8.5", "traction": [2000, 0, 500], "face": "ab"},
    {"atoms": "where z < 1", "traction": [-2000, 0, -500], "face": "ab"},
]


def forces_of(loads, atoms) -> np.ndarray:
    """What the loads above are on each atom, written out."""
    found = np.zeros((len(atoms), 3))
    z, area = atoms.positions[:, 2], 10.92**2
    for load, chosen in zip(loads, (z > 8.5, z < 1.0), strict=True):
        found[chosen] = np.array(load["traction"]) * area / 160217.66 / chosen.sum()
    assert np.abs(found.sum(axis=0)).max() < 1e-12 < np.abs(found).max()
    return found


def test_free_atoms_are_accelerated_and_energy_is_conserved(make_case):
    """x = x₀ + F t²/2m; i-PI's conserved quantity knows what the loads do."""
    zero = {"command": command_driver("zero")}
    case = make_case(steps=40, stride=10, temperature=1e-9, cheap=zero, expensive=zero)
    case.config["loads"] = SHEAR
    done = run(case)
    assert done.returncode == 0, done.stderr
    atoms, time = silicon(), 40 * fs
    forces = forces_of(SHEAR, atoms)
    moved = case.positions()[-1] - case.positions()[0]
    expected = 0.5 * forces * time**2 / atoms.get_masses()[:, None]
    np.testing.assert_allclose(moved, expected, atol=1e-6)
    rows = np.loadtxt(case.folder / "md.out")
    assert rows[-1, 4] == pytest.approx(-np.sum(forces * expected), rel=1e-5)
    assert rows[-1, 4] < -1e-3 and np.ptp(rows[:, 2]) < 1e-9


def test_beads_and_a_correction_of_its_own(make_case):
    """Each bead feels the loads once, whoever computes what, and they are no net force."""
    shown = {}
    layers = {"bare": {"beads": 2}, "one": {"beads": 2}, "two": two_layers(beads=2)}
    for name, given in layers.items():
        case = make_case(folder=name, steps=10, stride=5, **given, **TOYS)
        if name != "bare":
            case.config["loads"] = SHEAR
        # of the blend and of the correction it is another one
        case.config["remove_net_force"] = False
        done = run(case)
        assert done.returncode == 0, done.stderr
        shown[name] = case
    for bead in (0, 1):
        first = shown["one"].forces(bead)[0] - shown["bare"].forces(bead)[0]
        np.testing.assert_allclose(first, forces_of(SHEAR, silicon()), atol=1e-7)
        for what in ("positions", "forces"):
            one, two = (getattr(shown[name], what)(bead) for name in ("one", "two"))
            np.testing.assert_allclose(two, one, rtol=0, atol=1e-6)
        size = np.abs(forces_of(SHEAR, silicon())).sum(axis=0)
        for name, case in shown.items():
            frame = read(case.folder / f"mix_{bead}.extxyz")
            np.testing.assert_allclose(frame.info.get("load", 0.0), size * (name != "bare"))
    energies = [np.loadtxt(shown[name].folder / "md.out")[:, 4] for name in ("one", "two")]
    np.testing.assert_allclose(*energies, rtol=0, atol=1e-6)


def test_the_net_force_is_taken_from_the_blend_alone(make_case):
    found = {}
    for name, loads in (("bare", []), ("loaded", SHEAR[:1])):
        case = make_case(folder=name, steps=1, stride=1, **TOYS)
        case.config["loads"] = loads
        assert run(case).returncode == 0
        found[name] = case.forces()[0]
    assert np.abs(found["bare"].sum(axis=0)).max() < 1e-6
    alone = forces_of(SHEAR, silicon())
    alone[silicon().positions[:, 2] < 1.0] = 0.0
    np.testing.assert_allclose(found["loaded"] - found["bare"], alone, atol=1e-7)


def test_a_run_that_was_stopped_goes_on_under_the_same_loads(make_case):
    whole = make_case(folder="whole", steps=20, stride=1)
    case = make_case(folder="parts", steps=20, stride=1)
    for one in (whole, case):
        one.config["loads"] = SHEAR
    assert run(whole).returncode == 0
    stop_at(case, 7)
    again(case)
    same_as(case, whole, 20)
    assert np.loadtxt(case.folder / "md.out")[-1, 4] < -1e-3  # they have moved something


def lines(case) -> list[str]:
    case.write()
    return list(check(case.input, drivers=False))


def test_check_shows_them(make_case):
    case = make_case()
    case.config["loads"] = SHEAR
    found = [line for line in lines(case) if "loads" in line]
    assert len(found) == 2 and "8 atom(s) (2000, 0, 500) MPa on face ab" in found[0]
    # one alone would move the whole, unless something holds it
    case.config["loads"] = SHEAR[:1]
    assert any("warning: the loads add up to" in line for line in lines(case))
    motion = "<motion mode='dynamics'>"
    text = case.input.read_text().replace(motion, f"{motion}<fixatoms>[0]</fixatoms>")
    case.input.write_text(text)
    assert not any("add up to" in line for line in lines(case))


def test_loads_that_no_layer_would_add_are_refused(make_case):
    """A correction beside cheap forces of somebody else."""
    other = "<ffsocket name='cheap' mode='unix'><address>other</address></ffsocket>"
    case = make_case(**two_layers(cheap=other), **TOYS)
    case.config["loads"] = SHEAR
    with pytest.raises(MixpiError, match="'loads:' would act on nothing"):
        lines(case)


@pytest.mark.parametrize("kind", ["mixed", "cheap"])
def test_relaxations_feel_them(make_case, kind):
    """Forces and energy of fixed weights: what the loads add, and its gradient."""
    found = {}
    for name, loads in (("bare", []), ("loaded", SHEAR)):
        case = make_case(folder=f"{name}{kind}", **TOYS)
        case.config["loads"] = loads
        case.write()
        setting = read_setting(case.input)
        start = setting.atoms.positions
        way = np.random.default_rng(0).normal(size=start.shape)
        with drivers_of(setting, kind=kind, name="loads") as drivers:
            mixing = FixedMixing(
                setting.config, setting.atoms, [start], drivers, kind=kind, say=lambda text: None
            )
            found[name] = mixing.evaluate([start, start + 0.01 * way])
    own = forces_of(SHEAR, silicon())
    for bare, loaded, step in zip(found["bare"], found["loaded"], (0.0, 0.01), strict=True):
        np.testing.assert_allclose(loaded.forces - bare.forces, own, atol=1e-7)
        if bare.energy is not None:
            difference = loaded.energy - bare.energy
            assert difference == pytest.approx(-step * np.sum(own * way), abs=1e-6)
