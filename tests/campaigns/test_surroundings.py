"""The first of each kind of ``./scripts/campaigns.sh surroundings``."""

from __future__ import annotations

import pytest

from .campaign import run_campaign, table
from .surroundings import CAMPAIGN


#: Streams, environment, shadows, names, permissions, limits, leftovers, others, starts, changes.
KINDS = 10


@pytest.mark.slow
def test_surroundings(tmp_path):
    tried = run_campaign(CAMPAIGN, tries=KINDS, seed=0, folder=tmp_path, jobs=2)
    assert len({one.kind for one in tried}) == KINDS
    bad = [one for one in tried if one.verdict != "passed"]
    assert not bad, "\n".join([table("surroundings", tried), *map(str, bad)])
