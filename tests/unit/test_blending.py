"""Clusters, blending, net force, and the calculator that is the same engine without sockets."""

from __future__ import annotations

import numpy as np
import pytest
from ase.calculators.lj import LennardJones
from mixpi import Mixer, MixingCalculator, blend_forces, build_regions, extract_cluster
from mixpi.blend.blending import without_net_force
from mixpi.blend.mixer import Mixed, WorkOfCorrection


RADII = {"core": 3.0, "blend": 2.5, "buffer": 3.0}


def lj(epsilon, cutoff=4.0):
    return LennardJones(sigma=2.2, epsilon=epsilon, rc=cutoff, smooth=True)


@pytest.fixture
def system():
    from conftest import silicon

    return silicon(3, rattle=0.1)


def test_blend_is_the_formula_atom_by_atom(system):
    rng = np.random.default_rng(0)
    regions = build_regions(system.positions, system.cell, [5], **RADII)
    cluster = extract_cluster(regions, system.numbers)
    cheap = rng.normal(size=(len(system), 3))
    expensive = rng.normal(size=(len(cluster), 3))
    blended = blend_forces(cheap, expensive, cluster)
    for atom in range(len(system)):
        w = regions.weights[atom]
        wanted = cheap[atom]
        if w > 0:
            wanted = w * expensive[list(cluster.indices).index(atom)] + (1 - w) * cheap[atom]
        np.testing.assert_allclose(blended[atom], wanted, atol=1e-15)


def test_forces_on_the_buffer_are_dropped(system):
    regions = build_regions(system.positions, system.cell, [5], **RADII)
    cluster = extract_cluster(regions, system.numbers)
    cheap = np.zeros((len(system), 3))
    expensive = np.where(cluster.weights[:, None] > 0, 0.0, np.nan) * np.ones(3)
    assert not blend_forces(cheap, expensive, cluster).any()


def test_cluster_is_ascending_and_complete(system):
    regions = build_regions(system.positions, system.cell, [100], **RADII)
    cluster = extract_cluster(regions, system.numbers)
    assert (np.diff(cluster.indices) > 0).all()
    assert set(cluster.indices) == set(np.flatnonzero(regions.labels))
    np.testing.assert_array_equal(cluster.weights, regions.weights[cluster.indices])
    np.testing.assert_array_equal(
        cluster.positions(system.positions), system.positions[cluster.indices]
    )


@pytest.mark.parametrize("wrong", [(1, 3), (10_000, 3), (5, 2)])
def test_wrong_shapes_are_refused(system, wrong):
    regions = build_regions(system.positions, system.cell, [5], **RADII)
    cluster = extract_cluster(regions, system.numbers)
    with pytest.raises(ValueError, match="expensive forces must be"):
        blend_forces(np.zeros((len(system), 3)), np.zeros(wrong), cluster)
    with pytest.raises(ValueError, match="numbers must have shape"):
        extract_cluster(regions, system.numbers[:-1])


