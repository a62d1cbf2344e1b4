"""Temperatures are those of what moves, whatever i-PI adds for what does not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase.io import read
from ase.units import fs, kB
from conftest import Case
from mixpi.analysis.freedom import read_temperature
from mixpi.analysis.trajectories import Trajectory
from mixpi.analysis.zones import temperature
from mixpi.ipi.input import read_ipi_input
from test_faults import run
from test_steps import PIMD, edit


NONE = "<ensemble></ensemble>"
#: More in <motion>, whether the ensemble has a temperature, degrees of freedom of 64 atoms.
KINDS = {
    "the centre of mass": ("", True, 189),
    "the centre of mass, no ensemble": ("", False, 189),
    "nothing": ("<fixcom>False</fixcom>", True, 192),
    "40 atoms": (f"<fixatoms>{list(range(40))}</fixatoms>", True, 72),
    "40 atoms, no ensemble": (f"<fixatoms>{list(range(40))}</fixatoms>", False, 72),
    "all z": (f"<fixatoms_dof>{list(range(2, 192, 3))}</fixatoms_dof>", True, 128),
}


def kelvin_of(frames, freedom: int) -> np.ndarray:
    """2 K / (f k) of each frame, by hand."""
    masses = frames[0].get_masses()[:, None]
    twice = [np.sum(masses * (frame.arrays["velocities"] / fs) ** 2) for frame in frames]
    return np.array(twice) / freedom / kB


def moving(make_case, more: str, warm: bool, **options) -> Case:
    case = make_case(steps=30, stride=1, **options)
    edit(case, "<motion mode='dynamics'>", f"<motion mode='dynamics'>{more}")
    if not warm:
        edit(case, "<ensemble><temperature units='kelvin'>300.0</temperature></ensemble>", NONE)
    case.config["output"] = {"velocities": True, "stride": 1}
    done = run(case)
    assert done.returncode == 0, done.stderr
    return case


@pytest.mark.parametrize("kind", KINDS)
def test_temperature_of_the_report_and_of_the_frames(make_case, kind):
    more, warm, freedom = KINDS[kind]
    case = moving(make_case, more, warm)
    exact = kelvin_of(read(case.folder / "mix.extxyz", ":"), freedom)
    series = read_temperature(read_ipi_input(case.input), 64)
    np.testing.assert_allclose(series.values, exact, rtol=1e-4)
    report = json.loads((case.folder / "mixpi.report.json").read_text())
    assert report["dynamics"]["temperature_K"]["last"] == pytest.approx(exact[-1], rel=1e-4)
    found = temperature(Trajectory(case.folder / "mix.extxyz"))["all"]
    assert found.value == pytest.approx(exact.mean(), rel=1e-4)


@pytest.mark.full
@pytest.mark.parametrize(
    ("mode", "freedom"), [("nvt", 4 * 192 - 3), ("nvt-cc", 3 * 192)], ids=["nvt", "nvt-cc"]
)
def test_temperature_of_beads(make_case, mode, freedom):
    """Momenta of P beads are those of P times the temperature."""
    case = moving(make_case, "", True, beads=4, dynamics=PIMD.replace("'nvt'", f"'{mode}'"))
    series = read_temperature(read_ipi_input(case.input), 64)
    beads = [read(case.folder / f"mix_{bead}.extxyz", ":") for bead in range(4)]
    exact = sum(kelvin_of(frames, freedom) for frames in beads) / 4
    np.testing.assert_allclose(series.values[1:], exact[1:], rtol=1e-4)
