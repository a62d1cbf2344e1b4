"""The radii that `mixpi calibrate --partial` finds, against all pairs and other means."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from brute_force import regions
from conftest import TERSOFF
from mixpi import MixpiError
from mixpi.calibrate.buffers import BufferResult, ForceError, allowed_above, upper
from mixpi.calibrate.cheapest import cheapest
from mixpi.calibrate.partial import (
    PartialCalibration,
    buffer_for,
    doubts_about_reference,
    lines_for,
    measure_partial,
    radii_grid,
    require_layered,
)
from mixpi.calibrate.reference import (
    Clusters,
    Reference,
    Snapshot,
    largest_reference,
)
from mixpi.drivers.lammps_cluster import LammpsClusterEngine
from mixpi.drivers.mace import MaceEngine


SEEDS = [0, 5]
RADII = {"core": 2.5, "blend": 2.5, "profile": "linear"}
#: Of this buffer; so parts see no further than 9 Å, and all pairs are soon computed.
CUT = Reference(buffer=9.0, atoms=400, exact=False, widest=8.0, seconds=1.0)


@pytest.fixture(scope="module")
def engine(tiny_model):
    return MaceEngine(tiny_model, threads=1)


def rod(width: float, seed: int) -> Atoms:
    atoms = bulk("Si", "diamond", a=5.46, cubic=True) * (2, 2, 7)
    atoms.rattle(width, seed=seed)
    return atoms


@pytest.fixture(scope="module")
def frames() -> list[Atoms]:
    """The second is far hotter than the first."""
    return [rod(width, seed) for seed, width in enumerate((0.04, 0.11, 0.07))]


@pytest.fixture(scope="module")
def clusters(frames, engine) -> Clusters:
    return Clusters(frames[0], SEEDS, RADII, engine)


@pytest.fixture(scope="module")
def snapshots(frames, clusters, engine) -> list[Snapshot]:
    made = []
    for atoms in frames:
        forces = engine.evaluate(atoms.numbers, atoms.positions, atoms.cell.array)[1]
        made.append(clusters.snapshot(atoms.positions, forces))
    return made


class ByOtherMeans:
    """Errors from the full cell, with distances and weights from their definitions."""

    def __init__(self, engine, atoms: Atoms) -> None:
        self.engine, self.structure = engine, (atoms.numbers, atoms.positions, atoms.cell.array)
        weights, *_ = regions(*self.structure[1:], SEEDS, buffer=0.0, **RADII)
        self.inside, self.weights = weights > 0.0, weights[weights > 0.0]
        self.distance = to_nearest(*self.structure[1:], self.inside)
        self.exact = engine.evaluate(*self.structure)[1]

    def error(self, radii: tuple[float, float]) -> float:
        given = dict(zip(("sites", "features"), radii, strict=True))
        found = self.engine.evaluate_partial(*self.structure, distance=self.distance, **given)
        wrong, w = (found[1] - self.exact)[self.inside], self.weights
        return float(np.sqrt((w**2 @ (wrong**2).sum(axis=1)) / (3 * (w**2).sum())))

    def evaluations(self, radii: tuple[float, float]) -> int:
        return int(sum((self.distance < radius).sum() for radius in radii))


def to_nearest(positions, cell, inside) -> np.ndarray:
    """Distance to the nearest of some atoms, over all images that may be nearer than a cell."""
    home = positions - np.floor(positions @ np.linalg.inv(cell)) @ cell
    shortest = np.full(len(home), np.inf)
    for shift in product((-1, 0, 1), repeat=3):
        apart = home[:, None] - home[inside] + np.array(shift) @ cell
        shortest = np.minimum(shortest, np.linalg.norm(apart, axis=2).min(axis=1))
    shortest[inside] = 0.0
    return shortest


@pytest.fixture(scope="module")
def other_means(engine, frames) -> list[ByOtherMeans]:
    return [ByOtherMeans(engine, atoms) for atoms in frames]


@pytest.fixture(scope="module")
def all_pairs(engine, other_means) -> dict[tuple[float, float], list[float]]:
    """Errors on two snapshots of all pairs of radii, without the radii of no further atoms."""
    everything = np.arange(2.0, CUT.buffer - engine.cutoff + 1e-9, 0.5)
    grid, counts = [], [0]
    for radius in everything:
        count = (other_means[0].distance < radius).sum()
        if count > counts[-1]:
            grid.append(float(radius))
            counts.append(count)
    return {radii: [o.error(radii) for o in other_means[:2]] for radii in product(grid, grid)}


def grown(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Numbers that do not fall along either axis; some are equal."""
    steps = generator.integers(0, 4, shape).astype(float)
    return steps.cumsum(axis=0).cumsum(axis=1)


