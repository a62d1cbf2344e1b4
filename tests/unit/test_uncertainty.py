"""Seeds by spread: against a record of all looks, and patches against all distances."""

from __future__ import annotations

import brute_force
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mixpi import MixpiError
from mixpi.regions.averaging import TimeAverage
from mixpi.regions.uncertainty import SpreadSeeds
from numpy.testing import assert_array_equal


CELL = np.array([[12.0, 0, 0], [3.5, 11.0, 0], [-2.0, 4.0, 12.0]])
N = 90
NOWHERE = np.zeros(N, dtype=bool)


def gas(seed=0, n=N):
    return np.random.default_rng(seed).uniform(-0.3, 1.3, (n, 3)) @ CELL


def rule(average=(1, 1, 1), *, initial=NOWHERE, bounds=(0.5, np.inf), **given):
    given = {"patch": 4.0, "every": 1, **given}
    return SpreadSeeds(initial, bounds, TimeAverage(*average), **given)


class Record:
    """Every look at every atom; the seeds are worked out from it anew at each average."""

    def __init__(self, n, bounds, average):
        self.looks = [{} for _ in range(n)]
        self.bounds, self.average, self.kept = bounds, average, {}
        self.evaluated = []

    def see(self, step, indices, spread):
        self.evaluated.append(step)
        for i, s in zip(indices, spread, strict=True):
            self.looks[i][step] = s
            self.kept.pop(i, None)

    def seeds(self, step):
        """Of an average that ends at a step, None at other steps."""
        every, repeat, frequency = self.average
        if step % frequency or (step == 0):
            return None
        # a value is that of the evaluation before
        times = [step - k * every - 1 for k in range(repeat)]
        if min(times) < self.evaluated[0]:
            return None
        found = np.zeros(len(self.looks), dtype=bool)
        for i, looks in enumerate(self.looks):
            if all(t in looks for t in range(min(times), step)):
                # in the order in which they are summed
                self.kept[i] = sum(looks[t] for t in reversed(times)) / repeat
            if looks:
                value = self.kept.get(i, looks[max(looks)])
                found[i] = self.bounds[0] <= value <= self.bounds[1]
        return found


@given(
    st.sampled_from([(1, 1, 1), (1, 1, 4), (1, 3, 3), (2, 2, 5), (2, 3, 8), (1, 4, 6)]),
    st.integers(0, 10_000),
    st.integers(0, 29),
)
def test_seeds_are_those_of_all_looks(average, seed, cut):
    """Random looks, some atoms all the time, some now and then; a restart in between."""
    average = average if average[2] % average[0] == 0 else (1, *average[1:])
    rng, n = np.random.default_rng(seed), 12
    bounds = (0.5, 0.9)
    seeds = SpreadSeeds(np.arange(n) < 2, bounds, TimeAverage(*average), patch=1.0, every=3)
    record, expected = Record(n, bounds, average), np.arange(n) < 2
    inside = rng.random(n) < 0.5
    for step in range(30):
        mask = seeds.at(step, [], np.eye(3))
        found = record.seeds(step) if record.evaluated else None
        expected = expected if found is None else found
        assert_array_equal(mask, expected)
        inside ^= rng.random(n) < 0.1
        indices = np.flatnonzero(inside | (rng.random(n) < 0.1))
        spread = rng.random(len(indices))
        seeds.observe(step, indices, spread)
        record.see(step, indices, spread)
        if step == cut:
            state = seeds.state()
            seeds = SpreadSeeds(NOWHERE[:n], bounds, TimeAverage(*average), patch=1.0, every=3)
            seeds.restore(state)
            # the step that a run continues from is evaluated again
            assert_array_equal(seeds.at(step, [], np.eye(3)), mask)
            seeds.observe(step, indices, rng.random(len(indices)))
            for name, value in seeds.state().items():
                assert_array_equal(value, state[name])


