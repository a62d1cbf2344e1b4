"""A few signals to a few processes, as ``./scripts/campaigns.sh kill`` sends many."""

from __future__ import annotations

import pytest

from .campaign import run_campaign, table
from .kill import CAMPAIGN, ROLES


@pytest.mark.slow
@pytest.mark.full
def test_signals(tmp_path):
    tried = run_campaign(CAMPAIGN, tries=len(ROLES), seed=4, folder=tmp_path, jobs=2)
    assert {one.kind for one in tried} == set(ROLES)
    bad = [one for one in tried if one.verdict != "passed"]
    assert not bad, "\n".join([table("kill", tried), *map(str, bad)])
