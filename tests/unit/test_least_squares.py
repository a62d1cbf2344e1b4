"""The constrained solver against textbook formulas and against its optimality conditions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixpi.distil.least_squares import ConstrainedLeastSquares, InfeasibleError, Triangle
from mixpi.errors import MixpiError
from scipy.optimize import minimize


def problem(rng, *, rows=40, size=8, hard=5, spread=0.0):
    scale = 10.0 ** rng.uniform(-spread, spread, size)
    return (
        rng.normal(size=(rows, size)) * scale,
        rng.normal(size=rows),
        rng.normal(size=(hard, size)) * scale,
        rng.normal(size=hard),
    )


def solver(a, y, h, t, chunk=7) -> ConstrainedLeastSquares:
    triangle = Triangle(a.shape[1])
    for start in range(0, len(a), chunk):
        triangle.add(a[start : start + chunk], y[start : start + chunk])
    return ConstrainedLeastSquares(triangle, h, t)


def test_triangle_keeps_the_normal_equations():
    a, y, *_ = problem(np.random.default_rng(0), rows=2000, size=6)
    triangle = Triangle(6)
    for start in range(0, 2000, 13):
        triangle.add(a[start : start + 13], y[start : start + 13])
    r, z, beyond = triangle.result()
    assert np.allclose(r.T @ r, a.T @ a)
    assert np.allclose(r.T @ z, a.T @ y)
    assert beyond + z @ z == pytest.approx(y @ y)
    assert triangle.rows == 2000


def test_unconstrained_is_least_squares():
    a, y, h, t = problem(np.random.default_rng(1), spread=4.0)
    free = solver(a, y, h, t).unconstrained
    expected, residual, *_ = np.linalg.lstsq(a, y, rcond=None)
    assert np.allclose(free.coefficients, expected, rtol=1e-8)
    assert free.soft_residual == pytest.approx(float(residual[0]))
    assert free.hard_residual == pytest.approx(np.sum((h @ expected - t) ** 2))
    assert free.multiplier == 0.0


def test_equality_is_the_null_space_solution():
    a, y, h, t = problem(np.random.default_rng(2))
    found = solver(a, y, h, t).solve(0.0)
    system = np.block([[2 * a.T @ a, h.T], [h, np.zeros((5, 5))]])
    expected = np.linalg.solve(system, np.concatenate([2 * a.T @ y, t]))[:8]
    assert np.allclose(found.coefficients, expected)
    assert found.multiplier == np.inf
    assert found.hard_residual < 1e-20


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.integers(1, 12),
    hard=st.integers(1, 12),
    spread=st.floats(0.0, 5.0),
    fraction=st.floats(1e-4, 0.99),
)
def test_solution_is_optimal(seed, size, hard, spread, fraction):
    """Karush-Kuhn-Tucker: feasible, active, gradients opposed by the multiplier."""
    a, y, h, t = problem(
        np.random.default_rng(seed), rows=2 * size + 3, size=size, hard=hard, spread=spread
    )
    squares = solver(a, y, h, t)
    start, floor = squares.unconstrained.hard_residual, squares.floor
    alpha = floor + fraction * (start - floor)
    if alpha - floor < 1e-10 * start:
        return  # nothing to constrain, or closer to the floor than rounding can tell
    found = squares.solve(alpha)
    assert found.hard_residual <= alpha * (1 + 1e-12)
    assert found.hard_residual == pytest.approx(alpha, rel=1e-6)
    scale = np.linalg.norm(a, axis=0)
    c = found.coefficients
    soft = a.T @ (a @ c - y) / scale
    constraint = found.multiplier * (h.T @ (h @ c - t)) / scale
    size_of_terms = np.linalg.norm(a.T @ y / scale) + np.linalg.norm(constraint)
    assert np.linalg.norm(soft + constraint) < 1e-5 * size_of_terms


def test_against_a_general_optimiser():
    a, y, h, t = problem(np.random.default_rng(5), size=4, hard=3)
    squares = solver(a, y, h, t)
    alpha = 0.3 * squares.unconstrained.hard_residual
    found = squares.solve(alpha)
    other = minimize(
        lambda c: np.sum((a @ c - y) ** 2),
        np.zeros(4),
        jac=lambda c: 2 * a.T @ (a @ c - y),
        constraints={
            "type": "ineq",
            "fun": lambda c: alpha - np.sum((h @ c - t) ** 2),
            "jac": lambda c: -2 * h.T @ (h @ c - t),
        },
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert np.allclose(found.coefficients, other.x, atol=1e-6)


def test_loose_constraint_costs_nothing():
    squares = solver(*problem(np.random.default_rng(3)))
    assert squares.solve(1e6) is squares.unconstrained


def test_residuals_fall_as_alpha_falls():
    squares = solver(*problem(np.random.default_rng(4)))
    found = [squares.solve(alpha) for alpha in np.geomspace(1.0, 1e-12, 25)]
    assert np.all(np.diff([s.hard_residual for s in found]) <= 0)
    assert np.all(np.diff([s.soft_residual for s in found]) >= -1e-12)


def test_what_cannot_be_met_says_by_how_much():
    a, y, h, t = problem(np.random.default_rng(6), size=3, hard=6)
    squares = solver(a, y, h, t)
    floor = np.sum((h @ np.linalg.lstsq(h, t, rcond=None)[0] - t) ** 2)
    assert squares.floor == pytest.approx(floor)
    with pytest.raises(InfeasibleError, match="cannot meet the constraint") as error:
        squares.solve(0.5 * floor)
    assert error.value.floor == pytest.approx(floor)
    with pytest.raises(InfeasibleError):
        squares.solve(0.0)
    assert squares.solve(1.001 * floor).hard_residual <= 1.001 * floor


def test_directions_without_soft_data_serve_the_constraint():
    """A function that never occurs in the soft data is free to meet the hard ones."""
    a, y, h, t = problem(np.random.default_rng(7), size=6, hard=2)
    a[:, 4:] = 0.0
    squares = solver(a, y, h, t)
    assert squares.rank == 4
    found = squares.solve(0.0)
    assert found.hard_residual < 1e-20
    assert found.soft_residual == pytest.approx(squares.unconstrained.soft_residual)
    loose = squares.solve(0.5 * squares.unconstrained.hard_residual)
    assert loose.hard_residual < 1e-20


def test_two_equal_functions_share():
    a, y, h, t = problem(np.random.default_rng(8), size=5, hard=2)
    a[:, 4], h[:, 4] = a[:, 3], h[:, 3]
    squares = solver(a, y, h, t)
    assert squares.rank == 4
    found = squares.solve(0.0)
    assert found.hard_residual < 1e-20
    assert found.coefficients[3] == pytest.approx(found.coefficients[4])


def test_bad_rows_are_refused():
    a, y, h, t = problem(np.random.default_rng(9))
    h[0, 0] = np.nan
    with pytest.raises(MixpiError, match="hard rows"):
        solver(a, y, h, t)
    with pytest.raises(MixpiError, match="all zero"):
        solver(0 * a, y, np.ones((1, 8)), [1.0])
    with pytest.raises(MixpiError, match="alpha must not be negative"):
        solver(*problem(np.random.default_rng(9))).solve(-1.0)
