"""The case studies of diffusion: their seeds, and what their tables make of any results."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write
from mixpi.analysis.defects import Sites, lattice
from mixpi.analysis.diffusion import diffusion
from mixpi.analysis.results import Report, Result
from mixpi.analysis.tracks import Track
from mixpi.regions.periodic import PeriodicCell
from test_case_studies import STUDIES, copy_of, run_sh


HELIUM, IRON = STUDIES / "he_in_w", STUDIES / "fe_dumbbell"


def module(path: Path):
    """A script of the studies."""
    spec = spec_from_file_location(path.stem, path)
    loaded = module_from_spec(spec)
    sys.modules[path.stem] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def hot_crystal(rng, cells: int, extra: np.ndarray, moved: np.ndarray) -> Atoms:
    """Iron that vibrates and has drifted, with one more atom (lattice constants)."""
    atoms = bulk("Fe", "bcc", a=2.85, cubic=True) * (cells, cells, cells)
    atoms += Atoms("Fe", [extra * 2.85])
    atoms.positions += rng.normal(0.0, 0.18, atoms.positions.shape) + moved
    return atoms


@pytest.mark.parametrize("extra", [[0.1, 0.05, 0.1], [3.95, 3.9, 3.95], [2.55, 2.4, 2.5]])
def test_seeds_of_the_dumbbell_are_those_at_one_site(extra):
    """As the analysis finds sites, by a tree; through the boundary, and in a moved crystal."""
    sharing = module(IRON / "sharing.py")
    rng = np.random.default_rng(1)
    for moved in (np.zeros(3), np.array([0.3, -0.2, 0.25]), np.array([0.1, 23.0, -11.3])):
        atoms = hot_crystal(rng, 4, np.array(extra), np.zeros(3))
        cell = PeriodicCell(atoms.cell.array)
        sites = Sites(lattice("bcc", atoms), cell)
        nearest = sites.nearest(atoms.positions)
        expected = np.bincount(nearest)[nearest]
        shift = moved if np.abs(moved).max() < 1.0 else np.round(moved / 11.4) * 11.4
        found = sharing.atoms_at_the_site(atoms.positions + shift, atoms.numbers, atoms.cell.array)
        np.testing.assert_array_equal(found, expected)
        assert (found > 1).sum() == 2


def test_seeds_of_the_dumbbell_refuse_another_crystal():
    sharing = module(IRON / "sharing.py")
    atoms = bulk("Fe", "bcc", a=2.85, cubic=True) * (3, 3, 3)
    with pytest.raises(ValueError, match="54 atoms are no cube of bcc cells and one interstitial"):
        sharing.atoms_at_the_site(atoms.positions, atoms.numbers, atoms.cell.array)


def put_run(folder: Path, number: int, positions: np.ndarray, *, jumps=None, speed_up=None) -> None:
    """What run.sh leaves of a run."""
    folder.mkdir(parents=True, exist_ok=True)
    report = {"steps": 65000, "step_ms": {"median": 50.0}}
    report |= {"speed_up": speed_up} if speed_up else {}
    (folder / f"run.{number}.json").write_text(json.dumps(report))
    kelvin = Result("all", 800.0 + number, 2.0, "K", 50.0)
    name = str(folder / f"he.{number}.npz")
    Report("temperature", (name,), (kelvin,)).write(folder / f"temperature.{number}.json")
    Track(name, 50.0 * np.arange(len(positions)), positions, jumps).write(Path(name))


def put_together(folder: Path, jump: float | None = None) -> None:
    from mixpi.analysis.tracks import read_track

    tracks = [read_track(path) for path in sorted(folder.glob("he.*.npz"))]
    diffusion(tracks, jump=jump).write(folder.with_name(f"{folder.name}.json"))


@pytest.fixture
def results(tmp_path):
    """Walks with a known D at three temperatures, in two arms."""
    study = tmp_path / "study"
    study.mkdir()
    (study / "input.xml").write_text((HELIUM / "input.xml").read_text())
    rng = np.random.default_rng(2)
    for arm in ("mixed", "expensive"):
        for temperature, step in ((400, 0.05), (600, 0.1), (800, 0.2)):
            folder = study / "results" / "laptop" / f"{arm}_{temperature}"
            for number in (1, 2):
                walk = np.cumsum(rng.normal(0.0, step, (1200, 1, 3)), axis=0)
                put_run(folder, number, walk, speed_up=1.5 if arm == "mixed" else None)
            put_together(folder)
    return study / "results" / "laptop"


@pytest.fixture
def shared(monkeypatch):
    """What the studies of diffusion share."""
    monkeypatch.syspath_prepend(STUDIES)
    return module(STUDIES / "diffusion_of_arms.py")


def test_the_table_is_of_all_runs(results, shared):
    arms = shared.arms_of(results)
    assert [(arm.name, arm.temperature) for arm in arms][:2] == [
        ("mixed", 400.0),
        ("expensive", 400.0),
    ]
    hot = arms[-1]
    # 0.2 Å of width a frame of 50 fs: D = 0.02 / 50 Å²/fs
    assert hot.coefficient.value == pytest.approx(0.02 / 50 * 1e-5, rel=0.3)
    assert hot.runs == 2 and hot.ps == pytest.approx(130.0) and hot.kelvin.value == 801.5
    assert hot.coefficient.error >= hot.coefficient.value * 0.02
    labels = {"mixed": "mixed", "expensive": "**all-expensive**"}
    text = shared.table_of(arms, labels, {800.0: "4.4e-09"}, "literature")
    rows = [line for line in text.splitlines() if line.startswith("| 800 | mixed")]
    assert len(rows) == 1 and "| 4.4e-09 |" in rows[0] and "| 2, 130 |" in rows[0]
    assert rows[0].endswith("| 50.0 | 1.50 |") and " ± " in rows[0].split("|")[4]
    assert "| mixed | 0." in text and "activation energy" in text
    assert shared.line_of(arms, "mixed")["activation energy"].value > 0.0


@pytest.mark.full
def test_no_jump_is_a_bound_and_a_lost_defect_is_told(results, shared):
    folder = results / "cheap_800"
    put_run(folder, 1, np.zeros((1200, 1, 3)), jumps=np.zeros(1199, dtype=bool))
    put_together(folder, jump=2.0)
    lost = results / "cheap_600"
    put_run(lost, 1, np.zeros((40, 1, 3)))
    (lost / "lost.1.txt").write_text("mixpi: error: it is lost\n")
    arms = {(arm.name, arm.temperature): arm for arm in shared.arms_of(results)}
    still = arms["cheap", 800.0]
    # −ln 0.05 / 59.95 ps · 4 Å² / 6
    assert still.words == f"< {-np.log(0.05) / 59950 * 4 / 6 * 1e-5:.2g} (95 %, no jump)"
    assert arms["cheap", 600.0].words == "none"
    labels = {"cheap": "cheap", "mixed": "mixed", "expensive": "**all-expensive**"}
    text = shared.table_of(list(arms.values()), labels, {}, "literature")
    assert "cheap, 600 K: mixpi: error: it is lost" in text
    assert shared.line_of(list(arms.values()), "cheap") is None
    shared.write_all(results, labels, {}, "literature", {})
    assert (results / "table.md").read_text() == text
    assert (results / "figure.png").stat().st_size > 5_000


@pytest.mark.full
def test_a_lost_dumbbell_stops_no_other_arm(tmp_path):
    """Its trajectory stays, and the table says what became of it."""
    folder = copy_of(IRON, tmp_path)
    run = folder / "runs" / "smoke" / "cheap_1100" / "1"
    run.mkdir(parents=True)
    for name in ("input.xml", "mixing.yaml", "../../init.extxyz"):
        (run / name).write_text("what has been run")
    report = {"status": "finished", "steps": 150, "step_ms": {"median": 9.0}}
    (run / "mixpi.report.json").write_text(json.dumps(report))
    rng = np.random.default_rng(3)
    frames = []
    for number in range(40):
        atoms = hot_crystal(rng, 4, np.array([0.1, 0.05, 0.1]), np.zeros(3))
        atoms.positions[60] = atoms.positions[70] + 0.3  # and an empty site
        atoms.arrays["mix_region"] = np.zeros(len(atoms), dtype=int)
        atoms.arrays["velocities"] = rng.normal(0.0, 4e-3, (len(atoms), 3))
        atoms.info["time"] = 10.0 * number
        frames.append(atoms)
    write(run / "mix.extxyz", frames)
    done = run_sh(folder, ARMS="cheap")
    assert done.returncode == 0, done.stdout + done.stderr
    found = folder / "results" / "smoke"
    why = "which of them is followed is not clear"
    assert why in (found / "table.md").read_text()
    assert "| 1100 | cheap | none |" in (found / "table.md").read_text()
    assert why in done.stderr and (run / "mix.extxyz").exists()


@pytest.mark.slow
def test_energies_of_the_dumbbells_are_those_in_the_readme():
    done = subprocess.run(
        [sys.executable, IRON / "energies.py"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    readme = (IRON / "README.md").read_text()
    for name in ("fe-small", "fe-eam-uf3", "fe-adp"):
        found, said = (
            [float(number) for number in re.findall(rf"`{name}`.*", text)[0].split("|")[1:4]]
            for text in (done.stdout, readme)
        )
        assert found == pytest.approx(said, abs=5e-3)


@pytest.mark.slow
def test_arms_with_the_model_itself(tmp_path):
    """Which run.sh makes by other lines of the configuration, when they are asked for."""
    folder = copy_of(IRON, tmp_path)
    done = run_sh(folder, ARMS="mace_mixed")
    assert done.returncode == 0, done.stdout + done.stderr
    table = (folder / "results" / "smoke" / "table.md").read_text()
    assert "| 1100 | mixed, MACE |" in table
    made = (folder / "runs" / "smoke" / "mace_mixed_1100" / "1" / "mixing.yaml").read_text()
    assert "fe-small.model" in made and "lammps_cluster" not in made


def test_an_arm_that_there_is_none_of_is_refused(tmp_path):
    folder = copy_of(HELIUM, tmp_path)
    start = folder / "runs" / "smoke" / "init.extxyz"
    start.parent.mkdir(parents=True)
    start.write_text("what it would begin with")
    done = run_sh(folder, ARMS="cheap")
    assert done.returncode == 2 and "no such arm: cheap" in done.stderr
