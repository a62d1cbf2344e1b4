"""Rare hops and few runs: bounds and error bars that hold what they promise."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from conftest import clean_environment
from mixpi.analysis.combining import combine
from mixpi.analysis.comparing import compare
from mixpi.analysis.diffusion import diffusion
from mixpi.analysis.results import Report, Result, read_report
from mixpi.analysis.statistics import at_most
from mixpi.analysis.tracks import Track
from mixpi.cli import main
from scipy.stats import poisson
from walks import gaussian


STUDIES = Path(__file__).resolve().parents[2] / "ipi_inputs" / "case_studies"
JUMP = 2.0


def hopping(rng: np.random.Generator, expected: float, frames: int = 300) -> Track:
    """One walker on a simple cubic lattice, without vibrations."""
    jumps = rng.random(frames - 1) < expected / (frames - 1)
    axis, sign = rng.integers(3, size=frames - 1), rng.choice([-1.0, 1.0], frames - 1)
    steps = np.zeros((frames - 1, 3))
    steps[np.arange(frames - 1), axis] = JUMP * sign * jumps
    places = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
    return Track("a.extxyz", 100.0 * np.arange(frames), places[:, None], jumps)


def test_the_bound_is_that_of_a_count():
    for k in (1, 2, 3, 7):
        # the rate at which so few or fewer are seen with 5 %
        assert poisson.cdf(k, at_most(k, np.sqrt(k))) == pytest.approx(0.05, rel=1e-6)
    assert at_most(0.0, 1.0) > at_most(-1.0, 1.0) * 0.999 > 3.0
    assert at_most(0.0, np.inf) == np.inf == at_most(1.0, 0.0)
    bounds = [at_most(value, 1.0) for value in np.linspace(0.0, 2.0, 41)]
    assert np.all(np.diff(bounds) > -0.35)  # no abyss between one estimate and the next


@pytest.mark.full
def test_few_hops_are_held_by_the_interval():
    rng = np.random.default_rng(3)
    for expected in (3.0, 6.0):
        true = expected / (299 * 100.0) * JUMP**2 / 6.0 * 1e-5
        held = []
        for _ in range(40):
            report = diffusion([hopping(rng, expected)], jump=JUMP)
            names = {one.name for one in report.results}
            if "D at most (95 %)" in names:
                held.append(report["D at most (95 %)"].value > 0.999 * true)
            elif report["D"].interval:
                low, high = report["D"].interval
                held.append(low <= true <= high)
        assert len(held) > 30 and np.mean(held) > 0.87


def walk(seed: int, frames: int = 600) -> Track:
    """A walk."""
    rng = np.random.default_rng(seed)
    way = np.cumsum(rng.normal(0.0, 0.1, (frames, 1, 3)), axis=0)
    return Track(f"{seed}.extxyz", 100.0 * np.arange(frames), way)


def test_lines_that_begin_at_other_lags_are_told_of(tmp_path):
    begins = {"short": 200.0, "long": 900.0, "also": 300.0}
    for seed, (name, first) in enumerate(begins.items()):
        diffusion([walk(seed)], first=first).write(tmp_path / f"{name}.json")
    reports = {path.stem: read_report(path) for path in tmp_path.glob("*.json")}
    said = "D of short is that of lags from 0.2 ps on, of long from 0.9 ps: give all one"
    assert any(said in note for note in compare(reports).notes)
    del reports["long"]
    assert not any("lags" in note for note in compare(reports).notes)


def result(value: float, error: float, samples: float = 1000.0, name: str = "force") -> Report:
    row = Result(name, value, error, "eV/Å", samples)
    return Report("mean-force", (f"{value}.extxyz",), (row,))


def test_an_error_by_the_scatter_of_two_runs_is_worth_two():
    both = combine({"a": result(1.0, 0.01), "b": result(1.2, 0.01)})
    assert both["force"].error == pytest.approx(0.1, rel=0.01)
    assert both["force"].independent == pytest.approx(2.0, abs=0.1)
    said = compare({"both": both, "c": result(1.32, 0.01)}).notes[-1]
    assert "-2.2 standard errors (by chance as far: 27 %)" in said
    alike = combine({"a": result(1.0, 0.1), "b": result(1.01, 0.1)})
    assert alike["force"].independent == 2000.0


def test_chance_is_what_is_said_of_few_runs():
    """Runs that scatter by more than their errors say: two errors in Student's t hold 95 %."""
    rng = np.random.default_rng(5)
    beyond = []
    for _ in range(200):
        runs = {str(k): result(rng.normal(0.0, 0.1), 0.01) for k in range(3)}
        apart = compare({"runs": combine(runs), "true": result(0.0, 1e-9)})
        beyond.append(float(apart.notes[-1].split("as far: ")[1].split()[0]) < 5.0)
    assert 0.005 < np.mean(beyond) < 0.1


