"""Common neighbours against sets, lines that glide as fast as they were made to.

They are places with noise, many times over, or a row of vacancies.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from mixpi import MixpiError
from mixpi.analysis.line import is_bcc, line_results, line_velocity, velocity_of
from mixpi.analysis.trajectories import Trajectory
from mixpi.cli import main
from mixpi.regions.pairs import pairs_within


EDGE = 3.18
CUTOFF = 1.207 * EDGE


def by_sets(atoms) -> np.ndarray:
    """Common neighbour analysis, atom by atom, in a cell wider than twice the cutoff."""
    distance = atoms.get_all_distances(mic=True)
    near = [set(np.flatnonzero((row < CUTOFF) & (row > 0))) for row in distance]
    found = []
    for own in near:
        signature = []
        for other in own:
            common = own & near[other]
            bonds = sum(b in near[a] for a, b in combinations(common, 2))
            signature.append((len(common), bonds))
        found.append(sorted(signature) == [(4, 4)] * 6 + [(6, 6)] * 8)
    return np.array(found)


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.2])
def test_common_neighbours(noise):
    rng = np.random.default_rng(1)
    atoms = bulk("W", "bcc", a=EDGE, cubic=True).repeat(5)
    del atoms[[10, 11, 60]]
    atoms.positions += rng.normal(0.0, noise, atoms.positions.shape)
    pairs = pairs_within(atoms.positions, atoms.cell.array, CUTOFF)
    found = is_bcc(pairs, len(atoms), CUTOFF)
    assert np.array_equal(found, by_sets(atoms))
    assert not found.all() and (found.any() or noise > 0.1)


def test_other_crystals_are_none():
    for crystal in ("fcc", "diamond"):
        atoms = bulk("Cu", crystal, a=3.6, cubic=True).repeat(4)
        for cutoff in (1.207 * 3.6, 0.854 * 3.6):
            pairs = pairs_within(atoms.positions, atoms.cell.array, cutoff)
            assert not is_bcc(pairs, len(atoms), cutoff).any()


def remembered(rng, shape: tuple[int, int], size: float, memory: float) -> np.ndarray:
    """Noise of which a share ``memory`` lasts until the next frame."""
    noise = rng.normal(size=shape)
    for before, now in zip(noise.T[:-1], noise.T[1:], strict=True):
        now *= np.sqrt(1.0 - memory**2)
        now += memory * before
    return size * noise


@pytest.mark.parametrize("frames", [75, 400])
@pytest.mark.parametrize(
    ("motion", "hops", "memory", "too_large"),
    [
        ("stands", 0, 0.0, 2.0),
        ("stands", 0, 0.5, 3.5),  # memory looks like hops, above all in few frames
        ("glides", 6, 0.0, 2.0),
        ("hops", 5, 0.0, 1.1),
        ("hops", 5, 0.6, 1.1),
        ("hops", 30, 0.0, 1.1),
    ],
)
def test_errors_are_the_spread_of_many_runs(frames, motion, hops, memory, too_large):
    """At rest and in steady glide they are of the noise, else of the number of hops, √N."""
    rng = np.random.default_rng(8)
    runs, step, noise = 300, EDGE * np.sqrt(2 / 3), 0.3
    times = np.linspace(0.0, 6000.0, frames)
    places = remembered(rng, (runs, frames), noise, memory)
    if motion == "hops":
        places[:, 1:] += step * rng.poisson(hops / (frames - 1), (runs, frames - 1)).cumsum(axis=1)
    else:
        places += np.linspace(0.0, hops * step, frames)
    found = [velocity_of(times, one) for one in places]
    values, errors = np.array([(one.value, one.error) for one in found]).T * 6000.0
    away = np.abs(values - hops * step)
    assert np.mean(values) == pytest.approx(hops * step, abs=4 * np.std(values) / np.sqrt(runs))
    # of five hops √N itself covers 60 and 87 %
    assert np.mean(away < errors) > 0.57 and np.mean(away < 2 * errors) > 0.83
    assert 0.85 < np.sqrt(np.mean(errors**2)) / np.std(values) < too_large
    if motion == "hops":
        assert np.std(values) == pytest.approx(step * np.sqrt(hops), rel=0.15)
    elif not memory:
        # as the slope by least squares has it
        assert np.std(values) < 1.2 * noise * np.sqrt(12.0 / frames)


@pytest.mark.parametrize("frames", [41, 400, 10_000])
def test_a_line_stays_however_long_one_looks(frames):
    """Nor does it for a while only, or out of its plane, whatever the noise reaches to."""
    rng = np.random.default_rng(1)
    times = np.linspace(0.0, 5000.0, frames)
    place, height = remembered(rng, (2, frames), 0.3, 0.3)
    hop = 2.6 * (times > 4000.0)
    name, most = "velocity at most (95 %)", 3.0 * EDGE * np.sqrt(2 / 3) / 5.0 * 100.0
    for heights in (height, None):
        *_, bound = line_results(times, place, heights, EDGE)[0]
        assert bound.name == name and bound.value == pytest.approx(most, rel=2e-3)
    for moved in ((place + hop, height), (place, height + hop), (place + hop, None)):
        results, (note,) = line_results(times, *moved, EDGE)
        assert name not in [one.name for one in results]
        assert "valleys further: too few" in note
    assert not line_results(times, place + 20 * hop, height, EDGE)[1]


def test_a_line_without_noise():
    times = np.arange(50.0)
    assert velocity_of(times, 3.0 * times).value == pytest.approx(3.0)
    assert velocity_of(times, np.ones(50)).error == pytest.approx(0.0)


def gliding(rng, frames: int, hop: float, spacing: float = 100.0) -> tuple[list, float]:
    """Rows of vacancies along z that hop along x in a share of the frames; how far, Å."""
    crystal = bulk("W", "bcc", a=EDGE, cubic=True).repeat((8, 6, 4))
    column = np.round(crystal.positions[:, 0] / EDGE * 2).astype(int)
    level = np.round(crystal.positions[:, 1] / EDGE * 2).astype(int)
    found, at = [], 0
    for number in range(frames):
        at += 2 * int(number > 0 and rng.random() < hop)
        atoms = crystal[~((column == at % 16) & (level == 6))]
        atoms.positions += rng.normal(0.0, 0.05, atoms.positions.shape)
        atoms.info = {"time": number * spacing}
        found.append(atoms)
    return found, at / 2 * EDGE


def test_a_line_that_glides(tmp_path):
    rng = np.random.default_rng(2)
    frames, way = gliding(rng, 121, 0.25)
    write(tmp_path / "mix.extxyz", frames)
    report = line_velocity(Trajectory(tmp_path / "mix.extxyz"), cutoff=CUTOFF)
    assert way > 8 * EDGE  # around the cell
    assert report["glided"].value == pytest.approx(way, abs=0.3)
    assert report["left its plane by"].value == pytest.approx(0.0, abs=0.3)
    found, exact = report["velocity"], 0.25 * EDGE / 0.1 * 100.0
    assert found.value == pytest.approx(exact, abs=3.5 * found.error)
    # hops are independent: the error of their number is that of a binomial
    assert found.error == pytest.approx(exact * np.sqrt(0.75 / (0.25 * 120)), rel=0.4)
    kept = report.curves
    again, _ = line_results(kept["time_ps"] * 1e3, kept["place_A"], kept["height_A"], EDGE)
    assert [str(one) for one in again] == [str(one) for one in report.results]


@pytest.mark.full
def test_frames_are_averaged(tmp_path):
    """A crystal so hot that no single frame shows the line; wrapped, in a leaning cell."""
    rng = np.random.default_rng(5)
    places, way = gliding(np.random.default_rng(4), 41, 0.5)
    frames = [atoms.copy() for atoms in places for _ in range(10)]
    for number, atoms in enumerate(frames):
        atoms.positions += 0.1 * atoms.cell.lengths() + rng.normal(0.0, 0.2, atoms.positions.shape)
        atoms.set_cell(atoms.cell.array + np.outer([1, 0, 0], [0, 0, EDGE]))
        atoms.wrap()
        atoms.info = {"time": 100.0 * number}
    path = tmp_path / "mix.extxyz"
    write(path, frames)
    height = atoms.cell[1, 1]
    options = {"cutoff": CUTOFF, "within": (0.35 * height, 0.85 * height)}
    report = line_velocity(Trajectory(path), averaged=10, **options)
    assert way > 8 * EDGE  # around the cell
    assert report["glided"].value == pytest.approx(way, abs=0.3)
    np.testing.assert_allclose(np.diff(report.curves["time_ps"]), 1.0)
    with pytest.raises(MixpiError, match="it is lost"):
        line_velocity(Trajectory(path), **options)


@pytest.mark.parametrize(("column", "level"), [(0, 0), (8, 6)])
def test_of_two_lines_none_is_followed(tmp_path, column, level):
    """One above the other, which glides away from it, or beside one another in the same plane."""
    frames, _ = gliding(np.random.default_rng(6), 45, 0.1)
    places = bulk("W", "bcc", a=EDGE, cubic=True).repeat((8, 6, 4)).positions[:, :2]
    for atoms in frames:
        gap = atoms.positions[:, :2] - np.array([column, level]) * EDGE / 2
        gap -= atoms.cell.lengths()[:2] * np.round(gap / atoms.cell.lengths()[:2])
        del atoms[np.linalg.norm(gap, axis=1) < 0.4 * EDGE]
    assert len(places) - len(atoms) == 8
    path = tmp_path / "mix.extxyz"
    write(path, frames)
    with pytest.raises(MixpiError, match=r"it is lost, or there are two|more than one line"):
        line_velocity(Trajectory(path), cutoff=CUTOFF)


def test_a_surface_is_no_line(tmp_path):
    frames, _ = gliding(np.random.default_rng(7), 45, 0.3)
    for atoms in frames:
        atoms.cell[1, 1] += 12.0
    path = tmp_path / "mix.extxyz"
    write(path, frames)
    with pytest.raises(MixpiError, match="surfaces"):
        line_velocity(Trajectory(path), cutoff=CUTOFF)
    within = (0.25 * 6 * EDGE, 0.8 * 6 * EDGE)
    assert line_velocity(Trajectory(path), cutoff=CUTOFF, within=within)["velocity"].value > 0.0


def test_a_line_that_stays_has_a_bound(tmp_path):
    frames, _ = gliding(np.random.default_rng(8), 45, 0.0)
    write(tmp_path / "mix.extxyz", frames)
    report = line_velocity(Trajectory(tmp_path / "mix.extxyz"), cutoff=CUTOFF)
    # three steps of 2.6 Å in 4.4 ps
    most = -np.log(0.05) * EDGE * np.sqrt(2 / 3) / 4.4 * 100.0
    assert report["velocity at most (95 %)"].value == pytest.approx(most)
    assert "only a bound" in str(report) and report.of.startswith("a line that glides along x")
    assert abs(report["velocity"].value) < 2 * report["velocity"].error


def test_the_command_and_bad_input(tmp_path, capsys):
    frames, _ = gliding(np.random.default_rng(3), 45, 0.3)
    path = tmp_path / "mix.extxyz"
    write(path, frames)
    words = f"analyse line {path} --cutoff {CUTOFF} --picture {tmp_path}/l.png"
    assert main(words.split()) == 0
    assert "m/s" in capsys.readouterr().out and (tmp_path / "l.png").stat().st_size > 1000
    assert main([*words.split(), "--within", "0", "3"]) == 1
    assert "there is no line" in capsys.readouterr().err
    assert main([*words.split(), "--averaged", "0"]) == 1
    assert "1 at least" in capsys.readouterr().err
    assert main([*words.split(), "--skip", "1000"]) == 1
    assert "35 frames are too few" in capsys.readouterr().err
    write(path, [*frames[:1], *gliding(np.random.default_rng(3), 45, 1.0)[0][4:]])
    assert main(words.split()) == 1
    assert "it is lost" in capsys.readouterr().err
