"""The campaigns themselves: what they must see, they see."""

from __future__ import annotations

import dataclasses
import fcntl
import random
from itertools import islice

import numpy as np
import pytest
from conftest import new_case

from . import kill
from .campaign import Attempt, Campaign, Result, run_campaign, table
from .runs import Trajectory, Watch, newest_checkpoint


WHOLE = "<simulation><step>{}</step><system><beads nbeads='1'/></system></simulation>\n"


def made(rng):
    verdicts = ["passed", "hung", "error", "passed"]

    def run(folder, verdict):
        (folder / "file").touch()
        assert verdict != "error"
        return Result(verdict)

    for verdict in verdicts:
        what = f"{verdict} {rng.random()}"
        yield Attempt("kind", what, lambda folder, verdict=verdict: run(folder, verdict))


def test_verdicts_are_counted_and_folders_kept(tmp_path):
    told = []
    tried = run_campaign(
        Campaign("made", made), tries=4, seed=1, folder=tmp_path, jobs=2, say=told.append
    )
    assert [one.verdict for one in tried] == ["passed", "hung", "wrong", "passed"]
    assert "the attempt itself failed" in tried[2].detail and len(told) == 4
    kept = sorted(path.name for path in (tmp_path / "made").iterdir())
    assert kept == ["00001", "00002"]
    assert "| **all** | 4 | 2 | 1 | 1 | 0 | 0 |" in table("made", tried)
    again = run_campaign(Campaign("made", made), tries=4, seed=1, folder=tmp_path)
    assert [one.what for one in again] == [one.what for one in tried]
    some = run_campaign(Campaign("made", made), tries=4, seed=1, folder=tmp_path, only="kind: hung")
    assert some == [dataclasses.replace(again[1], seconds=some[0].seconds)]
    assert not run_campaign(Campaign("made", made), tries=4, seed=1, folder=tmp_path, minutes=0)


def test_signals_cover_each_pair_of_role_and_signal():
    pairs = len(kill.ROLES) * len(kill.SIGNALS)
    one, other = (list(islice(kill.attempts(random.Random(5)), pairs)) for _ in range(2))
    assert [attempt.what for attempt in one] == [attempt.what for attempt in other]
    first = {attempt.what.split(";")[0].split(", then")[0] for attempt in one}
    assert len(first) == pairs
    assert {attempt.kind for attempt in one[: len(kill.ROLES)]} == set(kill.ROLES)


def line(steps, positions=None) -> Trajectory:
    positions = np.zeros((1, len(steps), 2, 3)) if positions is None else positions
    return Trajectory({"mix.steps": steps}, positions, np.zeros(len(steps)))


def test_what_differs_in_a_trajectory_is_seen():
    wanted = line([0, 1, 2, 3])
    assert wanted.difference(line([0, 1, 2, 3]), 1e-7) == ""
    for steps in ([0, 1, 2], [0, 1, 1, 2, 3], [0, 2, 1, 3], [0, 1, 3]):
        assert "mix.steps has steps" in line(steps).difference(wanted, 1e-7)
    for value in (1e-6, np.nan):
        positions = np.zeros((1, 4, 2, 3))
        positions[0, 2, 1, 0] = value
        assert "positions differ" in line([0, 1, 2, 3], positions).difference(wanted, 1e-7)
    shifted = dataclasses.replace(wanted, potential=np.full(4, 1e-3))
    assert "energy estimate differs" in shifted.difference(wanted, 1e-7)


@pytest.mark.parametrize(
    "script", ["sleep 60 & exit", "cd /; setsid sleep 60 & exit", "(cd logs; exec -a x sleep 60) &"]
)
def test_what_is_left_is_seen_and_ended(tmp_path, script):
    case = new_case(tmp_path)
    (case.folder / "logs").mkdir()
    with Watch(case, tmp_path / "output") as watch:
        watch.start_program(["bash", "-c", script])
        assert watch.wait(20) == 0
        assert "60" in watch.left_over(patience=0.2)
    assert watch.left_over(patience=5.0) == ""


def test_sockets_and_locks_that_are_left_are_seen(tmp_path):
    case = new_case(tmp_path)
    (case.folder / "logs").mkdir()
    path = f"/tmp/ipi_{case.config['cheap']['socket']['address']}"
    with Watch(case, tmp_path / "output") as watch:
        with (case.folder / "logs" / "lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            assert watch.left_over(patience=0.0) == "the lock"
        open(path, "w").close()
        assert watch.left_over(patience=0.0) == path
    assert watch.left_over(patience=0.0) == ""


def test_only_whole_checkpoints_count(tmp_path):
    assert newest_checkpoint(tmp_path) is None
    (tmp_path / "RESTART").write_text(WHOLE.format(7))
    (tmp_path / "md.checkpoint").write_text(WHOLE.format(30)[:-9])
    (tmp_path / "empty").touch()
    (tmp_path / "input.xml").write_text("<simulation><total_steps>9</total_steps></simulation>")
    (tmp_path / "#RESTART#0#").write_text(WHOLE.format(50))
    assert newest_checkpoint(tmp_path) == (7, tmp_path / "RESTART")