def test_what_is_of_one_run_is_not_combined_and_what_is_missing_is_said():
    rows = [
        (Result("D", 1.0, 0.1, "m²/s"), Result("D of run 1", 1.0, 0.1, "m²/s")),
        (
            Result("D", 1.1, 0.1, "m²/s"),
            Result("D of run 1", 9.0, 0.1, "m²/s"),
            Result("changes of site", 2.0, 0.1, "1/ps"),
        ),
    ]
    reports = {f"{k}": Report("diffusion", (f"{k}.npz",), row) for k, row in enumerate(rows)}
    found = combine(reports)
    assert [one.name for one in found.results] == ["D"]
    assert any(note.startswith("changes of site is not in all runs") for note in found.notes)


def test_files_of_one_name_in_two_folders_are_two_runs(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    for name in "ab":
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.chdir(folder)
        way = gaussian(rng, 80, 6, 0.1)
        frames = [
            Atoms("HeW5", x, cell=[30] * 3, pbc=True, info={"time": 10.0 * k})
            for k, x in enumerate(way)
        ]
        write("mix.extxyz", frames)
        words = ["analyse", "diffusion", "mix.extxyz", "--species", "He", "--json", "D.json"]
        assert main(words) == 0
    monkeypatch.chdir(tmp_path)
    assert main(["analyse", "combine", "a/D.json", "b/D.json", "--json", "both.json"]) == 0
    assert read_report(tmp_path / "both.json").files == (
        str(tmp_path / "a" / "mix.extxyz"),
        str(tmp_path / "b" / "mix.extxyz"),
    )
    assert main(["analyse", "combine", "both.json", "a/D.json"]) == 1
    assert "a/mix.extxyz is in two of the runs" in capsys.readouterr().err


def test_what_few_others_diffuse_is_spoken_of(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    for name, steps in (("liquid", [0.1] * 10 + [0.1] * 4), ("crystal", [0.1] * 10 + [0.0] * 4)):
        way = np.cumsum(rng.normal(0.0, 1.0, (200, 14, 3)) * np.array(steps)[:, None], axis=0)
        way += 0.05 * np.arange(200)[:, None, None]  # all drift
        frames = [
            Atoms("Na10Cl4", x, cell=[90] * 3, pbc=True, info={"time": 10.0 * k})
            for k, x in enumerate(way)
        ]
        write(f"{name}.extxyz", frames)
        assert main(["analyse", "diffusion", f"{name}.extxyz", "--species", "Na"]) == 0
        said = (
            "the 4 other atoms, whose drift is taken off, move so much" in capsys.readouterr().out
        )
        assert said == (name == "liquid")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--species He --from nan", "a lag must be a positive time, not nan fs"),
        ("--species He --to inf", "a lag must be a positive time, not inf fs"),
        ("--species He --jump 2", "--jump would do nothing with --species or --atoms"),
        ("--defect sites --lattice bcc --unwrap", "--unwrap would do nothing with --defect sites"),
        ("--defect coordination --host W", "--host would do nothing with --defect coordination"),
    ],
)
def test_options_that_mean_nothing(tmp_path, monkeypatch, capsys, options, said):
    monkeypatch.chdir(tmp_path)
    way = gaussian(np.random.default_rng(0), 80, 6, 0.1)
    frames = [
        Atoms("HeW5", x, cell=[30] * 3, pbc=True, info={"time": 10.0 * k})
        for k, x in enumerate(way)
    ]
    write("mix.extxyz", frames)
    assert main(["analyse", "diffusion", "mix.extxyz", *options.split()]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.full
def test_energies_with_a_decimal_point_have_their_own_rows(tmp_path):
    study = tmp_path / "he_implantation"
    ignored = shutil.ignore_patterns("runs", "*.model")
    shutil.copytree(STUDIES / "he_implantation", study, ignore=ignored)
    shutil.copy(STUDIES / "table_and_figure.py", tmp_path)
    results = study / "results" / "laptop"
    before = rows_of(results)
    for arm in ("mixed", "expensive"):
        for old, new in (("20", "12.5"), ("80", "12")):
            (results / f"{arm}_{old}").rename(results / f"{arm}_{new}")
            (results / f"{arm}_{old}.json").rename(results / f"{arm}_{new}.json")
    command, there = [sys.executable, "table.py", "laptop"], {"cwd": study, "text": True}
    done = subprocess.run(command, env=clean_environment(), capture_output=True, **there)
    assert done.returncode == 0, done.stderr
    after = rows_of(results)
    assert after["12.5"] == before["20"] != before["80"] == after["12"]


def rows_of(results: Path) -> dict[str, list[list[str]]]:
    """Shots and shares of each energy in the table."""
    found: dict[str, list[list[str]]] = {}
    for line in (results / "table.md").read_text().splitlines()[2:]:
        energy, *rest = [word.strip() for word in line.strip("|").split("|")]
        found.setdefault(energy, []).append(rest[:3])
    return found
