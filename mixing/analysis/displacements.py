"""Mean square displacements of walkers, and how they vary together over the lags.

Overlapping windows are no independent samples: the mean square displacements of one trajectory
at different lags, and the windows of each, share steps. For a walk whose steps do not know of
one another, seen with noise (the vibration of an atom about its site), their covariance is known
exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import chi2


#: Windows with motion below which two runs may move alike by chance.
TOGETHER = 10
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


def dimensions(positions: np.ndarray, lag: int) -> float:
    """In how many dimensions walkers move as far: 3 in a cubic crystal, 1 along a row.

    (tr C)² / tr C² of the covariance C of their displacements, less what chance adds to tr C²; 3
    where chance makes all of the difference in one case of a hundred or more (S. John, Biometrika
    58, 123, 1971).

    Parameters
    ----------
    positions : ndarray, shape (n, m, 3)
        Å.
    lag : int
        In frames.

    Returns
    -------
    float
        From 1 to 3.
    """
    moved = positions[lag::lag] - positions[:-lag:lag]
    windows = len(moved) * independent_walkers(positions, lag)
    spread = np.einsum("nmi,nmj->ij", moved, moved)
    total, squares = np.trace(spread) ** 2, np.sum(spread**2)
    if not total > 0.0 or chi2.sf(1.5 * windows * (3.0 * squares / total - 1.0), 5) > 0.01:
        return 3.0
    squares = (squares - total / windows) / (1.0 + 1.0 / windows)
    return float(min(3.0, max(1.0, total / squares)))


def bursts(positions: np.ndarray, lag: int, dimensions: float = 3.0) -> float:
    """How much more squared displacements vary than those of a Gaussian walk, Å⁴ a frame.

    A walk by rare hops of length a, a share p of the frames, has p a⁴ (the fourth cumulant of a
    compound Poisson process grows in proportion to time); one by many small steps 0.

    Parameters
    ----------
    positions : ndarray, shape (n, m, 3)
        Å.
    lag : int
        In frames.
    dimensions : float
        As of :func:`dimensions`.

    Returns
    -------
    float
    """
    squares = _squares(positions, lag)
    return float(max(0.0, squares.var() - 2.0 / dimensions * squares.mean() ** 2) / lag)


def covariance(
    lags: Sequence[int] | np.ndarray,
    frames: int,
    step: float,
    noise: float,
    burst: float,
    dimensions: float = 3.0,
) -> np.ndarray:
    """Covariance of the mean square displacements of one walker.

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
        Variance of a step between frames in one dimension, Å²: a third of that of all.
    noise : float
        Variance of what is added to each position in one dimension, Å².
    burst : float
        As of :func:`bursts`, Å⁴.
    dimensions : float
        As of :func:`dimensions`: the fewer, the less their fluctuations cancel.

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
            together = 18.0 / dimensions * (step * common + noise * ends) ** 2 + burst * common
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


def unlike_walkers(positions: np.ndarray, lag: int, variance: float) -> float:
    """How much the mean square displacements of walkers vary more than those of alike ones, Å⁴.

    Trapped and free ones, or such in different places, have no common coefficient, and how many
    there are of either is by chance, too.

    Parameters
    ----------
    positions : ndarray, shape (n, m, 3)
        Å.
    lag : int
        In frames.
    variance : float
        Å⁴; of the mean square displacement of one walker.

    Returns
    -------
    float
        Å⁴; 0 where alike ones would differ as much in one case of a hundred.
    """
    freedom = positions.shape[1] - 1
    if freedom < 1:
        return 0.0
    found = float(_squares(positions, lag).mean(axis=0).var(ddof=1))
    return found - variance if found > variance * chi2.ppf(0.99, freedom) / freedom else 0.0


def move_together(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two runs are not independent: one under two names, or beads of one ring polymer.

    Parameters
    ----------
    one, other : ndarray, shape (n, m, 3)
        Å; the same walkers at the same times from the beginning, the longer one is cut.

    Returns
    -------
    bool
        Whether all displacements are the same, or over a fiftieth of the time are correlated by
        more than a half, in so many of them that chance does not make it.
    """
    frames = min(len(one), len(other))
    one, other = one[:frames], other[:frames]
    if one.shape != other.shape or not one.any() or not other.any():
        return False
    if np.array_equal(np.diff(one, axis=0), np.diff(other, axis=0)):
        return True
    lag = max(1, frames // 50)
    first, second = (each[lag::lag] - each[:-lag:lag] for each in (one, other))
    many = min(np.count_nonzero(each.any(axis=(1, 2))) for each in (first, second))
    scale = np.sqrt(np.sum(first**2) * np.sum(second**2))
    return bool(many >= TOGETHER and np.sum(first * second) > 0.5 * scale)
