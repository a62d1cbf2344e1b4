"""Least squares under a quadratic constraint, solved exactly with one factorisation.

    minimise ‖A c − y‖² + ‖P c‖²   subject to   ‖H c − h‖² ≤ α

A and y are the soft data, P the regularisation, H and h the hard data (Birks et al.,
npj Comput. Mater. 2026, potential fitting). The stack of A and P is reduced to a
triangle while its rows arrive (:class:`Triangle`), so memory does not grow with the
data and no normal equations square the condition number.

With the triangle's R and z, u = R c − z turns the problem into: the shortest u with
‖M u − b‖² ≤ α, where M = H R⁻¹ and b = h − M z. In the singular basis of M = U S Vᵀ
each component is solved by itself: the residual is βᵢ / (1 + λ sᵢ²) with β = Uᵀ b, and
the multiplier λ is the root of the monotone function

    φ(λ) = Σ βᵢ² / (1 + λ sᵢ²)² + ‖b − U β‖² = α .

α = 0 is the limit λ → ∞, an equality.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import qr
from scipy.optimize import brentq

from ..errors import MixpiError


#: Relative size below which a singular value counts as zero.
RANK_TOLERANCE = 1e-12


class Triangle:
    """The soft rows, reduced to an upper triangle as they arrive.

    Parameters
    ----------
    size : int
        Number of coefficients, p.

    Attributes
    ----------
    rows : int
        Rows seen so far.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.rows = 0
        self._top = np.zeros((0, size + 1))
        self._waiting: list[np.ndarray] = []

    def add(self, matrix: np.ndarray, target: ArrayLike) -> None:
        """Take in rows (m, p) with their targets (m,)."""
        block = np.column_stack([matrix, target])
        self._waiting.append(block)
        self.rows += len(block)
        # few large factorisations cost less than many small ones
        if sum(map(len, self._waiting)) > 4 * self.size + 256:
            self._reduce()

    def _reduce(self) -> None:
        if self._waiting:
            stack = np.vstack([self._top, *self._waiting])
            self._top = qr(stack, mode="r", overwrite_a=True, check_finite=False)[0]
            self._top = self._top[: self.size + 1]
            self._waiting = []

    def result(self) -> tuple[np.ndarray, np.ndarray, float]:
        """R (p, p), z (p,) and the part of ‖y‖² that no coefficients can reach."""
        self._reduce()
        full = np.zeros((self.size + 1, self.size + 1))
        full[: len(self._top)] = self._top
        return full[:-1, :-1], full[:-1, -1], float(full[-1, -1] ** 2)


@dataclass(frozen=True)
class Solution:
    """A constrained fit.

    Attributes
    ----------
    coefficients : ndarray, shape (p,)
        c.
    multiplier : float
        λ of the constraint; 0 where it is met without help, inf for α = 0.
    hard_residual : float
        ‖H c − h‖².
    soft_residual : float
        ‖A c − y‖² + ‖P c‖².
    """

    coefficients: np.ndarray
    multiplier: float
    hard_residual: float
    soft_residual: float


