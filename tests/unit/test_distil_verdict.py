"""From measured numbers to notes: what must not be used is called so, and the advice helps."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from mixpi.distil.measuring import Errors
from mixpi.distil.verdict import Evidence, judge


GOOD = Evidence(
    tolerance=1e-7,
    floor=1e-10,
    force_ratio=1.05,
    elastic={"C11": 139.1, "C12": 69.5, "C44": 62.5},
    expected={"C11": 139.0, "C12": 69.5, "C44": 62.6},
    more="take more functions (here)",
)


def told(**changes) -> tuple[bool, str]:
    verdict = judge(replace(GOOD, **changes))
    return verdict.usable, "\n".join(verdict.notes)


def test_good_potential_needs_no_words():
    assert told() == (True, "")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"read_back": 1e-6}, "written file differs from the fit"),
        ({"read_back": np.nan}, "written file differs from the fit"),
        ({"no_crystal": "it does not relax"}, r"no sound crystal here \(it does not relax\)"),
        ({"stable": False}, "elastic constants are those of an unstable crystal"),
        (
            {"imaginary": -38.2, "imaginary_where": (0.5, 0.0, 0.25)},
            r"imaginary \(-38\.2 meV at \(0\.5, 0, 0\.25\)\)",
        ),
        ({"moved": 0.3}, "lie 30 % of the shortest distance off"),
        ({"force_ratio": 6.3}, r"force error 6\.3 times as large"),
        ({"force_ratio": 2.1}, r"force error 2\.1 times as large"),
        ({"trial_fault": "it stopped within 180 of 500 steps (Lost atoms)"}, "Lost atoms"),
    ],
)
def test_what_must_not_be_used(changes, reason):
    usable, notes = told(**changes)
    assert not usable
    first = notes.splitlines()[0]
    assert first.startswith("do not use this potential: ")
    assert re.search(reason, first)


def test_all_reasons_are_given():
    usable, notes = told(imaginary=-5.0, force_ratio=3.0, trial_fault="it heated up")
    assert not usable
    assert notes.count("do not use") == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"force_ratio": 6.0, "floor": 5e-8},
        {"force_ratio": 1.7},
        {"imaginary": -20.0, "floor": 5e-8},
        {"imaginary": -20.0},  # not without the constraint: that is to blame
        {"trial_fault": "it heated up", "floor": 5e-8},
        {"elastic": {"C11": 150.0, "C12": 69.5, "C44": 62.5}, "floor": 5e-8},
        {"elastic": {"C11": 150.0, "C12": 69.5, "C44": 62.5}, "force_ratio": 1.4},
        {"no_crystal": "it does not relax", "floor": 2e-7, "tolerance": 2.1e-7},
        {"force_ratio": 3.0, "tolerance": 0.0, "floor": 5e-10},
    ],
)
def test_crowded_basis_is_not_told_to_be_tighter(changes):
    _, notes = told(**changes)
    assert "the basis is too small for this constraint" in notes
    assert "take more functions (here)" in notes
    assert "a lower tolerance makes it worse" in notes
    assert "lower hard: tolerance" not in notes


def test_looser_tolerance_is_advised_only_where_it_helps():
    _, notes = told(force_ratio=4.0, helpful_tolerance=3e-6)
    assert "raise hard: tolerance to 3.0e-06" in notes
    _, notes = told(force_ratio=4.0, elastic={"C11": 150.0, "C12": 69.5, "C44": 62.5})
    assert "raise hard: tolerance" not in notes  # elastic constants would get worse still


def test_loose_constraint_with_room_is_tightened():
    usable, notes = told(tolerance=1e-3, elastic={"C11": 150.0, "C12": 69.5, "C44": 62.5})
    assert usable
    assert "C11 of the constrained fit is off by +7.9 %" in notes
    assert "lower hard: tolerance (now 1.0e-03)" in notes
    assert "raise" not in notes


def test_fault_of_the_free_fit_is_not_the_constraints():
    usable, notes = told(imaginary=-10.0, imaginary_free=True)
    assert not usable
    assert "the constraint is not to blame: take more functions (here)" in notes
    assert "hard: tolerance" not in notes


def test_unstable_model_is_only_compared_with():
    usable, notes = told(expected_lowest=-12.0, expected_stable=False, stable=False)
    assert usable
    assert "unstable under the expensive potential itself (lowest branch -12.0 meV)" in notes
    usable, _ = told(expected_lowest=-12.0, trial_fault="an atom came 2 Å away")
    assert usable
    usable, _ = told(expected_lowest=-12.0, trial_fault="it stopped", trial_stopped=True)
    assert not usable
    usable, _ = told(expected_lowest=-12.0, imaginary=-3.0)  # elsewhere
    assert not usable


def test_small_elastic_constant_is_not_off_by_thousands_of_per_cent():
    _, notes = told(
        elastic={"C11": 139.0, "C12": 0.10, "C44": 62.6},
        expected={"C11": 139.0, "C12": -0.05, "C44": 62.6},
    )
    assert notes == ""


def test_missing_trial_and_melting_are_said():
    usable, notes = told(no_trial="LAMMPS here has no pair_style pace", melts=True)
    assert usable
    assert "was not tried in dynamics (LAMMPS here has no pair_style pace)" in notes
    assert "lower soft: temperature" in notes


def test_force_error_is_compared_above_what_is_excellent():
    """An error that doubles from a thousandth of the forces is no reason."""
    forces = np.random.default_rng(0).normal(size=3000)

    def errors(size):
        return Errors(np.zeros((1, 2)), np.column_stack([forces, forces * (1 + size)]))

    assert errors(0.6).force_ratio(errors(0.1)) == pytest.approx(6.0)
    assert errors(0.003).force_ratio(errors(0.001)) < 1.0
