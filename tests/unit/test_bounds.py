"""Any finite input: the search for regions ends soon, in little memory, or says why not."""

from __future__ import annotations

import resource
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixpi import build_regions
from mixpi.bins import BINS_PER_ATOM, numbers_of_bins
from mixpi.folding import HomeImages
from mixpi.periodic import beyond

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


def test_absurd_input_ends_soon_and_in_little_memory():
    """In a child with bounds on its memory and its time, so that a failure is a failure."""
    command = [sys.executable, "-c", CHILD, str(MEMORY), str(SECONDS), "5", "150"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * SECONDS)
    assert done.returncode == 0, done.stderr[-2000:] or done.returncode
    found, refused = map(int, done.stdout.split())
    assert found > 20 and refused > 20
