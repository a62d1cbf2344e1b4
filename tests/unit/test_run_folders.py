"""Folders of several runs: what is in them, and what they are refused for."""

from __future__ import annotations

import json
import os
import re
import xml.etree.ElementTree as ElementTree

import pytest
import yaml
from conftest import silicon
from mixpi.cli import main
from mixpi.errors import MixpiError
from mixpi.ipi.input import read_ipi_input
from mixpi.runs.folders import RECORD, RunFolders, seed_of_run
from mixpi.runs.several import SeveralRuns, sensible_at_once


@pytest.fixture
def case(make_case):
    case = make_case(silicon(1))
    for pool in ("cheap", "expensive"):
        del case.config[pool]["socket"]
    case.write()
    return case


def folders(case, count=3, name="runs"):
    found = RunFolders(read_ipi_input(case.input), case.folder / name, count)
    found.look()
    found.folder.mkdir(exist_ok=True)
    found.make()
    return found


def edit(path, pattern, replacement):
    text, count = re.subn(pattern, replacement, path.read_text(), flags=re.S)
    assert count
    path.write_text(text)


def test_seeds_are_reproducible_and_differ():
    seeds = [seed_of_run(31415, number) for number in range(1, 2001)]
    assert len(set(seeds)) == 2000 and all(0 <= seed < 2**31 for seed in seeds)
    assert seeds[:5] == [seed_of_run(31415, number) for number in range(1, 6)]
    assert not set(seeds) & {seed_of_run(31416, number) for number in range(1, 2001)}


def test_a_folder_is_the_input_with_another_seed(case):
    found = folders(case)
    assert [run.folder.name for run in found.runs] == ["1", "2", "3"]
    original = ElementTree.parse(case.input).getroot()
    for run in found.runs:
        own = read_ipi_input(run.input)
        assert own.root.findtext("prng/seed") == str(seed_of_run(31415, run.number))
        assert own.config.structure == "init.extxyz"
        root = ElementTree.parse(run.input).getroot()
        root.find("prng/seed").text = original.findtext("prng/seed")
        assert ElementTree.tostring(root) == ElementTree.tostring(original)
        for name in ("init.extxyz", "mixing.yaml", "mixing_pes.py"):
            assert (run.folder / name).samefile(case.folder / name)
            assert not os.path.isabs(os.readlink(run.folder / name))
    sockets = {read_ipi_input(run.input).config.cheap.socket.address for run in found.runs}
    assert len(sockets) == 3, "each listens at an address of its own"


def test_more_and_fewer_runs(case):
    before = [run.input.read_bytes() for run in folders(case, 2).runs]
    more = folders(case, 4)
    assert [run.input.read_bytes() for run in more.runs[:2]] == before
    assert len(list(more.folder.glob("*/input.xml"))) == 4
    [note] = folders(case, 3).notes
    assert note.startswith("runs 4 in ") and note.endswith("are left as they are")


def test_files_in_folders_are_linked_in_folders(case):
    (case.folder / "data").mkdir()
    (case.folder / "init.extxyz").rename(case.folder / "data" / "init.extxyz")
    edit(case.input, "init.extxyz", "data/init.extxyz")
    case.config["structure"] = "data/init.extxyz"
    case.write()
    link = folders(case).runs[2].folder / "data" / "init.extxyz"
    assert link.samefile(case.folder / "data" / "init.extxyz")


@pytest.mark.parametrize("prng", ["", "<prng n_threads='1'/>"])
def test_without_a_seed_it_is_said_what_is_used(case, prng):
    edit(case.input, "<prng>.*</prng>", prng)
    found = folders(case)
    assert any("has no <prng><seed>" in note and "from 0" in note for note in found.notes)
    seeds = [read_ipi_input(run.input).root.findtext("prng/seed") for run in found.runs]
    assert seeds == [str(seed_of_run(0, number)) for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        ("<seed>.*</seed>", "<seed>-3</seed>", "must be a whole number, 0 or more"),
        ("<velocities.*</velocities>", "", "nothing is random"),
        (
            "<velocities.*<dynamics mode='nve'>",
            "</initialize><forces><force forcefield='mix'/></forces><motion mode='dynamics'>"
            "<dynamics mode='nve'><thermostat mode='langevin'/>",
            "nothing is random",
        ),
        ("<prng>", "<prng><state> [1, 2] </state>", "all runs would be the same. Leave it out"),
        ("filename='out'", "filename='/tmp/out'", "whole path: all runs would write into one"),
        (
            "<initialize.*</initialize>",
            "<beads natoms='1' nbeads='1'/>",
            "is a state of one run. Several runs begin from an input",
        ),
    ],
)
def test_inputs_that_are_not_for_several_runs(case, pattern, replacement, message):
    edit(case.input, "prefix='md'", "prefix=''")
    edit(case.input, pattern, replacement)
    with pytest.raises(MixpiError, match=message):
        folders(case)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (("structure",), "../init.extxyz", r"structure is \.\./init.extxyz, which is outside"),
        (("cheap", "socket"), {"address": "mine"}, "an address of its own: leave out"),
        (("cheap", "socket"), {"mode": "inet", "port": 31415}, "an address of its own"),
        (("output",), {"steps": "/tmp/mix.steps"}, "whole path: all runs would write into one"),
    ],
)
def test_configurations_that_are_not_for_several_runs(case, key, value, message):
    (case.folder.parent / "init.extxyz").write_bytes((case.folder / "init.extxyz").read_bytes())
    place = case.config
    for name in key[:-1]:
        place = place[name]
    place[key[-1]] = value
    case.write()
    with pytest.raises(MixpiError, match=message):
        folders(case)