def test_initial_seeds_stay_until_the_first_average():
    seeds = rule((1, 1, 3), initial=np.arange(N) == 5)
    for step in range(6):
        assert seeds.at(step, [], CELL).tolist() == [k == (5 if step < 3 else 7) for k in range(N)]
        seeds.observe(step, np.array([5, 7]), np.array([0.1, 0.7]))


def test_an_atom_that_nobody_has_seen_is_no_seed():
    seeds = rule(bounds=(-np.inf, 0.5))
    seeds.observe(0, np.array([3]), np.array([0.2]))
    assert np.flatnonzero(seeds.at(1, [], CELL)).tolist() == [3]


def test_only_some_can_be_seeds_and_are_looked_at():
    among = np.arange(N) % 3 == 0
    seeds, x = rule(among=among), gas()
    seen = set()
    for step in range(40):
        patch = seeds.probe(step, ~NOWHERE, [x], CELL)
        seen |= set(patch.tolist())
        seeds.observe(step, np.arange(N), np.ones(N))
    assert seen <= set(np.flatnonzero(among).tolist())
    assert_array_equal(seeds.at(1, [], CELL), among)


@pytest.mark.parametrize("beads", [1, 3])
def test_a_patch_holds_the_atom_seen_longest_ago_and_others_seen_long_ago(beads):
    rng = np.random.default_rng(beads)
    geometries = [gas() + rng.normal(0, 0.3, (N, 3)) for _ in range(beads)]
    distances = np.min([brute_force.all_distances(x, CELL, 9.0) for x in geometries], axis=0)
    np.fill_diagonal(distances, 0.0)
    seeds, last, began, tours = rule(every=2), np.full(N, -1), 0, [0]
    for step in range(60):
        outside = rng.random(N) < 0.8
        patch = seeds.probe(step, outside, geometries, CELL)
        assert (patch is None) == (step % 2 == 1)
        seen = ~outside
        if patch is not None:
            if step and last[outside].min() >= began:
                tours.append(step - began)
                began = step
            assert seeds.tour == tours[-1]
            oldest = min(np.flatnonzero(outside), key=lambda i: last[i])
            assert oldest in patch and outside[patch].all()
            ages = [
                (step - last)[(distances[centre] < 4.0) & (distances[oldest] < 8.0) & outside].sum()
                for centre in np.flatnonzero((distances[oldest] < 4.0) & outside)
            ]
            assert (step - last)[patch].sum() == max(ages)
            assert (distances[np.ix_(patch, patch)] < 4.0).all(axis=1).any()  # around one of them
            seen[patch] = True
        seeds.observe(step, np.flatnonzero(seen), np.zeros(seen.sum()))
        last[seen] = step
    assert len(tours) > 2


def test_one_tour_sees_all_and_finds_a_defect():
    x, defect = gas(), 77
    seeds, seen, found_at = rule(), np.zeros(N, dtype=bool), None
    for step in range(N):
        outside = ~seeds.at(step, [x], CELL)
        if found_at is None and not outside[defect]:
            found_at = step
        patch = seeds.probe(step, outside, [x], CELL)
        indices = np.union1d(patch, np.flatnonzero(~outside))
        seeds.observe(step, indices, np.where(indices == defect, 0.8, 0.1))
        seen[indices] = True
        if seen.all():
            break
    assert seen.all() and step < N / 2  # patches hold several atoms
    assert found_at is not None and found_at <= step + 1


def test_where_all_is_region_nothing_is_probed():
    assert rule().probe(0, NOWHERE, [gas()], CELL) is None


def test_states_of_others_are_refused():
    state = rule().state()
    with pytest.raises(MixpiError, match="that of 12 atoms, the structure has 90"):
        rule().restore(SpreadSeeds(NOWHERE[:12], (0, 1), TimeAverage(), patch=1.0, every=1).state())
    del state["since"]
    with pytest.raises(MixpiError, match="lacks since: it is not one of seeds by spread"):
        rule().restore(state)
