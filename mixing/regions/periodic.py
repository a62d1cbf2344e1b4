"""Distances to a set of atoms in any periodic cell, also one smaller than the radius.

Everything here is geometry on plain arrays; what the distances mean (core, blend,
buffer) is said in :mod:`mixpi.regions.growth`.
"""

from __future__ import annotations

import math
import os

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import maximum_filter1d
from scipy.spatial import cKDTree

from .bins import Bins, numbers_of_bins


#: Atoms treated at a time, few enough for the processor's cache.
BLOCK = 16384

#: Fewer atoms are asked for their distances one by one, without a grid of bins.
MANY = 20_000

#: Atoms in a cube of the reach, at least, or the bins are too wide to decide much.
CROWD = 2.0


#: Å; lattice vectors outside of these lengths are no crystal's.
SHORTEST, LONGEST = 1e-3, 1e9

#: Images of atoms that a search may need: more than any sane one by far, about a gigabyte.
MOST_IMAGES = 5_000_000


#: Threads for searches of so many points: while regions are built all drivers are idle.
WORKERS = min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
WORTH_THREADS = 5_000

#: Images that each point is compared with one by one, without a tree.
FEW = 6


class PeriodicCell:
    """A cell, periodic along its three vectors, of any shape.

    Parameters
    ----------
    cell : array_like, shape (3, 3)
        Rows are the lattice vectors, Å.

    Attributes
    ----------
    vectors : ndarray, shape (3, 3)
        The rows given, Å.
    inverse : ndarray, shape (3, 3)
        ``positions @ inverse`` are fractional coordinates.
    heights : ndarray, shape (3,)
        Distances between opposite faces, Å.
    volume : float
        Å³.

    Raises
    ------
    ValueError
        If the cell is not (3, 3), not finite, absurdly small or large, or singular.
    """

    def __init__(self, cell: ArrayLike) -> None:
        vectors = np.array(cell, dtype=float)
        if vectors.shape != (3, 3):
            raise ValueError(
                f"cell must be (3, 3) with lattice vectors as rows, got {vectors.shape}"
            )
        if not np.isfinite(vectors).all():
            raise ValueError("cell contains NaN or infinity")
        largest = np.abs(vectors).max(axis=1)
        for name, length in zip("abc", largest, strict=True):
            if length > LONGEST or 0.0 < length < SHORTEST:
                raise ValueError(
                    f"cell vector {name} has a length of about {length:.3g} Å, which is no "
                    "simulation's: are its units right?"
                )
        volume = abs(np.linalg.det(vectors))
        if volume <= 1e-10 * np.prod(np.linalg.norm(vectors, axis=1)):
            raise ValueError(
                "cell is singular (zero volume): three periodic directions are needed; "
                "for a slab or a molecule give the empty direction a length that holds vacuum"
            )
        self.vectors = vectors
        self.volume = volume
        self.inverse = np.linalg.inv(vectors)
        self.heights = 1.0 / np.linalg.norm(self.inverse, axis=0)

    def fold(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors less whole lattice vectors, so that no fraction is beyond ±1/2.

        Of a displacement that is short against the cell, its shortest image.

        Parameters
        ----------
        vectors : ndarray, shape (..., 3)
            Å.

        Returns
        -------
        ndarray, shape (..., 3)
            Å.
        """
        return vectors - np.round(vectors @ self.inverse) @ self.vectors

    def shortest(self, moves: np.ndarray) -> np.ndarray:
        """Displacements (n, 3), Å, folded if one of them may have crossed the cell.

        What moves by less than a quarter of the cell between two calls needs no folding,
        which costs more than all else that is done with it.
        """
        return self.fold(moves) if np.abs(moves).max() > 0.25 * self.heights.min() else moves

    def near(self, positions: np.ndarray, centres: np.ndarray, reach: float) -> np.ndarray:
        """Indices of a superset of the atoms within ``reach`` of any centre.

        One pass over the atoms: each is looked up in a grid of bins in which those
        near a centre are marked. The cost does not depend on how many atoms are near.

        Parameters
        ----------
        positions : ndarray, shape (n, 3)
            Å.
        centres : ndarray, shape (m, 3)
            Å.
        reach : float
            Å.

        Returns
        -------
        ndarray of int
            Ascending.
        """
        n = len(positions)
        # Bins a few times narrower than the reach, and never many more than atoms.
        bins = numbers_of_bins(self.heights / max(reach / 4.0, 1e-3), most=max(n, 8))
        steps = np.ceil(np.minimum(reach / self.heights, 1.0) * bins).astype(int)
        if np.all(2 * steps + 1 >= bins):
            return np.arange(n)

        marked = np.zeros(bins, dtype=np.uint8)
        marked[tuple(self._bin(centres, bins).T)] = 1
        for axis in range(3):
            width = min(2 * steps[axis] + 1, 2 * bins[axis] + 1)
            marked = maximum_filter1d(marked, int(width), axis=axis, mode="wrap")

        return np.flatnonzero(marked.ravel()[self._flat_bin(positions, bins)])

    def share(self, centres: np.ndarray, reach: float) -> float:
        """Roughly how much of the cell lies within ``reach`` of centres, from 0 to 1.

        Parameters
        ----------
        centres : ndarray, shape (m, 3)
            Å.
        reach : float
            Å.

        Returns
        -------
        float
            The share of boxes as wide as the reach that hold a centre.
        """
        boxes = np.maximum(np.minimum(self.heights / max(reach, 1e-3), 64), 1).astype(int)
        if len(centres) < boxes.prod() / 8:
            return 0.0
        held = np.zeros(boxes, dtype=bool)
        held[tuple(self._bin(centres, boxes).T)] = True
        return float(held.mean())

    def _bin(self, positions: np.ndarray, bins: np.ndarray) -> np.ndarray:
        fractional = positions @ self.inverse
        fractional -= np.floor(fractional)
        fractional *= bins
        # a coordinate of -1e-17 wraps to exactly 1.0
        return np.minimum(fractional.astype(np.int32), bins - 1)

    def _flat_bin(self, positions: np.ndarray, bins: np.ndarray) -> np.ndarray:
        """Flat bin index of every atom, in blocks that stay in the processor's cache."""
        flat = np.empty(len(positions), dtype=np.intp)
        strides = np.array([bins[1] * bins[2], bins[2], 1])
        for start in range(0, len(positions), BLOCK):
            block = slice(start, start + BLOCK)
            flat[block] = self._bin(positions[block], bins) @ strides
        return flat

    def nearest(self, points: np.ndarray, targets: np.ndarray, cutoff: float) -> np.ndarray:
        """Distance from each point to the nearest image of any target.

        Parameters
        ----------
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
        search = Search(self, np.concatenate([points, targets]))
        mine = np.arange(len(points))
        return search.nearest(mine, np.arange(len(points), len(search)), cutoff)


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
