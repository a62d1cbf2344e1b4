"""What a distillation measured, as the numbers that its verdict rests on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from .bonds import shortest_distance
from .fitting import Problem
from .measuring import Candidate
from .properties import Crystal
from .trial import Trial
from .verdict import WORSE, Evidence


def gather(
    problem: Problem,
    tolerance: float,
    held_out: Sequence[Atoms],
    *,
    expensive: Crystal,
    free: Candidate,
    best: Candidate,
    trial: Trial | None,
    allowed: float,
) -> Evidence:
    """The evidence about the constrained fit.

    Parameters
    ----------
    problem : Problem
        Of the fit.
    tolerance : float
        eV/atom; that was asked for.
    held_out : sequence of Atoms
        Frames that were not fitted to.
    expensive : Crystal
        Of the expensive potential.
    free, best : Candidate
        The fits without and with the constraint.
    trial : Trial or None
        Dynamics of the latter.
    allowed : float
        Å; how far atoms may be from their sites, by the expensive potential's snapshots.

    Returns
    -------
    Evidence
    """
    crystal, basis = best.crystal, problem.basis
    ratio = best.held_out.force_ratio(free.held_out)
    lowest, where = _imaginary(crystal, expensive)
    shortest = shortest_distance(held_out[0], 6.0)
    return Evidence(
        tolerance=tolerance,
        floor=problem.floor,
        force_ratio=ratio,
        read_back=max(best.read_back),
        elastic=crystal.elastic,
        expected=expensive.elastic,
        stable=crystal.stable,
        expected_stable=expensive.stable,
        no_crystal="" if expensive.fault else crystal.fault,
        imaginary=lowest,
        imaginary_where=where,
        imaginary_free=bool(free.crystal.fault) or _imaginary(free.crystal, expensive)[0] < 0.0,
        expected_lowest=expensive.spectrum.lowest,
        moved=crystal.moved / shortest,
        trial_fault=trial.fault if trial else "",
        trial_stopped=bool(trial and trial.stopped),
        melts=bool(np.isinf(allowed)),
        no_trial="" if trial else f"LAMMPS here has no pair_style {' or '.join(basis.pair_styles)}",
        more=basis.more,
        helpful_tolerance=(
            helpful_tolerance(problem, tolerance, held_out, WORSE * free.held_out.force_rmse)
            if ratio > WORSE
            else np.nan
        ),
    )


def _imaginary(crystal: Crystal, expensive: Crystal) -> tuple[float, tuple[float, ...]]:
    """The lowest branch (meV) that only this crystal has imaginary, and where; 0 if none."""
    found = crystal.spectrum.imaginary_against(expensive.spectrum)
    if not found.any():
        return 0.0, ()
    branches = np.where(found, crystal.spectrum.branches, 0.0)
    at = np.unravel_index(branches.argmin(), branches.shape)
    where = crystal.spectrum.points[at[0]]
    return float(branches[at]), tuple(map(float, where - (where > 0.5)))


def helpful_tolerance(
    problem: Problem, tolerance: float, held_out: Sequence[Atoms], limit: float
) -> float:
    """The smallest tolerance (eV/atom) whose fit has a small enough force error.

    Parameters
    ----------
    problem : Problem
        Of the fit.
    tolerance : float
        eV/atom; where to start.
    held_out : sequence of Atoms
        Frames with forces.
    limit : float
        eV/Å, rms of components.

    Returns
    -------
    float
        NaN if there is none.
    """
    rows = [(problem.basis.rows(atoms).forces, atoms.get_forces().ravel()) for atoms in held_out]
    loosest = np.sqrt(problem.least_squares.unconstrained.hard_residual)
    start = max(tolerance, 1.01 * problem.floor, 1e-9)
    if start >= loosest:
        return np.nan
    for candidate in np.geomspace(start, loosest, 60):
        c = problem.constrained(candidate).coefficients
        error = np.sqrt(np.mean(np.concatenate([r @ c - f for r, f in rows]) ** 2))
        if error <= limit:
            return float(candidate)
    return np.nan
