"""Which atoms of a periodic cell are near one another."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

from .periodic import PeriodicCell


class Pairs(NamedTuple):
    """Every neighbour of every atom, images counted one by one.

    Attributes
    ----------
    first : ndarray of int, shape (m,)
        Whose neighbour it is; ascending.
    second : ndarray of int, shape (m,)
        Who the neighbour is: in a small cell perhaps the same atom, or one several times.
    vectors : ndarray, shape (m, 3)
        From the first to that image of the second, Å.
    distances : ndarray, shape (m,)
        Their lengths, Å.
    """

    first: np.ndarray
    second: np.ndarray
    vectors: np.ndarray
    distances: np.ndarray


def pairs_within(positions: ArrayLike, cell: ArrayLike | PeriodicCell, cutoff: float) -> Pairs:
    """All pairs shorter than a cutoff in a cell that is periodic in all directions.

    They are found by matscipy where it is installed, else by a tree, which takes up to twice the
    time.

    Parameters
    ----------
    positions : array_like, shape (n, 3)
        Å; atoms may be any number of cells from home.
    cell : array_like, shape (3, 3), or PeriodicCell
        Rows are lattice vectors, Å; any shape and handedness, also smaller than the cutoff.
    cutoff : float
        Å.

    Returns
    -------
    Pairs

    Raises
    ------
    ValueError
        If the cell is singular.
    """
    positions = np.asarray(positions, dtype=float).reshape(-1, 3)
    periodic = cell if isinstance(cell, PeriodicCell) else PeriodicCell(cell)
    if _matscipy() is None or len(positions) == 0:
        return tree_pairs(positions, periodic, cutoff, len(positions))
    return Pairs(*_searched("ijDd", positions, periodic, cutoff))


def neighbour_counts(
    positions: ArrayLike, cell: ArrayLike | PeriodicCell, cutoff: float
) -> np.ndarray:
    """How many neighbours each atom has, images counted one by one; shape (n,), int.

    Parameters
    ----------
    positions, cell, cutoff
        As for :func:`pairs_within`.

    Raises
    ------
    ValueError
        If the cell is singular.
    """
    positions = np.asarray(positions, dtype=float).reshape(-1, 3)
    periodic = cell if isinstance(cell, PeriodicCell) else PeriodicCell(cell)
    if _matscipy() is None or len(positions) == 0:
        first = tree_pairs(positions, periodic, cutoff, len(positions)).first
    else:
        first = _searched("i", positions, periodic, cutoff)
    return np.bincount(first, minlength=len(positions))


def _searched(quantities: str, positions: np.ndarray, periodic: PeriodicCell, cutoff: float) -> Any:
    """What matscipy says of all pairs."""
    search = _matscipy()
    assert search is not None  # the callers have looked
    # far from home digits are lost in the search
    home = positions - np.floor(positions @ periodic.inverse) @ periodic.vectors
    return search(quantities, positions=home, cell=periodic.vectors, pbc=[True] * 3, cutoff=cutoff)


def tree_pairs(positions: np.ndarray, periodic: PeriodicCell, cutoff: float, centres: int) -> Pairs:
    """As :func:`pairs_within`, the neighbours of the first so many atoms alone."""
    if centres == 0:
        ends = np.empty(0, dtype=int)
        return Pairs(ends, ends, np.empty((0, 3)), np.empty(0))
    # the cell is cut open opposite to the first atom, so that what is around it is in one piece
    fractional = positions @ periodic.inverse
    fractional -= fractional[0] - 0.5
    fractional -= np.floor(fractional)
    margin = cutoff / periodic.heights
    low = fractional[:centres].min(axis=0) - margin
    high = fractional[:centres].max(axis=0) + margin
    counts = [np.arange(np.floor(a), np.floor(b) + 1) for a, b in zip(low, high, strict=True)]
    images, owners, itself = [], [], []
    for shift in np.stack(np.meshgrid(*counts, indexing="ij"), axis=-1).reshape(-1, 3):
        moved = fractional + shift
        near = np.flatnonzero(((moved >= low) & (moved <= high)).all(axis=1))
        images.append(moved[near] @ periodic.vectors)
        owners.append(near)
        itself.append(np.full(len(near), not shift.any()))
    image, owner, home = np.concatenate(images), np.concatenate(owners), np.concatenate(itself)
    centre = fractional[:centres] @ periodic.vectors
    trees = (cKDTree(p, balanced_tree=False, compact_nodes=False) for p in (centre, image))
    pairs = next(trees).sparse_distance_matrix(next(trees), cutoff, output_type="ndarray")
    pairs = pairs[np.argsort(pairs["i"], kind="stable")]
    first, place = pairs["i"], pairs["j"]
    vectors = image[place] - centre[first]
    distances = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    # the tree takes what is as far as the cutoff, and each atom at its own place
    kept = (distances < cutoff) & ~((owner[place] == first) & home[place])
    return Pairs(first[kept], owner[place[kept]], vectors[kept], distances[kept])


@cache
def _matscipy() -> Callable[..., Any] | None:
    try:
        from matscipy.neighbours import neighbour_list
    except ImportError:
        return None
    return neighbour_list
