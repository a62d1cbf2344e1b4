"""What a grid of bins alone can say about distances between many atoms.

Where thousands of atoms must be compared with thousands of others, most answers need
no distance: two atoms whose bins are close enough are within reach wherever they sit
in them, two whose bins are too far apart are not. The grid holds a bit a bin, so that
whole rows of bins are compared at once; what is left in between goes to the tree of
:mod:`mixpi.regions.search`.
"""

from __future__ import annotations

import numpy as np


#: Bins an atom; more of them leave fewer atoms undecided and take longer to fill.
BINS_PER_ATOM = 14

#: Bins a reach: the footprint of a reach grows with the square of it.
BINS_PER_REACH = 6


#: Bins that a footprint may span; in sane cells (2 · 7 + 1)³ do.
MOST_OFFSETS = 100_000


def numbers_of_bins(finest: np.ndarray, *, most: int) -> np.ndarray:
    """How many bins to cut a cell into along each vector.

    Parameters
    ----------
    finest : ndarray, shape (3,)
        No more than these are of use; less than one counts as one.
    most : int
        In all.

    Returns
    -------
    ndarray of int, shape (3,)
        In the proportions of ``finest`` as far as each is at least one.
    """
    finest = np.clip(finest, 1.0, float(most))
    bins, left = np.ones(3), float(most)
    fewest_first = np.argsort(finest, kind="stable")
    for done, axis in enumerate(fewest_first):
        rest = finest[fewest_first[done:]]
        scale = min(1.0, (left / rest.prod()) ** (1.0 / len(rest)))
        bins[axis] = max(finest[axis] * scale, 1.0)
        left /= bins[axis]
    return bins.astype(int)


def _shape(heights: np.ndarray, n: int, reach: float) -> np.ndarray:
    with np.errstate(over="ignore"):
        finest = heights * BINS_PER_REACH / reach
    return numbers_of_bins(finest, most=BINS_PER_ATOM * n)


