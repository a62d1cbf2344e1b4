"""Every input that we ship is run, and the commands of the README do what it says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from conftest import MODELS, ROOT, clean_environment, mixpi, the_rest_slow
from mixpi.config import load_config


INPUTS = ROOT / "ipi_inputs"
#: Needs an environment of its own, which its script makes.
ANY_CALCULATOR = INPUTS / "any_calculator"
#: Of potentials' files.
ENDINGS = (".uf3", ".alloy", ".adp", ".snapcoeff", ".snapparam")
#: Studies are run by scripts of their own (test_case_studies.py).
STUDIES = INPUTS / "case_studies"
CASES = sorted(
    path.parent
    for path in INPUTS.rglob("input.xml")
    if path.parent != ANY_CALCULATOR and STUDIES not in path.parents
)
#: As small as an all-expensive reference must be: the cluster is all of the cell.
SMALL = "he_in_w_pimd"
#: Its other inputs: cheap and expensive evaluations in a step.
FORMS = {"contracted.xml": (16, 4), "contracted_mts.xml": (32, 4), "piglet.xml": (8, 8)}


def copy_of(case, tmp_path, *, steps: int, name: str = "input.xml"):
    """The case with fewer steps and the fast model."""
    folder = tmp_path / case.name
    shutil.copytree(case, folder)
    xml = (folder / name).read_text()
    xml, count = re.subn(r"<total_steps>\d+<", f"<total_steps>{steps}<", xml)
    assert count == 1
    (folder / name).write_text(xml)
    if list(folder.glob("*-tiny.model")):
        return folder  # a committee of both
    for model in folder.glob("*-small.model"):
        model.unlink()
        shutil.copy(MODELS / model.name.replace("-small", "-tiny"), folder)
    config = (folder / "mixing.yaml").read_text()
    (folder / "mixing.yaml").write_text(config.replace("-small.model", "-tiny.model"))
    return folder


def warnings_of(case, printed: str) -> list[str]:
    """What a check warns of, but for what is meant to be so."""
    small = "the cluster is 100% of the atoms"
    found = [line for line in printed.splitlines() if "warning" in line]
    assert case.name != SMALL or any(small in line for line in found)
    return [line for line in found if case.name != SMALL or small not in line]


def test_there_are_cases():
    some = {"si_vacancy_md", "si_vacancy_md_8000", "si_snap_both", "si_committee_md", SMALL}
    assert some <= {case.name for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_holds_all_that_it_needs(case):
    """That it runs elsewhere, with the fast model, test_case_runs shows."""
    for name in ("input.xml", "mixing.yaml", "mixing_pes.py"):
        assert "../" not in (case / name).read_text()
    config = load_config(case / "mixing.yaml")
    lammps = [config.cheap, config.expensive]
    lines = [line for one in lammps for line in getattr(one.driver, "potential", ())]
    named = {word for line in lines for word in line.split()}
    tables = {name for name in named if name.endswith(ENDINGS)}
    assert tables
    if config.expensive.mace:
        tables.update(config.expensive.mace.models)
    copies = tables | {path.name for path in case.iterdir() if path.name.endswith(ENDINGS)}
    for name in copies:
        originals = [*MODELS.glob(name), *(ROOT / "ipi_inputs" / "potentials").glob(name)]
        assert [path.read_bytes() for path in originals] == [(case / name).read_bytes()]
        assert not (case / name).is_symlink()


@pytest.mark.full
@pytest.mark.parametrize("case", the_rest_slow(CASES, INPUTS / SMALL), ids=lambda case: case.name)
def test_case_is_whole_when_copied_elsewhere(case, tmp_path):
    folder = tmp_path / "elsewhere"
    shutil.copytree(case, folder)
    done = mixpi("check", "--fast", "input.xml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert not warnings_of(case, done.stdout)


@pytest.mark.full
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_runs(case, tmp_path):
    folder = copy_of(case, tmp_path, steps=3)
    done = mixpi("check", "input.xml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert not warnings_of(case, done.stdout)
    done = mixpi("run", "input.xml", "--no-reference", cwd=folder, timeout=300)
    assert done.returncode == 0, done.stderr
    report = json.loads((folder / "mixpi.report.json").read_text())
    assert report["steps"] == 3 and report["status"] == "finished"
    done = mixpi("plot", "input.xml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "mixpi.cell.png").stat().st_size > 20_000
    for trajectory in folder.glob("mix*.extxyz"):
        frame = read(trajectory, 0)
        assert {"mix_weight", "mix_region"} <= set(frame.arrays)
    assert len(list(folder.glob("mix*.extxyz"))) == report["beads"]


@pytest.mark.full
@pytest.mark.parametrize(
    "name",
    [pytest.param("contracted.xml", marks=pytest.mark.slow), "contracted_mts.xml", "piglet.xml"],
)
def test_other_path_integrals_run(name, tmp_path):
    case = INPUTS / SMALL
    folder = copy_of(case, tmp_path, steps=3, name=name)
    done = mixpi("check", "--fast", name, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert not warnings_of(case, done.stdout)
    done = mixpi("run", name, "--no-reference", cwd=folder, timeout=300)
    assert done.returncode == 0, done.stderr
    report = json.loads((folder / "mixpi.report.json").read_text())
    assert report["steps"] == 3 and report["status"] == "finished"
    loads = json.loads((folder / "mixpi.load.json").read_text())["drivers"]
    cheap, expensive = FORMS[name]
    assert loads["expensive-0"]["evaluations"] == 3 * expensive
    assert 3 * cheap <= loads["cheap-0"]["evaluations"] <= 3 * cheap + 1


@pytest.mark.full
def test_path_integrals_without_mixing_run(tmp_path):
    """The reference of the path-integral case, as its script starts it."""
    folder = copy_of(INPUTS / SMALL, tmp_path, steps=3, name="reference.xml")
    shutil.move(folder / "w-he-tiny.model", folder / "w-he-small.model")
    address = f"test-{uuid.uuid4().hex[:10]}"
    for name in ("reference.xml", "reference.sh"):
        text = (folder / name).read_text()
        assert "he-in-w-mace" in text
        (folder / name).write_text(text.replace("he-in-w-mace", address))
    env = clean_environment()
    env["PATH"] = f"{sys.prefix}/bin:{env['PATH']}"
    done = subprocess.run(
        [folder / "reference.sh"], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert np.isfinite(np.loadtxt(folder / "md.out")).all()
    assert len(list(folder.glob("md.pos_*.extxyz"))) == 16
    # nobody is left, and nothing of theirs
    assert not Path(f"/tmp/ipi_{address}").exists()


#: Cases of 'mixpi relax' and 'neb', which have no i-PI input.
PATHS = ("si_vacancy_relax", "si_vacancy_neb")


@pytest.mark.parametrize("name", PATHS)
def test_case_of_a_path_is_whole(name):
    case = INPUTS / name
    config = load_config(case / "mixing.yaml")
    assert (case / config.structure).exists() and "../" not in (case / "mixing.yaml").read_text()
    for copy, folder in ((config.expensive.mace.model, "models"), ("si-uf3.uf3", "potentials")):
        assert (case / copy).read_bytes() == (INPUTS / folder / copy).read_bytes()
        assert not (case / copy).is_symlink()


@pytest.mark.full
@pytest.mark.parametrize("name", PATHS)
def test_case_of_a_path_runs(name, tmp_path):
    """As its script says, with the fast model and few steps."""
    folder = tmp_path / name
    shutil.copytree(INPUTS / name, folder)
    shutil.copy(MODELS / "si-tiny.model", folder / "si-small.model")
    done = mixpi("relax", "mixing.yaml", "--steps", "2", cwd=folder)
    assert "after 2 steps" in done.stdout, done.stderr
    assert read(folder / "relaxed.extxyz").info["energy_estimate"] < 0.0
    if name == "si_vacancy_relax":
        return
    script = (folder / "run.sh").read_text()
    for line in (
        "mixpi path init.extxyz last.extxyz --images 9 --relax mixing.yaml --fmax 0.002 "
        "--output path.extxyz",
        "mixpi neb mixing.yaml --images path.extxyz --fmax 0.01 --output neb",
        "mixpi barrier mixing.yaml --images neb.extxyz --output barrier",
    ):
        assert line in script
        words = line.split()[1:] + {"path": ["--fmax", "9"], "neb": ["--steps", "1"]}.get(
            line.split()[1], []
        )
        done = mixpi(*words, cwd=folder, timeout=300)
        assert "Traceback" not in done.stderr
        assert done.returncode == int(words[0] == "neb"), done.stderr
    barriers = json.loads((folder / "barrier.json").read_text())
    assert len(barriers["expensive_eV"]) == 9


@pytest.mark.full
def test_any_calculator_needs_its_environment(tmp_path):
    folder = tmp_path / "elsewhere"
    shutil.copytree(ANY_CALCULATOR, folder, ignore=shutil.ignore_patterns("sevennet"))
    done = mixpi("check", "--fast", "input.xml", cwd=folder)
    assert done.returncode == 1 and "python: sevennet" in done.stderr
    assert "give the Python of the calculator's environment" in done.stderr


@pytest.mark.slow
def test_any_calculator_runs(tmp_path):
    """A universal model from the registry, in a Python without mixpi."""
    folder = tmp_path / "any_calculator"
    shutil.copytree(ANY_CALCULATOR, folder, ignore=shutil.ignore_patterns("sevennet"))
    script = [folder / "environment.sh"]
    made = subprocess.run(script, env=clean_environment(), capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    text = (folder / "input.xml").read_text().replace("<total_steps>100<", "<total_steps>3<")
    (folder / "input.xml").write_text(text)
    done = mixpi("check", "input.xml", cwd=folder, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "the model loads by SevenNetCalculator; its interaction range is 25 Å" in done.stdout
    done = mixpi("run", "input.xml", "--no-reference", cwd=folder, timeout=600)
    assert done.returncode == 0, done.stderr
    report = json.loads((folder / "mixpi.report.json").read_text())
    assert report["steps"] == 3 and report["status"] == "finished"


@pytest.mark.full
@pytest.mark.parametrize("model", sorted(MODELS.glob("*.model")), ids=lambda path: path.name)
def test_shipped_model_loads_and_is_small(model):
    assert model.stat().st_size <= 5_000_000
    done = mixpi("driver", "mace", "--model", str(model), "--describe", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    known = {"si": [14], "w-he": [2, 74], "w-he-jw": [2, 74], "fe": [26]}
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["numbers"] == known[model.stem.rsplit("-", 1)[0]]


@pytest.mark.slow
def test_by_hand_with_plain_bash(tmp_path):
    folder = copy_of(ROOT / "ipi_inputs" / "si_vacancy_md", tmp_path, steps=3)
    env = clean_environment()
    env["PATH"] = f"{sys.prefix}/bin:{env['PATH']}"
    done = subprocess.run(
        [str(ROOT / "scripts" / "run_by_hand.sh"), str(folder)],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(read(folder / "mix.extxyz", ":")) >= 1
