"""Distances to a set of atoms in any periodic cell, also one smaller than the radius.

Everything here is geometry on plain arrays; what the distances mean (core, blend,
buffer) is said in :mod:`mixpi.regions`.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from scipy.ndimage import maximum_filter1d
from scipy.spatial import cKDTree


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

    Raises
    ------
    ValueError
        If the cell is not (3, 3), not finite or singular.
    """

    def __init__(self, cell) -> None:
        vectors = np.array(cell, dtype=float)
        if vectors.shape != (3, 3):
            raise ValueError(
                f"cell must be (3, 3) with lattice vectors as rows, got {vectors.shape}"
            )
        if not np.isfinite(vectors).all():
            raise ValueError("cell contains NaN or infinity")
        volume = abs(np.linalg.det(vectors))
        if volume <= 1e-10 * np.prod(np.linalg.norm(vectors, axis=1)):
            raise ValueError(
                "cell is singular (zero volume): three periodic directions are needed; "
                "for a slab or a molecule give the empty direction a length that holds vacuum"
            )
        self.vectors = vectors
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
        finest = np.maximum(self.heights / max(reach / 4.0, 1e-3), 1.0)
        scale = min(1.0, (max(n, 8) / finest.prod()) ** (1.0 / 3.0))
        bins = np.maximum((finest * scale).astype(int), 1)
        steps = np.ceil(reach / self.heights * bins).astype(int)
        if np.all(2 * steps + 1 >= bins):
            return np.arange(n)

        marked = np.zeros(bins, dtype=np.uint8)
        marked[tuple(self._bin(centres, bins).T)] = 1
        for axis in range(3):
            width = min(2 * steps[axis] + 1, 2 * bins[axis] + 1)
            marked = maximum_filter1d(marked, int(width), axis=axis, mode="wrap")

        return np.flatnonzero(marked.ravel()[self._flat_bin(positions, bins)])

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
        for start in range(0, len(positions), 16384):
            block = slice(start, start + 16384)
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
        result = np.full(len(points), np.inf)
        if len(points) == 0 or len(targets) == 0 or cutoff <= 0.0:
            return result
        # Search a little further than asked: the tree's distances carry the rounding
        # of the wrapping, the returned ones are recomputed from the coordinates given.
        search = cutoff * (1.0 + 1e-9) + 1e-9
        # Cut the cell open opposite to a target: a compact region stays in one piece.
        opening = targets[0] @ self.inverse - 0.5
        point_shift = np.floor(points @ self.inverse - opening)
        wrapped = points - point_shift @ self.vectors
        images, image_of, image_shift = self._images(wrapped, targets, search, opening)
        if len(images) == 0:
            return result
        distance, index = cKDTree(images).query(wrapped, distance_upper_bound=search)
        found = np.flatnonzero(np.isfinite(distance))
        index = index[found]
        shift = point_shift[found] + image_shift[index]
        vectors = points[found] - targets[image_of[index]] - shift @ self.vectors
        exact = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        inside = exact < cutoff
        result[found[inside]] = exact[inside]
        return result

    def _images(
        self, points: np.ndarray, targets: np.ndarray, reach: float, opening: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All images of the targets within ``reach`` of the box around the points.

        ``opening`` (fractional) is the corner of the cell that targets wrap into.

        Returns
        -------
        images : ndarray, shape (k, 3)
            Å.
        owner : ndarray of int, shape (k,)
            Index of the target.
        shift : ndarray, shape (k, 3)
            ``images = targets[owner] + shift @ vectors``.
        """
        margin = reach / self.heights
        fractional = points @ self.inverse
        low = fractional.min(axis=0) - margin
        high = fractional.max(axis=0) + margin
        target_fractional = targets @ self.inverse
        base = np.floor(target_fractional - opening)
        target_fractional -= base
        # Axis by axis first: mostly a single shift is left to combine with the others.
        choices = []
        for axis in range(3):
            values = target_fractional[:, axis]
            shifted = (
                (n, (values >= low[axis] - n) & (values <= high[axis] - n))
                for n in range(
                    math.floor(low[axis] - opening[axis]),
                    math.floor(high[axis] - opening[axis]) + 1,
                )
            )
            choices.append([(n, inside) for n, inside in shifted if inside.any()])
        owners, shifts = [], []
        for (i, in_a), (j, in_b), (k, in_c) in product(*choices):
            inside = np.flatnonzero(in_a & in_b & in_c)
            if len(inside):
                owners.append(inside)
                shifts.append(np.array([i, j, k]) - base[inside])
        if not owners:
            return np.empty((0, 3)), np.empty(0, dtype=int), np.empty((0, 3))
        owner = np.concatenate(owners)
        shift = np.concatenate(shifts)
        return targets[owner] + shift @ self.vectors, owner, shift
