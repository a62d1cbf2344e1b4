"""Averages and slopes of correlated data, with error bars.

Successive steps of a simulation resemble one another: n of them are worth n / g independent
ones, where g = 1 + 2 Σ ρ(k) is the statistical inefficiency and ρ the autocorrelation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaincinv


#: Independent samples below which an error bar is a guess: a correlation as long as the data
#: themselves looks shorter than it is, and even a random walk seems to be worth a dozen.
FEWEST = 30
#: Events that may be hidden in an error.
HIDDEN = 0.5


@dataclass(frozen=True)
class Estimate:
    """A figure with its error bar.

    Attributes
    ----------
    value : float
        The estimate.
    error : float
        Standard error; infinite if the data do not tell.
    independent : float
        Samples that the data are worth.
    """

    value: float
    error: float
    independent: float

    @property
    def tells(self) -> bool:
        """Whether there are enough independent samples to trust the error bar."""
        return self.independent >= FEWEST

    @property
    def is_zero(self) -> bool:
        """Whether the value cannot be told from zero: two error bars reach there."""
        return not abs(self.value) > 2.0 * self.error


def together(estimates: Sequence[Estimate | None]) -> Estimate | None:
    """The mean of independent estimates, of those that there are.

    Parameters
    ----------
    estimates : sequence of Estimate or None

    Returns
    -------
    Estimate or None
        Each counts alike.
    """
    known = [one for one in estimates if one is not None]
    if not known:
        return None
    value, error, independent = np.array([astuple(one) for one in known]).T
    rss = float(np.sqrt(np.sum(error**2)))
    return Estimate(float(value.mean()), rss / len(known), float(independent.sum()))


def at_most(value: float, error: float) -> float:
    """One-sided bound (95 %) of a rate of rare events that cannot be told from zero.

    A rate by k events has the relative error 1/√k, so that (value / error)² tells how many there
    were; the bound is the largest rate that gives no more than k with 5 % (F. Garwood, Biometrika
    28, 437, 1936). Of noise in which half an event at most would be hidden, k is next to nothing.

    Parameters
    ----------
    value, error : float
        With its standard error, in any unit.

    Returns
    -------
    float
    """
    if not 0.0 < error < np.inf:
        return float("inf")
    seen = max(value, 0.0)
    each = error**2 / max(seen, np.sqrt(HIDDEN) * error)  # what one event adds to the rate
    events = seen / each
    return float(each * gammaincinv(events + 1.0, 0.95))


def inefficiency(values: ArrayLike) -> float:
    """Statistical inefficiency g ≥ 1: how many samples in a row are worth one.

    The sum over ρ(k) ends where k reaches five correlation times, g / 2 each, because what
    follows is noise (A. D. Sokal, Monte Carlo Methods in Statistical Mechanics, 1996), but is
    not less than that up to the first ρ(k) ≤ 0: in a few periods of an oscillation the
    samples cancel, and would pass for independent.

    Parameters
    ----------
    values : array_like, shape (n,)
        Evenly spaced samples.

    Returns
    -------
    float
        1 for constant or fewer than three values.
    """
    x = np.asarray(values, dtype=float)
    x = x - x.mean() if len(x) else x
    n = len(x)
    # what is left of a constant (or of a straight line) is rounding
    if n < 3 or not np.dot(x, x) > 0.0:
        return 1.0
    size = 2 ** (2 * n - 1).bit_length()
    power = np.abs(np.fft.rfft(x, size)) ** 2
    correlation = np.fft.irfft(power, size)[:n]
    g = 2.0 * np.cumsum(correlation / correlation[0]) - 1.0
    beyond = np.arange(n) >= 2.5 * np.maximum(g, 1.0)
    window = int(np.argmax(beyond)) if beyond.any() else n - 1
    crossing = int(np.argmax(correlation <= 0.0)) if (correlation <= 0.0).any() else n
    return float(max(1.0, g[window], g[crossing - 1]))


def mean(values: ArrayLike) -> Estimate:
    """The mean of correlated samples.

    Parameters
    ----------
    values : array_like, shape (n,)
        Evenly spaced samples, n ≥ 1.

    Returns
    -------
    Estimate
    """
    x = np.asarray(values, dtype=float)
    independent = len(x) / inefficiency(x)
    error = float(x.std(ddof=1) / np.sqrt(independent)) if len(x) > 1 else np.inf
    return Estimate(float(x.mean()), error, independent)


def slope(x: ArrayLike, y: ArrayLike) -> Estimate:
    """The slope of a straight line through correlated samples, by least squares.

    The error is that of uncorrelated residuals times √g, which is right for residuals
    that are correlated over a time much shorter than the whole (U. Grenander, Ann. Math.
    Stat. 25, 252, 1954); ``independent`` tells whether they are.

    Parameters
    ----------
    x, y : array_like, shape (n,)
        Samples; x ascending and evenly spaced.

    Returns
    -------
    Estimate
        Value 0 with an infinite error for fewer than three samples.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(x) < 3 or np.ptp(x) == 0.0:
        return Estimate(0.0, np.inf, float(len(x)))
    centred = x - x.mean()
    spread = float(centred @ centred)
    value = float(centred @ (y - y.mean())) / spread
    residuals = y - y.mean() - value * centred
    g = inefficiency(residuals)
    error = float(np.sqrt(g * (residuals @ residuals) / (len(x) - 2) / spread))
    return Estimate(value, error, len(x) / g)


def settled_from(values: ArrayLike) -> int:
    """Where a series has forgotten its start, by the marginal standard error rule (MSER).

    The samples that are left out are those whose absence makes the standard error of the mean
    of the rest smallest (K. P. White, Simulation 69, 323, 1997), at most half of them.

    Parameters
    ----------
    values : array_like, shape (n,)

    Returns
    -------
    int
        Index of the first sample to keep.
    """
    x = np.asarray(values, dtype=float)
    n = len(x)
    if n < 4:
        return 0
    x = x - x.mean()
    kept = n - np.arange(n // 2 + 1)
    sums = np.cumsum(x[::-1])[::-1][: len(kept)]
    squares = np.cumsum(x[::-1] ** 2)[::-1][: len(kept)]
    return int(np.argmin((squares - sums**2 / kept) / kept**2))