class ConstrainedLeastSquares:
    """The problem factorised: any α is then solved in microseconds.

    Parameters
    ----------
    triangle : Triangle
        Soft rows and regularisation, n coefficients.
    hard : array_like, shape (m, p)
        H.
    hard_target : array_like, shape (m,)
        h.

    Attributes
    ----------
    rank : int
        How many directions of the p coefficients the soft rows determine.
    floor : float
        The smallest ‖H c − h‖² that any coefficients reach.
    unconstrained : Solution
        Without the hard rows.

    Raises
    ------
    MixpiError
        If there are no rows at all, or one is not finite.
    """

    def __init__(self, triangle: Triangle, hard: ArrayLike, hard_target: ArrayLike) -> None:
        matrix, z, self._beyond = triangle.result()
        hard = np.asarray(hard, dtype=float)
        h = np.asarray(hard_target, dtype=float)
        for what, array in (("soft", matrix), ("soft", z), ("hard", hard), ("hard", h)):
            if not np.isfinite(array).all():
                raise MixpiError(f"the {what} rows of the fit hold values that are not finite")
        # functions differ by many orders of magnitude: unit columns say what "rank" means
        self._scale = np.linalg.norm(matrix, axis=0)
        if not self._scale.any():
            raise MixpiError("the soft rows of the fit are all zero: nothing to fit to")
        unseen = self._scale == 0.0
        self._scale[unseen] = np.maximum(np.linalg.norm(hard, axis=0)[unseen], 1e-300)
        self._matrix, self._z = matrix / self._scale, z
        self._hard, self._h = hard / self._scale, h
        left, s, right = np.linalg.svd(self._matrix)
        self.singular_values = s
        self.rank = int(np.sum(s > RANK_TOLERANCE * s[0] * np.sqrt(len(s))))
        self._back = right[: self.rank].T / s[: self.rank]  # u -> coefficients
        self._z_in = left[:, : self.rank].T @ z
        self._outside = float(np.sum(z**2) - np.sum(self._z_in**2))
        self._free = right[self.rank :].T  # directions that the soft rows do not see
        self._prepare_hard()
        self.unconstrained = self._at(0.0)

    def _prepare_hard(self) -> None:
        m = self._hard @ self._back
        b = self._h - m @ self._z_in
        # what free directions can do for the constraint costs nothing
        free = self._hard @ self._free
        left, s, _ = np.linalg.svd(free, full_matrices=False)
        # the noise of zero, seen from how long the hard rows are
        large = s > 1e-10 * max(float(np.linalg.norm(self._hard, 2)), 1e-300) if s.size else s > 0
        reach = left[:, large]
        self._free_inverse = np.linalg.pinv(free, rcond=1e-10) if large.any() else None
        self._m, self._b = m, b
        smallest = RANK_TOLERANCE * np.linalg.norm(m)
        m = m - reach @ (reach.T @ m)
        b = b - reach @ (reach.T @ b)
        left, s, right = np.linalg.svd(m, full_matrices=False)
        kept = s > smallest
        self._s, self._v = s[kept], right[kept].T
        self._beta = left[:, kept].T @ b
        self.floor = float(np.sum((b - left[:, kept] @ self._beta) ** 2))

    def hard_residual(self, multiplier: float) -> float:
        """φ(λ), the squared constraint residual; falls with λ."""
        return float(np.sum((self._beta / (1.0 + multiplier * self._s**2)) ** 2)) + self.floor

    def _at(self, multiplier: float) -> Solution:
        s = self._s
        if np.isinf(multiplier):
            w = self._beta / s
        else:
            w = multiplier * s * self._beta / (1.0 + multiplier * s**2)
        u = self._v @ w
        scaled = self._back @ (u + self._z_in)
        if multiplier > 0.0 and self._free_inverse is not None:
            scaled = scaled + self._free @ (self._free_inverse @ (self._b - self._m @ u))
        hard = float(np.sum((self._hard @ scaled - self._h) ** 2))
        soft = float(np.sum((self._matrix @ scaled - self._z) ** 2)) + self._beyond
        return Solution(scaled / self._scale, float(multiplier), hard, soft)

    def solve(self, alpha: float, *, slack: float = 0.0) -> Solution:
        """The best coefficients among those with ‖H c − h‖² ≤ ``alpha``.

        Parameters
        ----------
        alpha : float
            In the units of the squared hard rows; 0 asks for equality.
        slack : float
            Squared residual that counts as equality, because the hard data are not
            better than that.

        Returns
        -------
        Solution

        Raises
        ------
        MixpiError
            If no coefficients meet the constraint.
        """
        if not alpha >= 0.0:
            raise MixpiError(f"alpha must not be negative, got {alpha}")
        # equality is meant to rounding: what 64 bits leave of the hard targets
        rounding = (1e-13 * float(np.linalg.norm(self._h) + np.linalg.norm(self._b))) ** 2
        rounding = max(rounding, slack)
        if self.unconstrained.hard_residual <= alpha:
            return self.unconstrained
        if alpha == 0.0 or self.floor >= alpha:
            if self.floor > max(alpha, rounding):
                raise InfeasibleError(self.floor, alpha)
            return self._at(np.inf)
        if self.hard_residual(0.0) <= alpha:
            # directions that cost nothing are enough; any multiplier above 0 uses them
            return self._at(np.finfo(float).tiny)
        # φ(λ) ≤ α at the upper end: each term falls at least as fast as the weakest one
        low, high = -60.0, 60.0
        shift = -2.0 * np.log(self._s.max())

        def excess(log: float) -> float:
            return np.log(self.hard_residual(np.exp(log + shift))) - np.log(alpha)

        while excess(low) < 0.0 and low > -600.0:
            low *= 1.5
        while excess(high) > 0.0 and high < 600.0:
            high *= 1.5
        log = brentq(excess, low, high, xtol=1e-13, rtol=1e-14) + shift
        solution = self._at(np.exp(log))
        # the root is known to rounding, the constraint is an inequality
        step = 1e-13
        while solution.hard_residual > alpha and step < 1e-2:
            log += step
            step *= 4.0
            solution = self._at(np.exp(log))
        return solution


class InfeasibleError(MixpiError):
    """No coefficients meet the constraint.

    Attributes
    ----------
    floor, alpha : float
        What can be reached, and what was asked for.
    """

    def __init__(self, floor: float, alpha: float) -> None:
        self.floor, self.alpha = floor, alpha
        super().__init__(
            f"the basis cannot meet the constraint: the smallest possible ‖H c − h‖² is "
            f"{floor:.3e}, alpha is {alpha:.3e} ({np.sqrt(floor):.2e} against "
            f"{np.sqrt(alpha):.2e} as rms): use a richer basis or a larger tolerance"
        )
