"""The atoms around the seeds, looked for again only when an atom has moved far enough to matter."""

from __future__ import annotations

import numpy as np

from .periodic import PeriodicCell
from .search import distance_to_nearest


#: Å; atoms that are so much further from the seeds than any region are kept as well.
SKIN = 1.0


class Neighbourhood:
    """Which atoms may be within a reach of the seeds, from an earlier geometry.

    All that were nearer than the reach and the skin. As long as no atom has moved by more than
    half the skin since, whatever is within the reach is among them.

    Parameters
    ----------
    skin : float
        Å.

    Attributes
    ----------
    searches : int
        How often they were looked for.
    """

    def __init__(self, skin: float = SKIN) -> None:
        self._skin = skin
        self.searches = 0
        self._found = np.empty(0, dtype=int)
        self._positions = np.empty((0, 3))
        self._seeds, self._reach = np.empty(0, dtype=int), -1.0
        self._cell = np.zeros((3, 3))

    def within(
        self, positions: np.ndarray, periodic: PeriodicCell, seeds: np.ndarray, reach: float
    ) -> np.ndarray:
        """Indices of a superset of the atoms within ``reach`` of any seed.

        Parameters
        ----------
        positions : ndarray, shape (n, 3)
            Å, finite; an atom that has changed its image makes a new search.
        periodic : PeriodicCell
            The cell.
        seeds : ndarray of int
            At least one.
        reach : float
            Å.

        Returns
        -------
        ndarray of int
            Ascending; all atoms where the seeds are everywhere.
        """
        if not self._serves(positions, periodic, seeds, reach):
            self.searches += 1
            self._found = self._search(positions, periodic, seeds, reach + self._skin)
            self._positions, self._cell = positions.copy(), periodic.vectors
            self._seeds, self._reach = seeds, reach
        return self._found

    def _serves(
        self, positions: np.ndarray, periodic: PeriodicCell, seeds: np.ndarray, reach: float
    ) -> bool:
        if reach != self._reach or positions.shape != self._positions.shape:
            return False
        if not (
            np.array_equal(seeds, self._seeds) and np.array_equal(periodic.vectors, self._cell)
        ):
            return False
        if len(self._found) == len(positions):
            return True  # more than all there cannot be
        moved = positions - self._positions
        return bool(np.einsum("ij,ij->i", moved, moved).max() < (0.5 * self._skin) ** 2)

    @staticmethod
    def _search(
        positions: np.ndarray, periodic: PeriodicCell, seeds: np.ndarray, reach: float
    ) -> np.ndarray:
        near = around(positions, periodic, seeds, reach)
        if len(near) == len(positions):
            return near
        distance = distance_to_nearest(periodic, positions[near], positions[seeds], reach)
        return near[np.isfinite(distance)]


def around(
    positions: np.ndarray, periodic: PeriodicCell, seeds: np.ndarray, reach: float
) -> np.ndarray:
    """Indices of a superset of the atoms within ``reach`` of any seed, in one pass.

    Parameters
    ----------
    positions, periodic, seeds, reach
        As for :meth:`Neighbourhood.within`.

    Returns
    -------
    ndarray of int
        Ascending; all atoms where the seeds are everywhere, which rules out nothing.
    """
    if periodic.share(positions[seeds], reach) < 0.25:
        return periodic.near(positions, positions[seeds], reach)
    return np.arange(len(positions))