class Bins:
    """Atoms in a periodic grid of bins.

    Parameters
    ----------
    vectors : ndarray, shape (3, 3)
        Rows are the lattice vectors, Å.
    heights : ndarray, shape (3,)
        Distances between opposite faces, Å.
    fractional : ndarray, shape (n, 3)
        Positions of the atoms in fractions of the cell vectors, from 0 to 1.
    reach : float
        The longest distance that can be asked for, Å.

    Attributes
    ----------
    reach : float
        As given.
    """

    def __init__(
        self, vectors: np.ndarray, heights: np.ndarray, fractional: np.ndarray, reach: float
    ) -> None:
        shape = _shape(heights, len(fractional), reach)
        self.reach = reach
        self._axes = np.argsort(shape, kind="stable")  # rows run along the longest axis
        self._shape = shape[self._axes]
        self._edges = (vectors / shape[:, None])[self._axes]
        self._heights = (heights / shape)[self._axes]
        # rounding may put an atom on the wrong side of the wall between two bins
        self._slack = 1e-9 * (1.0 + np.abs(vectors).sum())
        # Around the grid lie copies of it, as deep as a footprint is wide.
        self._depth = np.floor((reach + self._slack) / self._heights).astype(int) + 1
        self._padded = self._shape + 2 * self._depth
        self._padded[2] += -self._padded[2] % 64
        self._strides = np.array([self._padded[1] * self._padded[2], self._padded[2], 1])
        self._bin = np.zeros(len(fractional), dtype=np.int64)
        for axis, n, depth, stride in zip(
            self._axes, self._shape, self._depth, self._strides, strict=True
        ):
            index = (fractional[:, axis] * n).astype(np.int64)
            np.minimum(index, n - 1, out=index)  # a fraction of -1e-17 wraps to exactly 1.0
            self._bin += (index + depth) * stride

    @staticmethod
    def worthwhile(heights: np.ndarray, n: int, reach: float) -> bool:
        """Whether a grid answers for less than the tree would cost.

        Not in a cell that is much narrower than the reach along some vector: the copies
        around its grid would be many times the grid.
        """
        around = reach / heights * _shape(heights, n, reach) + 1.0
        return bool(np.prod(2.0 * around + 1.0) <= MOST_OFFSETS)

    def possible(self, targets: np.ndarray, reach: float) -> np.ndarray:
        """Mask (n,) that holds for every atom closer than ``reach`` to a target.

        Parameters
        ----------
        targets : ndarray of int or bool
            Selects the targets among the atoms.
        reach : float
            Å; at most that of the grid.

        Returns
        -------
        ndarray of bool, shape (n,)
        """
        return self._at_atoms(self._spread(self._marked(targets), self._footprints(reach)[1]))

    def compare(self, targets: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
        """Which atoms are surely, and which possibly, closer than ``reach`` to a target.

        Parameters
        ----------
        targets, reach
            As for :meth:`possible`.

        Returns
        -------
        sure, possible : ndarray of bool, shape (n,)
            Every atom that is closer is possible; every sure atom is closer.
        """
        marked = self._marked(targets)
        sure, possible = self._footprints(reach)
        return (
            self._at_atoms(self._spread(marked, sure)),
            self._at_atoms(self._spread(marked, possible)),
        )

    def _marked(self, targets: np.ndarray) -> np.ndarray:
        """The grid, 64 bins a word, with a bit set wherever there is an image of a target."""
        grid = np.zeros(self._padded, dtype=bool)
        grid.reshape(-1)[self._bin[targets]] = True
        for axis, (n, depth) in enumerate(zip(self._shape, self._depth, strict=True)):
            copies = np.concatenate([np.arange(depth), np.arange(depth + n, n + 2 * depth)])
            lines = np.moveaxis(grid, axis, 0)
            lines[copies] = lines[(copies - depth) % n + depth]
        return np.packbits(grid.reshape(-1), bitorder="little").view(np.uint64)

    def _footprints(self, reach: float) -> tuple[np.ndarray, np.ndarray]:
        """For each offset between two bins: all, or any, of their points within reach.

        Returns
        -------
        sure, possible : ndarray of bool, shape (2 a + 1, 2 b + 1, 2 c + 1)
            ``a, b, c`` is the depth of the copies.
        """
        ranges = [np.arange(-depth, depth + 1) for depth in self._depth]
        offsets = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1)
        between = offsets @ self._edges
        distance = np.linalg.norm(between, axis=-1)
        # Two points in bins (i, j, k) apart are (i, j, k) + u apart, each |u| < 1. They are
        # farthest at a corner of that cube; along any direction they are no closer than the
        # cube's shadow, and the direction to its centre is a good one.
        signs = np.array([(1, 1, 1), (1, 1, -1), (1, -1, 1), (1, -1, -1)]) @ self._edges
        farthest = np.max(
            [np.linalg.norm(between + s * corner, axis=-1) for corner in signs for s in (1, -1)],
            axis=0,
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            shadow = np.abs(between @ self._edges.T).sum(axis=-1) / distance
        nearest = np.where(distance > 0, distance - shadow, 0.0)
        nearest = np.maximum(nearest, ((np.abs(offsets) - 1) * self._heights).max(axis=-1))
        return farthest < reach - self._slack, nearest < reach + self._slack

    def _spread(self, words: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Every bin that lies in the footprint of a marked one, 64 bins a word."""
        result = np.zeros_like(words)
        runs, shifted = [words], {}
        depth = self._depth
        for i, j in np.argwhere(footprint.any(axis=2)):
            row = np.flatnonzero(footprint[i, j])
            length = row[-1] - row[0] + 1  # the sure ones are convex: no gap is filled
            while len(runs) < length:
                runs.append(runs[-1] | _shift(words, len(runs)))
            start = (i - depth[0]) * self._strides[0] + (j - depth[1]) * self._strides[1]
            whole, bits = divmod(int(start + row[0] - depth[2]), 64)
            if (length, bits) not in shifted:
                shifted[length, bits] = _shift(runs[length - 1], bits)
            source = shifted[length, bits]
            if whole >= 0:
                result[whole:] |= source[: len(source) - whole]
            else:
                result[:whole] |= source[-whole:]
        return result

    def _at_atoms(self, words: np.ndarray) -> np.ndarray:
        bytes_ = words.view(np.uint8)
        return (bytes_[self._bin >> 3] >> (self._bin & 7).astype(np.uint8) & 1).astype(bool)


def _shift(words: np.ndarray, bits: int) -> np.ndarray:
    """The bits moved up by ``bits`` places, from word to word."""
    whole, bits = divmod(bits, 64)
    if whole:
        words = np.concatenate([np.zeros(whole, dtype=np.uint64), words[:-whole]])
    if bits == 0:
        return words
    moved = words << np.uint64(bits)
    moved[1:] |= words[:-1] >> np.uint64(64 - bits)
    return moved
