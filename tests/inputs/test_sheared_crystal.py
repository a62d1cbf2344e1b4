"""The case study of a sheared crystal: its crystal, its measure, its unconstrained potential."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase import Atoms
from mixpi.distil.data import relaxed_crystal
from mixpi.distil.lammps_engine import LammpsCalculator
from mixpi.distil.properties import elastic_constants
from mixpi.drivers.lammps import LammpsSetup
from test_case_studies import STUDIES
from test_diffusion_studies import module


FOLDER = STUDIES / "sheared_crystal"
POTENTIALS = STUDIES.parent / "potentials"


def distances(atoms: Atoms) -> np.ndarray:
    """To all atoms in this and the 26 cells around, by brute force: (n, n, 27)."""
    shifts = np.array([[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)])
    x = atoms.positions
    away = x[None, :, None] + shifts @ atoms.cell.array - x[:, None, None]
    return np.linalg.norm(away, axis=-1)


@pytest.mark.parametrize("shear", [0.0, 0.075])
def test_the_crystal_is_sheared_once(shear):
    crystal = module(FOLDER / "sheared_crystal.py")
    atoms = crystal.sheared(2, shear)
    edge = 2 * crystal.LATTICE
    np.testing.assert_allclose(
        atoms.cell.array, [[edge, 0, 0], [shear * edge, edge, 0], [0, 0, edge]], atol=1e-12
    )
    near = distances(atoms)
    assert (((near > 0.0) & (near < 3.0)).sum(axis=(1, 2)) == 4).all()
    # (1, 1, 1) / 4 and (-1, -1, 1) / 4 become longer, (1, -1, 1) / 4 and (-1, 1, 1) / 4 shorter
    bonds = np.unique(near[0][(near[0] > 0.0) & (near[0] < 3.0)].round(9))
    expected = [np.sqrt((1 + s * shear) ** 2 + 2) * crystal.LATTICE / 4 for s in (-1, 1)]
    np.testing.assert_allclose(bonds, np.unique(expected), atol=1e-8)


def test_the_seeds_are_around_the_middle():
    crystal = module(FOLDER / "sheared_crystal.py")
    for cells in (4, 6):
        atoms, seeds = crystal.sheared(cells, 0.0), crystal.seeds(cells)
        # an atom is in the middle of an even number of cells: neighbours in shells of 4, 12, 12,
        # 6 and 12 lie within 6 Å
        assert len(seeds) == 1 + 4 + 12 + 12 + 6 + 12
        off = np.linalg.norm(atoms.positions - crystal.LATTICE * cells / 2, axis=1)
        assert off[seeds].max() < 6.0 < np.delete(off, seeds).min()


def test_the_measure_by_hand():
    """One atom that moves by 0.1 Å strains four bonds, which count twice."""
    strain = module(FOLDER / "strain_error.py")
    reference = module(FOLDER / "sheared_crystal.py").sheared(2, 0.05)
    mixed, near = reference.copy(), distances(reference).min(axis=2)
    weights = np.zeros(len(mixed))
    weights[(near[0] < 3.0)] = 1.0  # it and its neighbours are the core
    mixed.arrays["mix_weight"] = weights
    mixed.positions += [3.0, -2.0, 1.0]  # all together: no strain
    mixed.positions[0] += [0.0, 0.06, -0.08]
    found = strain.strain_error(mixed, reference)
    assert found["norm"] == pytest.approx(np.sqrt(8) * 0.1)
    # the bonds within the core are those four; none of the others is strained
    assert found["core"] == pytest.approx(0.1) and found["largest"] == pytest.approx(0.1)
    assert max(found["seam"], found["cheap"]) < 1e-12


@pytest.mark.full
def test_the_unconstrained_potential_is_the_one_of_the_report():
    report = json.loads((POTENTIALS / "si-uf3.json").read_text())
    lines = [line.replace("si-uf3.uf3", "si-uf3-unconstrained.uf3") for line in report["lammps"]]
    calculator = LammpsCalculator(LammpsSetup(lines, report["species"], FOLDER))
    start = module(FOLDER / "sheared_crystal.py").sheared(1, 0.0)
    crystal = relaxed_crystal(start, calculator)
    expected = report["unconstrained"]
    assert crystal.cell.lengths() == pytest.approx(expected["lattice"]["a0"], abs=1e-4)
    found = elastic_constants(crystal, cubic=True)
    assert found == pytest.approx(expected["elastic"], rel=1e-3)
