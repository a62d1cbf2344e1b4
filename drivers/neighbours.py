"""Who sees whom in a periodic structure: the edges of a message-passing network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import MixpiError
from ..regions.pairs import Pairs, pairs_within, tree_pairs
from ..regions.periodic import PeriodicCell


@dataclass(frozen=True)
class Graph:
    """Directed edges between atoms closer than a cutoff, images counted one by one.

    Attributes
    ----------
    receivers : ndarray of int32, shape (e,)
        Who sees; ascending.
    senders : ndarray of int32, shape (e,)
        Who is seen: an atom may see itself and another one several times, in a small cell.
    vectors : ndarray, shape (e, 3)
        From the receiver to that image of the sender, Å.
    distances : ndarray, shape (e,)
        Their lengths, Å.
    counts : ndarray of int32, shape (m,)
        Edges of each receiver.
    """

    receivers: np.ndarray
    senders: np.ndarray
    vectors: np.ndarray
    distances: np.ndarray
    counts: np.ndarray

    def first(self, atoms: int) -> Graph:
        """The edges whose receivers are the first so many atoms; all atoms stay."""
        e = int(self.counts[:atoms].sum())
        counts = self.counts.copy()
        counts[atoms:] = 0
        return Graph(
            self.receivers[:e], self.senders[:e], self.vectors[:e], self.distances[:e], counts
        )

    def atom_forces(self, pair_forces: np.ndarray) -> np.ndarray:
        """Forces on the atoms (m, 3) from those of the edges on their senders (e, 3), eV/Å."""
        m = len(self.counts)
        forces = np.empty((m, 3))
        for axis in range(3):
            pulls = pair_forces[:, axis]
            forces[:, axis] = np.bincount(self.senders, pulls, m)
            forces[:, axis] -= np.bincount(self.receivers, pulls, m)
        return forces


def neighbour_graph(positions: ArrayLike, cell: ArrayLike, cutoff: float) -> Graph:
    """All edges shorter than a cutoff in a cell that is periodic in all directions.

    It is found anew at every call: at 700 atoms it takes 1 to 2 ms, a fiftieth of the fastest
    network.

    Parameters
    ----------
    positions : array_like, shape (m, 3)
        Å; atoms may be any number of cells from home.
    cell : array_like, shape (3, 3)
        Rows are lattice vectors, Å; any shape and handedness, also smaller than the cutoff.
    cutoff : float
        Å.

    Returns
    -------
    Graph

    Raises
    ------
    MixpiError
        If the cell is singular, or anything is NaN or infinite.
    """
    positions, periodic = checked(positions, cell)
    return _graph(pairs_within(positions, periodic, cutoff), len(positions))


def received_graph(positions: ArrayLike, cell: ArrayLike, cutoff: float, receivers: int) -> Graph:
    """The edges that the first so many atoms receive; all atoms may send.

    As ``neighbour_graph(positions, cell, cutoff).first(receivers)``, in less than half the time
    where the receivers are a third of the atoms (1.9 against 4.9 ms, 418 of 1,352 in iron).

    Parameters
    ----------
    positions, cell, cutoff
        As for :func:`neighbour_graph`, as are the errors.
    receivers : int
        How many atoms receive.

    Returns
    -------
    Graph
    """
    positions, periodic = checked(positions, cell)
    return _graph(tree_pairs(positions, periodic, cutoff, receivers), len(positions))


def checked(positions: ArrayLike, cell: ArrayLike) -> tuple[np.ndarray, PeriodicCell]:
    """Positions (m, 3) and cell that neighbours can be looked for in.

    Raises
    ------
    MixpiError
        If the cell is singular, or anything is NaN or infinite.
    """
    positions = np.asarray(positions, dtype=float).reshape(-1, 3)
    try:
        periodic = PeriodicCell(cell)
    except ValueError as error:
        raise MixpiError(f"cannot look for neighbours: {error}") from None
    if not np.isfinite(positions).all():
        raise MixpiError("cannot look for neighbours: positions contain NaN or infinity")
    return positions, periodic


def _graph(pairs: Pairs, atoms: int) -> Graph:
    return Graph(
        np.ascontiguousarray(pairs.first, dtype=np.int32),
        np.ascontiguousarray(pairs.second, dtype=np.int32),
        np.ascontiguousarray(pairs.vectors),
        np.ascontiguousarray(pairs.distances),
        np.bincount(pairs.first, minlength=atoms).astype(np.int32),
    )
