"""Where a region is: its centre, followed through periodic boundaries."""

from __future__ import annotations

import numpy as np

from .periodic import PeriodicCell


class RegionCentre:
    """The mean position of the atoms of positive weight, by their weights.

    It goes on through a boundary of the cell instead of coming back on the other side. Of
    several regions it is the mean, which tells little.
    """

    def __init__(self) -> None:
        self._last: np.ndarray | None = None

    @property
    def last(self) -> np.ndarray:
        """The centre (3,) found last, Å; NaN before the first."""
        return np.full(3, np.nan) if self._last is None else self._last

    def start_from(self, centre: np.ndarray) -> None:
        """Go on from a centre (3,), Å, of an earlier part of the run; NaN is none."""
        self._last = np.array(centre) if np.isfinite(centre).all() else None

    def follow(self, positions: np.ndarray, cell: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The centre of one geometry.

        Parameters
        ----------
        positions : ndarray, shape (n, 3)
            Å; wrapped into the cell or not.
        cell : ndarray, shape (3, 3)
            Rows are lattice vectors, Å.
        weights : ndarray, shape (n,)

        Returns
        -------
        ndarray, shape (3,)
            Å; NaN without a region, which then may appear anywhere.
        """
        inside = np.flatnonzero(weights > 0.0)
        if len(inside) == 0:
            self._last = None
            return self.last
        shares, atoms = weights[inside] / weights[inside].sum(), positions[inside]
        periodic = PeriodicCell(cell)
        # from its own middle no atom lies on either side of the cell's other end
        middle = atoms[np.argmax(shares)]
        for _ in range(2):
            middle = middle + shares @ periodic.fold(atoms - middle)
        if self._last is not None:
            middle = self._last + periodic.fold(middle - self._last)
        self._last = middle
        return middle