def test_the_search_finds_what_trying_all_pairs_finds():
    generator = np.random.default_rng(0)
    asked_of_all, found_none = [], 0
    for _ in range(400):
        shape = tuple(generator.integers(1, 13, 2))
        costs = np.add.outer(*(np.sort(generator.integers(1, 90, n)) for n in shape))
        quality = grown(generator, shape)
        limit = generator.uniform(0.0, 1.1 * quality.max() + 1.0)
        asked = []

        def good(i, j, quality=quality, limit=limit, asked=asked):
            asked.append((i, j))
            return quality[i, j] >= limit

        answer = cheapest(costs, good)
        assert len(set(asked)) == len(asked)
        asked_of_all.append(len(asked) / costs.size)
        if not (quality >= limit).any():
            assert answer is None
            found_none += 1
            continue
        assert quality[answer] >= limit
        assert costs[answer] == costs[quality >= limit].min()
    assert 10 < found_none < 300
    assert np.mean([share for share in asked_of_all if share < 1.0]) < 0.5


def test_without_monotony_the_answer_is_good_and_none_larger_was_bad():
    generator = np.random.default_rng(1)
    for _ in range(200):
        shape = tuple(generator.integers(1, 10, 2))
        costs = np.add.outer(*(np.sort(generator.integers(1, 90, n)) for n in shape))
        verdicts, asked = generator.random(shape) < 0.5, []

        def good(i, j, verdicts=verdicts, asked=asked):
            asked.append((i, j))
            return verdicts[i, j]

        answer = cheapest(costs, good)
        bad = [pair for pair in asked if not verdicts[pair]]
        if answer is None:
            assert (shape[0] - 1, shape[1] - 1) in bad
        else:
            assert verdicts[answer]
            assert not any(i >= answer[0] and j >= answer[1] for i, j in bad)


def test_few_pairs_of_a_large_grid_are_tried():
    """As a calibration has them: the work grows with the cube of the radii."""
    radii = np.arange(2.0, 15.0, 0.5)
    costs = np.add.outer((radii[:17] + 4) ** 3, (radii + 4) ** 3)
    error = np.exp(-np.minimum.outer(1.7 * radii[:17], 1.1 * radii))
    asked = []
    for limit in (1e-2, 1e-3, 1e-4, 1e-5):
        tried = []
        answer = cheapest(costs, lambda i, j: tried.append((i, j)) or error[i, j] <= limit)  # noqa: B023
        assert costs[answer] == costs[error <= limit].min()
        asked.append(len(tried))
    assert max(asked) < 0.1 * costs.size


@pytest.mark.parametrize("n", [1, 2, 8, 9, 12, 30])
def test_so_many_may_be_above(n):
    """The upper value is not above a limit exactly if no more values than that are."""
    generator = np.random.default_rng(n)
    for values in generator.random((50, n)):
        for limit in (*values, 0.5, 0.9):
            assert ((values > limit).sum() <= allowed_above(n)) == (upper(values) <= limit)


def test_radii_are_those_with_further_atoms():
    depths = np.array([0.0, 0.0, 2.35, 2.4, 3.9, 3.95, 4.0, 6.2])
    grid = radii_grid(depths, 7.0)
    assert list(grid) == [2.0, 2.5, 4.0, 4.5, 6.5]  # an atom at 4.0 is not nearer than that
    assert list(radii_grid(depths, 2.0)) == [2.0]


@pytest.mark.full
def test_the_buffer_is_enough_and_can_be_written_down(engine):
    for sites, features, cutoff in [(4.0, 5.5, 4.5), (3.0, 2.5, 5.2001), (2.0, 2.0, 1 / 3)]:
        needed = max(sites, features) + cutoff
        buffer = buffer_for(sites, features, cutoff)
        assert needed - 1e-6 <= buffer < needed + 0.01
        assert float(f"{buffer:g}") == buffer


@pytest.mark.full
@pytest.mark.parametrize("share", [0.9, 0.5, 0.2])
def test_the_cheapest_pair_of_all_is_found(
    engine, clusters, snapshots, other_means, all_pairs, share
):
    errors = {radii: max(each) for radii, each in all_pairs.items()}
    work = {radii: other_means[0].evaluations(radii) for radii in all_pairs}
    tolerance = 1.001 * float(np.quantile(list(errors.values()), share, method="nearest"))
    found = measure_partial(clusters, engine, snapshots[:2], CUT, tolerance=tolerance)
    answer = found.of(found.recommended)
    assert answer.evaluations == min(work[r] for r, error in errors.items() if error <= tolerance)
    assert answer.error.weighted <= tolerance and len(answer.errors) == 2
    assert len(found.results) < 0.7 * len(all_pairs)
    for result in found.results:
        radii = result.sites, result.features
        assert result.evaluations == work[radii] and result.seconds > 0.0
        # what is too bad is not measured to its end
        assert result.errors == pytest.approx(all_pairs[radii][: len(result.errors)], rel=1e-6)
        if len(result.errors) < 2:
            assert result.error.weighted > tolerance
    assert [r.evaluations for r in found.results] == sorted(r.evaluations for r in found.results)
    assert len(all_pairs) > 12


