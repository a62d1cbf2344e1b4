"""Neighbours that are looked for again only when an atom has moved far enough to matter."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from ..regions.periodic import PeriodicCell
from .neighbours import Graph, checked, received_graph


#: Å; pairs that are so much further apart than the cutoff are kept as well. A wider one is found
#: more seldom and looked through more slowly.
SKIN = 1.0
#: Systems of which they are kept; of more, of those that were asked for last.
MOST_SYSTEMS = 64


class NeighboursOfSystems:
    """Kept neighbours of several systems, each as if it were the only one.

    Several runs may share a driver. What one sees does then not depend on the others, to the last
    bit, and neighbours are not looked for again because the others have moved.

    Parameters
    ----------
    cutoff : float
        Å.
    """

    def __init__(self, cutoff: float) -> None:
        self._cutoff = cutoff
        self._systems: OrderedDict[int, KeptNeighbours] = OrderedDict()

    def of(self, system: int) -> KeptNeighbours:
        """Those of a system."""
        found = self._systems.setdefault(system, KeptNeighbours(self._cutoff))
        self._systems.move_to_end(system)
        if len(self._systems) > MOST_SYSTEMS:
            self._systems.popitem(last=False)
        return found


class KeptNeighbours:
    """The edges that some atoms of a system receive, from pairs kept from an earlier geometry.

    Atoms are known by their places in the system, so that others may come and go. The pairs are
    those closer than the cutoff and a skin; while no atom has moved by more than half the skin
    since, all edges are among them, and lengths and directions are those of the positions given.
    They are found anew when an atom has moved further (or into another image), when one that
    they do not have comes near, and when the cell changes.

    Parameters
    ----------
    cutoff : float
        Å.
    skin : float
        Å.

    Attributes
    ----------
    searches : int
        How often they were found anew.
    """

    def __init__(self, cutoff: float, skin: float = SKIN) -> None:
        self._cutoff, self.skin = cutoff, skin
        self.searches = 0
        self._periodic: PeriodicCell | None = None
        # of each atom of the system: whether it was there, where, and its place among receivers
        self._there = np.zeros(0, dtype=bool)
        self._positions = np.zeros((0, 3))
        self._place = np.zeros(0, dtype=int)

    def received(
        self,
        positions: np.ndarray,
        cell: np.ndarray,
        atoms: np.ndarray,
        *,
        receivers: int,
        seen: int,
        spare: int,
    ) -> Graph:
        """As :func:`received_graph` of the first ``seen`` atoms.

        Parameters
        ----------
        positions : ndarray, shape (m, 3)
            Å.
        cell : ndarray, shape (3, 3)
            Rows are lattice vectors, Å.
        atoms : ndarray of int, shape (m,)
            Their places in the system, each once.
        receivers : int
            So many of the first receive.
        seen : int
            Only these first ones can be as near as the cutoff to a receiver.
        spare : int
            So many of the first, at least ``receivers``, are found neighbours for: those beyond
            may become receivers before the next search. The others make senders to spare.

        Raises
        ------
        MixpiError
            As :func:`received_graph`.
        """
        if self._periodic is None or not np.array_equal(cell, self._periodic.vectors):
            self._there = np.zeros(0, dtype=bool)  # nothing is known
            positions, self._periodic = checked(positions, cell)
        if not self._serves(positions[:seen], atoms[:seen], receivers):
            positions, _ = checked(positions, cell)
            self._find(positions, self._periodic, atoms, spare)
        here = np.full(len(self._there), -1)
        here[atoms[:seen]] = np.arange(seen)
        place = self._place[atoms[:receivers]]
        counts = self._counts[place]
        last = np.cumsum(counts)
        # the pairs of the first receiver, then those of the second ...
        pairs = np.arange(last[-1] if receivers else 0)
        pairs += np.repeat(self._begin[place] - (last - counts), counts)
        receiver = np.repeat(np.arange(receivers, dtype=np.int32), counts)
        sender = here[self._senders[pairs]]
        vectors = positions.take(sender, axis=0)  # of one that has left: of any atom
        vectors += self._shifts.take(pairs, axis=0)
        vectors -= positions.take(receiver, axis=0)
        squares = np.einsum("ij,ij->i", vectors, vectors)
        kept = np.flatnonzero((squares < self._cutoff**2) & (sender >= 0))
        receiver = receiver[kept]
        return Graph(
            receiver,
            sender[kept].astype(np.int32),
            vectors.take(kept, axis=0),
            np.sqrt(squares[kept]),
            np.bincount(receiver, minlength=seen).astype(np.int32),
        )

    def _serves(self, positions: np.ndarray, atoms: np.ndarray, receivers: int) -> bool:
        """Whether all edges are among the pairs that are kept; not where anything is NaN."""
        if atoms.max(initial=-1) >= len(self._there) or not self._there[atoms].all():
            return False
        if (self._place[atoms[:receivers]] < 0).any():
            return False
        moved = positions - self._positions.take(atoms, axis=0)
        return bool(np.einsum("ij,ij->i", moved, moved).max(initial=0.0) < (0.5 * self.skin) ** 2)

    def _find(
        self, positions: np.ndarray, periodic: PeriodicCell, atoms: np.ndarray, spare: int
    ) -> None:
        self.searches += 1
        graph = received_graph(positions, periodic.vectors, self._cutoff + self.skin, spare)
        size = int(atoms.max(initial=-1)) + 1
        self._there, self._place = np.zeros(size, dtype=bool), np.full(size, -1)
        self._there[atoms] = True
        self._place[atoms[:spare]] = np.arange(spare)
        self._positions = np.full((size, 3), np.nan)
        self._positions[atoms] = positions
        self._counts = graph.counts[:spare].astype(int)
        self._begin = np.cumsum(self._counts) - self._counts
        self._senders = atoms[graph.senders]
        # whole lattice vectors: exact for whatever the positions become
        apart = positions[graph.senders] - positions[graph.receivers]
        self._shifts = np.round((graph.vectors - apart) @ periodic.inverse) @ periodic.vectors
