"""All zones have the temperature of a thermostat that acts on the cheap one only."""

from __future__ import annotations

import sys

import pytest
from conftest import ROOT
from mixpi.analysis.statistics import mean


@pytest.mark.slow
def test_zones_of_a_silicon_vacancy(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "scripts"), *sys.path])
    from kinetic_distribution import deviations
    from zone_temperatures import prepare, run, temperatures

    folder = tmp_path / "run"
    prepare(folder, "cheap")
    run(folder, 3000)
    _, found = temperatures(folder, 500.0)
    for rows in found.values():
        number, estimate = rows[:, 0].mean(), mean(rows[:, 1])
        assert number > 10 and estimate.error < 20.0
        assert abs(estimate.value - 300.0) < 4.0 * estimate.error
    for name, (_, center, width, p) in deviations(folder, 500.0, 300.0).items():
        assert abs(center) < 4.0 and abs(width) < 4.0 and p > 1e-4, name