def test_net_force_is_removed_by_mass_and_reported():
    rng = np.random.default_rng(0)
    forces, masses = rng.normal(size=(50, 3)), rng.uniform(1, 200, 50)
    corrected, removed = without_net_force(forces, masses)
    np.testing.assert_allclose(corrected.sum(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(removed, forces.sum(axis=0))
    # every atom is given the same acceleration
    given = (forces - corrected) / masses[:, None]
    np.testing.assert_allclose(given, np.broadcast_to(given[0], given.shape), atol=1e-15)


@pytest.mark.parametrize("masses", [[1.0, 0.0], [1.0, -2.0], [1.0], [[1.0, 2.0]]])
def test_wrong_masses_are_refused(masses):
    with pytest.raises(ValueError, match="masses must be positive, one an atom"):
        Mixer([1, 1], [0], core=1.0, blend=1.0, buffer=1.0, masses=masses)


@pytest.mark.parametrize("remove", [True, False])
def test_calculator_blends_two_calculators(system, remove):
    mixing = {**RADII, "buffer": 8.5, "remove_net_force": remove}
    system.calc = MixingCalculator(cheap=lj(1.0), expensive=lj(2.0), seeds=[5], **mixing)
    forces = system.get_forces()
    w = system.calc.results["weights"][:, None]
    whole = system.copy()
    wanted = w * lj(2.0).get_forces(whole) + (1 - w) * lj(1.0).get_forces(whole)
    wanted -= remove * wanted.mean(axis=0)
    np.testing.assert_allclose(forces, wanted, atol=1e-10)


def test_equal_potentials_mix_to_themselves(system):
    system.calc = MixingCalculator(
        cheap=lj(1.0), expensive=lj(1.0), seeds=[5], **RADII | {"buffer": 8.5}
    )
    forces = system.get_forces()
    np.testing.assert_allclose(forces, lj(1.0).get_forces(system.copy()), atol=1e-10)


def test_energy_estimate_follows_a_conservative_correction():
    """With w = 1 everywhere the estimate is the expensive energy, up to a constant."""
    from conftest import silicon

    atoms = silicon(2)
    n = len(atoms)
    mixer = Mixer(atoms.numbers, range(n), core=1.0, blend=0.0, buffer=0.0, remove_net_force=False)
    work, cheap, expensive = WorkOfCorrection(mixer.masses), lj(1.0), lj(1.3)
    direction = np.random.default_rng(1).normal(size=(n, 3))
    direction /= np.linalg.norm(direction)
    estimates, exact = [], []
    for s in np.linspace(0, 0.5, 201):
        atoms2 = atoms.copy()
        atoms2.positions += s * direction
        plan = mixer.plan([atoms2.positions], [atoms2.cell.array])
        mixed = mixer.combine(plan, cheap.get_forces(atoms2), expensive.get_forces(atoms2))
        [done] = work.add([atoms2.positions], atoms2.cell.array, plan, [mixed])
        estimates.append(cheap.get_potential_energy(atoms2) - done)
        exact.append(expensive.get_potential_energy(atoms2))
    change = np.array(exact) - exact[0]
    assert np.ptp(change) > 1e-2
    np.testing.assert_allclose(np.array(estimates) - estimates[0], change, atol=1e-5)


def mixed(correction: float, removed=(0.0, 0.0, 0.0)) -> Mixed:
    """On the first atom of two."""
    return Mixed(np.zeros((2, 3)), np.zeros(3), np.array(removed), np.full((1, 3), correction))


def two_atoms(x: float):
    positions, cell = np.array([[x, 0, 0], [4.0, 0, 0]]), np.eye(3) * 9
    plan = Mixer([14, 14], [0], core=1.0, blend=0.0, buffer=0.0).plan([positions], [cell])
    return positions, cell, plan


def test_energy_estimate_starts_again_when_the_batch_changes():
    work = WorkOfCorrection(np.ones(2))
    x, cell, plan = two_atoms(0.0)
    assert work.add([x], cell, plan, [mixed(1.0)]) == [0.0]
    assert work.add([x + 1.0], cell, plan, [mixed(1.0)]) == [3.0]
    assert work.add([x, x], cell, plan, [mixed(1.0)] * 2) == [0.0, 0.0]


def test_energy_estimate_does_not_see_wrapping():
    work = WorkOfCorrection(np.ones(2))
    x, cell, plan = two_atoms(8.9)
    work.add([x], cell, plan, [mixed(1.0)])
    x = two_atoms(0.1)[0]  # moved by 0.2 across the boundary
    assert work.add([x], cell, plan, [mixed(1.0)]) == pytest.approx([0.2])


def test_energy_estimate_counts_the_work_of_the_removal():
    """Two atoms of masses 1 and 3 bear a net force of 8 eV/Å: it does work on their centre."""
    work = WorkOfCorrection(np.array([1.0, 3.0]))
    x, cell, plan = two_atoms(0.0)
    removed = mixed(0.0, removed=(8.0, 0.0, 0.0))
    work.add([x], cell, plan, [removed])
    x = x + np.array([[0.4, 0.0, 0.0], [-0.1, 0.0, 0.0]])  # the centre moves by 0.025
    assert work.add([x], cell, plan, [removed]) == pytest.approx([-8.0 * 0.025])
    x = x + 0.1 * np.array([1.0, 0.0, 0.0])
    assert work.add([x], cell, plan, [removed])[0] == pytest.approx(-0.2 - 0.8)


def test_energy_estimate_goes_on_where_an_earlier_part_ended():
    work = WorkOfCorrection(np.ones(2))
    x, cell, plan = two_atoms(0.0)
    work.resume([5.0])
    assert work.add([x], cell, plan, [mixed(1.0)]) == [5.0]
    assert work.add([x + 1.0], cell, plan, [mixed(1.0)]) == [8.0]
