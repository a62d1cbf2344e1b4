"""What is kept of an earlier geometry changes no region."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from mixpi import build_regions
from mixpi.regions.growth import Regions
from mixpi.regions.neighbourhood import Neighbourhood


RADII = {"core": 3.0, "blend": 2.0, "buffer": 4.0}
CELLS = {
    "wide": np.array([[60.0, 0, 0], [7.0, 55.0, 0], [-5.0, 3.0, 50.0]]),
    "smaller than the reach": np.diag([12.0, 9.0, 30.0]),
}


def require_same(found: Regions, wanted: Regions) -> None:
    for field in fields(Regions):
        ours, theirs = getattr(found, field.name), getattr(wanted, field.name)
        # what lies in which image is rounded otherwise among other atoms
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12, err_msg=field.name)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_a_walk(cell):
    rng = np.random.default_rng(5)
    n = int(0.02 * np.linalg.det(cell))
    positions = rng.uniform(0, 1, (n, 3)) @ cell
    known, steps, counts = Neighbourhood(), 50, set()
    for step in range(steps):
        positions += rng.normal(0, 0.03, positions.shape)
        if step == 20:
            positions[::3] += cell[0]  # other images
        found = build_regions(positions, cell, [4, 9], **RADII, neighbourhood=known)
        wanted = build_regions(positions, cell, [4, 9], **RADII)
        require_same(found, wanted)
        counts.add(wanted.counts)
    assert len(counts) > 3
    if cell[0, 0] == 60.0:
        assert 2 <= known.searches < 0.5 * steps
    else:
        assert known.searches == 1  # all atoms are within reach, wherever they go


def test_all_that_makes_a_new_search():
    rng = np.random.default_rng(6)
    cell = 50.0 * np.eye(3)
    positions = rng.uniform(0, 50, (3000, 3))
    known = Neighbourhood(skin=1.0)

    def look(positions=positions, cell=cell, seeds=(3,), **radii):
        given = {**RADII, **radii}
        found = build_regions(positions, cell, list(seeds), **given, neighbourhood=known)
        require_same(found, build_regions(positions, cell, list(seeds), **given))
        return known.searches

    assert look() == 1 and look() == 1
    step = np.zeros_like(positions)
    far = np.argmax(np.linalg.norm(positions - positions[3], axis=1))
    step[far, 1] = 0.49
    assert look(positions + step) == 1
    assert look(positions + 1.05 * step) == 2
    there = positions.copy()
    there[far] = positions[3] + [0.0, 0.0, 8.9]
    assert look(there) == 3
    assert look(there, core=2.9) == 4
    assert look(there, core=2.9, seeds=(3, 4)) == 5
    assert look(there, cell=cell * [1, 1, 1.01], core=2.9, seeds=(3, 4)) == 6
    assert look(there[:-5], cell=cell * [1, 1, 1.01], core=2.9, seeds=(3, 4)) == 7
