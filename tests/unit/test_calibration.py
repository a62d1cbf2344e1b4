"""What `mixpi calibrate` measures, on arrays and on small cells."""

from __future__ import annotations

import textwrap
import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from brute_force import all_distances
from conftest import silicon
from mixpi import MixpiError
from mixpi.buffers import (
    BufferResult,
    ForceError,
    force_error,
    measure_buffers,
    recommend,
)
from mixpi.drivers.mace import MaceEngine
from mixpi.mismatch import advice, measure_mismatch
from mixpi.reference import Clusters
from mixpi.thermal import read_frames, temperature_of, thermal_width, time_step_of


RADII = {"core": 2.5, "blend": 2.5, "profile": "linear"}


@pytest.fixture(scope="module")
def engine(tiny_model):
    return MaceEngine(tiny_model, threads=1)


@pytest.fixture(scope="module")
def rod() -> Atoms:
    """512 atoms, long in one direction: twice the interaction range is not all of it."""
    atoms = bulk("Si", "diamond", a=5.46, cubic=True) * (2, 2, 16)
    atoms.rattle(0.07, seed=8)
    return atoms


@pytest.fixture(scope="module")
def clusters(rod, engine) -> Clusters:
    return Clusters(rod, [0, 5], RADII, engine)


@pytest.fixture(scope="module")
def exact(rod, engine) -> np.ndarray:
    return engine.evaluate(rod.numbers, rod.positions, rod.cell.array)[1]


def result(buffer: float, weighted: float) -> BufferResult:
    return BufferResult(buffer, 10, ForceError(1.0, 1.0, weighted))


def test_the_errors_are_what_they_are_called():
    rng = np.random.default_rng(0)
    exact, forces = rng.normal(size=(2, 6, 3))
    w = np.array([1.0, 1.0, 0.5, 0.1, 0.0, 0.0])
    found = force_error(forces, exact, w)
    squares = ((forces - exact) ** 2).sum(axis=1)
    assert found.max == pytest.approx(np.abs(forces - exact)[:4].max())
    assert found.rms == pytest.approx(np.sqrt(squares[:4].sum() / 12))
    assert found.weighted == pytest.approx(np.sqrt((w**2 @ squares) / (3 * (w**2).sum())))


def test_an_error_on_a_buffer_atom_does_not_count():
    exact, w = np.zeros((3, 3)), np.array([1.0, 0.5, 0.0])
    forces = exact.copy()
    forces[2] = np.nan
    assert force_error(forces, exact, w) == ForceError(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ({2: 0.5, 3: 0.1, 4: 0.004, 5: 0.001}, 4),
        ({2: 0.004, 3: 0.1, 4: 0.004, 5: 0.001}, 4),  # small by chance at 2
        ({2: 0.5, 3: 0.1}, None),
        ({2: 0.001}, 2),
        ({2: 0.005}, None),
    ],
)
def test_the_recommended_buffer_and_all_wider_ones_are_within_the_tolerance(errors, expected):
    assert recommend([result(b, e) for b, e in errors.items()], 0.005) == expected


def test_twice_the_interaction_range_is_exact(clusters, rod, engine, exact):
    cluster = clusters.carve(rod.positions, 2 * engine.interaction_range)
    assert len(cluster) < len(rod)
    forces = clusters.forces(rod.positions, cluster)
    assert force_error(forces, exact[cluster.indices], cluster.weights).max < 1e-12
    narrower = clusters.carve(rod.positions, engine.interaction_range)
    forces = clusters.forces(rod.positions, narrower)
    assert force_error(forces, exact[narrower.indices], narrower.weights).max > 1e-6


