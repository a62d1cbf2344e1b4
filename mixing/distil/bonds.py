"""The bonds of a structure, and what their slopes pull on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from scipy import sparse

from ..regions.pairs import pairs_within


@dataclass(frozen=True)
class Bonds:
    """Every neighbour of every atom.

    Attributes
    ----------
    kinds : ndarray of int, shape (n,)
        What each atom is.
    i, j : ndarray of int, shape (m,)
        Atoms at the start and at the end; ``i`` ascends.
    vectors : ndarray, shape (m, 3)
        From start to end, Å.
    r : ndarray, shape (m,)
        Lengths, Å.
    """

    kinds: np.ndarray
    i: np.ndarray
    j: np.ndarray
    vectors: np.ndarray
    r: np.ndarray

    @classmethod
    def of(cls, atoms: Atoms, kinds: np.ndarray, cutoff: float) -> Bonds:
        """Those of a periodic structure that are shorter than the cutoff (Å)."""
        return cls(kinds, *pairs_within(atoms.positions, atoms.cell.array, cutoff))

    def __len__(self) -> int:
        return len(self.r)

    def where(self, kept: np.ndarray) -> Bonds:
        """Some of the bonds, of the same atoms: a mask or indices."""
        return Bonds(self.kinds, self.i[kept], self.j[kept], self.vectors[kept], self.r[kept])

    def pull(self) -> sparse.csr_matrix:
        """The matrix (3 n, m) of :func:`pull`."""
        return pull(len(self.kinds), self.i, self.j, self.vectors / self.r[:, None])


def shortest_distance(atoms: Atoms, most: float) -> float:
    """Between any two atoms, Å; at most ``most`` (Å)."""
    found = pairs_within(atoms.positions, atoms.cell.array, most)
    return float(found.distances.min(initial=most))


def pull(n: int, start: np.ndarray, end: np.ndarray, direction: np.ndarray) -> sparse.csr_matrix:
    """The matrix (3 n, m) that turns dE/dr of m bonds into forces.

    A positive slope pulls the ends together.

    Parameters
    ----------
    n : int
        Number of atoms.
    start, end : ndarray of int, shape (m,)
        Atoms of each bond.
    direction : ndarray, shape (m, 3)
        Unit vectors from start to end.
    """
    m = len(start)
    xyz = np.arange(3)
    rows = np.concatenate([3 * start[:, None] + xyz, 3 * end[:, None] + xyz])
    values = np.concatenate([direction, -direction])
    columns = np.repeat(np.tile(np.arange(m), 2), 3)
    return sparse.csr_matrix((values.ravel(), (rows.ravel(), columns)), shape=(3 * n, m))
