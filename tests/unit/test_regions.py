"""Regions and weights against brute force, on any cell, and what must not change them."""

from __future__ import annotations

import brute_force
import numpy as np
import pytest
from ase.build import bulk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mixpi import build_regions
from mixpi.regions import search
from mixpi.regions.bins import Bins
from mixpi.regions.growth import PROFILES, union
from mixpi.regions.periodic import PeriodicCell
from scipy.spatial.transform import Rotation


RADII = {"core": 4.0, "blend": 3.0, "buffer": 5.0}


def crystal(repeat=3, rattle=0.1):
    atoms = bulk("Si", "diamond", a=5.43, cubic=True) * (repeat, repeat, repeat)
    atoms.rattle(rattle, seed=5)
    return atoms.positions, atoms.cell.array


SYSTEMS = {
    "orthorhombic": crystal(),
    "perfect lattice": crystal(rattle=0.0),
    "triclinic": (
        np.random.default_rng(1).uniform(0, 1, (120, 3))
        @ [[14.0, 0, 0], [5.0, 12.0, 0], [-4.0, 3.0, 11.0]],
        np.array([[14.0, 0, 0], [5.0, 12.0, 0], [-4.0, 3.0, 11.0]]),
    ),
    "gas": (np.random.default_rng(2).uniform(-30, 60, (200, 3)), np.diag([28.0, 31.0, 37.0])),
    "smaller than the radii": (
        np.random.default_rng(3).uniform(0, 4, (9, 3)),
        np.array([[4.0, 0, 0], [1.0, 3.5, 0], [0.3, -0.8, 4.2]]),
    ),
    "one atom": (np.zeros((1, 3)), np.diag([3.0, 3.0, 3.0])),
    "left-handed": (
        np.random.default_rng(4).uniform(0, 9, (60, 3)),
        np.array([[0, 9.0, 0], [9.0, 0, 0], [0, 0, 9.0]]),
    ),
    "needle": (np.random.default_rng(6).uniform(0, 60, (150, 3)), np.diag([5.0, 5.0, 60.0])),
}


def assert_same(found, wanted) -> None:
    weights, core, blend, buffer = wanted
    np.testing.assert_array_equal(found.core, core)
    np.testing.assert_array_equal(found.blend, blend)
    np.testing.assert_array_equal(found.buffer, buffer)
    # positions of 150 Å are rounded to 3e-14 Å, in units of a blend of 0.7 Å
    np.testing.assert_allclose(found.weights, weights, rtol=0, atol=1e-12)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    "radii", [RADII, {"core": 0, "blend": 2.5, "buffer": 0}, {**RADII, "blend": 0}]
)
@pytest.mark.parametrize("system", SYSTEMS)
def test_against_brute_force(system, radii, profile):
    positions, cell = SYSTEMS[system]
    seeds = [0, len(positions) // 2, len(positions) - 1]
    found = build_regions(positions, cell, seeds, **radii, profile=profile)
    wanted = brute_force.regions(positions, cell, np.unique(seeds), **radii, profile=profile)
    assert_same(found, wanted)


@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(1, 40),
    lengths=st.tuples(*[st.floats(2.5, 16.0) | st.floats(16.0, 80.0)] * 3),
    tilts=st.tuples(*[st.floats(-0.9, 0.9)] * 3),
    radii=st.tuples(*[st.sampled_from([0.0, 0.7, 1.9, 3.3, 6.1])] * 3),
    profile=st.sampled_from(sorted(PROFILES)),
    seed=st.integers(0, 2**16),
)
def test_any_cell_against_brute_force(n, lengths, tilts, radii, profile, seed):
    a, b, c = lengths
    cell = np.array([[a, 0, 0], [tilts[0] * a, b, 0], [tilts[1] * a, tilts[2] * b, c]])
    rng = np.random.default_rng(seed)
    positions = rng.uniform(-1.5, 2.5, (n, 3)) @ cell
    seeds = rng.choice(n, rng.integers(1, min(4, n) + 1), replace=False)
    radii = dict(zip(("core", "blend", "buffer"), radii, strict=True))
    found = build_regions(positions, cell, seeds, **radii, profile=profile)
    assert_same(found, brute_force.regions(positions, cell, seeds, **radii, profile=profile))


