"""The short dynamics in LAMMPS: quiet on a crystal, and it says what happens on others."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from mixpi.distil.config import SoftConfig
from mixpi.distil.data import snapshots
from mixpi.distil.trial import SMALLEST, allowed_way, run_trial
from mixpi.drivers.lammps import LammpsSetup


ARGON = LammpsSetup(["pair_style lj/cut 8.5", "pair_coeff 1 1 0.0104 3.4"], ["Ar"])
FCC = bulk("Ar", "fcc", a=5.26, cubic=True)


def run(crystal=FCC, setup=ARGON, repeats=(2, 2, 2), **changes):
    settings = {"temperature": 20.0, "timestep": 4.0, "allowed": 1.8, **changes}
    return run_trial(setup, crystal, repeats, **settings)


@pytest.mark.full
def test_crystal_is_quiet():
    found = run()
    assert found.fault == ""
    assert (found.steps, found.planned, found.atoms) == (500, 500, 32)
    assert 10 < found.temperature < 30
    assert 0.05 < found.farthest < 1.8
    assert abs(found.drift) < 1e-4


@pytest.mark.full
def test_temperature_is_the_one_asked_for():
    """Half of the energy goes into the bonds; averaged over more atoms."""
    found = run(repeats=(4, 4, 4), steps=1000)
    assert found.temperature == pytest.approx(20.0, rel=0.15)


@pytest.mark.full
def test_skewed_cell_and_inert_species():
    setup = LammpsSetup(["pair_style lj/cut 8.5", "pair_coeff * * 0.0104 3.4"], ["Ar", "He"])
    assert run(bulk("Ar", "fcc", a=5.26), setup, (3, 3, 3)).fault == ""


@pytest.mark.full
def test_small_cells_are_repeated():
    assert run(bulk("Ar", "fcc", a=5.26), repeats=(1, 1, 1), steps=40).atoms >= SMALLEST


@pytest.mark.full
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"crystal": bulk("Ar", "sc", a=3.75), "repeats": (4, 4, 4)}, "away from its site"),
        ({"crystal": bulk("Ar", "sc", a=3.75), "repeats": (4, 4, 4), "allowed": np.inf},
         "heated up"),
        ({"temperature": 3000.0}, "away from its site"),
        ({"timestep": 400.0}, "it stopped after"),
        ({"crystal": bulk("Ar", "fcc", a=3.0, cubic=True)}, "."),
    ],
)  # fmt: skip
def test_what_does_not_hold_is_told(changes, reason):
    assert re.search(reason, run(**changes).fault)


@pytest.mark.full
def test_potential_that_lammps_refuses():
    found = run(setup=LammpsSetup(["pair_style lj/cut 8.5"], ["Ar"]))
    assert found.steps == 0
    assert "LAMMPS refused" in found.fault


def test_vibrations_of_the_snapshots_are_allowed():
    crystal = bulk("Cu", "fcc", a=3.6, cubic=True)
    half = 3.6 / np.sqrt(2) / 2
    settings = SoftConfig(
        temperature=300, repeat=[2, 2, 2], snapshots=2, held_out=1, spacing=40, equilibrate=80
    )
    frames = list(snapshots(crystal, EMT(), settings, []))
    assert allowed_way(crystal, frames, (2, 2, 2)) == pytest.approx(half)
    for frame in frames:  # images and drift are no displacement
        frame.positions += frame.cell.array[0] * 3 + [2.0, -3.0, 1.0]
    assert allowed_way(crystal, frames, (2, 2, 2)) == pytest.approx(half)
    frames[0].positions[5, 0] += 1.0
    assert half < allowed_way(crystal, frames, (2, 2, 2)) < 1.5 * half
    frames[0].positions[5, 0] += 0.8
    assert allowed_way(crystal, frames, (2, 2, 2)) == np.inf


def test_crash_of_lammps_is_survived(monkeypatch, tmp_path):
    """A process that is gone, as after a segmentation fault, ends the dynamics, not the command."""
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\nkill -SEGV $$\n")
    dying.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(dying))
    found = run()
    assert found.steps == 0
    assert "LAMMPS crashed, signal 11" in found.fault
