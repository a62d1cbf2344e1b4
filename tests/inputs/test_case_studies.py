"""The case studies: their scripts run, go on, and their READMEs say what their results are."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from conftest import ROOT, clean_environment, evaluations, mixpi, the_rest_slow, wait_for
from mixpi.analysis.results import read_report
from mixpi.output.records import read_steps


STUDIES = ROOT / "ipi_inputs" / "case_studies"
ALL = sorted(path.parent for path in STUDIES.glob("*/run.sh"))
BOND = STUDIES / "si_stretched_bond"
#: Study and size of the results that come with it.
RESULTS = [(path.parent.parent.parent.name, path.parent.name)
           for path in sorted(STUDIES.glob("*/results/*/table.md"))
           if path.parent.name != "smoke"]  # fmt: skip


def environment() -> dict[str, str]:
    env = clean_environment()
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    return env


def copy_shared(target: Path) -> None:
    """What the studies share."""
    for path in (*STUDIES.glob("*.sh"), *STUDIES.glob("*.py")):
        shutil.copy(path, target)


def copy_of(study: Path, tmp_path: Path) -> Path:
    """A study without what it has found, among links to what it may take its inputs from."""
    inputs = tmp_path / "ipi_inputs"
    inputs.mkdir()
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    for path in study.parent.parent.iterdir():
        if path != STUDIES:
            (inputs / path.name).symlink_to(path)
    (inputs / STUDIES.name).mkdir()
    copy_shared(inputs / STUDIES.name)
    target = inputs / STUDIES.name / study.name
    shutil.copytree(study, target, ignore=shutil.ignore_patterns("runs", "results"))
    return target


def run_sh(folder: Path, size: str = "smoke", **more: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [folder / "run.sh", size],
        env=environment() | more,
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_there_are_studies():
    names = {study.name for study in ALL}
    assert {"si_vacancy_neb", "si_stretched_bond", "fe_dumbbell", "he_in_w"} <= names
    assert "he_implantation" in names
    assert "w_screw_dislocation" in names
    assert {("si_vacancy_neb", "laptop"), ("si_stretched_bond", "laptop")} <= set(RESULTS)


@pytest.mark.parametrize("study", ALL, ids=lambda study: study.name)
def test_layout(study):
    assert os.access(study / "run.sh", os.X_OK) and (study / "table.py").exists()
    readme = (study / "README.md").read_text()
    for size in ("smoke", "laptop", "paper"):
        assert f"run.sh {size}" in readme
    assert f"({study.name}/README.md)" in (STUDIES / "README.md").read_text()
    kept = [p for p in (study / "results").rglob("*") if p.is_file() and "smoke" not in p.parts]
    assert sum(path.stat().st_size for path in kept) < 400_000
    used = subprocess.run([study / "run.sh"], env=environment(), capture_output=True, text=True)
    assert used.returncode == 2 and "smoke | laptop | paper" in used.stderr


@pytest.mark.full
@pytest.mark.parametrize(("study", "size"), RESULTS)
def test_the_readme_s_table_is_that_of_the_results(study, size, tmp_path):
    folder = tmp_path / study
    copy_shared(tmp_path)
    shutil.copytree(STUDIES / study, folder, ignore=shutil.ignore_patterns("runs", "*.model"))
    table = folder / "results" / size / "table.md"
    committed = table.read_text()
    table.unlink()
    command = [sys.executable, "table.py", size]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert table.read_text() == committed
    assert committed in (folder / "README.md").read_text()
    assert f"results/{size}/figure.png" in (folder / "README.md").read_text()


@pytest.mark.full
@pytest.mark.parametrize(
    "study", the_rest_slow(ALL, STUDIES / "he_in_w"), ids=lambda study: study.name
)
def test_smoke(study, tmp_path):
    folder = copy_of(study, tmp_path)
    done = run_sh(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    found = folder / "results" / "smoke"
    table = (found / "table.md").read_text()
    assert "all-expensive" in table and "nan" not in table
    assert (found / "figure.png").stat().st_size > 5_000
    begin = time.time()
    again = run_sh(folder)
    assert again.returncode == 0, again.stderr
    # nothing has been computed again
    computed = [p for p in (folder / "runs").rglob("*") if p.stat().st_mtime > begin]
    assert not computed and (found / "table.md").read_text() == table


@pytest.mark.slow
def test_further_runs_of_the_bond_add_to_those_that_are_there(tmp_path):
    folder = copy_of(BOND, tmp_path)
    for number in (1, 2):
        done = run_sh(folder, RUNS=str(number))
        assert done.returncode == 0, done.stdout + done.stderr
        arm = folder / "results" / "smoke" / "core_4_blend_0"
        forces = [json.loads(p.read_text())["curves"]["runs"][0]["force_eV_A"]
                  for p in sorted(arm.glob("force.*.json"))]  # fmt: skip
        assert len(forces) == number
        together = read_report(arm.with_suffix(".json"))
        assert len(together.files) == number
    # each has a seed of its own
    assert np.abs(np.subtract(*forces)).max() > 0.01
    mean = np.mean([np.mean(one) for one in forces])
    assert together["force"].value == pytest.approx(mean, abs=0.5 * np.ptp(np.mean(forces, axis=1)))


def run_piece(folder: Path) -> subprocess.Popen:
    script = f"set -euo pipefail; source {STUDIES}/pieces.sh; run_piece {folder} --no-reference"
    return subprocess.Popen(
        ["bash", "-c", script],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.full
@pytest.mark.parametrize(
    "stop", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_piece_that_was_stopped_goes_on(make_case, stop):
    case = make_case(steps=300, checkpoint=20)
    first = run_piece(case.folder)
    wait_for(lambda: evaluations(case) > 50)
    os.killpg(first.pid, stop)
    first.communicate(timeout=60)
    assert first.returncode != 0
    wait_for(case.nothing_left)
    second = run_piece(case.folder)
    _, errors = second.communicate(timeout=120)
    assert second.returncode == 0, errors
    report = json.loads((case.folder / "mixpi.report.json").read_text())
    assert report["status"] == "finished" and report["steps"] == 300 and report["continued_from"]
    np.testing.assert_array_equal(read_steps(case.folder / "mix.steps")["step"][-1], 300)
    written = (case.folder / "mix.steps").stat().st_mtime
    third = run_piece(case.folder)
    third.communicate(timeout=60)
    assert third.returncode == 0 and (case.folder / "mix.steps").stat().st_mtime == written


def test_the_energy_drift_is_that_of_its_document():
    """No computation of its own: the README's table is of docs/drift.json."""
    folder = STUDIES / "energy_drift"
    command = [sys.executable, folder / "table.py"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout in (folder / "README.md").read_text()
    # the heat of linear 4/6 through a sphere of 10 Å, by hand: 92.65 meV/ps / 1256.6 Å²
    assert "| 4 / 6 | 228 | 10.4 | 93 ± 14 | 6.9 ± 1.0 | 7.4 ± 1.1 |" in done.stdout
    assert "(energy_drift/README.md)" in (STUDIES / "README.md").read_text()


def test_the_bond_of_the_study(tmp_path):
    """Which is that of the folder's structure, and so far from its length in the crystal."""
    made = tmp_path / "init.extxyz"
    subprocess.run([sys.executable, BOND / "stretched_bond.py", "5", made], check=True)
    assert made.read_text() == (BOND / "init.extxyz").read_text()
    atoms = read(made)
    others = atoms.get_distances(0, range(2, len(atoms)), mic=True)
    assert len(atoms) == 1000 and atoms.get_distance(0, 1, mic=True) == pytest.approx(
        2.967, abs=1e-3
    )
    assert sorted(others)[0] == pytest.approx(2.284, abs=1e-3)


@pytest.mark.slow
def test_atoms_that_are_held_have_the_forces_of_the_blend(tmp_path):
    """They do not move, and what they feel is what both potentials say, not less a net force."""
    folder = copy_of(BOND, tmp_path)
    subprocess.run(
        [sys.executable, "stretched_bond.py", "3", "init.extxyz"], cwd=folder, check=True
    )
    text = (folder / "input.xml").read_text()
    text = re.sub("<total_steps>.*<", "<total_steps>20<", text)
    (folder / "input.xml").write_text(text)
    config = (folder / "mixing.yaml").read_text().replace("core: 6.0", "core: 4.0")
    (folder / "mixing.yaml").write_text(config.replace("buffer: 6.0", "buffer: 20.0"))
    done = mixpi("run", "input.xml", "--no-reference", "--quiet", cwd=folder)
    assert done.returncode == 0, done.stderr
    frames = read(folder / "mix.extxyz", ":")
    moved = np.linalg.norm(frames[-1].positions - frames[0].positions, axis=1)
    assert moved[:2].max() == 0.0 and moved[2:].min() > 0.0
    # with so wide a buffer the forces of the core are those of the model on the whole cell
    from mixpi.drivers.mace import MaceEngine

    engine = MaceEngine(folder / "si-small.model", threads=1)
    own = frames[-1].copy()
    own.calc = engine.calculator
    felt = frames[-1].get_forces()[:2]
    assert np.abs(felt).max() > 0.5
    np.testing.assert_allclose(felt, own.get_forces()[:2], atol=2e-4)


@pytest.mark.full
def test_short_runs_tell_what_a_step_takes_and_nothing_else(tmp_path):
    folder = copy_of(STUDIES / "fe_dumbbell", tmp_path)
    done = run_sh(folder, STEPS="8", ARMS="mixed")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "what a step takes: results/smoke_8/" in done.stdout
    found = sorted(path.name for path in (folder / "results/smoke_8/mixed_1100").iterdir())
    assert found == ["made_of", "run.1.json"]
    assert json.loads((folder / "results/smoke_8/mixed_1100/run.1.json").read_text())["steps"] == 8
    assert not (folder / "results/smoke").exists()


def test_what_was_made_to_be_timed_tells_the_gain(tmp_path):
    script = "from pathlib import Path; import table_and_figure as t; print(t.speed_up(Path('%s')))"
    arm = tmp_path / "results" / "laptop" / "mixed_300"
    for number, (folder, gain) in enumerate(
        [(arm, 3.0), (arm, 5.0), (tmp_path / "results" / "laptop_60" / "mixed_300", 7.0)]
    ):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"run.{number}.json").write_text(json.dumps({"speed_up": gain}))
        done = subprocess.run(
            [sys.executable, "-c", script % arm], cwd=STUDIES, capture_output=True, text=True
        )
        assert float(done.stdout) == [3.0, 4.0, 7.0][number]
