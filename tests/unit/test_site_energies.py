"""Site energies → an estimate of the energy: offsets drop out, and so do changes of the region."""

from __future__ import annotations

import numpy as np
import pytest
from mixpi.blend.site_energies import species_offsets, weighted_difference


@pytest.fixture
def sites():
    rng = np.random.default_rng(2)
    numbers = np.array([14, 14, 14, 6, 14, 6, 14])
    weights = np.array([1.0, 1.0, 0.5, 0.25, 0.75, 0.0, 0.0])
    return numbers, weights, rng.normal(-4.0, 0.1, 7), rng.normal(-160.0, 0.1, 7)


def test_offsets_are_means_over_the_blend(sites):
    numbers, weights, cheap, expensive = sites
    offsets = species_offsets(*sites)
    assert offsets == {
        14: pytest.approx(np.mean((expensive - cheap)[[2, 4]])),
        6: pytest.approx((expensive - cheap)[3]),
    }
    # an impurity is in the core alone
    weights[[3]] = 1.0
    assert species_offsets(numbers, weights, cheap, expensive)[6] == pytest.approx(
        (expensive - cheap)[3]
    )


def test_free_atoms_do_not_matter(sites):
    """Energies of free atoms, other ones in each potential, drop out whatever the weights are."""
    numbers, weights, cheap, expensive = sites
    free = np.where(numbers == 14, -1234.5, 77.0)
    for changed in (weights, 0.5 * weights, np.where(numbers == 6, 0.0, weights)):
        plain = weighted_difference(numbers, changed, cheap, expensive, species_offsets(*sites))
        moved = weighted_difference(
            numbers,
            changed,
            cheap,
            expensive + free,
            species_offsets(numbers, weights, cheap, expensive + free),
        )
        assert moved == pytest.approx(plain, abs=1e-9)


def test_by_hand(sites):
    numbers, weights, cheap, expensive = sites
    offsets = {14: -156.0}
    wanted = 0.0
    for z, w, c, e in zip(numbers, weights, cheap, expensive, strict=True):
        wanted += w * (e - c - offsets.get(int(z), 0.0))
    assert weighted_difference(*sites, offsets) == pytest.approx(wanted)


def test_atoms_without_weight_may_have_no_energy(sites):
    _, weights, _, expensive = sites
    expensive[weights == 0.0] = np.nan
    offsets = species_offsets(*sites)
    assert np.isfinite(weighted_difference(*sites, offsets))
    nothing = np.zeros(0)
    assert weighted_difference(np.zeros(0, int), nothing, nothing, nothing, {}) == 0.0
    assert species_offsets(np.zeros(0, int), nothing, nothing, nothing) == {}