def test_the_curve_and_its_answer(clusters, rod, exact):
    seen = []
    results, recommended = measure_buffers(
        clusters,
        [clusters.snapshot(rod.positions, exact)],
        [2.0, 4.0, 6.0, 8.0, 12.0, 15.0],
        tolerance=0.01,
        depths=[4.0],
        tell=lambda what, share: seen.append((what, share)),
    )
    by_buffer = {r.buffer: r for r in results}
    assert list(by_buffer) == sorted(by_buffer)
    assert {3.5, 5.5, 7.5} & set(by_buffer)  # half an ångström less was tried
    assert by_buffer[recommended].error.weighted < 0.01
    assert all(r.error.weighted < 0.01 for b, r in by_buffer.items() if b >= recommended)
    assert results[0].error.weighted > 0.1
    assert 15.0 not in by_buffer  # nothing new to learn
    assert [r.atoms for r in results] == sorted(r.atoms for r in results)
    assert all(r.seconds > 0.0 and set(r.masked) == {4.0} for r in results)
    assert all(0.0 <= share <= 1.0 for _, share in seen)


def test_a_buffer_that_must_be_in_the_curve_is(clusters, rod, exact):
    first = clusters.snapshot(rod.positions, exact)
    results, _ = measure_buffers(
        clusters, [first], [12.0, 14.0, 15.0], tolerance=1.0, always=15.0, refine=False
    )
    assert [r.buffer for r in results] == [12.0, 15.0]


def test_the_reference_is_the_smaller_of_two_exact_ones(clusters, rod, engine):
    reach = engine.interaction_range
    assert clusters.reference(rod.positions, reach, 1000) == 2 * reach
    small = silicon(2)
    inside = Clusters(small, [0], RADII, engine)
    assert inside.reference(small.positions, reach, 1000) is None


def test_a_reference_that_must_be_smaller_is_the_widest_allowed(clusters, rod, engine):
    limit = 100
    buffer = clusters.reference(rod.positions, engine.interaction_range, limit)
    assert len(clusters.carve(rod.positions, buffer)) <= limit
    assert len(clusters.carve(rod.positions, buffer + 0.5)) > limit
    with pytest.raises(MixpiError, match="raise --full-atoms"):
        clusters.reference(rod.positions, engine.interaction_range, 3)


def test_complete_surroundings_by_brute_force(clusters, rod):
    cluster = clusters.carve(rod.positions, 6.0)
    outside = np.setdiff1d(np.arange(len(rod)), cluster.indices)
    distances = all_distances(rod.positions, rod.cell.array, 4.5)
    for depth in (2.0, 3.0, 4.5):
        expected = (distances[np.ix_(cluster.indices, outside)] >= depth).all(axis=1)
        np.testing.assert_array_equal(clusters.complete(rod.positions, cluster, depth), expected)


def test_masked_forces_are_the_derivative_of_the_masked_energy(engine):
    atoms = silicon(2)
    mask = np.zeros(len(atoms), dtype=bool)
    mask[:20] = True
    _, forces, virial = engine.evaluate(atoms.numbers, atoms.positions, atoms.cell.array, mask)
    assert np.isnan(virial).all()
    for atom, axis in ((0, 0), (19, 2), (40, 1)):
        energies = []
        for sign in (1, -1):
            moved = atoms.positions.copy()
            moved[atom, axis] += sign * 1e-4
            energies.append(engine.evaluate(atoms.numbers, moved, atoms.cell.array, mask)[0])
        slope = (energies[0] - energies[1]) / 2e-4
        assert forces[atom, axis] == pytest.approx(-slope, abs=1e-6)


def test_a_mask_of_everything_changes_nothing(engine):
    atoms = silicon(2)
    system = (atoms.numbers, atoms.positions, atoms.cell.array)
    energy, forces, _ = engine.evaluate(*system)
    masked_energy, masked, _ = engine.evaluate(*system, mask=np.ones(len(atoms), dtype=bool))
    assert masked_energy == pytest.approx(energy, rel=1e-12)
    np.testing.assert_allclose(masked, forces, rtol=0, atol=1e-12)


def test_masking_what_no_weighted_atom_feels_changes_nothing(clusters, rod, engine, exact):
    """With a buffer of twice the range the mask only drops energies beyond the range."""
    cluster = clusters.carve(rod.positions, 2 * engine.interaction_range)
    mask = clusters.complete(rod.positions, cluster, engine.interaction_range)
    assert not mask.all()
    forces = clusters.forces(rod.positions, cluster, mask)
    assert force_error(forces, exact[cluster.indices], cluster.weights).max < 1e-12