def test_the_shared_drivers_may_have_an_address(case):
    """They connect there, wherever they are; each run still listens at one of its own."""
    case.config["expensive"]["socket"] = {"mode": "inet", "port": 31415}
    case.write()
    assert len(folders(case).runs) == 3


@pytest.mark.parametrize("count", [0, -2])
def test_too_few(case, count):
    with pytest.raises(MixpiError, match="at least one run is needed"):
        SeveralRuns(case.input, count)
    with pytest.raises(MixpiError, match="at least one run at a time"):
        SeveralRuns(case.input, 2, at_once=count)
    assert not (case.folder / "runs").exists()


def test_a_folder_with_other_things_is_left_alone(case):
    (case.folder / "runs").mkdir()
    (case.folder / "runs" / "thesis.tex").write_text("x")
    with pytest.raises(MixpiError, match=r"holds other things \(thesis.tex\)"):
        folders(case)
    assert os.listdir(case.folder / "runs") == ["thesis.tex"]


def test_what_has_changed_is_refused(case):
    folders(case)
    original = case.input.read_text()
    edit(case.input, "<total_steps>5", "<total_steps>50")
    with pytest.raises(MixpiError, match=r"input.xml is not what .* gives for run 1"):
        folders(case)
    case.input.write_text(original)
    case.config["regions"]["core"] = 2.75
    case.write()
    with pytest.raises(MixpiError, match=r"another config: regions: core \(2.5, now 2.75\)"):
        folders(case)
    assert folders(case, name="others").runs
    case.config["regions"]["core"] = 2.5
    case.config["expensive"]["max_restarts"] = 9
    case.write()
    folders(case)  # what is computed is the same
    silicon(1, seed=4).write(case.folder / "init.extxyz")
    with pytest.raises(MixpiError, match=r"another files: init\.extxyz"):
        folders(case)


@pytest.mark.parametrize(
    "driver",
    [
        {"ase": {"calculator": "own:Own", "arguments": {"models": ["a.model", "b.model"]}}},
        {"ase": {"calculator": "own:Own", "arguments": {"options": {"model": "b.model"}}}},
        {"ase": {"calculator": "own:Own", "arguments": {"model": "folder"}}},
        {"command": "python own.py {address} --model=b.model"},
    ],
)
def test_a_potential_that_has_changed_is_refused(case, driver):
    (case.folder / "folder" / "deep").mkdir(parents=True)
    files = [case.folder / name for name in ("own.py", "a.model", "b.model", "folder/deep/part")]
    for file in files:
        file.write_text("before")
    case.config["expensive"] = driver
    case.write()
    folders(case)
    for file in files[-2:]:
        file.write_text("after")
    with pytest.raises(MixpiError, match=r"another files: (b\.model|folder/deep/part)"):
        folders(case)


def test_a_run_that_reads_another_file_is_refused(case):
    link = folders(case).runs[1].folder / "mixing.yaml"
    text = link.read_text()
    link.unlink()
    with pytest.raises(MixpiError, match=r"2/mixing\.yaml is not .* any more"):
        folders(case)
    link.write_text(text)
    with pytest.raises(MixpiError, match=r"2/mixing\.yaml is not .* any more"):
        folders(case)


def test_the_record_says_what_the_runs_are_of(case):
    record = json.loads((folders(case).folder / RECORD).read_text())
    assert record["seed"] == 31415 and record["input"] == "input.xml"
    assert (
        record["config"]["regions"]["core"]
        == yaml.safe_load((case.folder / "mixing.yaml").read_text())["regions"]["core"]
    )
    assert {"init.extxyz", "mixing_pes.py"} <= set(record["files"])


@pytest.mark.parametrize(
    ("cores", "count", "wanted"), [(1, 5, 2), (8, 5, 5), (8, 50, 7), (2, 1, 1)]
)
def test_how_many_at_once(case, monkeypatch, cores, count, wanted):
    monkeypatch.setattr("mixpi.runs.several.cores_here", lambda: cores)
    assert sensible_at_once(read_ipi_input(case.input), count) == wanted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runs", "0"], "at least one run is needed"),
        (["--folder", "x"], "--folder is for several runs"),
        (["--at-once", "2"], "--at-once is for several runs"),
        (["--runs", "2", "--reference"], "--reference is for one run"),
    ],
)
def test_wrong_usage(case, capsys, arguments, message):
    assert main(["run", str(case.input), *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not (case.folder / "runs").exists()
