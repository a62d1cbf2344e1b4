"""No output takes the place of an input, by name or through a link, also in plain ``i-pi``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from ase.build import bulk
from ase.calculators.emt import EMT
from mixpi import MixpiError
from mixpi.calibrate.calibration import calibrate
from mixpi.check.overwriting import check_plain_start, continued_checkpoint
from mixpi.config import load_config
from mixpi.distil import distil
from mixpi.files.replacing import replace_file, replace_text
from mixpi.ipi.input import read_ipi_input
from mixpi.output.continuing import keep_beside, put_aside


def start(case, output):
    """What the mixing layer says when i-PI makes it, before anything is opened."""
    case.config["output"] = output
    # the same file: a link to it stays one
    with (case.folder / "mixing.yaml").open("r+") as stream:
        stream.write(yaml.safe_dump(case.config))
        stream.truncate()
    check_plain_start(load_config("mixing.yaml"), Path("mixing.yaml"))


@pytest.fixture
def case(make_case, monkeypatch):
    found = make_case()
    monkeypatch.chdir(found.folder)
    monkeypatch.setattr("sys.argv", ["i-pi", "-v", "low", "input.xml"])
    return found


LINKS = {
    "symbolic link": (lambda out: out.symlink_to("init.extxyz"), "which is a file that i-PI reads"),
    "hard link": (lambda out: out.hardlink_to("mixing.yaml"), "which is the configuration"),
    "device": (lambda out: out.symlink_to("/dev/null"), "which is a device"),
    "pipe": (os.mkfifo, "which is a pipe"),
    "folder": (os.mkdir, "which is a folder"),
}


@pytest.mark.parametrize("key", ["trajectory", "steps"])
@pytest.mark.parametrize("kind", LINKS)
def test_output_that_is_no_file_of_its_own(case, key, kind):
    make, message = LINKS[kind]
    make(Path("out"))
    with pytest.raises(MixpiError, match=message):
        start(case, {key: "out"})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("init.extxyz", "which is a file that i-PI reads"),
        ("./input.xml", "which is the i-PI input"),
        ("mixing_pes.py", "which is the pes_path"),
        ("mixpi.failure", "the name of mixpi.failure"),
        ("md.out", None),  # that of i-PI is looked at by 'mixpi check': see test_check.py
        ("/dev/null", "which is a device"),
        ("../mix.steps", r"outside of .*: if that is meant, write the whole path, /.*/mix\.steps"),
        ("sub/../../mix.steps", "outside of"),
        ("..mix.steps", None),
        ("{elsewhere}/mix.steps", None),
    ],
)
def test_names_of_outputs(case, tmp_path, name, message):
    Path("sub").mkdir()
    output = {"steps": name.format(elsewhere=tmp_path)}
    if message is None:
        start(case, output)
        return
    with pytest.raises(MixpiError, match=message):
        start(case, output)


def test_files_of_drivers_are_inputs(case):
    token = {"mode": "inet", "port": 31415, "token": "secret"}
    case.config["cheap"] = {"command": "wrap.sh {address}", "socket": token}
    lammps = {"potential": ["pair_style zero 3.0"], "executable": "./lmp", "launch": "./wrap -n 2"}
    case.config["expensive"] = {"lammps": lammps}
    for name in ("secret", "wrap.sh", "lmp", "wrap"):
        Path(name).touch()
        with pytest.raises(MixpiError, match=f"is {name}, which is a file of the .* driver"):
            start(case, {"steps": name})


@pytest.mark.parametrize(
    ("prefix", "name", "input_name", "clash"),
    [
        ("mixing", "pes", "mixing.pes", True),
        ("", "steps.dat", "steps.dat", True),
        ("md", "pos", "md.pos_0.extxyz", True),
        ("md", "pos", "md.pos.extxyz", False),
        ("md", "pos", "md.poses_0.extxyz", False),
    ],
)
def test_output_of_plain_i_pi(case, prefix, name, input_name, clash):
    Path(case.config["structure"]).rename(input_name)
    case.config["structure"] = input_name
    old = "'pos'" if name == "pos" else "'out'"
    text = case.input.read_text().replace("init.extxyz", input_name)
    case.input.write_text(text.replace("'md'", f"'{prefix}'").replace(old, f"'{name}'"))
    if not clash:
        start(case, {})
        return
    with pytest.raises(
        MixpiError, match=r"an output of input\.xml is .* is a file that i-PI reads"
    ):
        start(case, {})


def test_the_checkpoint_that_a_run_continues_from_may_be_replaced(case):
    checkpoint = "<checkpoint filename='checkpoint' stride='5'/></output>"
    text = case.input.read_text().replace("</output>", checkpoint)
    case.input.write_text(text.replace("'md'", "''").replace("'checkpoint'", "'input.xml'"))
    with pytest.raises(MixpiError, match="which is the i-PI input"):
        start(case, {})
    # what i-PI writes has beads where an input says how to make them
    Path("md.checkpoint").write_text(text.replace("<initialize", "<beads/><initialize"))
    assert continued_checkpoint(read_ipi_input("md.checkpoint")) == "md.checkpoint"
    assert continued_checkpoint(read_ipi_input("input.xml")) is None


@pytest.mark.full
def test_plain_i_pi_says_it_before_it_opens_anything(make_case):
    case = make_case(steps=1)
    case.config["output"] = {"steps": "init.extxyz"}
    case.write()
    before = {path: path.read_bytes() for path in case.folder.iterdir()}
    said, _ = case.start_i_pi().communicate(timeout=60)
    assert "which is a file that i-PI reads: it would be overwritten" in said
    left = {path: path.read_bytes() for path in case.folder.iterdir() if path.is_file()}
    assert left == before


def test_the_files_of_a_distilled_potential(tmp_path):
    """An ASE database may be the crystal, and ends like the report."""
    bulk("Si", cubic=True).write(tmp_path / "si.json")
    content = {
        "name": "si",
        "structure": "si.json",
        "expensive": {"model": "a.model"},
        "basis": {"uf3": {"cutoff": 5.5}},
        "soft": {"temperature": 500, "snapshots": 20},
    }
    (tmp_path / "distil.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(MixpiError, match=r"is si\.json, which is .* it would be overwritten"):
        distil(tmp_path / "distil.yaml", calculator=EMT(), identity="EMT")


def test_the_report_of_calibrate(case, tiny_model):
    Path("init.extxyz").rename("calibration.json")
    case.config["structure"] = "calibration.json"
    case.config["expensive"] |= {"mace": {"model": str(tiny_model)}}
    del case.config["expensive"]["command"]
    case.write()
    with pytest.raises(MixpiError, match=r"calibration\.json, which is the structure"):
        calibrate(case.input)


def test_files_are_replaced_not_written_into(tmp_path):
    """A link would lead to somebody's file; a failure would leave half a one."""
    precious, report = tmp_path / "precious", tmp_path / "report"
    precious.write_text("data")
    for link in (report.symlink_to, report.hardlink_to):
        report.unlink(missing_ok=True)
        link(precious)
        replace_text(report, "new")
        assert precious.read_text() == "data" and report.read_text() == "new"

    def fail(part):
        part.write_text("half")
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        replace_file(report, fail)
    assert report.read_text() == "new" and len(list(tmp_path.iterdir())) == 2


def test_only_files_are_put_aside(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null"), tmp_path):
        with pytest.raises(MixpiError, match="is no regular file"):
            put_aside(path)
    file = tmp_path / "a"
    file.write_text("1")
    (tmp_path / "#a#0#").symlink_to("nowhere")  # a name that is taken, though nothing is there
    put_aside(file)
    assert (tmp_path / "#a#1#").read_text() == "1" and not file.exists()
    file.write_text("2")
    keep_beside(file)
    assert file.read_text() == (tmp_path / "#a#2#").read_text() == "2"
