"""All zones have the temperature of a thermostat that acts on the cheap one only."""

from __future__ import annotations

import sys

import pytest
from conftest import ROOT
from mixpi.analysis.trajectories import Trajectory
from mixpi.analysis.zones import temperature


@pytest.mark.slow
def test_zones_of_a_silicon_vacancy(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "scripts"), *sys.path])
    from kinetic_distribution import deviations
    from zone_temperatures import prepare, run

    folder = tmp_path / "run"
    prepare(folder, "cheap")
    run(folder, 3000)
    report = temperature(Trajectory(folder / "mix.extxyz", skip=500.0))
    for name in ("core", "blend", "cheap", "all"):
        found = report[name]
        assert found.error < 20.0
        assert abs(found.value - 300.0) < 4.0 * found.error, name
    for name, (_, center, width, p) in deviations(folder, 500.0, 300.0).items():
        assert abs(center) < 4.0 and abs(width) < 4.0 and p > 1e-4, name
