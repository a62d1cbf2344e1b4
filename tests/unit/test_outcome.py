"""What became of a run: by what it left, not by clocks or by what others left."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest
from ipi.utils.softexit import softexit
from mixpi.ipi import session
from mixpi.ipi.input import read_ipi_input
from mixpi.output.checkpoints import newest_checkpoint
from mixpi.run.crew import STOPPED_LOOKS, Crew, Watched
from mixpi.run.guardian import Process
from mixpi.run.journal import Failed, Journal, JournalReader
from mixpi.run.outcome import Evidence, Outcome, judge


def state(path, step, total=10, *, whole=True):
    numbers = f"<total_steps>{total}</total_steps><step>{step}</step>"
    text = f"<simulation>{numbers}<system><beads/></system></simulation>"
    path.write_text(text if whole else text[:-8])


def test_newest_whole_checkpoint(tmp_path):
    assert newest_checkpoint(tmp_path) is None
    state(tmp_path / "RESTART", 7, whole=False)
    state(tmp_path / "md.chk", 5)
    assert newest_checkpoint(tmp_path, ["md.chk"]).path.name == "md.chk"
    state(tmp_path / "md.chk_3", 6)
    assert newest_checkpoint(tmp_path, ["md.chk"]).path.name == "md.chk_3"
    state(tmp_path / "RESTART", 7)
    assert newest_checkpoint(tmp_path, ["md.chk"]).path.name == "RESTART"
    older = newest_checkpoint(tmp_path, ["md.chk"], but=[tmp_path / "RESTART"])
    assert older.path.name == "md.chk_3"
    state(tmp_path / "RESTART", 10)
    assert newest_checkpoint(tmp_path) is None, "nothing is left to do"


@pytest.fixture
def evidence(make_case):
    def prepare(*before, prefix="md"):
        case = make_case(folder=f"case{os.urandom(3).hex()}", steps=10)
        xml = case.input.read_text()
        case.input.write_text(
            xml.replace("</output>", "<checkpoint filename='chk' stride='2'/></output>").replace(
                "prefix='md'", f"prefix='{prefix}'"
            )
        )
        (case.folder / "out").mkdir()
        for name, step in before:
            state(case.folder / name, step)
        return Evidence(read_ipi_input(case.input))

    return prepare


def test_files_of_an_older_run_are_no_evidence(evidence):
    found = evidence(("RESTART", 8), ("md.chk_0", 9))
    # touched by a backup, or by a clock that was set: nobody has written
    os.utime(found.folder / "RESTART", (2e9, 2e9))
    assert not found.is_new("RESTART")
    assert found.steps_done() == 0 and found.newest_checkpoint() is None
    state(found.folder / "md.chk_1", 2)
    assert found.newest_checkpoint().path.name == "md.chk_1"
    state(found.folder / "RESTART", 3)
    os.utime(found.folder / "RESTART", (1.0, 1.0))
    assert found.is_new("RESTART") and found.steps_done() == 3
    assert found.newest_checkpoint().path.name == "RESTART"


def test_names_of_checkpoints(evidence):
    found = evidence()
    assert read_ipi_input(found.folder / "input.xml").checkpoint_names == ["md.chk"]


@pytest.mark.parametrize("name", ["/{folder}/chk", "md[1].chk", "x" * 300, "**", "out/*", "/"])
def test_names_of_checkpoints_that_look_like_patterns(tmp_path, name):
    """Also one that is a whole path, or longer than a file's name can be."""
    (tmp_path / "out").mkdir()
    path = tmp_path / name.format(folder=tmp_path)
    numbered = path.with_name(f"{path.name}_3") if path.name else path
    if 0 < len(path.name) < 200:
        state(numbered, 6)
        assert newest_checkpoint(tmp_path, [str(path)]).path == numbered
    else:
        assert newest_checkpoint(tmp_path, [str(path)]) is None


def test_checkpoints_in_a_folder_of_their_own(evidence):
    """What was there and has been written anew is of this run."""
    found = evidence(prefix="out/md")
    state(found.folder / "out" / "md.chk_0", 2)
    before = Evidence(read_ipi_input(found.folder / "input.xml"))
    assert before.newest_checkpoint() is None
    state(found.folder / "out" / "md.chk_0", 4)
    assert before.newest_checkpoint().step == 4


