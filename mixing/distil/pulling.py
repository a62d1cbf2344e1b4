"""Slopes of distances → forces on atoms."""

from __future__ import annotations

import numpy as np
from scipy import sparse


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
