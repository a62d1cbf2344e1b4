"""The screw dislocation of the case study: its cell fits itself, and its core is the one meant."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from conftest import ROOT
from mixpi.analysis.line import line_atoms
from mixpi.config import load_config
from mixpi.regions.pairs import pairs_within
from mixpi.regions.periodic import PeriodicCell


STUDY = ROOT / "ipi_inputs" / "case_studies" / "w_screw_dislocation"
EDGE = 3.188
B = EDGE * np.sqrt(0.75)


@pytest.fixture(scope="module")
def screw():
    sys.path.insert(0, str(STUDY))
    import screw

    yield screw
    sys.path.remove(str(STUDY))


@pytest.mark.parametrize("easy", [True, False])
def test_the_cell_meets_itself_displaced_by_half_a_burgers_vector(screw, easy):
    """Nowhere but at the line are neighbours nearer than in the crystal: not at the boundary."""
    atoms = screw.with_screw(EDGE, (2, 12, 8), easy=easy)
    assert len(atoms) == 6 * 2 * 12 * 8
    np.testing.assert_allclose(atoms.cell[1, 0], B / 2.0)
    pairs = pairs_within(atoms.positions, atoms.cell.array, 0.5 * (1.0 + np.sqrt(0.75)) * EDGE)
    middle = np.diagonal(atoms.cell.array)[1:] / 2.0
    away = np.linalg.norm(atoms.positions[pairs.first, 1:] - middle, axis=1) > 8.0
    np.testing.assert_allclose(pairs.distances[away], B, rtol=0.035)
    # inside the slab each has its eight
    z = atoms.positions[:, 2]
    inner = (z > z.min() + 3.0) & (z < z.max() - 3.0)
    far = np.linalg.norm(atoms.positions[:, 1:] - middle, axis=1) > 8.0
    assert np.all(np.bincount(pairs.first, minlength=len(atoms))[inner & far] == 8)


def test_a_walk_around_the_line_ends_a_burgers_vector_higher(screw):
    atoms = screw.with_screw(EDGE, (1, 12, 8))
    perfect = screw.oriented(EDGE, (1, 12, 8))
    middle = np.diagonal(perfect.cell.array)[1:] / 2.0
    away = perfect.positions[:, 1:] - middle
    ring = np.flatnonzero(abs(np.linalg.norm(away, axis=1) - 11.0) < 1.5)
    ring = ring[np.argsort(np.arctan2(away[ring, 1], away[ring, 0]))]
    moved = (atoms.positions - perfect.positions)[ring, 0]
    steps = np.diff([*moved, moved[0]])
    steps -= B * np.round(steps / B)
    assert steps.sum() == pytest.approx(B) and np.abs(steps).max() < 0.3 * B


def test_easy_and_hard_core(screw):
    """Three rows of atoms around the line: level in the hard core alone."""
    levels = {}
    for easy in (True, False):
        atoms = screw.with_screw(EDGE, (1, 12, 8), easy=easy)
        z = atoms.positions[:, 2]
        odd = line_atoms(
            atoms.positions, PeriodicCell(atoms.cell.array), 1.207 * EDGE, (z > 18) & (z < 36)
        )
        place = atoms.positions[odd, 1:].mean(axis=0)
        near = np.argsort(np.linalg.norm(atoms.positions[:, 1:] - place, axis=1))[:3]
        phases = np.exp(2j * np.pi * atoms.positions[near, 0] / B)
        levels[easy] = abs(phases.mean())
    assert levels[False] > 0.99 and levels[True] < 0.01


def test_sizes_and_the_elastic_strain(screw):
    """195,000 atoms as in the paper; what a stress does is (C11 - C12 + C44)/3, from the model."""
    assert len(screw.oriented(EDGE, (25, 26, 50))) == 195_000
    calculator = screw.cheap_calculator()
    edge = screw.lattice_constant(calculator)
    modulus = screw.shear_modulus(calculator, edge)
    assert edge == pytest.approx(3.1881, abs=2e-4)  # models/README.md
    assert modulus / screw.GPa == pytest.approx((459.8 - 251.5 + 98.3) / 3.0, rel=2e-3)
    slab = screw.with_screw(edge, (1, 6, 6))
    moved = screw.sheared(slab, 1000.0, modulus).positions - slab.positions
    height = np.ptp(slab.positions[:, 2])
    assert np.ptp(moved[:, 0]) == pytest.approx(height / 102.2, rel=1e-3)
    assert not moved[:, 1:].any()


def test_the_configuration(screw):
    config = load_config(STUDY / "mixing.yaml")
    assert config.classified and len(config.loads) == 2
    assert np.add(*(load.traction for load in config.loads)).tolist() == [0.0, 0.0, 0.0]
