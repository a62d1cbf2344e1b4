"""Neighbours kept from step to step are those that a fresh search finds."""

from __future__ import annotations

import numpy as np
import pytest
from mixpi import MixpiError
from mixpi.drivers.kept_neighbours import MOST_SYSTEMS, KeptNeighbours, NeighboursOfSystems
from mixpi.drivers.neighbours import received_graph
from mixpi.drivers.partial import choose
from mixpi.regions.periodic import PeriodicCell
from mixpi.regions.search import distance_to_nearest
from numpy.testing import assert_allclose, assert_array_equal


CUTOFF = 4.0
CELLS = {
    "wide": np.array([[24.0, 0, 0], [7.0, 22.0, 0], [-5.0, 3.0, 23.0]]),
    "smaller than the cutoff": np.array([[3.5, 0, 0], [1.0, 12.0, 0], [0.0, 2.0, 9.0]]),
}


def in_order(graph):
    """Receivers, senders and vectors, the same whatever the order of a receiver's edges."""
    order = np.lexsort((*np.round(graph.vectors, 6).T, graph.senders, graph.receivers))
    return graph.receivers[order], graph.senders[order], graph.vectors[order]


def require_same(found, wanted):
    for mine, theirs in zip(in_order(found)[:2], in_order(wanted)[:2], strict=True):
        assert_array_equal(mine, theirs)
    assert_allclose(in_order(found)[2], in_order(wanted)[2], atol=1e-12)
    assert_allclose(found.distances, np.linalg.norm(found.vectors, axis=1), atol=1e-13)
    assert_array_equal(found.counts, wanted.counts)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_a_walk_through_which_atoms_come_and_go(cell):
    """The atoms that count wander too, so that receivers and all others change."""
    rng = np.random.default_rng(3)
    density = 0.04
    n = max(int(density * abs(np.linalg.det(cell))), 40)
    positions = rng.uniform(-1, 2, (n, 3)) @ cell
    kept, periodic, steps, sizes = KeptNeighbours(CUTOFF), PeriodicCell(cell), 60, set()
    for step in range(steps):
        positions += rng.normal(0.0, 0.03, positions.shape)
        if step == 30:
            positions[7] += cell[1]  # another image
        counted = [0, 1, 2 + step // 20]
        distance = distance_to_nearest(periodic, positions, positions[counted], 50.0)
        distance[counted] = 0.0
        sent = np.flatnonzero(distance < 3.0 + CUTOFF + 0.5)
        given = positions[sent], cell, CUTOFF
        radii = {"distance": distance[sent], "sites": 3.0, "features": 2.0}
        wanted = choose(*given, **radii)
        found = choose(*given, **radii, kept=kept, places=sent)
        assert_array_equal(found.atoms, wanted.atoms)
        assert (found.sites, found.features) == (wanted.sites, wanted.features)
        require_same(found.graph, wanted.graph)
        sizes.add((wanted.sites, len(sent)))
    assert len(sizes) > 5  # atoms came and went
    assert 1 < kept.searches < 0.5 * steps


def test_all_that_makes_a_new_search():
    rng = np.random.default_rng(1)
    cell = 15.0 * np.eye(3)
    positions, places = rng.uniform(0, 15, (120, 3)), rng.permutation(500)[:120]
    kept = KeptNeighbours(CUTOFF, skin=1.0)

    def look(moved=positions, cell=cell, places=places, receivers=50, spare=60):
        found = kept.received(moved, cell, places, receivers=receivers, seen=120, spare=spare)
        require_same(found, received_graph(moved, cell, CUTOFF, receivers))
        return kept.searches

    assert look() == 1 and look() == 1
    step = np.zeros_like(positions)
    step[100] = [0.0, 0.0, 0.49]
    assert look(positions + step) == 1
    assert look(positions + 1.05 * step) == 2
    assert look(receivers=60) == 3  # moved back
    assert look(receivers=61, spare=61) == 4
    stranger = places.copy()
    stranger[119] = 700
    assert look(places=stranger) == 5
    assert look(cell=cell * [1, 1, 1.001]) == 6
    assert look(places=stranger[::-1].copy(), moved=positions[::-1].copy()) == 7


def test_what_is_no_structure():
    kept = KeptNeighbours(CUTOFF)
    whole = {"receivers": 1, "seen": 2, "spare": 1}
    good, places = np.array([[0.0, 0, 0], [1.0, 0, 0]]), np.arange(2)
    kept.received(good, 9 * np.eye(3), places, **whole)
    bad = good * [[1, 1, 1], [np.nan, 1, 1]]
    with pytest.raises(MixpiError, match="NaN or infinity"):
        kept.received(bad, 9 * np.eye(3), places, **whole)
    with pytest.raises(MixpiError, match="singular"):
        kept.received(good, np.ones((3, 3)), places, **whole)
    nobody = kept.received(
        np.zeros((0, 3)), np.eye(3), np.zeros(0, int), receivers=0, seen=0, spare=0
    )
    assert len(nobody.senders) == 0


def test_the_systems_that_were_asked_for_last_are_kept():
    kept = NeighboursOfSystems(CUTOFF)
    first, second = kept.of(0), kept.of(1)
    assert kept.of(0) is first is not second
    for system in range(2, MOST_SYSTEMS + 1):
        kept.of(system)
    assert kept.of(0) is first and kept.of(1) is not second