def test_the_mismatch_is_that_of_the_blend():
    rng = np.random.default_rng(1)
    expensive, cheap = rng.normal(size=(2, 5, 3))
    w = np.array([1.0, 0.8, 0.5, 0.1, 0.0])
    found = measure_mismatch([expensive, expensive], [cheap, cheap], [w, w])
    assert (found.frames, found.atoms, found.abrupt) == (2, 6, False)
    squares, factor = ((expensive - cheap)[1:4] ** 2).sum(axis=1), 4 * (w * (1 - w))[1:4]
    assert found.rms == pytest.approx(np.sqrt(squares.sum() / 9))
    assert found.mixed == pytest.approx(np.sqrt((factor**2 @ squares) / (3 * (factor**2).sum())))
    assert found.force == pytest.approx(np.sqrt((expensive[1:4] ** 2).mean()))


def test_without_a_blend_the_core_is_compared():
    forces = np.ones((2, 3))
    found = measure_mismatch([forces], [0.5 * forces], [np.array([1.0, 0.0])])
    assert (found.abrupt, found.atoms, found.rms, found.force) == (True, 1, 0.5, 1.0)


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.005, "nothing is gained"), (0.1, "a wider blend"), (0.4, "a better cheap potential")],
)
def test_the_advice_follows_the_rule(share, words):
    forces = np.ones((4, 3))
    found = measure_mismatch([forces], [(1 - share) * forces], [np.full(4, 0.5)])
    assert words in advice(found, 0.005)


def test_the_width_of_an_oscillator_has_half_a_kt_of_energy():
    width = thermal_width(5.0, 300.0)
    assert 0.5 * 5.0 * width**2 == pytest.approx(0.5 * units.kB * 300.0)


@pytest.mark.parametrize("suffix", ["", "@0", "@-2:", "@:"])
def test_frames_by_index(tmp_path, suffix):
    start, path = silicon(1), tmp_path / "run.extxyz"
    frames = []
    for seed in range(3):
        frames.append(silicon(1, seed=seed))
        frames[-1].write(path, append=True)
    expected = {"": [2], "@0": [0], "@-2:": [1, 2], "@:": [0, 1, 2]}[suffix]
    found = read_frames(f"{path}{suffix}", start)
    assert len(found) == len(expected)
    for positions, number in zip(found, expected, strict=True):
        np.testing.assert_allclose(positions, frames[number].positions, atol=1e-7)


def test_a_frame_without_a_cell_has_the_systems(tmp_path):
    moved = silicon(1, seed=1)
    bare = Atoms(moved.symbols, moved.positions)
    bare.write(tmp_path / "frame.xyz", format="xyz")
    (found,) = read_frames(tmp_path / "frame.xyz", silicon(1))
    np.testing.assert_allclose(found, moved.positions, atol=1e-7)


def simulation(text: str) -> SimpleNamespace:
    root = ElementTree.fromstring(f"<simulation>{textwrap.dedent(text)}</simulation>")
    return SimpleNamespace(root=root, path=SimpleNamespace(name="x"))


def test_temperature_and_time_step_of_an_input():
    thermal = simulation(
        "<ensemble><temperature units='kelvin'> 450 </temperature></ensemble>"
        "<dynamics><timestep units='femtosecond'>3.0</timestep><nmts>[1, 2]</nmts></dynamics>",
    )
    assert temperature_of(thermal) == pytest.approx(450.0)
    assert time_step_of(thermal) == pytest.approx(1.5)
    velocities = "<initialize><velocities units='kelvin'>200</velocities></initialize>"
    assert temperature_of(simulation(velocities)) == pytest.approx(200.0)
    assert time_step_of(simulation(velocities)) == 1.0
    atomic = "<dynamics><timestep>20.670687</timestep></dynamics>"
    assert time_step_of(simulation(atomic)) == pytest.approx(0.5, rel=1e-5)
    with pytest.raises(MixpiError, match="--temperature"):
        temperature_of(simulation("<ensemble/>"))
