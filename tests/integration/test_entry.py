"""What ``mixpi run`` runs as i-PI against i-PI's own program; what it tells its launcher."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import Case, clean_environment, faulty_driver
from ipi.engine.simulation import Simulation
from mixpi.ipi.simulation import hand_over, running_simulation
from mixpi.output.records import COLUMN_HELP, read_steps
from mixpi.run.journal import Failed, JournalReader, Progressed, read_event
from mixpi.run.running import JOURNAL
from test_end_of_run import go_on
from test_faults import run
from test_first_evaluation import run_by_hand


LANGEVIN = """<dynamics mode='nvt'><timestep units='femtosecond'>1</timestep>
  <thermostat mode='langevin'><tau units='femtosecond'>50</tau></thermostat></dynamics>"""
TIMES = [name for name, text in COLUMN_HELP.items() if text.startswith("ms ")]
TIMES += ["cheap", "expensive"]


def files(case: Case) -> dict[str, str]:
    """What a run has left beside its input, without what is different in each run."""
    found = {}
    for path in case.folder.iterdir():
        if path.is_file() and path.name not in ("mixing.yaml", "mixpi.load.json", "mix.steps"):
            # who has written a checkpoint, where and when; a seed that was not given is the time
            text = re.sub("<!--.*?-->|<seed>.*?</seed>", "", path.read_text(), flags=re.S)
            found[path.name] = text
    found.pop("mixpi.report.json", None)  # the launcher's
    return found


def journal_of(case: Case) -> list:
    lines = (case.folder / "logs" / JOURNAL).read_bytes().splitlines()
    events = [read_event(line) for line in lines]
    assert None not in events
    return events


@pytest.mark.full
def test_it_is_i_pi(make_case):
    """The same trajectory, files and state as with i-PI's program, also after a RESTART."""
    ours, stock = (
        make_case(folder=name, steps=12, stride=2, checkpoint=5, dynamics=LANGEVIN)
        for name in ("ours", "stock")
    )
    for name in ("input.xml", "RESTART"):
        done = ours.mixpi("run", name, "--no-reference", "--quiet")
        assert done.returncode == 0, done.stderr
        run_by_hand(stock, name)
        assert files(ours) == files(stock)
        assert {"RESTART", "md.out", "md.pos_0.extxyz", "md.checkpoint"} <= set(files(ours))
        found, wanted = (read_steps(case.folder / "mix.steps") for case in (ours, stock))
        assert set(TIMES) < set(found)
        for column in set(found) - set(TIMES):
            np.testing.assert_array_equal(found[column], wanted[column], err_msg=column)
        for case in (ours, stock):
            go_on(case, 20)


@pytest.mark.full
def test_a_failure_is_told_by_the_journal(make_case):
    case = make_case(steps=8, expensive={"command": faulty_driver("nan", 4)})
    (case.folder / "mixpi.failure").write_text("of a run that was started by hand")
    done = run(case)
    assert done.returncode == 1 and "the expensive driver returned NaN" in done.stderr
    events = journal_of(case)
    [failure] = [event for event in events if isinstance(event, Failed)]
    assert failure.reason in done.stderr
    assert isinstance(events[-1], Progressed), "the last step that was computed is told at the end"
    assert not (case.folder / "mixpi.failure").exists()
    assert (case.folder / "RESTART").exists()


@pytest.mark.full
def test_i_pi_by_hand_tells_of_a_failure(make_case):
    case = make_case(steps=8, expensive={"command": faulty_driver("nan", 4)})
    assert "!MIXPI! the expensive driver returned NaN" in run_by_hand(case)
    reason = (case.folder / "mixpi.failure").read_text()
    assert "the expensive driver returned NaN" in reason
    assert (case.folder / "RESTART").exists() and not (case.folder / "logs" / JOURNAL).exists()


@pytest.mark.full
def test_a_configuration_that_is_refused_when_i_pi_reads_it(make_case):
    """``mixpi check`` has looked before; somebody may have changed it since."""
    case = make_case()
    case.config["seeds"] = [64]
    case.write()
    reader = JournalReader(case.folder / "journal")
    done = subprocess.run(
        [sys.executable, "-m", "mixpi.ipi.entry", "--journal", "journal", "input.xml"],
        cwd=case.folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    [event] = reader.news()
    assert isinstance(event, Failed) and "64" in event.reason
    assert event.reason in done.stdout and "Traceback" not in done.stderr


def test_the_simulation_is_handed_over(monkeypatch):
    monkeypatch.setattr("mixpi.ipi.simulation._handed_over", [])
    Simulation.load_from_xml(
        """<simulation verbosity='quiet'><output prefix='x'/>
        <ffdirect name='own'><pes>harmonic</pes><parameters>{k1: 1}</parameters></ffdirect>
        <system><beads natoms='1' nbeads='1'><q>[0,0,0]</q><m>[51196]</m><names>[Si]</names></beads>
        <cell>[10,0,0,0,10,0,0,0,10]</cell><forces><force forcefield='own'/></forces>
        <motion mode='dynamics'/></system></simulation>""",
        read_only=True,
        post_init_hook=hand_over,
    )
    found = running_simulation()
    assert found is not None and found.symbols == ["Si"], "though it was not bound"


@pytest.mark.full
@pytest.mark.parametrize(
    "name", [pytest.param("-v quiet.xml", marks=pytest.mark.slow), "-- Å %s.xml"]
)
def test_names_of_inputs(make_case, name):
    case = make_case(folder="ünï -- 水", steps=3)
    case.input.rename(case.folder / name)
    done = case.mixpi("run", "--no-reference", "--quiet", "--", name)
    assert done.returncode == 0, done.stderr
    done = case.mixpi("plot", "--", name)
    assert done.returncode == 0, done.stderr