@pytest.mark.full
def test_its_error_and_its_work_by_other_means(engine, clusters, snapshots, other_means):
    found = measure_partial(
        clusters,
        engine,
        snapshots[:2],
        CUT,
        tolerance=0.05,
        configured=(3.3, 2.2),  # no pair of the grid
        plain=[BufferResult(4.0, 1, ForceError(1.0, 1.0, 1.0))],
        to_check=snapshots[2],
    )
    assert found.configured == (3.3, 2.2) != found.recommended
    for radii in (found.recommended, found.configured):
        result = found.of(radii)
        expected = [each.error(radii) for each in other_means[:2]]
        assert result.errors == pytest.approx(expected, rel=1e-6)
        assert result.error.weighted == pytest.approx(max(expected), rel=1e-6)
        assert result.evaluations == other_means[0].evaluations(radii)
        assert result.atoms == (other_means[0].distance < result.buffer).sum()
    checked = other_means[2].error(found.recommended)
    assert found.check.weighted == pytest.approx(checked, rel=1e-6)
    [whole] = found.plain
    assert whole.atoms == (other_means[0].distance < 4.0).sum()
    assert whole.evaluations == 2 * whole.atoms and whole.seconds > 0.0


@pytest.mark.full
def test_no_pair_is_good_enough(engine, clusters, snapshots):
    found = measure_partial(clusters, engine, snapshots[:1], CUT, tolerance=1e-9)
    assert (
        found.recommended is None
        and found.buffer is None
        and lines_for(found, "mace", "mean") == ""
    )
    widest = max(found.results, key=lambda r: r.evaluations)
    assert max(widest.sites, widest.features) + engine.cutoff <= CUT.buffer


@pytest.mark.full
def test_with_an_exact_reference_exact_radii_can_be_found(engine, clusters, snapshots):
    exact = Reference(buffer=None, atoms=224, exact=True, widest=16.0, seconds=1.0)
    found = measure_partial(clusters, engine, snapshots[:1], exact, tolerance=1e-9)
    assert found.of(found.recommended).error.weighted <= 1e-9
    assert found.recommended[0] > engine.cutoff and found.recommended[1] > 2 * engine.cutoff


def test_a_reference_that_can_judge_no_part(engine, clusters, snapshots):
    narrow = replace(CUT, buffer=5.0)
    with pytest.raises(MixpiError, match="at the least: raise --full-atoms"):
        measure_partial(clusters, engine, snapshots[:1], narrow, tolerance=0.1)
    # the configured pair is not judged by whether a grid fits
    found = measure_partial(
        clusters, engine, snapshots[:1], narrow, tolerance=0.1, search=False, configured=(3, 3)
    )
    assert len(found.results) == 1 and not found.searched
    [doubt] = doubts_about_reference(found, narrow)
    assert "sees 7 Å of surroundings, the reference only 5 Å" in doubt
    assert doubts_about_reference(found, CUT) == []
    assert doubts_about_reference(found, replace(narrow, buffer=None, exact=True)) == []


def test_the_lines_are_what_is_recommended():
    import yaml

    found = PartialCalibration([], True, 0.005, recommended=(4.0, 5.5), buffer=10.01)
    assert yaml.safe_load(lines_for(found, "mace", "mean")) == {
        "regions": {"buffer": 10.01},
        "expensive": {"mace": {"partial": {"sites": 4.0, "features": 5.5, "fill": "mean"}}},
    }


def test_engines_that_have_no_layers(engine):
    assert require_layered(engine, "mace") is engine
    with pytest.raises(MixpiError, match=r"two layers; .* 'lammps_cluster'"):
        require_layered(LammpsClusterEngine(TERSOFF), "lammps_cluster")


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:To copy construct")
def test_a_model_of_three_layers(tmp_path):
    from test_symmetrix import made

    engine = MaceEngine(made(tmp_path / "three.model", num_interactions=3), threads=1)
    with pytest.raises(MixpiError, match=r"two layers.*has 3"):
        require_layered(engine, "mace")


def test_cheap_engines_may_have_larger_references(engine):
    lammps = LammpsClusterEngine(TERSOFF)
    assert largest_reference(engine, "cpu") == 3_000
    assert largest_reference(engine, "cuda:1") == 10_000
    assert largest_reference(lammps, "cpu") == 50_000
