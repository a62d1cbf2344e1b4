"""Regions → the cluster that the expensive driver evaluates.

A cluster keeps the periodic cell of the whole system. Its atoms then have exactly
their own neighbours, whatever the shape of the region (around a corner, across
the whole cell, in a cell smaller than the radii), nothing has to be unwrapped,
and a region that covers everything is the whole system itself. Empty space costs
a cell-list neighbour search next to nothing (measured: ``docs/decisions.md``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..regions.growth import Regions
from ..regions.periodic import PeriodicCell
from ..regions.search import distance_to_nearest


@dataclass(frozen=True)
class Cluster:
    """The atoms whose expensive forces are needed, with their surroundings.

    Attributes
    ----------
    indices : ndarray of int, shape (m,)
        Atoms of the whole system, ascending.
    numbers : ndarray of int, shape (m,)
        Atomic numbers.
    weights : ndarray of float, shape (m,)
        Weights; zero for buffer atoms.
    depths : ndarray of float, shape (m,), or None
        How far each atom is from those of positive weight, Å, if that is known already
        (:func:`depths_of` finds it).
    """

    indices: np.ndarray
    numbers: np.ndarray
    weights: np.ndarray
    depths: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def positions(self, positions: np.ndarray) -> np.ndarray:
        """The cluster's part of the whole system's positions.

        Parameters
        ----------
        positions : ndarray, shape (n, 3)
            Å.

        Returns
        -------
        ndarray, shape (m, 3)
            Å.
        """
        return positions[self.indices]


def depths_of(
    cluster: Cluster,
    geometries: Sequence[np.ndarray],
    cells: Sequence[np.ndarray],
    buffer: float,
) -> np.ndarray:
    """How far each atom of a cluster is from those of positive weight.

    Parameters
    ----------
    cluster : Cluster
        Shared by all geometries.
    geometries : sequence of ndarray, shape (n, 3)
        Of the whole system, Å; of several (beads, images) the shortest distance counts.
    cells : sequence of ndarray, shape (3, 3)
        Rows are lattice vectors, Å; one a geometry.
    buffer : float
        Å; none is further in all of them.

    Returns
    -------
    ndarray, shape (m,)
        Å; zero for atoms of positive weight.
    """
    weighted = cluster.weights > 0.0
    depths = np.where(weighted, 0.0, buffer)
    for positions, cell in zip(geometries, cells, strict=True):
        own = cluster.positions(positions)
        found = distance_to_nearest(PeriodicCell(cell), own[~weighted], own[weighted], buffer)
        depths[~weighted] = np.minimum(depths[~weighted], found)
    return depths


def extract_cluster(regions: Regions, numbers: ArrayLike) -> Cluster:
    """Carve the core, blend and buffer atoms out of the system.

    Parameters
    ----------
    regions : Regions
        Of the whole system, n atoms.
    numbers : array_like of int, shape (n,)
        Atomic numbers of the whole system.

    Returns
    -------
    Cluster
        All of the regions, in the order of the system.

    Raises
    ------
    ValueError
        If ``numbers`` does not fit the regions.
    """
    numbers = np.asarray(numbers)
    if numbers.shape != regions.weights.shape:
        raise ValueError(
            f"numbers must have shape {regions.weights.shape} like the weights, got {numbers.shape}"
        )
    indices = regions.cluster
    weights, depths = regions.weights[indices], None
    if regions.depths is not None:
        depths = regions.depths[indices]
        if not np.array_equal(depths == 0.0, weights > 0.0):
            depths = None  # of other weights than these
    return Cluster(indices, numbers[indices], weights, depths)
