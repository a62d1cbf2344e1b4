"""Defects by occupied sites, in crystals that lie anywhere in their cell, with a known way."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from mixpi import MixpiError
from mixpi.analysis.defects import follow_by_sites
from mixpi.analysis.trajectories import Trajectory
from walks import frames_of


#: Å, and cubic cells along an edge.
CRYSTALS = {"bcc": (2.87, 4), "fcc": (3.6, 3), "diamond": (5.43, 2)}


def run(rng, crystal: str, shift, *, vacancy: bool = True, drift: float = 0.0, noise: float = 0.1):
    """Frames of a defect that hops to a neighbour in every seventh, and its way (n, 3), Å."""
    edge, cells = CRYSTALS[crystal]
    places = bulk("Fe", crystal, a=edge, cubic=True).repeat(cells).positions
    box, found, path = edge * cells, [], [np.zeros(3)]
    for frame in range(32):
        if frame:
            step = np.zeros(3)
            if frame % 7 == 0:  # atom 0 is always at the defect, or not there at all
                steps = places[1:] - places[0]
                steps -= box * np.round(steps / box)
                far = np.linalg.norm(steps, axis=1)
                other = 1 + int(rng.choice(np.flatnonzero(far < far.min() + 0.05)))
                step = steps[other - 1]
                places[0] += step
                places[other] -= step
            path.append(path[-1] + step)
        split = np.array([0.5, 0.5, 0.0])
        dumbbell = [places[:1] - split, places[:1] + split]
        atoms = np.vstack([*([] if vacancy else dumbbell), places[1:]])
        moved = rng.normal(0.0, noise, atoms.shape) + edge * np.asarray(shift) + drift * frame
        found.append(atoms + moved)
    return frames_of(np.array(found), box, symbols="Fe"), np.array(path)


@pytest.mark.parametrize(
    ("crystal", "shifts"),
    [
        ("bcc", [(0.25, 0.25, 0.25), (0.5, 0.0, 0.0)]),
        ("fcc", [(0.25, 0.25, 0.25), (0.5, 0.5, 0.5)]),
        ("diamond", [(-0.25, -0.25, -0.25), (0.25, 0.25, 0.4), (0.5, 0.5, 0.5)]),
    ],
)
@pytest.mark.parametrize("vacancy", [True, False])
def test_the_crystal_may_lie_anywhere_in_the_cell(tmp_path, crystal, shifts, vacancy):
    rng = np.random.default_rng(1)
    for shift in (*shifts, rng.random(3)):
        frames, way = run(rng, crystal, shift, vacancy=vacancy, drift=rng.normal(0.0, 0.05))
        write(tmp_path / "mix.extxyz", frames)
        found = follow_by_sites(Trajectory(tmp_path / "mix.extxyz"), crystal)
        assert found.positions[:, 0] == pytest.approx(way, abs=1e-9)
        assert np.array_equal(found.jumps, np.diff(way, axis=0).any(axis=1))
        assert not found.notes


def test_a_structure_file_may_lie_elsewhere_than_the_run(tmp_path):
    """Its first site is where the vacancy is, and its atoms are in another order."""
    rng = np.random.default_rng(2)
    edge, cells = CRYSTALS["diamond"]
    perfect = bulk("Fe", "diamond", a=edge, cubic=True).repeat(cells)
    order = [0, *(1 + rng.permutation(len(perfect) - 1))]
    write(tmp_path / "perfect.extxyz", perfect[order])
    frames, way = run(rng, "diamond", (-0.25, -0.25, -0.25))
    write(tmp_path / "mix.extxyz", frames)
    found = follow_by_sites(Trajectory(tmp_path / "mix.extxyz"), str(tmp_path / "perfect.extxyz"))
    assert found.positions[:, 0] == pytest.approx(way, abs=1e-9)


@pytest.mark.parametrize(("vacancy", "told"), [(True, "2 sites have no"), (False, "2 sites have")])
@pytest.mark.parametrize("left", [1, 2, 11])
def test_it_begins_where_there_is_one_defect(tmp_path, vacancy, told, left):
    """An atom that has just left its site makes two of one; more than ten such are another one."""
    frames, way = run(np.random.default_rng(3), "bcc", (0.3, 0.1, 0.2), vacancy=vacancy)
    for atoms in frames[:left]:
        atoms.positions[40] = atoms.positions[90] + [0.3, 0.3, 0.3]
    path = tmp_path / "mix.extxyz"
    write(path, frames)
    if left > 10:
        with pytest.raises(MixpiError, match=f"as in all of the 10 frames before, {told}"):
            follow_by_sites(Trajectory(path), "bcc")
        return
    found = follow_by_sites(Trajectory(path), "bcc")
    assert found.positions[:, 0] == pytest.approx(way[left:] - way[left], abs=1e-9)
    assert found.notes == (
        f"{left} frames at the beginning with more than one defect are left out",
    )
