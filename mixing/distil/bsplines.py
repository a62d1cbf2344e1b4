"""Cubic B-splines on clamped uniform knots: values and slopes of the four that matter."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import BSpline


def clamped_knots(start: float, end: float, intervals: int) -> np.ndarray:
    """Knots (intervals + 7,) of ``intervals + 3`` cubic splines on [start, end]."""
    inner = np.linspace(start, end, intervals + 1)
    return np.concatenate([[start] * 3, inner, [end] * 3])


def local_splines(x: np.ndarray, knots: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The cubic splines that are not zero at each point.

    Parameters
    ----------
    x : ndarray, shape (m,)
        Points inside the knots.
    knots : ndarray, shape (n + 4,)
        Clamped knots of n splines.

    Returns
    -------
    first : ndarray of int, shape (m,)
        Index of the first of the four splines.
    values, slopes : ndarray, shape (m, 4)
        Of the splines ``first`` to ``first + 3``.
    """
    if len(x) == 0:
        return np.zeros(0, dtype=int), np.zeros((0, 4)), np.zeros((0, 4))
    cubic = BSpline.design_matrix(x, knots, 3)
    values = cubic.data.reshape(-1, 4)
    first = cubic.indices.reshape(-1, 4)[:, 0].astype(int)
    # a slope of cubic splines is a difference of quadratic ones (de Boor)
    quadratic = BSpline.design_matrix(x, knots[1:-1], 2).data.reshape(-1, 3)
    span = knots[first[:, None] + np.arange(4, 7)] - knots[first[:, None] + np.arange(1, 4)]
    steps = 3.0 * quadratic / span
    slopes = np.zeros_like(values)
    slopes[:, 1:] += steps
    slopes[:, :3] -= steps
    return first, values, slopes


def second_differences(count: int) -> np.ndarray:
    """Rows (count - 2, count): the curvature of a sequence of coefficients."""
    return np.diff(np.eye(count), n=2, axis=0)
