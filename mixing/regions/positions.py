"""Positions, forces and the like of all atoms: whether the numbers can be meant."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


#: Å; further out coordinates have lost so many digits that distances mean little.
FARTHEST = 1e9


def valid_positions(positions: ArrayLike) -> np.ndarray:
    """Positions as an array of floats, if distances between them mean something.

    Parameters
    ----------
    positions : array_like, shape (n, 3)
        Å.

    Returns
    -------
    ndarray, shape (n, 3)

    Raises
    ------
    ValueError
        If the shape is another, or an atom is nowhere, or too far away to have digits left.
    """
    positions = np.asarray(positions, dtype=float)
    if positions.ndim != 2 or positions.shape[1] != 3:
        raise ValueError(f"positions must be (n, 3), got {positions.shape}")
    atom = beyond(positions, FARTHEST)
    if atom is None:
        return positions
    if not np.isfinite(positions[atom]).all():
        raise ValueError(f"position of atom {atom} is NaN or infinite")
    raise ValueError(
        f"position of atom {atom} is {np.abs(positions[atom]).max():.3g} Å from the origin: so far "
        "out coordinates have lost their digits. Wrap the atoms into the cell; or the dynamics "
        "has exploded"
    )


def beyond(vectors: np.ndarray, limit: float) -> int | None:
    """The first of vectors (n, 3) with a component that is NaN or larger than a limit.

    Nearly always there is none, which the sum of squares tells at a tenth of the cost of
    looking at each.
    """
    flat = np.ravel(vectors)
    with np.errstate(over="ignore", invalid="ignore"):
        if np.dot(flat, flat) <= limit * limit:
            return None
    wrong = np.flatnonzero(~(np.abs(vectors) <= limit).all(axis=1))
    return int(wrong[0]) if len(wrong) else None
