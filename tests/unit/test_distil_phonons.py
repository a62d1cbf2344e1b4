"""The whole spectrum: equal to the Hessian of the supercell, and it sees the zone boundary."""

from __future__ import annotations

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from mixpi.distil.data import relaxed_crystal
from mixpi.distil.phonons import NOISE, Spectrum, phonon_repeats, spectrum
from mixpi.distil.properties import crystal_of, farthest


def hessian_energies(atoms, calculator) -> np.ndarray:
    """All vibrations of a supercell from its Hessian, ascending, meV; imaginary negative."""
    rows = []
    for k in range(3 * len(atoms)):
        forces = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[k // 3, k % 3] += sign * 0.01
            moved.calc = calculator
            forces.append(moved.get_forces().ravel())
        rows.append((forces[1] - forces[0]) / 0.02)
    hessian = np.array(rows)
    scale = np.repeat(atoms.get_masses(), 3) ** -0.5
    squares = np.linalg.eigvalsh((hessian + hessian.T) / 2 * np.outer(scale, scale))
    return (
        1e3
        * units._hbar
        * 1e10
        / np.sqrt(units._e * units._amu)
        * np.sign(squares)
        * np.sqrt(np.abs(squares))
    )


@pytest.mark.parametrize("structure", ["fcc", "bcc"])  # EMT's bcc copper is unstable
def test_spectrum_is_that_of_the_supercell(structure):
    start = bulk("Cu", structure, a={"fcc": 3.6, "bcc": 2.86}[structure], cubic=True)
    crystal = relaxed_crystal(start, EMT())
    found = spectrum(crystal, (2, 2, 2))
    expected = hessian_energies(crystal * (2, 2, 2), EMT())
    assert found.branches.size == expected.size
    np.testing.assert_allclose(np.sort(found.branches.ravel()), expected, atol=0.2)
    assert (found.imaginary > 0) == (structure == "bcc")


def test_translations_are_zero_and_the_zone_boundary_is_there():
    crystal = relaxed_crystal(bulk("Cu", "fcc", a=3.6), EMT())
    found = spectrum(crystal, phonon_repeats(crystal))
    assert not found.branches[0].any()
    assert np.any(np.all(found.points == [0.5, 0.5, 0.5], axis=1))
    assert found.branches[1:].min() > 1.0


@pytest.mark.parametrize("a", [2.0, 3.2, 4.0, 9.6, 15.0])
def test_supercells_reach_and_are_even(a):
    repeats = phonon_repeats(bulk("Cu", "sc", a=a))
    assert all(n * a >= 9.5 and (n == 1 or n % 2 == 0) for n in repeats)


def test_imaginary_is_relative_to_the_other():
    points = np.zeros((2, 3))
    one = Spectrum(points, np.array([[-20.0, 5.0], [-0.5 * NOISE, 9.0]]), points)
    two = Spectrum(points, np.array([[-8.0, 5.0], [1.0, 9.0]]), points)
    three = Spectrum(points, np.array([[2.0, 5.0], [1.0, 9.0]]), points)
    assert one.imaginary == 1
    assert not one.imaginary_against(two).any()
    assert one.imaginary_against(three).tolist() == [[True, False], [False, False]]


def test_simple_cubic_crystal_is_unstable_in_its_spectrum():
    """Lennard-Jones atoms on a simple cubic lattice relax to a saddle point, not a minimum."""
    start = bulk("Ar", "sc", a=3.6)
    found = crystal_of(start, LennardJones(sigma=3.4, epsilon=0.02, rc=8.0))
    assert not found.stable
    assert found.spectrum.lowest < -2.0
    assert found.moved < 1e-6


def test_farthest_does_not_depend_on_images_or_on_drift():
    cell = np.diag([10.0, 11.0, 12.0])
    shift = np.zeros((5, 3))
    shift[2] = [0.3, 0.0, 0.4]
    expected = np.linalg.norm(shift[2]) * 4 / 5
    assert farthest(shift, cell) == pytest.approx(expected)
    images = np.array([[0, 0, 0], [1, 0, 0], [0, -2, 0], [0, 0, 3], [1, 1, 1]])
    assert farthest(shift + [4.9, -5.4, 77.0] + images @ cell, cell) == pytest.approx(expected)