@pytest.fixture
def always_bins(monkeypatch):
    """A grid of bins also for the few atoms that brute force can manage."""
    monkeypatch.setattr(search, "MANY", 0)
    monkeypatch.setattr(search, "CROWD", 0.0)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("radii", [RADII, {**RADII, "core": 0.0}, {**RADII, "buffer": 1.0}])
@pytest.mark.parametrize("system", SYSTEMS)
def test_bins_against_brute_force(always_bins, system, radii, profile):
    positions, cell = SYSTEMS[system]
    seeds = np.arange(0, len(positions), 7)
    found = build_regions(positions, cell, seeds, **radii, profile=profile)
    assert_same(found, brute_force.regions(positions, cell, seeds, **radii, profile=profile))


@pytest.mark.full
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    n=st.integers(1, 60),
    lengths=st.tuples(*[st.floats(2.5, 16.0) | st.floats(16.0, 60.0)] * 3),
    tilts=st.tuples(*[st.floats(-0.9, 0.9)] * 3),
    radii=st.tuples(*[st.sampled_from([0.0, 0.7, 1.9, 3.3, 6.1])] * 3),
    seed=st.integers(0, 2**16),
)
def test_bins_in_any_cell_against_brute_force(always_bins, n, lengths, tilts, radii, seed):
    a, b, c = lengths
    cell = np.array([[a, 0, 0], [tilts[0] * a, b, 0], [tilts[1] * a, tilts[2] * b, c]])
    rng = np.random.default_rng(seed)
    positions = rng.uniform(-1.5, 2.5, (n, 3)) @ cell
    seeds = rng.choice(n, rng.integers(1, n + 1), replace=False)
    radii = dict(zip(("core", "blend", "buffer"), radii, strict=True))
    found = build_regions(positions, cell, seeds, **radii)
    assert_same(found, brute_force.regions(positions, cell, seeds, **radii, profile="linear"))


def spread(cell, n, rng):
    return rng.uniform(0, 1, (n, 3)) @ cell, cell


MANY_ATOMS = {
    "crystal": lambda rng: crystal(15),
    "slab": lambda rng: (crystal(15)[0], crystal(15)[1] + np.diag([0.0, 0.0, 40.0])),
    "plate": lambda rng: spread(np.diag([150.0, 140.0, 5.0]), 25_000, rng),
    "needle": lambda rng: spread(np.diag([9.0, 900.0, 8.0]), 25_000, rng),
    "skewed": lambda rng: spread(
        np.array([[80.0, 0, 0], [70.0, 75.0, 0], [-60.0, 50.0, 70.0]]), 25_000, rng
    ),
}
CHOICES = {
    "scattered": lambda x, rng: rng.choice(len(x), 200, replace=False),
    "line": lambda x, rng: np.flatnonzero(np.linalg.norm(x[:, :2] - x[7, :2], axis=1) < 3.0),
    "plane": lambda x, rng: np.flatnonzero(np.abs(x[:, 1] - x[7, 1]) < 2.0),
    "all": lambda x, rng: np.arange(len(x)),
}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("system", MANY_ATOMS)
def test_bins_change_nothing(monkeypatch, system, choice):
    rng = np.random.default_rng(0)
    positions, cell = MANY_ATOMS[system](rng)
    seeds = CHOICES[choice](positions, rng)
    used = []
    compare = Bins.compare
    monkeypatch.setattr(Bins, "compare", lambda *a: used.append(1) or compare(*a))
    a = build_regions(positions, cell, seeds, **RADII, profile="cubic")
    assert used or choice in ("line", "plane")  # where the seeds reach little of the cell
    monkeypatch.setattr(search, "MANY", len(positions) + 1)
    b = build_regions(positions, cell, seeds, **RADII, profile="cubic")
    np.testing.assert_array_equal(a.labels, b.labels)
    np.testing.assert_array_equal(a.weights, b.weights)
    assert a.core.any()


