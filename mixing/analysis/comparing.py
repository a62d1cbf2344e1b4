"""Runs side by side: differences in units of their standard errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import norm

from ..errors import MixpiError
from .results import Report, Result


def compare(
    reports: Mapping[str, Report],
    names: Sequence[str] = (),
    reference: str | None = None,
) -> Report:
    """The same observables of several runs, and how far each run is from a reference.

    Runs must know nothing of one another: then the variance of a difference is the sum of both.

    Parameters
    ----------
    reports : mapping of str to Report
        Label to what the same analysis has found.
    names : sequence of str
        Results that are compared (default: all that every run has).
    reference : str, optional
        Label of the run that the others are compared with (default: the last).

    Returns
    -------
    Report
        Of each observable the values and the differences from the reference;
        ``curves["standard_errors"]`` holds these in units of their standard errors.

    Raises
    ------
    MixpiError
        If there are fewer than two runs, or they have nothing in common.
    """
    labels = list(reports)
    if reference is None:
        reference = labels[-1] if labels else "missing"
    if len(labels) < 2 or reference not in reports:
        raise MixpiError(
            f"two runs at least are compared, one of them the reference: there are "
            f"{', '.join(labels) or 'none'}, the reference is {reference}"
        )
    files = require_alike(reports)
    common = [
        one.name
        for one in reports[reference].results
        if all(one.name in {r.name for r in report.results} for report in reports.values())
    ]
    if not (names or common):
        raise MixpiError(f"{', '.join(labels)} have no result in common")
    results, notes, away = [], [], {}
    for name in names or common:
        rows = {label: report[name] for label, report in reports.items()}
        if len({row.units for row in rows.values()}) > 1:
            raise MixpiError(f"{name} is in different units: {[r.units for r in rows.values()]}")
        for label, row in rows.items():
            results.append(_renamed(f"{name}, {label}", row))
        for label, row in rows.items():
            if label == reference:
                continue
            title = f"{name}, {label} − {reference}"
            off = row.value - rows[reference].value
            error = float(np.hypot(row.error, rows[reference].error))
            results.append(Result(title, off, error, row.units))
            away[title] = off / error if 0.0 < error < np.inf else np.nan
            notes.append(_in_words(title, away[title]))
    return Report("compare", tuple(files), tuple(results), tuple(notes), {"standard_errors": away})


def require_alike(reports: Mapping[str, Report]) -> list[str]:
    """Refuse results that cannot be put beside one another.

    Parameters
    ----------
    reports : mapping of str to Report
        Label to what one analysis has found.

    Returns
    -------
    list of str
        What has been analysed.

    Raises
    ------
    MixpiError
        If they are of different analyses, or of the same run.
    """
    kinds = {report.analysis for report in reports.values()}
    if len(kinds) > 1:
        raise MixpiError(
            f"results of different analyses do not compare: {', '.join(sorted(kinds))}"
        )
    files = [file for report in reports.values() for file in report.files]
    if len(set(files)) < len(files):
        twice = next(file for file in files if files.count(file) > 1)
        raise MixpiError(f"{twice} is in two of the runs: they are not independent")
    return files


def _renamed(name: str, row: Result) -> Result:
    return Result(name, row.value, row.error, row.units, row.independent, row.interval)


def _in_words(title: str, away: float) -> str:
    if not np.isfinite(away):
        return f"{title}: without an error nothing can be said"
    chance = 2.0 * float(norm.sf(abs(away)))
    return f"{title}: {away:+.1f} standard errors (by chance as far: {100 * chance:.2g} %)"
