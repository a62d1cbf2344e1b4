"""The cheapest of many pairs that is good enough, without trying all of them.

Cost and quality grow with both of two numbers. A pair that is too bad rules out all that are
smaller in both; one that is good enough rules out all that cost as much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np


def cheapest(costs: np.ndarray, good: Callable[[int, int], bool]) -> tuple[int, int] | None:
    """The cheapest pair that is good enough.

    From the smallest along the diagonal to a first good one, then by halves: each further pair
    is one that rules out many others, whatever the answer.

    Parameters
    ----------
    costs : ndarray, shape (a, b)
        Of the pairs; along both axes they do not fall.
    good : callable
        Whether pair (i, j) is good enough; is asked once of a pair. If it is so of one, it is of
        all that are larger in both. Where that does not hold, the answer is a good pair still,
        and none that was asked and is larger in both was too bad.

    Returns
    -------
    tuple of int or None
        None if the largest pair is not good enough.
    """
    left = np.ones(costs.shape, dtype=bool)
    best: tuple[int, int] | None = None

    def ask(i: int, j: int) -> None:
        nonlocal best
        if good(i, j):
            best = i, j
            left[costs >= costs[i, j]] = False
        else:
            left[: i + 1, : j + 1] = False

    for i, j in _diagonal(*costs.shape):
        if best is None and left[i, j]:
            ask(i, j)
    while left.any():
        ask(*_dividing(costs, left))
    return best


def _diagonal(a: int, b: int) -> Iterator[tuple[int, int]]:
    for step in range(max(a, b)):
        yield min(step, a - 1), min(step, b - 1)


def _dividing(costs: np.ndarray, left: np.ndarray) -> tuple[int, int]:
    """The pair that rules out the most in the worse case; of several the cheapest."""
    smaller = left.cumsum(axis=0).cumsum(axis=1)
    dearer = np.array([[np.count_nonzero(left & (costs >= cost)) for cost in row] for row in costs])
    pairs = np.argwhere(left)
    rank = [(-min(smaller[i, j], dearer[i, j]), costs[i, j]) for i, j in pairs]
    i, j = pairs[min(range(len(pairs)), key=rank.__getitem__)]
    return int(i), int(j)
