"""Edges of a periodic structure, against brute force over all images."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixpi import MixpiError
from mixpi.drivers.neighbours import neighbour_graph, received_graph
from numpy.testing import assert_allclose


def brute_force(positions, cell, cutoff) -> list[tuple]:
    """Receiver, sender and vector of each edge, sorted."""
    inverse = np.linalg.inv(cell)
    reach = cutoff * np.linalg.norm(inverse, axis=0) + np.ptp(positions @ inverse, axis=0)
    spans = (range(-n, n + 1) for n in np.ceil(reach).astype(int))
    edges = []
    for shift in itertools.product(*spans):
        apart = positions[None] + np.array(shift) @ cell - positions[:, None]
        length = np.linalg.norm(apart, axis=2)
        inside = length < cutoff
        if not any(shift):
            np.fill_diagonal(inside, False)
        edges += [(r, s, *apart[r, s]) for r, s in zip(*np.nonzero(inside), strict=True)]
    return ordered(edges)


def ordered(edges) -> list[tuple]:
    return sorted(edges, key=lambda e: (*e[:2], *np.round(e[2:], 5)))


def listed(graph) -> list[tuple]:
    assert (np.diff(graph.receivers) >= 0).all()
    assert (np.bincount(graph.receivers, minlength=len(graph.counts)) == graph.counts).all()
    assert_allclose(np.linalg.norm(graph.vectors, axis=1), graph.distances, atol=1e-12)
    return ordered(
        (r, s, *v) for r, s, v in zip(graph.receivers, graph.senders, graph.vectors, strict=True)
    )


def same(found: list[tuple], wanted: list[tuple]) -> None:
    assert [e[:2] for e in found] == [e[:2] for e in wanted]
    assert_allclose([e[2:] for e in found], [e[2:] for e in wanted], atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.floats(1.5, 6.0))
def test_any_cell(seed, atoms, cutoff):
    """Triclinic, left-handed, smaller than the cutoff; atoms far from home."""
    generator = np.random.default_rng(seed)
    cell = generator.uniform(2.0, 7.0) * (np.eye(3) + generator.uniform(-0.4, 0.4, (3, 3)))
    cell = cell[generator.permutation(3)] * generator.choice([-1, 1], size=(3, 1))
    positions = generator.uniform(-1.7, 1.7, size=(atoms, 3)) @ cell
    wanted = brute_force(positions, cell, cutoff)
    same(listed(neighbour_graph(positions, cell, cutoff)), wanted)
    for receivers in range(atoms + 1):
        some = [edge for edge in wanted if edge[0] < receivers]
        same(listed(received_graph(positions, cell, cutoff, receivers)), some)
        same(listed(neighbour_graph(positions, cell, cutoff).first(receivers)), some)


def test_no_edges():
    for positions in (np.zeros((0, 3)), np.zeros((1, 3))):
        for graph in (
            neighbour_graph(positions, 9 * np.eye(3), 4.0),
            received_graph(positions, 9 * np.eye(3), 4.0, len(positions)),
        ):
            assert len(graph.senders) == 0 and len(graph.counts) == len(positions)
            assert graph.atom_forces(np.zeros((0, 3))).shape == positions.shape


def test_what_is_no_structure():
    for find in (neighbour_graph, lambda *given: received_graph(*given, 1)):
        with pytest.raises(MixpiError, match="singular"):
            find([[0, 0, 0]], np.ones((3, 3)), 4.0)
        with pytest.raises(MixpiError, match="NaN or infinity"):
            find([[0, np.nan, 0]], np.eye(3), 4.0)


def test_forces_of_edges_act_on_both_ends():
    generator = np.random.default_rng(1)
    graph = neighbour_graph(generator.uniform(0, 6, (5, 3)), 6 * np.eye(3), 4.0)
    pulls = generator.normal(size=graph.vectors.shape)
    wanted = np.zeros((5, 3))
    for receiver, sender, pull in zip(graph.receivers, graph.senders, pulls, strict=True):
        wanted[sender] += pull
        wanted[receiver] -= pull
    assert_allclose(graph.atom_forces(pulls), wanted, atol=1e-12)
