"""A few attempts of the campaign of broken folders: one of each kind, and its own judgement."""

from __future__ import annotations

import pytest

from .campaign import run_campaign
from .checked import Checked, judge
from .configuration import CAMPAIGN, KINDS


@pytest.mark.slow
def test_one_of_each_kind(tmp_path):
    tried = run_campaign(CAMPAIGN, tries=len(KINDS), seed=5, folder=tmp_path, jobs=2)
    assert [one.kind for one in tried] == list(KINDS)
    assert [one for one in tried if one.verdict != "passed"] == []


@pytest.mark.parametrize(
    ("checked", "accept", "verdict"),
    [
        (Checked(0, "x\nall in order\n", "", []), True, "passed"),
        (Checked(1, "x\n", "mixpi: error: no\n", []), False, "passed"),
        (Checked(0, "x\nall in order\n", "", []), False, "wrong"),
        (Checked(1, "x\n", "mixpi: error: no\n", []), True, "wrong"),
        (Checked(1, "x\n", "no\n", []), None, "wrong"),
        (Checked(0, "x\n", "", []), None, "wrong"),
        (Checked(-9, "all in order\n", "", []), None, "wrong"),
        (Checked(1, "", "mixpi: error: " + "x" * 5000, []), None, "wrong"),
        (Checked(1, "", "Traceback (most\nmixpi: error: no\n", []), False, "traceback"),
        (Checked(0, "all in order\n", "", ["file pwned"]), True, "left over"),
        (Checked(None, "all in order\n", "", []), True, "hung"),
    ],
)
def test_the_verdict(checked, accept, verdict):
    assert judge(checked, accept=accept).verdict == verdict
