"""Loads on groups of atoms: forces in any frame, energies, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.units import Pascal
from conftest import silicon
from mixpi import MixpiError
from mixpi.blend.external_forces import external_forces
from mixpi.config import load_config
from mixpi.structure import oriented
from test_config import MINIMAL


UPPER = "where z > 6"


def loaded(folder, *loads, atoms=None):
    (silicon() if atoms is None else atoms).write(folder / "init.extxyz")
    (folder / "mixing.yaml").write_text(yaml.safe_dump({**MINIMAL, "loads": list(loads)}))
    config = load_config(folder / "mixing.yaml")
    return external_forces(config.loads, folder / config.structure)


def turned(atoms: Atoms) -> Atoms:
    """A copy that i-PI has to turn back, by a cell with three slanted vectors."""
    atoms = atoms.copy()
    atoms.cell[1] += [1.3, 0.0, 0.0]
    atoms.cell[2] += [-0.7, 2.1, 0.0]
    atoms.rotate(50.0, (1.0, 2.0, -1.0), rotate_cell=True)
    return atoms


def test_forces_on_each_and_on_groups_that_overlap(tmp_path):
    found = loaded(
        tmp_path,
        {"atoms": [3, 1], "force": [0.1, 0.0, -0.2]},
        {"atoms": "[1, 5]", "force": [0, 1, 0]},
    )
    np.testing.assert_array_equal(found.atoms, [1, 3, 5])
    np.testing.assert_allclose(found.forces, [[0.1, 1, -0.2], [0.1, 0, -0.2], [0, 1, 0]])
    whole = np.ones((64, 3))
    added = found.added_to(whole)
    np.testing.assert_allclose(added[[1, 3, 5]] - 1.0, found.forces)
    assert np.all(np.delete(added, [1, 3, 5], axis=0) == 1.0) and np.all(whole == 1.0)
    assert not found.is_balanced


def test_no_loads_change_nothing(tmp_path):
    found = loaded(tmp_path)
    forces = np.random.default_rng(0).normal(size=(64, 3))
    assert found.added_to(forces) is forces and found.energy(forces) == 0.0 and found.is_balanced


@pytest.mark.parametrize(("face", "vectors"), [("ab", (0, 1)), ("bc", (1, 2)), ("ca", (2, 0))])
def test_a_traction_is_a_stress_times_an_area(tmp_path, face, vectors):
    """In a turned cell, too: what the loads do is the same work, seen from either frame."""
    atoms = turned(silicon())
    stress = np.array([500.0, -200.0, 300.0])
    words = [f"index {' '.join(map(str, group))}" for group in (range(20), range(40, 64))]
    found = loaded(
        tmp_path,
        {"atoms": words[0], "traction": stress.tolist(), "face": face},
        {"atoms": words[1], "traction": (-stress).tolist(), "face": face},
        atoms=atoms,
    )
    area = np.linalg.norm(np.cross(*(atoms.cell[v] for v in vectors)))
    assert found.is_balanced and len(found.atoms) == 44
    total = found.forces[:20].sum(axis=0)
    assert np.linalg.norm(total) == pytest.approx(
        np.linalg.norm(stress) * 1e6 * Pascal * area, rel=1e-9
    )
    # along the cell vectors, which i-PI turns with the forces
    standard, _ = atoms.cell.standard_form()
    np.testing.assert_allclose(
        total @ standard.array.T, stress * 1e6 * Pascal * area @ atoms.cell.array.T, rtol=1e-6
    )
    assert np.abs(total).max() > 1e-3
    _, back = oriented(atoms, "here")
    np.testing.assert_allclose(
        found.size(back), 2.0 * np.abs(stress) * 1e6 * Pascal * area, rtol=1e-6
    )


def test_the_energy_has_the_forces_as_its_gradient(tmp_path):
    found = loaded(tmp_path, {"atoms": UPPER, "force": [0.3, -0.1, 0.2]})
    atoms, rng = silicon(), np.random.default_rng(1)
    assert found.energy(atoms.positions) == pytest.approx(0.0, abs=1e-6)  # digits of the file
    here, way = rng.normal(size=(2, 64, 3))
    # linear, so that any step will do
    slope = found.energy(here + 30.0 * way) - found.energy(here)
    assert slope == pytest.approx(-30.0 * np.sum(found.added_to(np.zeros((64, 3))) * way))


FORCE = {"force": [0, 0, 1]}
REFUSED = {
    "no atom": ({"atoms": "where z > 99", **FORCE}, "loads: atoms: no atom matches"),
    "none": ({"atoms": "none", **FORCE}, "'none' is no atom"),
    "not there": ({"atoms": [64], **FORCE}, "loads: atoms: .*64"),
    "not understood": ({"atoms": "the upper ones", **FORCE}, "loads.0.atoms: .*not understood"),
    "no atoms": (FORCE, "loads.0.atoms: missing"),
    "nan": ({"atoms": UPPER, "force": [0, float("nan"), 0]}, "loads.0.force.1: .*finite"),
    "zero": ({"atoms": UPPER, "force": [0, 0, 0.0]}, "does nothing"),
    "a number": ({"atoms": UPPER, "force": 3.0}, "loads.0.force: .*list"),
    "two numbers": ({"atoms": UPPER, "force": [0, 1]}, "at least 3"),
    "nothing": ({"atoms": UPPER}, "give either force .* or traction"),
    "both": ({"atoms": UPPER, **FORCE, "traction": [1, 0, 0], "face": "ab"}, "give either"),
    "no face": ({"atoms": UPPER, "traction": [1, 0, 0]}, "belong together"),
    "face alone": ({"atoms": UPPER, **FORCE, "face": "ab"}, "belong together"),
    "odd face": ({"atoms": UPPER, "traction": [1, 0, 0], "face": "xy"}, "'ab', 'bc' or 'ca'"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_loads_are_refused(tmp_path, what):
    load, message = REFUSED[what]
    with pytest.raises(MixpiError, match=message):
        loaded(tmp_path, load)


def test_which_of_several_is_wrong(tmp_path):
    with pytest.raises(MixpiError, match="loads: 1: atoms: no atom matches"):
        loaded(tmp_path, {"atoms": UPPER, **FORCE}, {"atoms": "where z > 99", **FORCE})
