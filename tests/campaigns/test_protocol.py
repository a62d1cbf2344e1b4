"""A short run of the campaign of malformed replies: each kind once."""

from campaigns.campaign import run_campaign
from campaigns.protocol import CAMPAIGN, MISBEHAVIOUR


def test_nothing_is_wrong_hung_or_left_over(tmp_path):
    tries = sum(len(variants) for _, variants, _ in MISBEHAVIOUR.values())
    tried = run_campaign(CAMPAIGN, tries=tries, seed=1, folder=tmp_path, jobs=8)
    assert len(tried) == tries
    assert [one for one in tried if one.verdict != "passed"] == []
