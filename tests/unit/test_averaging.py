"""Averages in time, against fix ave/atom in a real run, and their rules."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from hypothesis import given
from hypothesis import strategies as st
from lammps_program import read_dump, run_lammps
from mixpi.drivers.lammps_compute import LammpsCompute
from mixpi.regions.averaging import TimeAverage
from mixpi.regions.classified import ClassifiedSeeds


CHOICES = [(1, 1, 1), (1, 1, 5), (2, 5, 10), (1, 10, 10), (3, 2, 12), (5, 4, 20), (10, 1, 10)]
STEPS = 44


@pytest.fixture(scope="module")
def dynamics(tmp_path_factory):
    """Hot silicon in LAMMPS: positions and values each step, and the averages of each choice."""
    folder = tmp_path_factory.mktemp("dynamics")
    atoms = bulk("Si", cubic=True) * 2
    commands = [
        "pair_style sw",
        "pair_coeff * * Si.sw Si",
        "velocity all create 4000 1 loop geom",
        "fix nve all nve",
        "compute v all coord/atom cutoff 2.6",
        "dump x all custom 1 x.dump id xu yu zu c_v",
    ]
    for k, (every, repeat, frequency) in enumerate(CHOICES):
        commands += [
            f"fix a{k} all ave/atom {every} {repeat} {frequency} c_v",
            f"dump a{k} all custom {frequency} a{k}.dump id f_a{k}",
            f"dump_modify a{k} format float %.17g",
        ]
    run_lammps(folder, atoms, [*commands, "dump_modify x format float %.17g", f"run {STEPS}"])
    averages = [read_dump(folder / f"a{k}.dump") for k in range(len(CHOICES))]
    return atoms, read_dump(folder / "x.dump"), averages


@pytest.mark.parametrize("k", range(len(CHOICES)))
def test_averages_are_those_of_fix_ave_atom(dynamics, k):
    _, frames, averages = dynamics
    average, found = TimeAverage(*CHOICES[k]), {}
    for step in range(STEPS + 1):
        if average.number(step) is not None:
            made = average.add(step, frames[step][:, 3])
            if made is not None:
                found[step] = made
    # before the first average the fix has zeros
    first = 0 if CHOICES[k][1] == 1 else CHOICES[k][2]
    expected = {step: table[:, 0] for step, table in averages[k].items() if step >= first}
    assert found.keys() == expected.keys() and len(found) >= 2
    for step in found:
        np.testing.assert_array_equal(found[step], expected[step])
    assert any(values.std() > 0 for values in found.values())


@pytest.mark.parametrize("k", range(len(CHOICES)))
def test_seeds_of_a_run_are_those_of_fix_ave_atom(dynamics, k):
    """The whole way: positions → LAMMPS library → average → bounds, with beads and restarts."""
    atoms, frames, averages = dynamics
    cell, bounds = atoms.cell.array, (3.2, 3.9)
    classifier = LammpsCompute("coord/atom cutoff 2.6", atoms)

    def rule():
        return ClassifiedSeeds(classifier, len(atoms), bounds, TimeAverage(*CHOICES[k]))

    seeds, expected = rule(), None
    for step in range(STEPS + 1):
        mask = seeds.at(step, [frames[step][:, :3]], cell)
        if step == 0:
            values = frames[0][:, 3]
            expected = (values >= 3.2) & (values <= 3.9)
        if step in averages[k] and (step or CHOICES[k][1] == 1):
            average = averages[k][step][:, 0]
            expected = (average >= 3.2) & (average <= 3.9)
        np.testing.assert_array_equal(mask, expected)
        restored = rule()
        restored.restore(seeds.state())
        seeds = restored
    assert CHOICES[k][1] == 1 or expected.any()


def brute_force_steps(every, repeat, frequency, steps):
    """Step → its place in the average, from the manual: those that precede a multiple of Nfreq."""
    found = {}
    for end in range(0 if repeat == 1 else frequency, steps + frequency + 1, frequency):
        for place in range(repeat):
            found[end - (repeat - 1 - place) * every] = place
    return {step: place for step, place in found.items() if step <= steps}


@given(st.integers(1, 7), st.integers(1, 6), st.integers(1, 5))
def test_steps_at_which_values_are_taken(every, repeat, factor):
    frequency = every * repeat * factor
    average = TimeAverage(every, repeat, frequency)
    numbers = {step: average.number(step) for step in range(100)}
    expected = brute_force_steps(every, repeat, frequency, 99)
    assert {s: k for s, k in numbers.items() if k is not None} == expected


def test_an_average_that_was_begun_elsewhere_is_none():
    average = TimeAverage(1, 4, 4)
    made = [average.add(step, np.array([float(step)])) for step in range(3, 9)]
    assert made[:5] == [None] * 5 and made[5].tolist() == [6.5]


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 40))
def test_a_state_goes_on_to_the_last_bit(every, repeat, cut):
    rng = np.random.default_rng(cut)
    values = rng.normal(size=(60, 2, 5))
    whole, first, second = (TimeAverage(every, repeat, every * repeat) for _ in range(3))
    for step in range(60):
        if step == cut + 1:
            second.restore(first.state())
        one = whole.add(step, values[step])
        other = (first if step <= cut else second).add(step, values[step])
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0, 1, 1), "1 or more"),
        ((1, -1, 1), "1 or more"),
        ((3, 1, 10), r"frequency \(10\) must be a multiple of every \(3\)"),
        ((10, 20, 100), "need 200 steps, but averages are 100 steps apart"),
    ],
)
def test_rules_of_lammps(numbers, message):
    with pytest.raises(ValueError, match=message):
        TimeAverage(*numbers)
