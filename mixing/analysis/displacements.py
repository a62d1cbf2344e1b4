"""Mean square displacements of walkers, and how they vary together over the lags.

Overlapping windows are no independent samples: the mean square displacements of one trajectory
at different lags, and the windows of each, share steps. For a walk whose steps do not know of
one another, seen with noise (the vibration of an atom about its site), their covariance is known
exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


#: Walkers among which correlations are looked for.
LOOKED_AT = 200


def mean_squares(positions: np.ndarray, lags: Sequence[int] | np.ndarray) -> np.ndarray:
    """Mean square displacements over all windows of each lag and all walkers.

    Parameters
    ----------
    positions : ndarray, shape (n, m, 3)
        Å, unwrapped.
    lags : sequence of int
        In frames.

    Returns
    -------
    ndarray, shape (len(lags),)
        Å².
    """
    return np.array([np.mean(_squares(positions, lag)) for lag in lags])


def _squares(positions: np.ndarray, lag: int, every: int = 1) -> np.ndarray:
    moved = positions[lag::every] - positions[:-lag:every]
    return np.einsum("nmi,nmi->nm", moved, moved)


def bursts(positions: np.ndarray, lag: int) -> float:
    """How much more squared displacements vary than those of a Gaussian walk, Å⁴ a frame.

    A walk by rare hops of length a, a share p of the frames, has p a⁴ (the fourth cumulant of a
    compound Poisson process grows in proportion to time); one by many small steps 0.

    Parameters
    ----------
    positions : ndarray, shape (n, m, 3)
        Å.
    lag : int
        In frames.

    Returns
    -------
    float
    """
    squares = _squares(positions, lag)
    return float(max(0.0, squares.var() - 2.0 / 3.0 * squares.mean() ** 2) / lag)


def covariance(
    lags: Sequence[int] | np.ndarray, frames: int, step: float, noise: float, burst: float
) -> np.ndarray:
    """Covariance of the mean square displacements of one walker in three dimensions.

    For Gaussian steps cov(Δ², Δ'²) = 2 cov(Δ, Δ')² in each dimension (L. Isserlis, Biometrika 12,
    134, 1918); steps that are not add their fourth cumulant, times the frames that both windows
    have in common.

    Parameters
    ----------
    lags : sequence of int
        In frames.
    frames : int
        Of the trajectory.
    step : float
        Variance of a step between frames in one dimension, Å².
    noise : float
        Variance of what is added to each position in one dimension, Å².
    burst : float
        As of :func:`bursts`, Å⁴.

    Returns
    -------
    ndarray, shape (len(lags), len(lags))
        Å⁴.
    """
    lags = np.asarray(lags, dtype=int)
    found = np.empty((len(lags), len(lags)))
    for a, first in enumerate(lags):
        for b, second in enumerate(lags[: a + 1]):
            # windows [0, first] and [shift, shift + second]
            shift = np.arange(-second, first + 1)
            common = np.minimum(first, shift + second) - np.maximum(0, shift)
            ends = (
                (shift == first - second).astype(float)
                + (shift == 0)
                - (shift == first)
                - (shift == -second)
            )
            together = 6.0 * (step * common + noise * ends) ** 2 + burst * common
            begin = np.maximum(0, -shift)
            end = np.minimum(frames - first, frames - second - shift)
            pairs = np.maximum(0, end - begin)
            found[a, b] = pairs @ together / ((frames - first) * (frames - second))
            found[b, a] = found[a, b]
    return found


def independent_walkers(positions: np.ndarray, lag: int) -> float:
    """How many walkers that know nothing of one another these are worth.

    The variance of the sum of their squared displacements grows with the squares of the
    correlations ρ between them, n / n_eff = 1 + (n − 1) ⟨ρ²⟩; from that the ⟨ρ²⟩ that chance
    gives is taken off.

    Parameters
    ----------
    positions : ndarray, shape (n, m, 3)
        Å.
    lag : int
        In frames: correlations of displacements over that time.

    Returns
    -------
    float
        From 1 to m.
    """
    walkers = positions.shape[1]
    moved = positions[lag::lag] - positions[:-lag:lag]
    rows = moved[:, :LOOKED_AT].transpose(1, 0, 2).reshape(min(walkers, LOOKED_AT), -1)
    length = np.linalg.norm(rows, axis=1)
    rows = rows[length > 0.0] / length[length > 0.0, None]
    if len(rows) < 2:
        return float(walkers)
    correlation = rows @ rows.T
    others = (np.sum(correlation**2) - len(rows)) / (len(rows) * (len(rows) - 1))
    chance = 1.0 / rows.shape[1]
    excess = max(0.0, (others - chance) / (1.0 - chance))
    return float(walkers / (1.0 + (walkers - 1) * excess))
