"""Runs at different temperatures, and shots of different energies, are not taken for one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.io import read, write
from mixpi.analysis.motion import Thermometer
from mixpi.analysis.results import read_report
from mixpi.cli import main
from walks import gaussian


FRAMES = 60


def analyse(words: str) -> int:
    return main(["analyse", *words.split()])


def walk(
    path: Path, temperature: float | None, *, seed: int = 0, beads: int = 1, momenta: bool = False
) -> None:
    """Helium among tungsten that jitters, with velocities of a temperature (K)."""
    rng = np.random.default_rng(seed)
    way = gaussian(rng, FRAMES, 40, 0.02)
    way[:, 0] = gaussian(rng, FRAMES, 1, 0.3)[:, 0]
    frames = []
    for number, positions in enumerate(way):
        atoms = Atoms(["He"] + ["W"] * 39, positions, cell=[30.0] * 3, pbc=True)
        atoms.info = {"time": 10.0 * number, "beads": beads}
        if temperature is not None:
            masses = atoms.get_masses()[:, None]
            width = np.sqrt(units.kB * beads * temperature / masses)
            velocities = rng.normal(0.0, width, (40, 3))
            velocities -= (masses * velocities).sum(axis=0) / masses.sum()
            if momenta:
                atoms.set_velocities(velocities)
            else:
                atoms.arrays["velocities"] = velocities * units.fs
        atoms.arrays["forces"] = rng.normal(0.0, 1.0, (40, 3))
        frames.append(atoms)
    write(path, frames)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, temperature, seed in ("a", 400, 1), ("b", 400, 2), ("c", 600, 3), ("old", None, 4):
        walk(Path(f"{name}.extxyz"), temperature, seed=seed)
    return tmp_path


def test_the_temperature_is_that_of_the_velocities(tmp_path, runs):
    command = "diffusion a.extxyz --species He --json a.json"
    assert analyse(command) == 0
    found = read_report("a.json").temperature
    assert abs(found.value - 400.0) < 4 * found.error < 40.0
    walk(Path("bead.extxyz"), 400, seed=1, beads=8, momenta=True)
    assert analyse("diffusion bead.extxyz --species He --json bead.json") == 0
    bead = read_report("bead.json").temperature
    assert bead.value == pytest.approx(found.value, rel=1e-6)


def test_atoms_at_rest_have_no_temperature():
    thermometer = Thermometer()
    for _ in range(FRAMES):
        atoms = Atoms("W2", np.eye(3)[:2])
        atoms.set_momenta(np.zeros((2, 3)))
        thermometer.read(atoms, "here", 0.0)
    assert thermometer.mean() is None


def test_a_run_that_begins_at_rest_has_the_temperature_of_the_rest(runs):
    frames = read("a.extxyz", ":")
    for atoms in frames:
        atoms.arrays["mix_region"] = np.zeros(len(atoms), dtype=int)
    frames[0].arrays["velocities"][:] = 0.0
    write("a.extxyz", frames)
    assert analyse("temperature a.extxyz --json all.json") == 0
    assert read_report("all.json").temperature.value == pytest.approx(400.0, rel=0.05)


@pytest.mark.parametrize("kept", [False, True])
def test_diffusion_at_different_temperatures_has_no_mean(runs, capsys, kept):
    for name in "a", "b", "c", "old":
        command = f"diffusion {name}.extxyz --species He --keep {name}.npz"
        assert analyse(command) == 0
    ending = "npz" if kept else "extxyz"
    who = "" if kept else " --species He"
    assert analyse(f"diffusion a.{ending} b.{ending} old.{ending}{who}") == 0
    capsys.readouterr()
    assert analyse(f"diffusion a.{ending} b.{ending} c.{ending}{who}") == 1
    said = capsys.readouterr().err
    assert "c." in said and "their results are not one" in said


def test_reports_of_different_temperatures_are_not_one(runs, capsys):
    for name in "a", "b", "c", "old":
        words = f"mean-force {name}.extxyz --bond 0 1 --json {name}.json"
        assert analyse(words) == 0
    assert analyse("combine a.json b.json old.json --json ab.json") == 0
    assert read_report("ab.json").temperature.value == pytest.approx(400.0, rel=0.05)
    capsys.readouterr()
    assert analyse("combine ab.json c.json") == 1
    assert "ab.json was at" in capsys.readouterr().err
    assert analyse("compare a=a.json c=c.json") == 0
    assert "different temperatures are compared: a was at" in capsys.readouterr().out
    assert analyse("compare a=a.json b=b.json") == 0
    assert "temperatures" not in capsys.readouterr().out
    against = "mean-force c.extxyz --bond 0 1 --reference a.json"
    assert analyse(against) == 1
    assert "the reference was at" in capsys.readouterr().err


def test_a_point_of_a_line_is_at_the_temperature_that_is_said(runs, capsys):
    for name in "a", "c":
        command = f"diffusion {name}.extxyz --species He --json {name}.json"
        assert analyse(command) == 0
    assert analyse("arrhenius 400=a.json 600=c.json") == 0
    capsys.readouterr()
    assert analyse("arrhenius 500=a.json 600=c.json") == 1
    assert "a.extxyz was at 39" in (said := capsys.readouterr().err) and "not at 500 K" in said


def test_shots_of_different_energies_have_no_common_coefficient(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for number, energy in enumerate((20.0, 20.1, 80.0)):
        frames = []
        for step in range(6):
            atoms = Atoms("W2He", [[0, 0, 0], [2, 2, 1], [1, 1, 8 - step - 0.1 * number]])
            atoms.set_cell([4, 4, 40])
            atoms.pbc = True
            momenta = np.zeros((3, 3))
            if step < 3:
                momenta[2, 2] = -np.sqrt(2 * energy * atoms.get_masses()[2])
            atoms.set_momenta(momenta)
            atoms.info["time"] = float(step)
            frames.append(atoms)
        write(f"{number}.extxyz", frames)
        words = f"reflection {number}.extxyz --species He --json {number}.json"
        assert analyse(words) == 0
    assert analyse("reflection 0.json 1.json") == 0
    capsys.readouterr()
    assert analyse("reflection 0.json 1.json 2.json") == 1
    said = capsys.readouterr().err
    assert "0.extxyz was shot with 20 eV, 2.extxyz with 80 eV" in said
    assert analyse("reflection 1.extxyz 2.extxyz --species He") == 1
    assert "different energies have no common coefficient" in capsys.readouterr().err
