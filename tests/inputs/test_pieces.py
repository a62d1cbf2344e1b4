"""What the studies' scripts share: nothing is mixed up, and nothing is taken for done."""

from __future__ import annotations

import re
import subprocess

import pytest
from conftest import ROOT


STUDIES = ROOT / "ipi_inputs" / "case_studies"
#: What the results are of, as the scripts keep it.
RECORDS = [*STUDIES.glob("*/results/*/*/made_of"), *STUDIES.glob("*/results/*/potentials")]


def shell(lines, *, cwd, code=0):
    script = f"set -euo pipefail; source {STUDIES / 'pieces.sh'}\n{lines}"
    done = subprocess.run(["bash", "-c", script], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.mark.parametrize("kelvin", [150, 300, 400, 500, 800, 1500])
@pytest.mark.parametrize("study", ["fe_dumbbell", "he_in_w", "w_screw_dislocation"])
def test_a_run_has_the_temperature_asked_for_and_velocities_of_twice_that(tmp_path, study, kelvin):
    template = STUDIES / study / "input.xml"
    shell(f'thermal {kelvin}; write_input {template} . name 7 "${{thermal[@]}}"', cwd=tmp_path)
    text = (tmp_path / "input.xml").read_text()
    found = re.findall(r"<(velocities|temperature)[^>]*>\s*([^<\s]*)", text)
    assert dict(found) == {"velocities": str(2 * kelvin), "temperature": str(kelvin)}
    assert len(found) == 2 and "<total_steps>7<" in text


def test_runs_of_another_kind_are_refused(tmp_path):
    (tmp_path / "found").mkdir()
    text = (STUDIES / "fe_dumbbell" / "input.xml").read_text()
    for name, core, seed in (("first", 4, 1), ("second", 4, 2), ("third", 5, 3)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "input.xml").write_text(re.sub(r"<seed>\d+", f"<seed>{seed}", text))
        (tmp_path / name / "mixing.yaml").write_text(f"regions:\n  core: {core}.0\n")
    for name in ("first", "second"):
        assert not shell(f"of_one_kind {name} found", cwd=tmp_path).stderr
    done = shell("of_one_kind third found", cwd=tmp_path, code=1)
    assert "third is not made as the earlier runs in found" in done.stderr
    assert "<   core: 4.0" in done.stderr and ">   core: 5.0" in done.stderr


def test_runs_of_another_potential_of_the_same_name_are_refused(tmp_path):
    for name in ("first", "second", "third"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "input.xml").write_text("as it is\n")
        (tmp_path / name / "mixing.yaml").write_text(
            "structure: init.extxyz\npair_coeff: Fe-1.adp\nmace: {model: fe.model}\nbounds: 1\n"
        )
        for other in ("init.extxyz", "bounds", "md.out"):  # each run has its own
            (tmp_path / name / other).write_text(name)
        (tmp_path / name / "Fe-1.adp").write_text("table")
        (tmp_path / name / "fe.model").write_text("trained")
    (tmp_path / "third" / "fe.model").write_text("trained anew")
    for name in ("first", "second"):
        assert not shell(f"of_one_kind {name} found", cwd=tmp_path).stderr
    done = shell("of_one_kind third found", cwd=tmp_path, code=1)
    assert "third is not made as the earlier runs in found" in done.stderr
    assert re.findall(r"^[<>] .*$", done.stderr, re.M)[0].endswith(" 7 fe.model")


def test_arms_of_other_potentials_are_refused(tmp_path):
    for name, model in (("mixed", "trained"), ("expensive", "trained anew")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "input.xml").write_text("as it is\n")
        (tmp_path / name / "mixing.yaml").write_text(f"arm: {name}\nmodel: fe.model\n")
        (tmp_path / name / "fe.model").write_text(model)
    assert not shell("of_one_kind mixed found/mixed", cwd=tmp_path).stderr
    done = shell("of_one_kind expensive found/expensive", cwd=tmp_path, code=1)
    assert "expensive has another fe.model than other arms in found" in done.stderr


def test_results_of_other_potentials_are_refused(tmp_path):
    for text in ("fitted", "fitted"):
        (tmp_path / "si.uf3").write_text(text)
        assert not shell("of_these_potentials found si.uf3", cwd=tmp_path).stderr
    (tmp_path / "si.uf3").write_text("fitted anew")
    done = shell("of_these_potentials found si.uf3", cwd=tmp_path, code=1)
    assert "The results in found are of other potentials" in done.stderr
    assert re.findall(r"^[<>].* (\d+ \S+)$", done.stderr, re.M) == ["6 si.uf3", "11 si.uf3"]


@pytest.mark.parametrize("record", sorted(RECORDS), ids=str)
def test_results_are_of_the_potentials_that_are_here(record):
    """A potential that is made anew asks for new results."""
    lines = re.findall(r"^(\d+ \d+) (\S+)$", record.read_text(), re.M)
    assert lines
    study = STUDIES / record.relative_to(STUDIES).parts[0]
    for checksum, name in lines:
        rooms = [study, STUDIES.parent / "models", STUDIES.parent / "potentials"]
        path = next(room / name for room in rooms if (room / name).exists())
        found = subprocess.run(["cksum", path], capture_output=True, text=True, check=True)
        assert found.stdout.startswith(f"{checksum} ")


def test_of_earlier_runs_it_is_said_that_nothing_is_known(tmp_path):
    for name in ("run", "found"):
        (tmp_path / name).mkdir()
    (tmp_path / "found" / "run.1.json").write_text("{}")
    for name in ("input.xml", "mixing.yaml"):
        (tmp_path / "run" / name).write_text("as it is\n")
    assert "is not known" in shell("of_one_kind run found", cwd=tmp_path).stderr
    assert not shell("of_one_kind run found", cwd=tmp_path).stderr


@pytest.mark.parametrize(("code", "ends"), [(0, False), (1, False), (130, True), (137, True)])
def test_a_command_that_was_interrupted_ends_all(tmp_path, code, ends):
    lines = f"if unless_stopped bash -c 'exit {code}'; then echo yes; else echo no; fi"
    done = shell(lines, cwd=tmp_path, code=code if ends else 0)
    assert done.stdout.split() == ([] if ends else ["no" if code else "yes"])


def test_a_report_is_whole_or_not_there(tmp_path):
    for name in ("run", "found"):
        (tmp_path / name).mkdir()
    shell("run=3; keep_report run found", cwd=tmp_path, code=1)
    assert not list((tmp_path / "found").iterdir())
    (tmp_path / "run" / "mixpi.report.json").write_text("{}")
    shell("run=3; keep_report run found", cwd=tmp_path)
    assert [path.name for path in (tmp_path / "found").iterdir()] == ["run.3.json"]