@pytest.mark.full
def test_large_cell_takes_the_grid_path():
    """Most atoms are sorted out by the grid of bins; the rest must still be exact."""
    positions, cell = crystal(8)
    seeds = [7, 4000]
    found = build_regions(positions, cell, seeds, **RADII)
    near = brute_force_near(positions, cell, seeds)
    assert set(found.cluster) <= set(near)
    wanted = brute_force.regions(
        positions[near], cell, np.searchsorted(near, seeds), **RADII, profile="linear"
    )
    assert_same(build_part(found, near), wanted)


def brute_force_near(positions, cell, seeds):
    vectors = positions[:, None] - positions[None, seeds]
    fractional = vectors @ np.linalg.inv(cell)
    vectors -= np.round(fractional) @ cell
    return np.flatnonzero(np.linalg.norm(vectors, axis=2).min(axis=1) < 13.0)


@pytest.mark.parametrize("name", SYSTEMS)
def test_displacements_are_folded_by_whole_lattice_vectors(name):
    cell = SYSTEMS[name][1]
    rng = np.random.default_rng(8)
    short = rng.uniform(-0.49, 0.49, (40, 3)) @ cell
    long = short + rng.integers(-3, 4, (40, 3)) @ cell
    np.testing.assert_allclose(
        PeriodicCell(cell).fold(long), short, atol=1e-12 * np.abs(cell).max()
    )


def build_part(regions, indices):
    parts = (regions.weights, regions.core, regions.blend, regions.buffer)
    return type(regions)(*(part[indices] for part in parts))


def test_masks_are_disjoint_and_weights_agree_with_them():
    positions, cell = crystal()
    r = build_regions(positions, cell, [0, 50], **RADII)
    assert not (r.core & r.blend).any() and not (r.core & r.buffer).any()
    assert not (r.blend & r.buffer).any()
    assert (r.weights[r.core] == 1).all()
    assert ((r.weights[r.blend] > 0) & (r.weights[r.blend] < 1)).all()
    assert (r.weights[~(r.core | r.blend)] == 0).all()
    assert r.counts == (r.core.sum(), r.blend.sum(), r.buffer.sum())
    np.testing.assert_array_equal(r.labels == 3, r.core)
    np.testing.assert_array_equal(r.labels == 0, ~(r.core | r.blend | r.buffer))


def test_radii_are_strict():
    positions = np.array([[0.0, 0, 0], [2.0, 0, 0], [4.0, 0, 0], [6.0, 0, 0]])
    r = build_regions(positions, np.diag([50.0] * 3), [0], core=2.0, blend=2.0, buffer=2.0)
    np.testing.assert_array_equal(r.labels, [3, 0, 0, 0])
    r = build_regions(positions, np.diag([50.0] * 3), [0], core=2.1, blend=2.1, buffer=2.1)
    np.testing.assert_array_equal(r.labels, [3, 3, 2, 1])


def test_blend_measures_from_the_nearest_core_atom_not_the_seed():
    positions = np.array([[0.0, 0, 0], [3.0, 0, 0], [5.0, 0, 0]])
    r = build_regions(positions, np.diag([50.0] * 3), [0], core=3.5, blend=4.0, buffer=0)
    assert r.weights[2] == pytest.approx(1 - 2.0 / 4.0, abs=1e-15)


