"""A periodic cell of any shape: the shortest image of a vector, and who is near a place."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import maximum_filter1d

from .bins import numbers_of_bins


#: Atoms treated at a time, few enough for the processor's cache.
BLOCK = 16384

#: Å; lattice vectors outside of these lengths are no crystal's.
SHORTEST, LONGEST = 1e-3, 1e9


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
