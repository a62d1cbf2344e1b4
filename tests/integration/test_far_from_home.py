"""Atoms any number of cells from home feel what they would feel there."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk, make_supercell
from ase.io import read
from conftest import TERSOFF, silicon, the_rest_slow
from mixpi.drivers.mace import MaceEngine
from mixpi.ipi.folding import HomeImages
from mixpi.output.records import read_steps
from mixpi.structure import read_structure


SW = ["pair_style sw", "pair_coeff * * Si.sw Si"]
REGIONS = {"core": 2.6, "blend": 2.6, "buffer": 4.0}


def triclinic():
    atoms = make_supercell(bulk("Si", a=5.46), [[4, 0, 0], [1, 4, 0], [0, 1, 5]])
    atoms.rattle(0.05, seed=8)
    return atoms


def moved(atoms, images):
    far = atoms.copy()
    far.positions += np.broadcast_to(images, (len(atoms), 3)) @ atoms.cell.array
    return far


def one_atom(atoms, vectors):
    images = np.zeros((len(atoms), 3))
    images[5] = vectors
    return images


#: How the atoms are moved, in lattice vectors.
MOVES = {
    "one": lambda atoms: one_atom(atoms, (3, -3, 3)),
    "all--together": lambda atoms: (3, 3, 3),
    "each": lambda atoms: np.random.default_rng(1).integers(-4, 5, (len(atoms), 3)),
}


@pytest.fixture
def forces_of(make_case, mace_tiny):
    def run(atoms, folder, *, seeds=(0,), dtype="float64", steps=1):
        mace = {"mace": {**mace_tiny["mace"], "dtype": dtype}}
        case = make_case(
            atoms,
            folder=folder,
            seeds=seeds,
            regions=REGIONS,
            cheap={"lammps": {"potential": TERSOFF}},
            expensive=mace,
            steps=steps,
            stride=1,
        )
        case.config["remove_net_force"] = False
        done = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
        assert done.returncode == 0, done.stderr
        return case

    return run


@pytest.mark.full
@pytest.mark.parametrize("system", the_rest_slow([silicon, triclinic], triclinic))
def test_images_do_not_change_the_forces(forces_of, system):
    atoms = system()
    home = forces_of(atoms, "home").forces()
    assert np.abs(home).max() > 0.1
    for name, move in MOVES.items():
        far = moved(atoms, move(atoms))
        case = forces_of(far, name)
        np.testing.assert_allclose(case.forces(), home, rtol=0, atol=1e-6, err_msg=name)
        # i-PI goes on where the file has the atoms
        there = read_structure(case.folder / "init.extxyz").positions
        np.testing.assert_allclose(case.positions()[0], there, rtol=0, atol=1e-7)


@pytest.mark.full
def test_a_relaxation_of_what_has_gone_far(make_case):
    """Frames of a run are not wrapped: relaxing the last one is relaxing it at home."""
    atoms, found = silicon(), {}
    for name, move in {"home": lambda atoms: (0, 0, 0), **MOVES}.items():
        case = make_case(
            moved(atoms, move(atoms)),
            folder=name,
            seeds=[0],
            regions=REGIONS,
            cheap={"lammps": {"potential": TERSOFF}},
            expensive={"lammps_cluster": {"potential": SW}},
        )
        done = case.mixpi("relax", "mixing.yaml", "--steps", "0", "--quiet")
        found[name] = read(case.folder / "relaxed.extxyz"), done.stderr
    home, said = found.pop("home")
    assert np.abs(home.get_forces()).max() > 0.1
    for name, (far, also_said) in found.items():
        np.testing.assert_allclose(far.get_forces(), home.get_forces(), atol=1e-6, err_msg=name)
        there = moved(atoms, MOVES[name](atoms)).positions
        np.testing.assert_allclose(far.positions, there, atol=1e-7)
        assert also_said == said


@pytest.mark.slow
def test_single_precision_does_not_lose_digits_far_away(forces_of):
    atoms = silicon()
    near = forces_of(atoms, "near", dtype="float32", seeds=range(8))
    far = forces_of(moved(atoms, (100, 100, 100)), "far", dtype="float32", seeds=range(8))
    np.testing.assert_allclose(far.forces(), near.forces(), rtol=0, atol=2e-5)


@pytest.mark.full
def test_drift_across_many_cells(make_case):
    """A crystal that flies through three cells in a run: nothing jumps."""
    case = make_case(
        silicon(rattle=0.0),
        cheap={"lammps": {"potential": TERSOFF}},
        seeds="none",
        steps=60,
        stride=1,
        temperature=1.0,
    )
    # 0.6 Å/fs along x
    xml = case.input.read_text()
    velocity = "[ " + ", ".join(["0.6", "0", "0"] * 64) + " ]"
    old = xml[xml.index("<velocities") : xml.index("</velocities>") + len("</velocities>")]
    velocities = f"<velocities mode='manual' units='angstrom/femtosecond'>{velocity}</velocities>"
    xml = xml.replace(old, velocities).replace("<dynamics", "<fixcom>False</fixcom><dynamics")
    case.input.write_text(xml)
    done = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    x = case.positions()
    assert x[-1, 0, 0] - x[0, 0, 0] > 3 * 10.92
    # a perfect crystal in flight feels nothing
    assert np.abs(case.forces()).max() < 1e-4
    assert np.ptp(read_steps(case.folder / "mix.steps")["potential"]) < 1e-3


def test_images_are_changed_rarely_and_alike_for_all_beads():
    rng = np.random.default_rng(0)
    cell = np.array([[5.0, 0, 0], [1.0, 6.0, 0], [-0.5, 2.0, 4.0]])
    images, start = HomeImages(), rng.uniform(0, 1, (40, 3)) @ cell
    changes, previous = 0, None
    for step in range(400):
        beads = [
            start + 0.05 * step * np.array([1.0, -2.0, 0.5]) + rng.normal(0, 0.2, start.shape)
            for _ in range(4)
        ]
        folded = images.fold(beads, cell)
        shifts = [(a - b) @ np.linalg.inv(cell) for a, b in zip(beads, folded, strict=True)]
        np.testing.assert_allclose(shifts, np.round(shifts), atol=1e-9)
        np.testing.assert_allclose(shifts, np.broadcast_to(shifts[0], np.shape(shifts)), atol=1e-9)
        inside = np.mean(folded, axis=0) @ np.linalg.inv(cell)
        assert inside.min() > -0.6 and inside.max() < 1.6
        if previous is not None:
            changes += int((np.abs(shifts[0] - previous) > 0.5).any(axis=1).sum())
        previous = shifts[0]
    crossings = 40 * 0.05 * 400 * np.abs(np.array([1.0, -2.0, 0.5]) @ np.linalg.inv(cell)).sum()
    assert 0 < changes < crossings


@pytest.mark.full
def test_the_mace_driver_folds_by_itself(tiny_model):
    """As a client of plain i-PI, too, which sends what it has."""
    engine = MaceEngine(tiny_model, dtype="float32", threads=1)
    atoms = triclinic()
    far = moved(atoms, np.random.default_rng(2).integers(-200, 200, (len(atoms), 3)))
    near, away = (engine.evaluate(a.numbers, a.positions, a.cell.array)[1] for a in (atoms, far))
    np.testing.assert_allclose(away, near, rtol=0, atol=2e-5)
