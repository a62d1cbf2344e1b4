"""A run that is killed while i-PI writes a checkpoint can go on from a whole one."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import PES, clean_environment, faulty_driver, the_rest_slow
from ipi.engine.outputs import CheckpointOutput
from mixpi.files.working_folder import inside
from mixpi.output.records import read_steps
from mixpi.output.whole_checkpoints import keep_checkpoints_whole


#: Ends i-PI in its Nth checkpoint: the file that it writes is open and empty, or half written.
KILL = """
import os, signal
from ipi.engine import outputs
from ipi.inputs.simulation import InputSimulation

MOMENT, LEFT = "{moment}", [{number}]

def at(moment, function):
    def wrapped(*arguments, **options):
        found = function(*arguments, **options)
        if moment == MOMENT:
            LEFT[0] -= 1
            if LEFT[0] == 0:
                if moment == "half":
                    open_files = [f"/proc/self/fd/{{n}}" for n in os.listdir("/proc/self/fd")]
                    name = [os.readlink(f) for f in open_files if os.path.exists(f)]
                    [name] = [n for n in name if "checkpoint" in os.path.basename(n)]
                    with open(name, "a") as stream:
                        stream.write(found[: len(found) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
        return found
    return wrapped

outputs.get_identification_info_xml = at("empty", outputs.get_identification_info_xml)
InputSimulation.write = at("half", InputSimulation.write)
"""


@pytest.mark.full
@pytest.mark.parametrize("moment", the_rest_slow(["empty", "half"], "half"))
def test_killed_in_a_checkpoint(make_case, moment):
    """In the third checkpoint, of step 10: that of step 5 is there, and the run goes on from it."""
    case = make_case(steps=20, stride=5, checkpoint=5)
    pes = case.folder / "mixing_pes.py"
    pes.write_text(PES + KILL.format(moment=moment, number=3))
    ended = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert ended.returncode != 0

    left = case.folder / "md.checkpoint"
    assert ElementTree.parse(left).findtext("step").strip() == "5"
    pes.write_text(PES)
    done = case.mixpi("run", "md.checkpoint", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    assert len(case.positions()) == 5
    assert not list(case.folder.glob(".part.*"))
    reference = make_case(folder="reference", steps=20, stride=5)
    assert reference.mixpi("run", "input.xml", "--no-reference", "--quiet").returncode == 0
    np.testing.assert_allclose(case.positions(), reference.positions(), atol=1e-7)


class Status:
    """What i-PI asks of a simulation for a checkpoint: a text."""

    text = "new"

    def write(self, name):
        if self.text is None:
            raise OSError(28, "No space left on device")
        return self.text


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(CheckpointOutput, "write", CheckpointOutput.write)
    monkeypatch.setattr("ipi.engine.outputs.get_identification_info_xml", lambda: "")
    said = []
    keep_checkpoints_whole(said.append, lambda: None)

    def make(name="state", **options):
        output = CheckpointOutput(name, 1, **options)
        output.simul, output.status = SimpleNamespace(step=1), Status()
        return output, said

    return make


def test_a_checkpoint_that_cannot_be_written_costs_only_itself(checkpoint):
    output, said = checkpoint()
    output.write(store=False)
    assert Path("state").read_text().strip() == "new" and not said
    output.status.text = None
    output.write(store=False)
    assert Path("state").read_text().strip() == "new"
    assert "state could not be written (No space left on device)" in said.pop()
    gone, said = checkpoint("gone/state")
    gone.write(store=False)
    assert "could not be written (No such file or directory)" in said.pop()
    assert [path.name for path in Path().iterdir()] == ["state"]


def test_a_checkpoint_stays_in_the_folder_of_its_run(checkpoint, tmp_path):
    """LAMMPS that is started beside i-PI is in another folder for a moment."""
    output, said = checkpoint()
    elsewhere, is_there = tmp_path / "elsewhere", threading.Event()
    elsewhere.mkdir()

    def start_lammps():
        with inside(elsewhere):
            is_there.set()
            time.sleep(0.3)

    thread = threading.Thread(target=start_lammps)
    thread.start()
    assert is_there.wait(10)
    output.write(store=False)
    thread.join()
    assert (tmp_path / "state").read_text().strip() == "new" and not said
    assert not list(elsewhere.iterdir())


def test_what_is_there_of_another_run_is_kept(checkpoint):
    """As i-PI does: the first time an older file is kept beside, later ones are our own."""
    Path("state").write_text("old")
    Path("precious").write_text("data")
    Path(".part.state").symlink_to("precious")  # is not written through
    output, _ = checkpoint()
    for text in ("first", "second"):
        output.status.text = text
        output.write(store=False)
    assert Path("state").read_text().strip() == "second"
    assert Path("#state#0#").read_text() == "old" and not Path("#state#1#").exists()
    assert Path("precious").read_text() == "data"
    numbered, _ = checkpoint(overwrite=False, step=3)
    numbered.write(store=False)
    assert Path("state_3").read_text().strip() == "new"
    assert numbered.filename == "state" and numbered.overwrite is False


@pytest.mark.full
@pytest.mark.parametrize(
    "asked", the_rest_slow([False, True], True), ids=["i-PI's file", "RESTART, after EXIT"]
)
def test_files_that_become_too_large(make_case, asked):
    """i-PI's own output stops the run in order; a stop that leaves no RESTART is a failure."""
    stride, limit = (1000, 17) if asked else (1, 49)  # KiB
    case = make_case(steps=20, stride=stride, expensive={"command": faulty_driver("slow", 0.05)})
    process = subprocess.Popen(
        [
            "bash",
            "-c",
            f"ulimit -f {limit}; exec {sys.executable} -m mixpi.cli run input.xml"
            " --no-reference --quiet",
        ],
        cwd=case.folder,
        env=clean_environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    if asked:
        steps, end = case.folder / "mix.steps", time.monotonic() + 60.0
        while not (steps.exists() and len(read_steps(steps)["step"]) > 3):
            assert time.monotonic() < end
            time.sleep(0.02)
        (case.folder / "EXIT").touch()
    _, said = process.communicate(timeout=90)
    assert process.returncode == 1, said
    if asked:
        assert "there is no whole RESTART" in said, said
        return
    assert "md.for cannot be written: File too large" in said, said
    assert "continue with: mixpi run RESTART" in said, said
    assert case.mixpi("run", "RESTART", "--no-reference", "--quiet").returncode == 0
    assert len(case.positions()) == len(case.forces()) == 21
