"""Independent runs of one simulation as one: their mean, and whether they agree."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import chi2

from ..errors import MixpiError
from .comparing import require_independent, require_one_thing
from .conditions import common, require_same
from .results import Report, Result


#: Chance below which runs are said not to agree.
RARE = 0.01
#: How results end that are of one of several runs, and of another one in each report.
_OF_ONE_RUN = re.compile(r" of run \d+$")


def combine(reports: Mapping[str, Report]) -> Report:
    """The same observables of several runs of one simulation, averaged.

    Runs count by their independent samples, where all have those, and else alike: not by 1/σ²,
    because errors that grow with the value, as those of diffusion do, would pull the mean down.
    Where runs scatter by more than their errors say, the error of the mean is larger by
    √(χ²/(n − 1)), as the Particle Data Group has it (S. Navas et al., Phys. Rev. D 110, 030001,
    2024, section 5.2.2).

    Parameters
    ----------
    reports : mapping of str to Report
        File to what one analysis has found, each of runs of its own.

    Returns
    -------
    Report
        Of the same analysis, so that it can be compared, or combined again.

    Raises
    ------
    MixpiError
        If there are none, they share a run, are of different analyses, things, temperatures or
        loads, have nothing in common that has an error, or are of shots, which are counted instead.
    """
    if not reports:
        raise MixpiError("nothing to combine")
    files = require_independent(reports)
    require_one_thing(reports)
    conditions = {name: report.conditions for name, report in reports.items()}
    require_same(conditions)
    found, notes = [], [f"{len(reports)} run{'s' if len(reports) > 1 else ''}"]
    notes += [f"{name}: {note}" for name, report in reports.items() for note in report.notes]
    first = next(iter(reports.values()))
    if first.analysis == "reflection":
        raise MixpiError(
            "shares of few shots are not to be averaged: give these files to 'mixpi analyse "
            "reflection', which counts all shots together"
        )
    names = dict.fromkeys(r.name for report in reports.values() for r in report.results)
    for name in (name for name in names if not _OF_ONE_RUN.search(name)):
        rows = [r for report in reports.values() for r in report.results if r.name == name]
        if len(rows) < len(reports):
            notes.append(f"{name} is not in all runs")
        elif not all(np.isfinite(row.value) and 0.0 < row.error < np.inf for row in rows):
            notes.append(f"{name} has no error in one of the runs, and is left out")
        else:
            result, chance = _together(rows)
            found.append(result)
            if chance < RARE:
                notes.append(
                    f"{name}: the runs do not agree (by chance {100 * chance:.2g} %): are "
                    "they of one simulation, and in equilibrium?"
                )
    if not found:
        raise MixpiError("; ".join(notes))
    what = next((report.of for report in reports.values() if report.of), "")
    under = common(tuple(conditions.values()))
    return Report(first.analysis, tuple(files), tuple(found), tuple(notes), {}, what, under)


def _together(rows: Sequence[Result]) -> tuple[Result, float]:
    """The mean, and the chance of a scatter as large."""
    if len({row.units for row in rows}) > 1:
        raise MixpiError(f"{rows[0].name} is in different units: {[row.units for row in rows]}")
    values, errors, samples = (
        np.array([getattr(row, name) for row in rows]) for name in ("value", "error", "independent")
    )
    weights = samples if np.isfinite(samples).all() else np.ones(len(rows))
    weights = weights / weights.sum()
    error = float(np.sqrt(((weights * errors) ** 2).sum()))
    # about the mean whose scatter is distributed as χ²
    centre = np.average(values, weights=errors**-2.0)
    scatter, freedom = float((((values - centre) / errors) ** 2).sum()), len(rows) - 1
    independent = float(samples.sum())
    if scatter > freedom > 0:
        independent = _worth(scatter / freedom, independent, len(rows))
        error *= (scatter / freedom) ** 0.5
    chance = float(chi2.sf(scatter, freedom)) if freedom else 1.0
    value = float(weights @ values)
    return Result(rows[0].name, value, error, rows[0].units, independent), chance


def _worth(stretched: float, samples: float, runs: int) -> float:
    """Samples that a variance is worth which the scatter of few runs has made so much larger.

    What is added is known as well as few runs tell it (F. E. Satterthwaite, Biometrics 2, 110,
    1946).
    """
    of_samples = 1.0 / max(samples - 1.0, 1.0) if np.isfinite(samples) else 0.0
    added = (stretched - 1.0) ** 2 / (runs - 1)
    return 1.0 + stretched**2 / (of_samples + added)
