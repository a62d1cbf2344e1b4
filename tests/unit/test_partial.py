"""Partial evaluation: by an oracle what it says; exact in the limit, a derivative, invariant."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from conftest import silicon
from mixpi import MixpiError
from mixpi.drivers.mace import MaceEngine
from mixpi.drivers.partial import choose
from mixpi.drivers.symmetrix_engine import SymmetrixEngine
from mixpi.regions.periodic import PeriodicCell
from mixpi.regions.search import distance_to_nearest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation
from test_symmetrix import ARCHITECTURES, cache, made, mixture


__all__ = ["cache"]  # a fixture

pytest.importorskip("symmetrix")
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:To copy construct")

#: Pairs of radii, Å, of site energies and features; the model sees 4 Å a layer.
RADII = [(3.0, 2.0), (3.0, 3.0), (2.0, 5.0), (5.0, 4.0)]


@pytest.fixture(scope="module")
def engines(cache, tiny_model):
    return MaceEngine(tiny_model, threads=1), SymmetrixEngine(tiny_model)


@pytest.fixture(scope="module", params=["mace-torch", "symmetrix"])
def engine(engines, request):
    return engines[request.param == "symmetrix"]


def distances(positions, cell, counted) -> np.ndarray:
    """To the nearest atom that counts, images and all."""
    distance = distance_to_nearest(PeriodicCell(cell), positions, positions[counted], 60.0)
    distance[counted] = 0.0
    return distance


def crystal(repeat: int = 2):
    """A structure, and how far its atoms are from the first two."""
    atoms = silicon(repeat, rattle=0.1)
    structure = atoms.numbers, atoms.positions, atoms.cell.array
    return structure, distances(*structure[1:], [0, 1])


def oracle(engine: MaceEngine, structure, distance, sites, features, fill=None):
    """The definition, on the whole network: a hook changes features, a mask sums energies."""
    import torch

    [network] = engine.calculator.models
    far = torch.as_tensor(distance >= features)
    kinds = torch.as_tensor(np.searchsorted(engine.numbers, structure[0]))

    def change(_module, _inputs, found):
        others = torch.zeros_like(found) if fill is None else torch.as_tensor(fill)[kinds]
        return torch.where(far[:, None], others.to(found), found)

    hook = network.products[0].register_forward_hook(change)
    try:
        return engine.evaluate(*structure, mask=distance < sites)
    finally:
        hook.remove()


@pytest.mark.parametrize("sites, features", RADII)
@pytest.mark.parametrize("filled", [False, True], ids=["dropped", "filled"])
def test_it_is_what_is_defined(engines, sites, features, filled):
    torch_engine = engines[0]
    structure, distance = crystal()
    radii = {"sites": sites, "features": features}
    fills = [e.mean_features(*structure) if filled else None for e in engines]
    wanted = oracle(torch_engine, structure, distance, fill=fills[0], **radii)
    for engine, fill in zip(engines, fills, strict=True):
        found = engine.evaluate_partial(*structure, distance=distance, fill=fill, **radii)
        assert found[0] == pytest.approx(wanted[0], abs=1e-6)
        assert_allclose(found[1], wanted[1], atol=1e-6)
        assert np.isnan(found[2]).all()


@pytest.mark.full
def test_single_precision(engines, tiny_model):
    structure, distance = crystal()
    radii = {"distance": distance, "sites": 3.0, "features": 3.0}
    wanted = engines[0].evaluate_partial(*structure, **radii)
    for single in (MaceEngine(tiny_model, dtype="float32", threads=1),
                   SymmetrixEngine(tiny_model, dtype="float32")):  # fmt: skip
        found = single.evaluate_partial(*structure, **radii)
        assert found[0] == pytest.approx(wanted[0], abs=1e-3)
        assert_allclose(found[1], wanted[1], atol=2e-4)


def test_exact_in_the_limit(engine):
    """On the atoms that count, from twice and three times the cutoff on."""
    structure, distance = crystal(4)
    _, forces, _ = engine.evaluate(*structure)
    radii = {"sites": 2 * engine.cutoff, "features": 3 * engine.cutoff}
    assert (distance > 4 * engine.cutoff - 1.0).sum() and (distance > 2 * engine.cutoff).sum() > 50
    found = engine.evaluate_partial(*structure, distance=distance, **radii)
    counted = distance == 0.0
    assert_allclose(found[1][counted], forces[counted], atol=1e-8)
    everything = engine.evaluate_partial(*structure, distance=distance, sites=99, features=99)
    assert_allclose(everything[1], forces, atol=1e-8)
    # and the nearer, the less: filling is better than dropping
    fill = engine.mean_features(*structure, atoms=distance > 3.0)
    errors = []
    for radius, given in ((3.0, None), (3.0, fill), (5.0, fill), (7.0, fill)):
        found = engine.evaluate_partial(
            *structure, distance=distance, sites=radius, features=radius, fill=given
        )
        errors.append(np.abs(found[1] - forces)[counted].max())
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.01 * errors[0]


@pytest.mark.parametrize("filled", [False, True], ids=["dropped", "filled"])
def test_forces_are_the_derivative(engine, filled):
    (numbers, positions, cell), distance = crystal()
    given = {"distance": distance, "sites": 3.0, "features": 4.0}
    given["fill"] = engine.mean_features(numbers, positions, cell) if filled else None
    _, forces, _ = engine.evaluate_partial(numbers, positions, cell, **given)
    far = np.argsort(distance)
    h = 1e-4
    for atom in (0, far[5], far[15], far[30], far[-1]):
        for axis in range(3):
            step = np.zeros_like(positions)
            step[atom, axis] = h
            up, down = (
                engine.evaluate_partial(numbers, positions + sign * step, cell, **given)[0]
                for sign in (1, -1)
            )
            assert forces[atom, axis] == pytest.approx((down - up) / (2 * h), abs=2e-6)
    assert_allclose(forces.sum(axis=0), 0.0, atol=1e-9)


def test_symmetries(engine):
    (numbers, positions, cell), distance = crystal()
    given = {"sites": 4.0, "features": 3.0, "fill": engine.mean_features(numbers, positions, cell)}
    energy, forces, _ = engine.evaluate_partial(
        numbers, positions, cell, distance=distance, **given
    )
    generator = np.random.default_rng(3)
    turn = Rotation.random(rng=generator).as_matrix() * [1, 1, -1]
    order = generator.permutation(len(numbers))
    strewn = positions + generator.integers(-3, 4, positions.shape) @ cell
    found = engine.evaluate_partial(
        numbers[order], strewn[order] @ turn + 2.0, cell @ turn, distance=distance[order], **given
    )
    assert found[0] == pytest.approx(energy, abs=1e-8)
    assert_allclose(found[1], forces[order] @ turn, atol=1e-8)


def test_what_is_not_seen_does_not_matter(engine):
    """Atoms beyond the larger radius and the cutoff may be anywhere, or be left out."""
    (numbers, positions, cell), distance = crystal(4)
    given = {"sites": 3.0, "features": 4.0}
    energy, forces, _ = engine.evaluate_partial(
        numbers, positions, cell, distance=distance, **given
    )
    near = distance < 4.0 + engine.cutoff
    assert 0 < near.sum() < len(numbers) and not forces[~near].any()
    found = engine.evaluate_partial(
        numbers[near], positions[near], cell, distance=distance[near], **given
    )
    assert found[0] == pytest.approx(energy, abs=1e-9)
    assert_allclose(found[1], forces[near], atol=1e-9)


def test_edges_by_brute_force():
    (_, positions, cell), distance = crystal()
    part = choose(positions, cell, 4.0, distance=distance, sites=3.0, features=2.5)
    assert part.sites == (distance < 3.0).sum() and part.features == (distance < 2.5).sum()
    assert (np.diff(distance[part.atoms]) >= 0).all()
    assert set(part.atoms) == set(np.flatnonzero(distance < 7.0))
    wanted = []
    for receiver in np.flatnonzero(distance < 3.0):
        images = np.stack(np.meshgrid(*3 * [[-1, 0, 1]]), -1).reshape(-1, 3) @ cell
        apart = positions[:, None] + images - positions[receiver]
        length = np.linalg.norm(apart, axis=2)
        senders, image = np.nonzero((length < 4.0) & (length > 0))
        wanted += [
            (receiver, s, *np.round(apart[s, i], 6)) for s, i in zip(senders, image, strict=True)
        ]
    graph = part.graph
    found = [
        (part.atoms[r], part.atoms[s], *np.round(v, 6))
        for r, s, v in zip(graph.receivers, graph.senders, graph.vectors, strict=True)
    ]
    assert_allclose(np.array(sorted(found)), np.array(sorted(wanted)), atol=1e-5)


def test_small_cells_and_few_atoms(engine):
    atoms = Atoms("Si2", [[0, 0, 0], [1.4, 1.3, 1.5]], cell=3.9 * (1 - np.eye(3)) / 1.4, pbc=True)
    structure = atoms.numbers, atoms.positions, atoms.cell.array
    distance = np.array([0.0, 2.43])
    _, forces, _ = engine.evaluate(*structure)
    found = engine.evaluate_partial(*structure, distance=distance, sites=9, features=9)
    assert_allclose(found[1], forces, atol=1e-7)
    alone = engine.evaluate_partial(
        [14], [[0, 0, 0]], 30 * np.eye(3), distance=[0], sites=1, features=1
    )
    assert alone[0] == pytest.approx(engine.evaluate([14], [[0, 0, 0]], 30 * np.eye(3))[0])
    none = engine.evaluate_partial(
        [], np.zeros((0, 3)), 9 * np.eye(3), distance=[], sites=1, features=1
    )
    assert none[0] == 0.0 and none[1].shape == (0, 3)
    far = engine.evaluate_partial(*structure, distance=[5.0, 6.0], sites=3, features=3)
    assert far[0] == 0.0 and not far[1].any()


@pytest.mark.parametrize("change, reason", [
    ({"distance": [0.0]}, "a distance for each of 64 atoms"),
    ({"distance": np.full(64, -1.0)}, "negative or NaN"),
    ({"distance": np.full(64, np.nan)}, "negative or NaN"),
    ({"sites": 0.0}, "positive radii, got 0 Å for site energies"),
    ({"features": np.nan}, "positive radii"),
    ({"fill": np.zeros((2, 16))}, "features to fill with are needed for Si, got 2 rows"),
])  # fmt: skip
def test_what_makes_no_sense(engine, change, reason):
    structure, distance = crystal()
    given = {"distance": distance, "sites": 3.0, "features": 3.0, **change}
    with pytest.raises(MixpiError, match=reason):
        engine.evaluate_partial(*structure, **given)


def test_nothing_of_the_last_call_is_left(engine):
    """Whole, masked and partial evaluations of changing sizes."""
    structure, distance = crystal()
    small = silicon(1, rattle=0.2)
    other = small.numbers, small.positions, small.cell.array
    near = distances(*other[1:], [3])
    calls = [
        lambda: engine.evaluate(*structure),
        lambda: engine.evaluate(*structure, mask=distance < 3.0),
        lambda: engine.evaluate_partial(*structure, distance=distance, sites=3, features=2.5),
        lambda: engine.evaluate_partial(*other, distance=near, sites=2, features=4),
        lambda: (0.0, engine.mean_features(*other)),
    ]
    wanted = [call() for call in calls]
    for number in np.random.default_rng(5).permutation(4 * len(calls)) % len(calls):
        energy, arrays = calls[number]()[:2]
        assert energy == pytest.approx(wanted[number][0], abs=1e-9)
        assert_allclose(arrays, wanted[number][1], atol=1e-9)


def test_neighbours_that_are_kept_change_nothing(engine):
    """Nor do atoms that come, go and change their rows, and evaluations in between."""
    (numbers, positions, cell), _ = crystal(3)
    rng, rows = np.random.default_rng(8), set()
    for step in range(8):
        positions = positions + rng.normal(0.0, 0.05, positions.shape)
        distance = distances(positions, cell, [0, 1])
        sent = rng.permutation(np.flatnonzero(distance < 7.5))
        structure, given = (numbers[sent], positions[sent], cell), {"sites": 3.0, "features": 2.5}
        wanted = engine.evaluate_partial(*structure, distance=distance[sent], **given)
        found = engine.evaluate_partial(*structure, distance=distance[sent], places=sent, **given)
        assert found[0] == pytest.approx(wanted[0], abs=1e-9)
        assert_allclose(found[1], wanted[1], atol=1e-10)
        rows.add(len(sent))
        if step == 5:  # a structure without places is no part of that system
            engine.evaluate_partial(*structure, distance=distance[sent], sites=5, features=5)
    assert len(rows) > 2 and engine._kept.of(0).searches < 6


@pytest.mark.full
@pytest.mark.parametrize("name", [
    pytest.param("vectors", marks=pytest.mark.slow),
    pytest.param("density", marks=pytest.mark.slow),
    pytest.param("residual", marks=pytest.mark.slow),
])  # fmt: skip
def test_architectures(tmp_path, cache, name):
    """Of two species, too: features that turn, normed messages, a residual first layer."""
    settings = ARCHITECTURES[name]
    model, head = made(tmp_path / "some.model", **settings), settings.get("heads", [None])[-1]
    torch_engine = MaceEngine(model, head=head, threads=1)
    structure = mixture()
    distance = distances(*structure[1:], [0])
    radii = {"sites": 3.5, "features": 3.0}
    for engine in (torch_engine, SymmetrixEngine(model, head=head)):
        for filled in (False, True):
            fills = [
                e.mean_features(*structure) if filled else None for e in (torch_engine, engine)
            ]
            wanted = oracle(torch_engine, structure, distance, fill=fills[0], **radii)
            found = engine.evaluate_partial(*structure, distance=distance, fill=fills[1], **radii)
            scale = max(np.abs(wanted[1]).max(), 1.0)
            assert found[0] == pytest.approx(wanted[0], abs=1e-6)
            assert_allclose(found[1], wanted[1], atol=3e-7 * scale)


@pytest.mark.full
def test_three_layers_are_refused(tmp_path):
    engine = MaceEngine(made(tmp_path / "three.model", num_interactions=3), threads=1)
    structure = mixture()
    with pytest.raises(MixpiError, match=r"two layers.*has 3"):
        engine.evaluate_partial(*structure, distance=np.zeros(16), sites=3, features=3)