def judge_by(outcome, evidence, *, signum=None, failure=None, log=""):
    judge(
        outcome,
        evidence,
        signum=signum,
        total_steps=10,
        failure=failure,
        log=log,
        end="i-PI ended",
        stories=", and so did a driver",
    )


@pytest.mark.parametrize(
    ("log", "signum", "step", "status", "code"),
    [
        (" @SOFTEXIT: Kill signal received", None, 4, "interrupted", signal.SIGTERM),
        (" @SOFTEXIT: Kill signal received", signal.SIGUSR1, 4, "interrupted", signal.SIGUSR1),
        (" @SOFTEXIT: Kill signal received", signal.SIGUSR1, 10, "finished", None),
        (" @SOFTEXIT: EXIT file detected.", None, 4, "stopped", None),
        (" @SOFTEXIT: Maximum wallclock time elapsed.", None, 4, "stopped", None),
        ("nothing", None, 4, "failed", None),
        ("nothing", None, 10, "finished", None),
    ],
)
def test_judgement(evidence, log, signum, step, status, code):
    found, outcome = evidence(), Outcome()
    state(found.folder / "RESTART", step)
    judge_by(outcome, found, signum=signum, log=log)
    assert (outcome.status, outcome.signum) == (status, code)
    assert bool(outcome.message) == (status != "finished")


@pytest.mark.parametrize("step", [4, 10])
def test_a_failure_is_one_whatever_i_pi_says_and_however_far_it_came(evidence, step):
    found, outcome = evidence(), Outcome()
    state(found.folder / "RESTART", step)
    judge_by(outcome, found, failure="the reason", log="I-PI reports success")
    assert outcome.status == "failed"
    assert outcome.message == "the reason, and so did a driver"


def test_folder_that_is_gone_is_the_first_reason(evidence):
    found, outcome = evidence(), Outcome()
    found.folder.rename(found.folder.with_name("elsewhere"))
    judge_by(outcome, found)
    assert outcome.message.startswith(f"{found.folder} was removed or renamed")


@pytest.fixture
def told(tmp_path, monkeypatch):
    """What i-PI is told when the mixing layer gives up."""
    found = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(session, "_failures", [])
    monkeypatch.setattr(softexit, "trigger", lambda status, message: found.append(message))
    monkeypatch.setattr("atexit.register", lambda _: None)
    return found


def test_a_failure_that_cannot_be_written_down_stops_i_pi_all_the_same(tmp_path, told):
    (tmp_path / session.FAILURE_FILE).mkdir()
    assert not session.has_failed()
    session.fail("the reason")
    assert told == ["mixpi: the reason"] and session.has_failed()


def test_a_failure_is_told_to_the_launcher_if_there_is_one(tmp_path, told, monkeypatch):
    reader, journal = JournalReader(tmp_path / "journal"), Journal()
    journal.open(reader.path)
    monkeypatch.setattr(session, "journal", journal)
    session.fail("the reason")
    assert told == ["mixpi: the reason"]
    assert reader.news() == [Failed("the reason")]
    assert not (tmp_path / session.FAILURE_FILE).exists()


def looks(seconds, state="S", busy=False, deadline=100.0):
    """What is said of a driver that is looked at every second, after so many."""
    one = Watched(None, deadline, 0.0, 0.0)
    for now in range(1, seconds + 1):
        process = Process(1, 0, state, now if busy else 3, 0)
        if why := one.look([process], float(now)):
            return now, why
    return None


def test_who_has_connected_and_gone_hides_nobody(tmp_path):
    """As long as a connection may be that of a driver, none is said not to have connected."""
    crew = Crew(None, None, tmp_path, (), print)
    gone = subprocess.Popen(["true"])
    gone.wait()
    crew._note_connection("cheap", gone.pid)
    assert not crew._unknown
    crew._note_connection("cheap", os.getpid())
    crew._note_connection("expensive", 0)
    assert crew._unknown == {"cheap", "expensive"}


def test_drivers_that_do_not_connect():
    assert looks(99, busy=True) is None, "it may load a model for long"
    assert looks(99, state="D") is None, "or wait for a disk"
    assert looks(200, busy=True) == (101, "has not connected within 100 s (connect_deadline)")
    assert looks(200) == (51, "has not connected within 51 s, and has done nothing for 50 s")
    now, why = looks(200, state="T")
    assert now == STOPPED_LOOKS and "is stopped" in why
