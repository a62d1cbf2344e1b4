"""Weights with a memory against their definitions, written out atom by atom."""

import brute_force
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixpi.regions.following import Following, relax_weights
from mixpi.regions.groups import Groups
from mixpi.regions.growth import build_regions, surround
from mixpi.regions.seed_rules import FixedSeeds


CELLS = {
    "orthorhombic": np.diag([13.0, 11.0, 12.0]),
    "triclinic": np.array([[12.0, 0, 0], [3.5, 11.0, 0], [-2.0, 4.0, 12.0]]),
    "smaller than the radii": np.diag([5.0, 4.5, 20.0]),
}
RADII = {"core": 3.0, "blend": 4.0, "buffer": 3.5}


class MovingSeeds:
    """Other seeds every few steps, none at all among them."""

    def __init__(self, n, seed, every=3):
        self._every, self._n, self._seed = every, n, seed

    def at(self, step, geometries, cell):
        rng = np.random.default_rng((self._seed, step // self._every))
        mask = np.zeros(self._n, dtype=bool)
        mask[rng.integers(self._n, size=rng.integers(0, 3))] = True
        return mask

    def state(self):
        return {}

    def restore(self, state):
        pass


def gas(n, cell, seed):
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.3, 1.3, (n, 3)) @ cell


def trajectory(n, cell, seed, steps):
    rng = np.random.default_rng(seed)
    x = gas(n, cell, seed)
    for _ in range(steps):
        x = x + rng.normal(0, 0.15, x.shape)
        yield x


def target_by_hand(d, seeds, profile, leave, was_core):
    """Weights and core of one geometry from all distances (n, n)."""
    n = len(d)
    if not seeds.any():
        return np.zeros(n), np.zeros(n, dtype=bool)
    to_seed = d[:, seeds].min(axis=1)
    core = seeds | (to_seed < RADII["core"]) | (was_core & (to_seed < leave))
    weights = core.astype(float)
    reach = to_seed - RADII["core"] if profile == "smooth" else d[:, core].min(axis=1)
    for i in np.flatnonzero(~core & (reach < RADII["blend"])):
        t = reach[i] / RADII["blend"]
        weights[i] = {
            "linear": 1 - t,
            "cubic": 1 - 3 * t**2 + 2 * t**3,
            "smooth": 1 - 10 * t**3 + 15 * t**4 - 6 * t**5,
        }[profile]
    return weights, core


@pytest.mark.parametrize("profile", ["linear", "cubic", "smooth"])
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize(("every", "taus", "leave"), [
    (1, (0.0, 0.0), 0.0),
    (1, (3.0, 7.0), 0.0),
    (4, (10.0, 2.0), 4.5),
    (0, (0.0, 0.0), 0.0),
])  # fmt: skip
def test_weights_of_a_moving_seed_are_those_by_hand(cell, profile, every, taus, leave):
    n, dt = 60, 0.5
    if profile == "smooth":
        leave = 0.0
    rule = MovingSeeds(n, 5)
    following = Following(
        rule, n, {"core": 3.0, "blend": 4.0, "profile": profile}, every=every, tau_in=taus[0],
        tau_out=taus[1], leave=leave,
    )  # fmt: skip
    following.timestep = dt
    weights, core = np.zeros(n), np.zeros(n, dtype=bool)
    for step, x in enumerate(trajectory(n, cell, 1, 14)):
        found = following.regions(step, [x], [cell], [RADII["buffer"]])[RADII["buffer"]]
        d = brute_force.all_distances(x, cell, 12.0)
        if step == 0 or (every and step % every == 0):
            target, core = target_by_hand(d, rule.at(step, [], cell), profile, leave, core)
            if step == 0:
                weights = target
            else:
                for i in range(n):
                    tau = taus[0] if target[i] > weights[i] else taus[1]
                    share = min(dt * every / tau, 1.0) if tau else 1.0
                    moved = weights[i] + (target[i] - weights[i]) * share
                    if target[i] < weights[i] and moved < 0.01:
                        moved = 0.0
                    if target[i] > weights[i] and moved > 0.99:
                        moved = 1.0
                    weights[i] = moved
        np.testing.assert_allclose(found.weights, weights, atol=1e-12)
        near = (weights > 0) & (d < RADII["buffer"])
        np.testing.assert_array_equal(found.buffer, (weights == 0) & near.any(axis=1))
        np.testing.assert_array_equal(found.core, found.weights == 1.0)


def test_beads_share_weights_and_each_has_its_surroundings():
    cell, n = CELLS["triclinic"], 50
    beads = [gas(n, cell, 3) + np.random.default_rng(k).normal(0, 0.3, (n, 3)) for k in range(3)]
    radii = {"core": 3.0, "blend": 4.0, "profile": "cubic"}
    following = Following(FixedSeeds(np.arange(n) == 4), n, radii, every=5)
    found = following.regions(0, beads, [cell] * 3, [2.0, 3.5])
    apart = [brute_force.all_distances(x, cell, 12.0) for x in beads]
    by_hand = [target_by_hand(d, np.arange(n) == 4, "cubic", 0.0, False)[0] for d in apart]
    np.testing.assert_allclose(found[2.0].weights, np.max(by_hand, axis=0), atol=1e-12)
    for buffer, regions in found.items():
        outside = regions.weights == 0
        near = [
            (brute_force.all_distances(x, cell, 6.0)[:, ~outside] < buffer).any(axis=1)
            for x in beads
        ]
        np.testing.assert_array_equal(regions.buffer, outside & np.any(near, axis=0))


def test_a_step_that_was_seen_keeps_its_weights():
    """Several evaluations a step (multiple time steps), and that of a continued run."""
    cell, n = CELLS["orthorhombic"], 40
    radii = {"core": 3.0, "blend": 4.0, "profile": "linear"}
    following = Following(MovingSeeds(n, 2, every=1), n, radii)
    (before,) = following.regions(3, [gas(n, cell, 1)], [cell], [1.0]).values()
    (again,) = following.regions(3, [gas(n, cell, 2)], [cell], [1.0]).values()
    np.testing.assert_array_equal(before.weights, again.weights)
    (after,) = following.regions(4, [gas(n, cell, 2)], [cell], [1.0]).values()
    assert not np.array_equal(after.weights, again.weights)


def test_a_state_goes_on_to_the_last_bit():
    cell, n = CELLS["triclinic"], 60

    def make() -> Following:
        radii = {"core": 3.0, "blend": 4.0, "profile": "linear"}
        made = Following(
            MovingSeeds(n, 8), n, radii, every=2, tau_in=3.0, tau_out=9.0, leave=4.0
        )  # fmt: skip
        made.timestep = 1.0
        return made

    frames = list(trajectory(n, cell, 4, 20))
    whole, part, rest = make(), make(), make()
    for step, x in enumerate(frames[:11]):
        whole.regions(step, [x], [cell], [2.0])
        part.regions(step, [x], [cell], [2.0])
    rest.restore(part.state())
    for step in range(10, 20):  # the step of the state once more
        (expected,) = whole.regions(step, [frames[step]], [cell], [2.0]).values()
        (found,) = rest.regions(step, [frames[step]], [cell], [2.0]).values()
        np.testing.assert_array_equal(found.weights, expected.weights)
        np.testing.assert_array_equal(found.buffer, expected.buffer)
    assert np.count_nonzero((expected.weights > 0) & (expected.weights < 1))


def test_a_state_of_another_system_is_refused():
    radii = {"core": 3.0, "blend": 4.0, "profile": "linear"}
    state = Following(FixedSeeds(np.arange(5) == 0), 5, radii).state()
    with pytest.raises(ValueError, match="of 5 atoms, the system has 7"):
        Following(FixedSeeds(np.arange(7) == 0), 7, radii).restore(state)


def test_smooth_weights_do_not_jump():
    """A seed goes through a crystal in small steps; linear weights jump, smooth ones do not."""
    grid = np.stack(np.meshgrid(*[np.arange(8)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * 2.5
    cell = np.eye(3) * 20.0
    largest = {}
    for profile in ("linear", "cubic", "smooth"):
        before, jumps = None, []
        for shift in np.arange(0, 2.5, 0.01):
            x = np.vstack([grid, [[10.1 + shift, 8.3, 9.2]]])
            w = build_regions(x, cell, [len(grid)], core=4, blend=4, buffer=0, profile=profile)
            if before is not None:
                jumps.append(np.abs(w.weights - before).max())
            before = w.weights
        largest[profile] = max(jumps)
    assert largest["smooth"] < 0.01 * 1.875 / 4 * 1.01  # the steepest slope times the step
    assert largest["linear"] > 0.1
    assert largest["cubic"] > 0.1


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=8),
    st.lists(st.floats(0, 1), min_size=8, max_size=8),
    st.floats(0, 20), st.floats(0, 20), st.floats(0, 20),
)  # fmt: skip
def test_weights_stay_between_what_they_were_and_the_target(old, new, elapsed, tau_in, tau_out):
    old, new = np.array(old), np.array(new[: len(old)])
    found = relax_weights(old, new, elapsed, tau_in=tau_in, tau_out=tau_out)
    low, high = np.minimum(old, new), np.maximum(old, new)
    inside = (found >= low - 1e-12) & (found <= high + 1e-12)
    assert np.all(inside | (found == 0.0) | (found == 1.0))
    np.testing.assert_array_equal(found[old == new], old[old == new])


def test_surroundings_of_grown_weights_are_the_grown_regions():
    for cell in CELLS.values():
        x = gas(200, cell, 9)
        grown = build_regions(x, cell, [3, 77], **RADII, profile="cubic")
        again = surround(x, cell, grown.weights, buffer=RADII["buffer"])
        for name in ("weights", "core", "blend", "buffer"):
            np.testing.assert_array_equal(getattr(again, name), getattr(grown, name))


def test_no_molecule_is_cut():
    cell = CELLS["triclinic"]
    x = gas(90, cell, 12)
    molecules = np.repeat(np.arange(1, 31), 3)
    following = Following(
        FixedSeeds(np.arange(90) == 10), 90, {"core": 3.0, "blend": 4.0, "profile": "linear"},
        groups=Groups(molecules),
    )  # fmt: skip
    (found,) = following.regions(0, [x], [cell], [3.0]).values()
    plain = build_regions(x, cell, [10], **{**RADII, "buffer": 3.0})
    assert 0 < np.count_nonzero(found.weights == 0) < 90
    for molecule in range(1, 31):
        own = molecules == molecule
        assert len({*found.labels[own]}) == 1
        assert found.weights[own][0] == plain.weights[own].max()


def test_atoms_of_no_group_stand_alone():
    groups = Groups([-1, -1, 4, 4])
    np.testing.assert_array_equal(groups.largest(np.array([1.0, 0, 0, 0.5])), [1, 0, 0.5, 0.5])
    named = Groups(["a", "b", "a", "b"])
    np.testing.assert_array_equal(named.any(np.array([True, 0, 0, 0], bool)), [1, 0, 1, 0])


@pytest.mark.parametrize(("names", "message"), [
    ([0, 0, 1], "2 atoms have the group 0"),
    ([1.0, np.nan], "whole numbers or names"),
    (["a", " "], r"atom 1 \(from 0\) has no group"),
    ([[1, 2], [3, 4]], "one number or name an atom"),
])  # fmt: skip
def test_groups_that_do_not_cover_the_atoms_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        Groups(names)


@pytest.mark.parametrize(("leave", "profile", "message"), [
    (2.0, "linear", "smaller than that at which"),
    (5.0, "smooth", "smooth weights are continuous"),
    (np.inf, "linear", "leave radius must be"),
])  # fmt: skip
def test_an_outer_radius_that_makes_no_sense_is_refused(leave, profile, message):
    with pytest.raises(ValueError, match=message):
        build_regions(
            np.zeros((1, 3)), np.eye(3) * 9, [0], core=3, blend=1, buffer=1, leave=leave,
            profile=profile,
        )  # fmt: skip
