"""Runs at different temperatures or under different loads, shots of different energies: not one."""

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
    found = read_report("a.json").conditions.temperature
    assert abs(found.value - 400.0) < 4 * found.error < 40.0
    walk(Path("bead.extxyz"), 400, seed=1, beads=8, momenta=True)
    assert analyse("diffusion bead.extxyz --species He --json bead.json") == 0
    bead = read_report("bead.json").conditions.temperature
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
    assert read_report("all.json").conditions.temperature.value == pytest.approx(400.0, rel=0.05)


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
    assert read_report("ab.json").conditions.temperature.value == pytest.approx(400.0, rel=0.05)
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


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """Runs of mixpi's under loads (eV/Å), and one of another program, which does not tell."""
    monkeypatch.chdir(tmp_path)
    loads = {"free": None, "a": [2.0, 0.0, 0.0], "b": [2.01, 0.0, 0.0], "c": [3.0, 0.0, 0.0]}
    for seed, (name, load) in enumerate({**loads, "other": None}.items()):
        path = Path(f"{name}.extxyz")
        walk(path, 400, seed=seed)
        frames = read(path, ":")
        for atoms in frames:
            if name != "other":
                atoms.arrays["mix_weight"] = np.zeros(len(atoms))
            if load is not None:
                atoms.info["load"] = np.array(load)
        write(path, frames)
    return loads


def test_runs_under_different_loads_are_not_one(loaded, capsys):
    for name in *loaded, "other":
        words = f"mean-force {name}.extxyz --bond 0 1 --json {name}.json"
        assert analyse(words) == 0
        assert analyse(f"diffusion {name}.extxyz --species He --keep {name}.npz") == 0
    assert read_report("a.json").conditions.load == (2.0, 0.0, 0.0)
    assert read_report("free.json").conditions.load == (0.0, 0.0, 0.0)
    assert read_report("other.json").conditions.load is None
    assert analyse("combine a.json b.json other.json --json ab.json") == 0
    assert analyse("diffusion a.npz b.npz other.npz --json D.json") == 0
    for report in "ab.json", "D.json":
        assert read_report(report).conditions.load == (2.0, 0.0, 0.0)
    for unlike in "c", "free":
        capsys.readouterr()
        assert analyse(f"combine ab.json {unlike}.json") == 1
        said = capsys.readouterr().err
        assert "ab.json was under loads of 2, 0, 0 eV/Å in all along x, y, z" in said
        assert analyse(f"diffusion a.npz {unlike}.npz") == 1
        assert analyse(f"compare a=a.json {unlike}={unlike}.json") == 0
        assert "note: different loads are compared: a was under" in capsys.readouterr().out
        assert analyse(f"diffusion {unlike}.npz --json {unlike}.json") == 0
        assert analyse(f"arrhenius 400=D.json 500={unlike}.json") == 1
        assert analyse(f"mean-force {unlike}.extxyz --bond 0 1 --reference a.json") == 1
        assert analyse(f"mean-force {unlike}.extxyz --bond 0 1 --json {unlike}.json") == 0
    capsys.readouterr()
    assert analyse("compare a=a.json b=b.json other=other.json") == 0
    assert "loads" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (np.array([2.5, 0.0, 0.0]), "the load changes before 300 fs, from loads of 2, 0, 0 eV/Å"),
        (None, "the load changes before 300 fs, from loads of 2, 0, 0 eV/Å"),
        (1.0, "'load' at 300 fs is no three numbers"),
        ("much", "'load' at 300 fs is no three numbers"),
    ],
)
def test_a_load_that_changes_is_two_runs(loaded, capsys, load, said):
    frames = read("a.extxyz", ":")
    for atoms in frames[30:]:
        del atoms.info["load"]
        if load is not None:
            atoms.info["load"] = load
    write("a.extxyz", frames)
    assert analyse("diffusion a.extxyz --species He") == 1
    assert said in capsys.readouterr().err


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
