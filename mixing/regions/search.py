"""Distances among atoms to the nearest image, in any periodic cell, also a small one.

What the distances mean (core, blend, buffer) is said in :mod:`mixpi.regions.growth`.
"""

from __future__ import annotations

import math
import os

import numpy as np
from scipy.spatial import cKDTree

from .bins import Bins
from .periodic import BLOCK, PeriodicCell


#: Fewer atoms are asked for their distances one by one, without a grid of bins.
MANY = 20_000

#: Atoms in a cube of the reach, at least, or the bins are too wide to decide much.
CROWD = 2.0

#: Images of atoms that a search may need: more than any sane one by far, about a gigabyte.
MOST_IMAGES = 5_000_000

#: Threads for searches of so many points: while regions are built all drivers are idle.
WORKERS = min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
WORTH_THREADS = 5_000

#: Images that each point is compared with one by one, without a tree.
FEW = 6


class Search:
    """Distances among atoms of a periodic cell.

    Parameters
    ----------
    cell : PeriodicCell
        The cell.
    positions : ndarray, shape (n, 3)
        Å, wrapped into the cell or not.
    centre : ndarray, shape (3,), optional
        The cell is cut open opposite to it, Å, so that a compact region around it stays
        in one piece; the first atom unless given.
    reach : float
        With many atoms, distances up to this one (Å) are found faster.

    Attributes
    ----------
    bins : Bins or None
        What makes them so, if there are many.
    """

    def __init__(
        self,
        cell: PeriodicCell,
        positions: np.ndarray,
        *,
        centre: np.ndarray | None = None,
        reach: float = 0.0,
    ) -> None:
        self._cell = cell
        self._positions = positions
        self._fractional = np.empty_like(positions)
        self._shift = np.empty_like(positions)
        self._wrapped = np.empty_like(positions)
        self.bins = None
        self._rounding = 1e-9 + 8 * np.finfo(float).eps * np.abs(positions).max(initial=0.0)
        if len(positions) == 0:
            return
        opening = (positions[0] if centre is None else centre) @ cell.inverse - 0.5
        for start in range(0, len(positions), BLOCK):
            block = slice(start, start + BLOCK)
            fractional = positions[block] @ cell.inverse - opening
            shift = np.floor(fractional, out=self._shift[block])
            np.subtract(fractional, shift, out=self._fractional[block])
            np.subtract(positions[block], shift @ cell.vectors, out=self._wrapped[block])
        crowd = len(positions) * reach**3 / cell.volume
        if (
            len(positions) >= MANY
            and crowd > CROWD
            and Bins.worthwhile(cell.heights, len(positions), reach)
        ):
            self.bins = Bins(cell.vectors, cell.heights, self._fractional, reach)

    def __len__(self) -> int:
        return len(self._positions)

    def nearest(self, points: np.ndarray, targets: np.ndarray, cutoff: float) -> np.ndarray:
        """Distance from each point to the nearest image of any target.

        Parameters
        ----------
        points, targets : ndarray of int
            Indices of atoms.
        cutoff : float
            Å.

        Returns
        -------
        ndarray, shape (len(points),)
            Å; infinity where no image of a target is closer than ``cutoff``.
        """
        result = np.full(len(points), np.inf)
        asked = np.arange(len(points))
        if self.bins and cutoff <= self.bins.reach:
            asked = asked[self.bins.possible(targets, cutoff)[points]]
        found, distance = self._closer(points[asked], targets, cutoff, exact_from=0.0)
        result[asked[found]] = distance
        return result

    def closer(self, points: np.ndarray, targets: np.ndarray, cutoff: float) -> np.ndarray:
        """Whether an image of a target is closer than ``cutoff`` to each point.

        Parameters
        ----------
        points, targets : ndarray of int
            Indices of atoms.
        cutoff : float
            Å.

        Returns
        -------
        ndarray of bool, shape (len(points),)
        """
        result = np.zeros(len(points), dtype=bool)
        asked = np.arange(len(points))
        if self.bins and cutoff <= self.bins.reach:
            sure, possible = self.bins.compare(targets, cutoff)
            result = sure[points]
            asked = asked[possible[points] & ~result]
        exact_from = cutoff * (1.0 - 1e-9) - self._rounding
        found, _ = self._closer(points[asked], targets, cutoff, exact_from=exact_from)
        result[asked[found]] = True
        return result

    def _closer(
        self, points: np.ndarray, targets: np.ndarray, cutoff: float, *, exact_from: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Which of the points are closer than the cutoff, and how close.

        The tree's distances carry the rounding of the wrapping: it searches a little
        further than asked, and those from ``exact_from`` on are computed again
        from the coordinates given.
        """
        nothing = np.empty(0, dtype=int), np.empty(0)
        if len(points) == 0 or len(targets) == 0 or cutoff <= 0.0:
            return nothing
        search = cutoff * (1.0 + 1e-9) + self._rounding
        low, high = np.zeros(3), np.ones(3)
        if 4 * len(points) < len(self):
            fractional = self._fractional[points]
            low, high = fractional.min(axis=0), fractional.max(axis=0)
        images, owner, image_shift = self._images(targets, search, low, high)
        if len(images) == 0:
            return nothing
        distance, index = _nearest(self._wrapped.take(points, axis=0), images, search)
        found = np.flatnonzero(distance < search)
        distance = distance[found]
        again = np.flatnonzero(distance >= exact_from)
        index = index[found[again]]
        atoms, near = points[found[again]], owner[index]
        shift = image_shift.take(index, axis=0)
        shift += self._shift.take(atoms, axis=0)
        shift -= self._shift.take(near, axis=0)
        vectors = self._positions.take(atoms, axis=0)
        vectors -= self._positions.take(near, axis=0)
        vectors -= shift @ self._cell.vectors
        distance[again] = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        inside = distance < cutoff
        return found[inside], distance[inside]

    def _images(
        self, targets: np.ndarray, reach: float, low: np.ndarray, high: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All images of the targets within ``reach`` of a box.

        Parameters
        ----------
        targets : ndarray of int
            Indices of atoms.
        reach : float
            Å.
        low, high : ndarray, shape (3,)
            Corners of the box in fractions of the cell vectors, from 0 to 1.

        Returns
        -------
        images : ndarray, shape (k, 3)
            Å.
        owner : ndarray of int, shape (k,)
            Indices of the atoms.
        shift : ndarray, shape (k, 3)
            ``images = wrapped[owner] + shift @ vectors``.

        Raises
        ------
        ValueError
            If there are too many, because the cell is much smaller than the reach.
        """
        margin = reach / self._cell.heights
        low, high = low - margin, high + margin
        owner, shift = targets, np.zeros((len(targets), 3))
        for axis in range(3):
            # few atoms count as some: each image of theirs takes its time
            needed = max(len(owner), 100) * max(high[axis] - low[axis] - 2.0, 1.0)
            if not needed <= MOST_IMAGES:
                raise ValueError(
                    f"distances up to {reach:.4g} Å in a cell with "
                    f"{self._cell.heights.min():.4g} Å between its faces would need more than "
                    f"{needed:.2g} images of {len(targets)} atoms, the most is {MOST_IMAGES:,}: "
                    "smaller radii or a larger cell are needed"
                )
            values = self._fractional[owner, axis]
            owners, shifts = [], []
            for n in range(math.floor(low[axis]), math.floor(high[axis]) + 1):
                if low[axis] <= n and n + 1 <= high[axis]:
                    owners.append(owner)
                    shifts.append(shift if n == 0 else shift + n * np.eye(3)[axis])
                    continue
                inside = np.flatnonzero((values >= low[axis] - n) & (values <= high[axis] - n))
                owners.append(owner[inside])
                shifts.append(shift[inside] + n * np.eye(3)[axis])
            owner, shift = np.concatenate(owners), np.concatenate(shifts)
            if len(owner) == 0:
                break
        return self._wrapped.take(owner, axis=0) + shift @ self._cell.vectors, owner, shift


def distance_to_nearest(
    cell: PeriodicCell, points: np.ndarray, targets: np.ndarray, cutoff: float
) -> np.ndarray:
    """Distance from each point to the nearest image of any target.

    Parameters
    ----------
    cell : PeriodicCell
        The cell.
    points : ndarray, shape (p, 3)
        Å, wrapped into the cell or not.
    targets : ndarray, shape (t, 3)
        Å, wrapped into the cell or not.
    cutoff : float
        Å.

    Returns
    -------
    ndarray, shape (p,)
        Å; infinity where no image of a target is closer than ``cutoff``.
    """
    search = Search(cell, np.concatenate([points, targets]))
    mine = np.arange(len(points))
    return search.nearest(mine, np.arange(len(points), len(search)), cutoff)


def _nearest(
    points: np.ndarray, images: np.ndarray, cutoff: float
) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the nearest image, and which it is; what is beyond the cutoff is not exact."""
    if len(images) <= FEW:
        squares = np.stack([((points - image) ** 2) @ np.ones(3) for image in images], axis=1)
        index = squares.argmin(axis=1)
        return np.sqrt(squares[np.arange(len(points)), index]), index
    # an unbalanced tree is built in less than half the time, and asked as fast
    tree = cKDTree(images, leafsize=24, balanced_tree=False, compact_nodes=False)
    return tree.query(
        points,
        distance_upper_bound=cutoff,
        workers=WORKERS if len(points) >= WORTH_THREADS else 1,
    )