TRANSFORMS = {
    "translated": lambda x, c, rng: (x + rng.normal(0, 20, 3), c),
    "rotated": lambda x, c, rng: (
        x @ (m := Rotation.random(rng=rng).as_matrix()),
        c @ m,
    ),
    "wrapped elsewhere": lambda x, c, rng: (x + rng.integers(-3, 4, x.shape) @ c, c),
    "equivalent cell": lambda x, c, rng: (x, np.array([[1, 0, 0], [1, 1, 0], [0, -1, 1]]) @ c),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("system", ["orthorhombic", "triclinic", "smaller than the radii"])
def test_same_regions_when(system, transform):
    positions, cell = SYSTEMS[system]
    moved = TRANSFORMS[transform](positions, cell, np.random.default_rng(0))
    a = build_regions(positions, cell, [1, 2], **RADII)
    b = build_regions(*moved, [1, 2], **RADII)
    np.testing.assert_array_equal(a.labels, b.labels)
    np.testing.assert_allclose(a.weights, b.weights, atol=1e-12)


def test_same_regions_when_permuted():
    positions, cell = SYSTEMS["triclinic"]
    order = np.random.default_rng(0).permutation(len(positions))
    a = build_regions(positions, cell, order[[3, 9]], **RADII)
    b = build_regions(positions[order], cell, [3, 9], **RADII)
    np.testing.assert_array_equal(a.labels[order], b.labels)
    np.testing.assert_array_equal(a.weights[order], b.weights)


def test_seeds_as_mask_and_repeated():
    positions, cell = crystal()
    mask = np.zeros(len(positions), dtype=bool)
    mask[[4, 9]] = True
    a = build_regions(positions, cell, mask, **RADII)
    b = build_regions(positions, cell, [9, 4, 9], **RADII)
    np.testing.assert_array_equal(a.weights, b.weights)


def test_no_seeds_no_region():
    positions, cell = crystal()
    r = build_regions(positions, cell, [], **RADII)
    assert r.counts == (0, 0, 0) and not r.weights.any() and len(r.cluster) == 0


def test_union_gives_each_geometry_at_least_its_own_surroundings():
    positions, cell = crystal()
    rng = np.random.default_rng(0)
    beads = [positions + rng.normal(0, 0.3, positions.shape) for _ in range(4)]
    each = [build_regions(bead, cell, [0], **RADII) for bead in beads]
    together = union(each)
    for one in each:
        assert (together.weights >= one.weights).all()
        assert set(one.cluster) <= set(together.cluster)
    assert (together.weights == np.max([r.weights for r in each], axis=0)).all()
    assert (
        not (together.core & together.blend).any() and not (together.blend & together.buffer).any()
    )
    assert union(each[:1]) is each[0]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"core": -1.0}, ValueError, "core radius must be a number >= 0"),
        ({"blend": np.nan}, ValueError, "blend radius"),
        ({"buffer": np.inf}, ValueError, "buffer radius"),
        ({"core": "4"}, ValueError, "core radius must be a number >= 0"),
        ({"blend": None}, ValueError, "blend radius"),
        ({"buffer": True}, ValueError, "buffer radius"),
        ({"profile": ["linear"]}, ValueError, "profile must be one of"),
        ({"profile": "cosine"}, ValueError, "profile must be one of"),
        ({"seeds": [216]}, IndexError, "seed 216 is out of range: the structure has 216 atoms"),
        ({"seeds": [-1]}, IndexError, "seed -1 is out of range"),
        ({"seeds": [0.5]}, ValueError, "seeds must be a flat list of integers"),
        ({"seeds": [[0, 1]]}, ValueError, "seeds must be a flat list of integers"),
        ({"seeds": np.ones(3, dtype=bool)}, ValueError, "seed mask must have shape"),
        ({"cell": np.zeros((3, 3))}, ValueError, "singular"),
        ({"cell": np.ones((3, 3))}, ValueError, "singular"),
        ({"cell": np.diag([9.0, np.nan, 9.0])}, ValueError, "NaN"),
        ({"cell": np.eye(2)}, ValueError, "must be \\(3, 3\\)"),
        ({"positions": np.zeros((5, 2))}, ValueError, "positions must be \\(n, 3\\)"),
        ({"positions": np.full((216, 3), np.nan)}, ValueError, "position of atom 0 is NaN"),
    ],
)
def test_bad_input_is_refused(change, error, message):
    positions, cell = crystal()
    arguments = {"positions": positions, "cell": cell, "seeds": [0], **RADII, **change}
    with pytest.raises(error, match=message):
        build_regions(**arguments)
