"""The centre of a region, in any periodic cell."""

import numpy as np
import pytest
from mixpi.regions.centre import RegionCentre


CELL = np.array([[20.0, 0, 0], [6.0, 18.0, 0], [-3.0, 5.0, 22.0]])


def blob(centre, seed=0, wrapped=True):
    rng = np.random.default_rng(seed)
    x = centre + rng.uniform(-4, 4, (40, 3))
    weights = rng.random(40)
    mean = weights @ x / weights.sum()
    if wrapped:
        x = x - np.floor(x @ np.linalg.inv(CELL)) @ CELL
    return x, weights, mean


@pytest.mark.parametrize("wrapped", [True, False])
def test_it_goes_on_through_a_boundary(wrapped):
    """Around the cell more than twice, in steps of any image."""
    centre, start = RegionCentre(), np.array([9.0, 9.0, 11.0])
    offset = None
    for k in range(60):
        x, weights, mean = blob(start + k * np.array([0.7, 0.3, -0.9]), wrapped=wrapped)
        found = centre.follow(x, CELL, weights)
        offset = found - mean if offset is None else offset
        np.testing.assert_allclose(found - mean, offset, atol=1e-9)
    fractional = offset @ np.linalg.inv(CELL)
    np.testing.assert_allclose(fractional, np.round(fractional), atol=1e-9)


def test_a_region_that_jumps_is_found_in_its_own_middle():
    centre = RegionCentre()
    x, weights, _ = blob(np.array([9.0, 9.0, 11.0]))
    centre.follow(x, CELL, weights)
    x, weights, mean = blob(np.array([9.0, 9.0, 11.0]) + CELL.sum(axis=0) * 0.49, seed=2)
    found = (centre.follow(x, CELL, weights) - mean) @ np.linalg.inv(CELL)
    np.testing.assert_allclose(found, np.round(found), atol=1e-9)


def test_without_a_region_there_is_none():
    centre = RegionCentre()
    x, weights, mean = blob(np.array([9.0, 9.0, 11.0]), wrapped=False)
    assert np.isnan(centre.follow(x, CELL, np.zeros(40))).all()
    np.testing.assert_allclose(centre.follow(x, CELL, weights), mean)


def test_it_goes_on_from_an_earlier_part():
    x, weights, mean = blob(np.array([9.0, 9.0, 11.0]))
    centre = RegionCentre()
    centre.start_from(mean + CELL[0] * 3)
    np.testing.assert_allclose(centre.follow(x, CELL, weights), mean + CELL[0] * 3)
