"""Common neighbours against sets, and a row of vacancies that glides as fast as it was made to."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from mixpi import MixpiError
from mixpi.analysis.line import is_bcc, line_velocity
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
