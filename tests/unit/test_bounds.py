"""Any finite input: the search for regions ends soon, in little memory, or says why not."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from mixpi import build_regions
from mixpi.regions.bins import BINS_PER_ATOM, numbers_of_bins
from mixpi.regions.positions import beyond


RADII = {"core": 4.0, "blend": 4.0, "buffer": 6.0}
#: GB of address space, and seconds, for all examples of a child.
MEMORY, SECONDS = 4, 120

CHILD = textwrap.dedent(
    """
    import resource, sys, warnings
    limit = int(sys.argv[1]) * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[2]),) * 2)
    import numpy as np
    from mixpi import build_regions
    warnings.simplefilter("error")
    rng = np.random.default_rng(int(sys.argv[3]))
    ended = {"found": 0, "refused": 0}
    sizes = 10.0 ** np.array([-300, -12, -8, -4, -2, 0, 1, 2, 4, 8, 15, 160, 307])
    for example in range(int(sys.argv[4])):
        n = int(rng.choice([1, 2, 50, 3000, 25_000] if example % 10 == 0 else [1, 2, 50, 700]))
        common = rng.random() < 0.5
        cell = np.diag(rng.choice(sizes[4:9] if common else sizes, 3))
        if rng.random() < 0.5:
            with np.errstate(all="ignore"):
                cell += np.tril(rng.normal(size=(3, 3)) * np.abs(cell).max(), -1)
        with np.errstate(all="ignore"):
            x = rng.uniform(0, 1, (n, 3)) @ cell
            kind = rng.integers(4)
            if kind == 0:
                x[rng.integers(n)] *= rng.choice(sizes)
            elif kind == 1:
                x[:] = x[0]
            elif kind == 2:
                x = rng.normal(size=(n, 3)) * rng.choice(sizes)
        seeds = rng.choice(n, min(n, int(rng.choice([1, 3, 500]))), replace=False)
        radii = rng.choice(sizes[3:9] if common else sizes, 3)
        try:
            build_regions(x, cell, seeds, core=radii[0], blend=radii[1], buffer=radii[2])
            ended["found"] += 1
        except ValueError as error:
            assert len(str(error)) < 500
            ended["refused"] += 1
    print(ended["found"], ended["refused"])
    """
)


@pytest.mark.full
def test_absurd_input_ends_soon_and_in_little_memory():
    """In a child with bounds on its memory and its time, so that a failure is a failure."""
    command = [sys.executable, "-c", CHILD, str(MEMORY), str(SECONDS), "5", "150"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * SECONDS)
    assert done.returncode == 0, done.stderr[-2000:] or done.returncode
    found, refused = map(int, done.stdout.split())
    assert found > 20 and refused > 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"position": 1e15}, "atom 7 is 1e\\+15 Å from the origin"),
        ({"position": 1e300}, "atom 7 is 1e\\+300 Å from the origin"),
        ({"position": np.nan}, "atom 7 is NaN or infinite"),
        ({"cell": 1e-8}, "cell vector a has a length of about 1e-08 Å"),
        ({"cell": 1e200}, "cell vector a has a length"),
        ({"cell": 0.01}, "smaller radii or a larger cell"),
        ({"core": 1e300}, "core radius is 1e\\+300 Å"),
        ({"buffer": 1e4}, "smaller radii or a larger cell"),
    ],
)
def test_what_is_absurd_is_named(change, message):
    positions, side = np.random.default_rng(0).uniform(0, 20, (50, 3)), 20.0
    positions[7, 1] = change.pop("position", 1.0)
    cell = np.eye(3) * change.pop("cell", side)
    with pytest.raises(ValueError, match=message):
        build_regions(positions, cell, [0, 3], **{**RADII, **change})


def test_a_long_cell_is_searched_all_the_same():
    """A vacuum of a centimetre is odd, and no reason to stop."""
    positions = np.random.default_rng(0).uniform(0, 20, (50, 3))
    near = build_regions(positions, np.diag([20.0, 20.0, 200.0]), [0], **RADII)
    far = build_regions(positions, np.diag([20.0, 20.0, 1e8]), [0], **RADII)
    np.testing.assert_array_equal(near.labels, far.labels)
    assert near.counts[0] > 0


@pytest.mark.parametrize("finest", [(1e300, 1, 1), (0, 0, 1e12), (50, 60, 70), (1e9, 1e9, 1e9)])
def test_no_more_bins_than_asked_for(finest):
    bins = numbers_of_bins(np.array(finest, dtype=float), most=BINS_PER_ATOM * 1000)
    assert bins.min() >= 1 and bins.prod() <= BINS_PER_ATOM * 1000
    assert bins.prod() > 4000, "and not many fewer"


def test_bins_keep_the_proportions_of_the_cell():
    np.testing.assert_array_equal(
        numbers_of_bins(np.array([40.0, 80.0, 20.0]), most=1000), [10, 20, 5]
    )


def test_beyond():
    vectors = np.zeros((5, 3))
    assert beyond(vectors, 1.0) is None
    vectors[:, 0] = 0.9  # the sum of squares is beyond, no component is
    assert beyond(vectors, 1.0) is None
    for value in (-1.1, np.nan, -np.inf, 1e308):
        vectors[3, 2] = value
        assert beyond(vectors, 1.0) == 3
