"""Thermal activation: the line of ln D against 1/T."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase.units import kB
from scipy.stats import chi2, norm, t

from ..errors import MixpiError
from .comparing import require_independent, require_one_thing
from .conditions import Conditions, different_temperatures, require_same
from .results import Report, Result
from .statistics import Estimate


def coefficients_of(reports: Mapping[float, Report]) -> dict[float, Result]:
    """D at each temperature, if they can be put on one line.

    Parameters
    ----------
    reports : mapping of float to Report
        Temperature (K) to what ``diffusion`` has found there.

    Returns
    -------
    dict of float to Result
        For :func:`arrhenius`.

    Raises
    ------
    MixpiError
        If they are of different analyses, walkers or loads, not independent, or were not at this
        temperature.
    """
    labelled = {f"{one:g} K": report for one, report in reports.items()}
    require_independent(labelled)
    require_one_thing(labelled)
    loads = {label: report.conditions.load for label, report in labelled.items()}
    require_same({label: Conditions(load=load) for label, load in loads.items()})
    for temperature, report in reports.items():
        meant, seen = Estimate(temperature, 0.0, np.inf), report.conditions.temperature
        if seen and different_temperatures({"meant": meant, "seen": seen}):
            raise MixpiError(
                f"{report.files[0]} was at {seen.value:.4g} K, not at {temperature:g} K: give "
                "each result the temperature of its runs"
            )
    return {one: report["D"] for one, report in reports.items()}


def arrhenius(coefficients: Mapping[float, Result]) -> Report:
    """The activation energy from diffusion coefficients at several temperatures.

    A straight line through ln D, each point weighted by (D / error)². An error that is of few runs
    counts as the 68 % of Student's t. If the points are further from the line than their errors
    allow, the errors of the line grow by √(χ²/ν).

    Parameters
    ----------
    coefficients : mapping of float to Result
        Temperature (K) to D with its standard error, all in the same units.

    Returns
    -------
    Report
        ``activation energy`` (eV), ``prefactor`` with its interval.

    Raises
    ------
    MixpiError
        If fewer than two temperatures have a D that is above zero and has an error.
    """
    temperature = np.array(sorted(coefficients), dtype=float)
    rows = [coefficients[one] for one in temperature]
    for one, row in zip(temperature, rows, strict=True):
        if not (one > 0.0 and row.value > 0.0 and 0.0 < row.error < np.inf):
            raise MixpiError(
                f"D at {one:g} K is {row}: a line of ln D needs values above zero with an error"
            )
    units = {row.units for row in rows}
    if len(rows) < 2 or len(units) > 1:
        raise MixpiError(
            f"a line needs two temperatures at least and one unit, here are {len(rows)} in "
            f"{', '.join(sorted(units)) or 'none'}"
        )
    value = np.array([row.value for row in rows])
    error = np.array([row.error * _of_few(row.independent) for row in rows]) / value
    inverse = 1.0 / (kB * temperature)
    middle = np.average(inverse, weights=error**-2)
    (tilt, height), spread = np.polyfit(
        inverse - middle, np.log(value), 1, w=1.0 / error, cov="unscaled"
    )
    freedom = len(rows) - 2
    misfit = float(np.sum(((np.log(value) - tilt * (inverse - middle) - height) / error) ** 2))
    stretch = max(1.0, misfit / freedom) if freedom else 1.0
    of_tilt, of_height = np.sqrt(stretch * np.diagonal(spread))
    log = height - tilt * middle
    of_log = float(np.hypot(of_height, middle * of_tilt))
    prefactor = float(np.exp(log))
    notes = [
        f"D at {one:g} K cannot be told from zero: its logarithm has no symmetric error, and such "
        "as are not above zero are missing"
        for one, share in zip(temperature, error, strict=True)
        if share > 0.5
    ]
    if not freedom:
        notes.append("two points are always on a line: nothing tells whether it is one")
    elif chi2.sf(misfit, freedom) < 0.05:
        notes.append(
            f"the points are no line within their errors (χ² {misfit:.3g} of {freedom}): the "
            "errors of the line are larger in proportion"
        )
    return Report(
        "arrhenius",
        (),
        (
            Result("activation energy", -float(tilt), float(of_tilt), "eV"),
            Result(
                "prefactor",
                prefactor,
                prefactor * of_log,
                units.pop(),
                interval=(float(np.exp(log - 1.96 * of_log)), float(np.exp(log + 1.96 * of_log))),
            ),
        ),
        tuple(notes),
        {
            "temperature_K": temperature,
            "coefficient": value,
            "error": error * value,
            "line": np.exp(height + tilt * (inverse - middle)),
        },
    )


def _of_few(runs: float) -> float:
    """How much wider than a Gaussian's is Student's t of so many runs; 1 if they are not known."""
    if not np.isfinite(runs):
        return 1.0
    return float(t.ppf(norm.cdf(1.0), max(runs - 1.0, 1.0)))
