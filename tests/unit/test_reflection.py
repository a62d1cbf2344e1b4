"""Fates of atoms that are shot at a slab, and coefficients of known chance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bcc100
from ase.io import read, write
from ase.units import fs
from mixpi import MixpiError
from mixpi.analysis.reflection import Fate, fate, kept_fates, reflection
from mixpi.analysis.results import read_report
from mixpi.analysis.trajectories import Trajectory
from mixpi.cli import main


def shot(path, heights, *, energy: float = 0.0, wrap: bool = False) -> None:
    """Helium at these heights (Å) above the surface of tungsten, frame by frame."""
    slab = bcc100("W", (3, 3, 4), a=3.2, vacuum=20.0, periodic=True)
    top = slab.positions[:, 2].max()
    frames = []
    for number, height in enumerate(heights):
        atoms = slab.copy()
        atoms.append("He")
        atoms.positions[-1] = [4.0 + 1.5 * number, 4.0, top + height]
        velocities = np.zeros((len(atoms), 3))
        velocities[-1, 2] = np.sqrt(2 * energy / atoms.get_masses()[-1]) * fs
        atoms.arrays["velocities"] = velocities
        atoms.info = {"time": float(number) ** 1.5}  # steps that grow
        if wrap:
            atoms.wrap()
        frames.append(atoms)
    write(path, frames)


@pytest.mark.parametrize(
    ("heights", "energy", "kind"),
    [
        ((5, 2, 0.5, 1, 2.5), 0.3, "reflected"),
        ((5, 2, 0.5, 1, 1.8), 0.3, "implanted"),
        ((5, 2, -1, -3, -2), 0.3, "implanted"),
        ((5, 2, -1, -3, -2), 8.0, "unfinished"),
        ((5, 2, -3, -5, -7.5), 8.0, "passed"),
        ((9, 7, 6, 5, 4), 8.0, "unfinished"),
    ],
)
def test_fates(tmp_path, heights, energy, kind):
    shot(tmp_path / "he.extxyz", heights, energy=energy)
    found = fate(Trajectory(tmp_path / "he.extxyz"), "He")
    assert found.kind == kind
    assert found.depth == pytest.approx(-heights[-1])


@pytest.mark.parametrize(
    ("heights", "kind", "depth"),
    [
        ((9, 2, 0.5, 12, 22, 35, 39, 30, 12, 1, -2.9, -3), "reflected", -22),  # off its lower face
        ((9, 2, 0.5, 12, 22, 35, 43.1, 43.0), "reflected", -22),  # in it, at last on its way down
        ((9, 2, 0.5, 12, 22, 35, 43.0, 43.1), "reflected", -22),
        ((9, 2, -3, -8, -20, -30, -40, -43.1, -43.0), "passed", 30),
        ((9, 2, 0.5, 6, 12, 6, 0.5, -2.9, -3), "implanted", 3),  # drawn back by its own surface
    ],
)
def test_what_it_does_at_the_image_of_the_slab_does_not_count(tmp_path, heights, kind, depth):
    shot(tmp_path / "he.extxyz", heights, energy=0.3)  # 41.6 Å of vacuum, 4.8 Å of slab
    found = fate(Trajectory(tmp_path / "he.extxyz"), "He")
    assert found == Fate(kind, pytest.approx(depth), pytest.approx(0.3))


def test_a_wrapped_trajectory_is_followed_if_that_is_said(tmp_path):
    path = tmp_path / "he.extxyz"
    shot(path, (5, 2, 0.5, 1, 2.5, 4.0), wrap=True)  # through a side of the cell
    with pytest.raises(MixpiError, match="seem to be wrapped"):
        fate(Trajectory(path), "He")
    assert fate(Trajectory(path), "He", unwrap=True) == Fate("reflected", pytest.approx(-4.0))


def rewritten(path, change, *more) -> None:
    frames = read(path, ":")
    for atoms in frames:
        change(atoms)
    write(path, [*frames, *more])


@pytest.mark.parametrize("shift", [-0.8, 15.0, 22.0])
def test_a_slab_on_the_boundary_has_its_surface_where_it_is(tmp_path, shift):
    """Wrapped, its lowest layer, or half of it, is at the other end of the cell."""
    path = tmp_path / "he.extxyz"
    shot(path, (5, 2, 0.5, 1, 2.5))

    def wrap(atoms) -> None:
        atoms.positions[:, 2] += shift - atoms.positions[:-1, 2].min()
        atoms.wrap(eps=0.0)

    rewritten(path, wrap)
    found = fate(Trajectory(path), "He", unwrap=True)
    assert found == Fate("reflected", pytest.approx(-2.5, abs=1e-6))
    shot(path, (5, 2, -1, -3, -7.5))
    rewritten(path, wrap)
    assert fate(Trajectory(path), "He", unwrap=True).kind == "passed"


def test_shots_that_do_not_begin_as_shots_are_refused(tmp_path):
    path = tmp_path / "he.extxyz"
    for heights, skip, axis, why in (
        ((5, 2, -1, -3, -2), 5.0, 2, "does not begin in the vacuum"),
        ((5, 2, 0.5, 1, 2.5), 0.0, 0, "does not begin in the vacuum"),
        ((5, 2, 0.9, 1, 2.5), 2.5, 2, "begins on its way up"),
        ((-12, -10, -9, -8), 0.0, 2, "begins on its way up"),  # from below
    ):
        shot(path, heights)
        with pytest.raises(MixpiError, match=why):
            fate(Trajectory(path, skip=skip), "He", axis=axis)
    shot(path, (5, 2, 0.5, 1, 2.5))

    def lean(atoms) -> None:
        atoms.cell[0, 2] = 2.0

    rewritten(path, lean)
    with pytest.raises(MixpiError, match="no surface is normal to it"):
        fate(Trajectory(path), "He")


def test_without_velocities_nobody_knows_who_is_at_rest(tmp_path):
    path = tmp_path / "he.extxyz"

    def forget(atoms) -> None:
        del atoms.arrays["velocities"]

    shot(path, (5, 2, -1, -3, -2))
    rewritten(path, forget)
    with pytest.raises(MixpiError, match="nobody knows whether it is at rest"):
        fate(Trajectory(path), "He")
    shot(path, (5, 2, 0.5, 1, 2.5))
    rewritten(path, forget)
    assert fate(Trajectory(path), "He").kind == "reflected"

    def momenta(atoms) -> None:
        atoms.set_velocities(atoms.arrays.pop("velocities") / fs)

    shot(path, (5, 2, -1, -3, -2), energy=8.0)
    rewritten(path, momenta)
    assert fate(Trajectory(path), "He").kind == "unfinished"


def test_a_shot_counts_once_under_whatever_name(tmp_path, capsys):
    for name in "ab":
        shot(tmp_path / f"{name}.extxyz", (5, 2, -1, -3, -2))
    assert main(f"analyse reflection {tmp_path}/a.extxyz {tmp_path}/b.extxyz --species He".split())
    assert "the same to the last digit" in capsys.readouterr().err


def test_the_interval_holds_the_coefficient():
    rng = np.random.default_rng(1)
    inside = []
    for chance in (0.05, 0.4, 0.8):
        for _ in range(200):
            hits = rng.random(30) < chance
            fates = [Fate("reflected" if hit else "implanted", 3.0) for hit in hits]
            low, high = reflection(fates)["reflected"].interval
            inside.append(low <= chance <= high)
    assert 0.92 < np.mean(inside) < 0.99


def test_the_posterior_and_the_depth():
    fates = [Fate("reflected", -3.0)] * 7 + [Fate("implanted", depth) for depth in (4.0, 5.0, 9.0)]
    report = reflection([*fates, Fate("unfinished", -9.0)])
    assert report["reflected"].value == pytest.approx(8 / 12)
    assert report["reflected"].error == pytest.approx(np.sqrt(8 * 4 / (12**2 * 13)))
    assert report["depth"].value == pytest.approx(6.0)
    assert report["depth"].error == pytest.approx(np.std([4, 5, 9], ddof=1) / np.sqrt(3))
    assert "1 of 11 atoms are still on their way" in str(report)
    # none of ten: no zero, but a bound
    none = reflection([Fate("implanted", 4.0)] * 10)["reflected"]
    assert none.value > 0.0 and none.interval[1] == pytest.approx(1 - 0.025 ** (1 / 11))
    assert "there is no depth" in str(reflection([Fate("reflected", -3.0)] * 3))


def test_the_command(tmp_path, capsys):
    shot(tmp_path / "a.extxyz", (5, 2, 0.5, 1, 2.5))
    shot(tmp_path / "b.extxyz", (5, 2, -1, -3, -2))
    words = f"analyse reflection {tmp_path}/a.extxyz {tmp_path}/b.extxyz --species He"
    files = f" --json {tmp_path}/r.json --picture {tmp_path}/r.png"
    assert main((words + files).split()) == 0
    assert "reflected  0.50 ± 0.22" in capsys.readouterr().out
    report = read_report(tmp_path / "r.json")
    assert report.curves["counts"]["reflected"] == 1 and report["depth"].value == 2.0


def test_shots_are_kept_and_counted_with_others(tmp_path, capsys):
    heights = {"a": (5, 2, 0.5, 1, 2.5), "b": (5, 2, -1, -3, -2), "c": (9, 7, 6), "d": (5, 3, 9)}
    for name, way in heights.items():
        shot(tmp_path / f"{name}.extxyz", way)
        words = f"analyse reflection {tmp_path}/{name}.extxyz --species He"
        assert main(f"{words} --json {tmp_path}/{name}.json".split()) == 0
    assert "reflected  unknown" in capsys.readouterr().out  # of c, which is on its way
    together = f"analyse reflection {tmp_path}/a.json {tmp_path}/b.json {tmp_path}/d.extxyz"
    assert main([*together.split(), "--species", "He", "--json", f"{tmp_path}/abd.json"]) == 0
    assert main(f"analyse reflection {tmp_path}/abd.json {tmp_path}/c.json".split()) == 0
    fates, files = kept_fates(tmp_path / "abd.json")
    assert [one.kind for one in fates] == ["reflected", "implanted", "reflected"]
    assert [Path(file).stem for file in files] == ["a", "b", "d"]
    assert read_report(tmp_path / "abd.json")["reflected"].value == pytest.approx(3 / 5)
    for words, why in (
        (f"{tmp_path}/abd.json {tmp_path}/a.json", "a.extxyz is there twice"),
        (f"{tmp_path}/d.extxyz", "Say --species"),
    ):
        assert main(f"analyse reflection {words}".split()) == 1
        assert why in capsys.readouterr().err
    assert main(f"analyse combine {tmp_path}/a.json {tmp_path}/b.json".split()) == 1
    assert "counts all shots together" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"analysis": "diffusion"}, "of 'diffusion'"),
        ({"curves": {}}, "'fates'"),
        ({"files": []}, "do not belong to its files"),
        ({"curves": {"fates": [{"kind": "lost", "depth": 1.0}]}}, "do not belong"),
        ({"curves": {"fates": [{"kind": "passed", "depth": None}]}}, "holds no fates"),
    ],
)
def test_what_holds_no_fates_is_refused(tmp_path, change, why):
    path = tmp_path / "r.json"
    replace(reflection([Fate("passed", 20.0)], ["a.extxyz"]), **change).write(path)
    with pytest.raises(MixpiError, match=why):
        kept_fates(path)


def test_bad_input_is_named(tmp_path):
    path = tmp_path / "he.extxyz"
    shot(path, (5, 2, 1))
    with pytest.raises(MixpiError, match="36 atoms of W among 37"):
        fate(Trajectory(path), "W")
    shot(path, (5,))
    with pytest.raises(MixpiError, match="of one frame"):
        fate(Trajectory(path), "He")
    report = reflection([Fate("unfinished", -5.0)])
    assert np.isnan(report["reflected"].value) and "1 of 1 atoms are still on their" in str(report)
