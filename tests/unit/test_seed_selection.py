"""Words → seeds, against brute force over all images, in any cell, with thermal motion."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from ase import Atoms
from ase.build import bcc100, bulk, diamond111
from mixpi.errors import MixpiError
from mixpi.regions.coordination import coordination, nearest_distance
from mixpi.regions.seeds import select_seeds


CRYSTALS = {
    "diamond": (bulk("Si", cubic=True) * (3, 3, 3), 4),
    "bcc": (bulk("W", cubic=True) * (4, 4, 4), 8),
    "bcc, skew cell": (bulk("W") * (6, 6, 6), 8),
    "fcc": (bulk("Cu", cubic=True) * (4, 4, 4), 12),
    "hcp": (bulk("Ti") * (5, 5, 4), 12),
    "rock salt": (bulk("NaCl", "rocksalt", a=5.64, cubic=True) * (3, 3, 3), 6),
}


def random_cell(rng) -> np.ndarray:
    """Any sound cell with edges of 5 to 9 Å."""
    while True:
        cell = rng.normal(size=(3, 3))
        cell *= rng.uniform(5, 9, (3, 1)) / np.linalg.norm(cell, axis=1, keepdims=True)
        if np.linalg.det(cell) > 60.0:
            return cell


def all_distances(positions, targets, cell, images=2):
    """(images, n, m) distances to every image of the targets."""
    shifts = np.array(list(product(range(-images, images + 1), repeat=3))) @ cell
    return np.linalg.norm(
        positions[None, :, None] - targets[None, None] - shifts[:, None, None], axis=-1
    )


def without_an_atom(perfect: Atoms, neighbours: int) -> tuple[Atoms, list[int]]:
    """A vacancy, and the former nearest neighbours of the atom that is gone."""
    atoms, gone = perfect.copy(), len(perfect) // 2
    distance = all_distances(atoms.positions, atoms.positions[[gone]], atoms.cell.array, 1)
    distance = distance.min(axis=0)[:, 0]
    distance[gone] = np.inf
    around = np.argsort(distance)[:neighbours]
    del atoms[gone]
    return atoms, sorted(int(k) - (k > gone) for k in around)


@pytest.mark.parametrize("rattle", [0.0, 0.03, 0.045])
@pytest.mark.parametrize("name", CRYSTALS)
def test_neighbours_of_a_vacancy(name, rattle):
    perfect, neighbours = CRYSTALS[name]
    for seed in range(3):
        atoms, around = without_an_atom(perfect, neighbours)
        atoms.rattle(rattle, seed=seed)
        found = select_seeds("undercoordinated", atoms)
        assert found.indices == around
        assert str(neighbours) in found.why


@pytest.mark.parametrize("rattle", [0.08, 0.1])
@pytest.mark.parametrize("name", ["diamond", "bcc", "fcc", "rock salt"])
def test_hot_crystals_give_no_seeds_far_from_the_vacancy(name, rattle):
    perfect, neighbours = CRYSTALS[name]
    second = {"bcc": 14}.get(name, neighbours)
    for seed in range(3):
        atoms, around = without_an_atom(perfect, neighbours)
        _, both_shells = without_an_atom(perfect, second)
        atoms.rattle(rattle, seed=seed)
        found = set(select_seeds("undercoordinated", atoms).indices)
        assert found <= set(both_shells)
        assert len(set(around) - found) <= 1


@pytest.mark.parametrize("rattle", [0.0, 0.03])
@pytest.mark.parametrize(
    "slab",
    [bcc100("W", (4, 4, 8), vacuum=8.0), diamond111("Si", (4, 4, 8), vacuum=8.0)],
    ids=["bcc100", "diamond111"],
)
def test_surface_atoms(slab, rattle):
    atoms = slab.copy()
    atoms.pbc = True
    height = atoms.positions[:, 2].copy()
    atoms.rattle(rattle, seed=1)
    outer = np.isclose(height, height.min()) | np.isclose(height, height.max())
    assert select_seeds("undercoordinated", atoms).indices == np.flatnonzero(outer).tolist()


def test_perfect_crystal_has_no_odd_atoms():
    for atoms, _ in CRYSTALS.values():
        for kind in ("undercoordinated", "overcoordinated"):
            with pytest.raises(MixpiError, match="no atom has"):
                select_seeds(kind, atoms)


def test_atoms_around_an_interstitial():
    atoms = bulk("W", cubic=True) * (4, 4, 4)
    site = atoms.positions[60] + np.array([0.5, 0.25, 0.0]) * 3.165
    near = all_distances(atoms.positions, site[None], atoms.cell.array).min(axis=0)[:, 0] < 3.0
    atoms += Atoms("He", [site])
    found = select_seeds("overcoordinated", atoms)
    assert set(np.flatnonzero(near)) == set(found.indices) and near.sum() == 8


def test_given_cutoff_counts_as_brute_force_does():
    rng = np.random.default_rng(7)
    for _ in range(6):
        cell = random_cell(rng)
        positions = rng.uniform(-1, 2, (40, 3)) @ cell
        numbers = rng.choice([14, 8], 40)
        cutoff = rng.uniform(1.5, 4.0)
        distances = all_distances(positions, positions, cell, images=5)
        counts = ((distances > 1e-9) & (distances < cutoff)).sum(axis=(0, 2))
        found = coordination(numbers, positions, cell, cutoff=cutoff)
        for z in (8, 14):
            frequency = np.bincount(counts[numbers == z])
            assert frequency[found.usual[z]] == frequency.max()
        usual = np.array([found.usual[int(z)] for z in numbers])
        np.testing.assert_array_equal(found.too_few, counts < usual)
        np.testing.assert_array_equal(found.too_many, counts > usual)
        distances[distances < 1e-9] = np.inf
        expected = np.median(distances.min(axis=(0, 2)))
        assert nearest_distance(positions, cell) == pytest.approx(expected)


def test_near_is_the_nearest_image_in_any_cell():
    rng = np.random.default_rng(5)
    for _ in range(10):
        cell = random_cell(rng)
        atoms = Atoms("Si60", rng.uniform(-2, 3, (60, 3)) @ cell, cell=cell, pbc=True)
        point = rng.uniform(-1, 2, 3) @ cell
        reach = rng.uniform(1.0, 0.5 * np.linalg.norm(cell, axis=1).min())
        distance = all_distances(atoms.positions, point[None], cell, images=7).min(axis=0)[:, 0]
        expected = np.flatnonzero(distance < reach).tolist()
        words = f"near {point[0]!r} {point[1]!r} {point[2]!r} within {reach!r}".replace(
            "np.float64", ""
        )
        if expected and len(expected) < 60:
            assert select_seeds(words, atoms).indices == expected
        else:
            with pytest.raises(MixpiError):
                select_seeds(words, atoms)


def test_near_nothing_says_how_far_the_nearest_is():
    atoms = Atoms("Si2", [[0, 0, 0], [1, 0, 0]], cell=[10, 10, 10], pbc=True)
    with pytest.raises(MixpiError, match=r"nearest, atom 0, is 3\.00 Å away"):
        select_seeds("near 7 10 0 within 2", atoms)


def test_species_and_numbers():
    atoms = Atoms("HeWHHeW", np.eye(5, 3), cell=[9, 9, 9], pbc=True)
    assert select_seeds("species He", atoms).indices == [0, 3]
    assert select_seeds("species He, H", atoms).indices == [0, 2, 3]
    for words in ("3 1", "[3, 1]", "index 1 3", [3, 1, 1], np.array([1, 3])):
        assert select_seeds(words, atoms).indices == [1, 3]
    assert select_seeds("none", atoms).indices == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("species Xx", "no chemical symbol"),
        ("species He", "no atom matches 'species He': the structure has Si"),
        ("species Si", "all 64 atoms match"),
        ("near 1 2 3 within 99", "all 64 atoms match"),
        ("near 1 2 x within 4", "should be numbers"),
        ("near 1 2 3 within -4", "must be positive"),
        ("near 1 2 3 within nan", "should be numbers"),
        ("near 1 2 3", "is not understood; it can be\n  species He"),
        ("around the vacancy", "is not understood"),
        ("species", "is not understood"),
        ("none of them", "is not understood"),
        ("1 2.5", "is not understood"),
        ("", "is not understood"),
        ("64", "out of range"),
        ("-1", "out of range"),
        ([], "no atom matches the list"),
        ([0.5], "flat list of integers"),
        ("undercoordinated within 0.5", "no atom has fewer neighbours within 0.50 Å"),
    ],
)
def test_what_is_wrong_is_said(words, message):
    with pytest.raises(MixpiError) as error:
        select_seeds(words, bulk("Si", cubic=True) * 2)
    assert message in str(error.value)


def test_gas_and_glass_have_no_shells():
    rng = np.random.default_rng(0)
    gas = Atoms("Si200", rng.uniform(0, 16, (200, 3)), cell=[16] * 3, pbc=True)
    hot = bulk("Si", cubic=True) * (3, 3, 3)
    hot.rattle(0.4, seed=1)
    for atoms in (gas, hot):
        with pytest.raises(MixpiError, match=r"no shells.*undercoordinated within 2\.9"):
            select_seeds("undercoordinated", atoms)
