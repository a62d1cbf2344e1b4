"""The study of implantation: where its shots begin, and what its table makes of any results."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from ase.units import Hartree, fs
from conftest import clean_environment
from ipi.utils.units import unit_to_internal
from mixpi.analysis.reflection import Fate, reflection
from mixpi.ipi.view import ask_ipi
from test_case_studies import STUDIES, copy_shared
from test_diffusion_studies import module


STUDY = STUDIES / "he_implantation"


@pytest.fixture(scope="module")
def shots():
    return module(STUDY / "shot.py")


@pytest.fixture
def slab(tmp_path):
    """At rest."""
    words = ["3", "4", "3.2", "20", str(tmp_path / "slab.extxyz")]
    subprocess.run([sys.executable, STUDY / "slab.py", *words], check=True)
    atoms = read(tmp_path / "slab.extxyz")
    atoms.arrays["velocities"] = np.zeros((len(atoms), 3))
    return atoms


def test_the_slab(slab):
    assert len(slab) == 3 * 3 * 4 * 2
    np.testing.assert_allclose(slab.cell.lengths(), [9.6, 9.6, 3.5 * 3.2 + 20])
    heights = np.unique(slab.positions[:, 2].round(6))
    np.testing.assert_allclose(heights, 10.0 + 1.6 * np.arange(8))
    neighbours = slab.get_distances(0, range(1, len(slab)), mic=True)
    assert neighbours.min() == pytest.approx(3.2 * np.sqrt(0.75))


@pytest.mark.full
def test_i_pi_has_helium_with_its_energy(slab, shots, tmp_path):
    """All other atoms are at rest, so it has all that i-PI finds."""
    for name in ("input.xml", "mixing.yaml", "mixing_pes.py"):
        shutil.copy(STUDY / name, tmp_path)
    for energy in (5.0, 80.0):
        shots.write(shots.shot([slab], 1, energy), tmp_path)
        view = ask_ipi(tmp_path / "input.xml")
        # of all atoms, whatever does not move; back by i-PI's own kelvin
        hartree = unit_to_internal("temperature", "kelvin", view.kinetic_temperature)
        assert 1.5 * len(view.symbols) * hartree * Hartree == pytest.approx(energy, rel=1e-9)
        atoms = read(tmp_path / "init.extxyz")
        np.testing.assert_allclose(view.positions, atoms.positions, atol=1e-6)
        assert view.symbols[-1] == "He" and view.masses[-1] == pytest.approx(4.002602)


def test_shots_begin_at_random_places_above_the_states_in_turns(slab, shots):
    other = slab.copy()
    other.positions[5, 2] += 9.0  # higher than all
    other.arrays["velocities"][3] = [1e-3, -2e-3, 3e-3]
    places = []
    for number in range(1, 81):
        atoms = shots.shot([slab, other], number, 20.0)
        state = (slab, other)[number % 2]
        np.testing.assert_array_equal(atoms.positions[:-1], state.positions)
        np.testing.assert_allclose(atoms.get_velocities()[:-1] * fs, state.arrays["velocities"])
        assert atoms.positions[-1, 2] == pytest.approx(state.positions[:, 2].max() + 5.0)
        x, y, z = atoms.get_velocities()[-1]
        assert x == y == 0.0 and z < 0.0
        assert 0.5 * atoms.get_masses()[-1] * z**2 == pytest.approx(20.0, rel=1e-12)
        places.append(atoms.get_scaled_positions()[-1, :2])
    counts, _, _ = np.histogram2d(*np.transpose(places), bins=2, range=[[0, 1], [0, 1]])
    assert counts.min() > 8  # of 20 on average
    again = shots.shot([slab, other], 80, 20.0)
    np.testing.assert_array_equal(again.positions, atoms.positions)
    assert np.abs(shots.shot([slab], 80, 40.0).positions - again.positions)[-1, :2].max() > 0.01


@pytest.mark.full
def test_a_shot_says_when_it_is_over(slab, tmp_path):
    slab.info["time"] = 0.0
    moved = slab.copy()
    moved.info["time"] = 50.0
    moved.positions[:, 2] += 1.0
    path = tmp_path / "mix.extxyz"
    slab.write(path)
    slab.write(tmp_path / "init.extxyz")
    moved.write(path, append=True)
    (tmp_path / "shot").mkdir()
    said = []
    for skip in ("0", "20"):
        words = [sys.executable, STUDY / "shot.py", path, skip, "2", "10", tmp_path / "shot"]
        said.append(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    assert said == ["z > 28.20 or z < 6.00\n", "z > 29.20 or z < 7.00\n"]
    moved.positions[7, 0] += 1.5
    moved.write(path, append=True)
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1 and "atom 7 (from 0) is 1.8 Å from its site" in done.stderr


def made_up(folder: Path, arm: str, kinds: str, *, atoms: int, ms: float) -> None:
    """Shots of an arm, by the first letters of what became of them."""
    names = {name[0]: name for name in ("reflected", "implanted", "passed", "unfinished")}
    target = folder / "results" / "laptop" / arm
    target.mkdir(parents=True)
    fates = [Fate(names[kind], 8.0 + number) for number, kind in enumerate(kinds)]
    files = [f"{arm}/{number}" for number in range(len(kinds))]
    reflection(fates, files).write(target.with_suffix(".json"))
    for number in range(len(kinds)):
        cost = {"atoms": atoms, "steps": 1000, "fs": 900.0, "step_ms": ms}
        cost |= {"seconds": ms, "energy_change_eV": 0.01}
        (target / f"cost.{number}.json").write_text(json.dumps(cost))


def test_the_table_counts_shots_and_compares_times(tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    copy_shared(tmp_path)
    shutil.copy(STUDY / "table.py", folder)
    made_up(folder, "mixed_20", "rrrrrrriip", atoms=2000, ms=50.0)
    made_up(folder, "expensive_20", "rrriu", atoms=500, ms=40.0)
    made_up(folder, "mixed_80", "u", atoms=2000, ms=50.0)
    command = [sys.executable, folder / "table.py", "laptop"]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")] for line in done.stdout.splitlines()]
    mixed, expensive, unfinished = rows[2:]
    assert mixed[1:6] == ["20", "mixed", "10", "0.67 (0.39 to 0.89)", "0.849"]
    assert mixed[6].startswith("15.50 ±")
    assert mixed[7:11] == ["50", "1000", "50", "3.2"]  # 40 ms × 2000 / 500 over 50 ms
    assert expensive[1:6] == ["20", "**all-expensive**", "4", "0.67 (0.28 to 0.95)", "0.833"]
    assert unfinished[3:5] == ["0", "none arrived"] and "nan" not in done.stdout
    assert (folder / "results" / "laptop" / "figure.png").stat().st_size > 5_000
