"""Runs side by side: differences in units of their standard errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy.stats import t

from ..errors import MixpiError
from .conditions import differences
from .results import Report, Result


#: Of the shortest lag; lines that begin so much later may be of another motion.
LAGS_APART = 2.0


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
        ``curves["standard_errors"]`` holds these in units of their standard errors; in words how
        often chance gives as much, by Student's t where errors are of few samples.

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
    files = require_independent(reports)
    common = [
        one.name
        for one in reports[reference].results
        if all(one.name in {r.name for r in report.results} for report in reports.values())
    ]
    if not (names or common):
        raise MixpiError(f"{', '.join(labels)} have no result in common")
    results, away = [], {}
    notes = [f"{label}: {note}" for label, report in reports.items() for note in report.notes]
    if len(told := {report.of for report in reports.values() if report.of}) > 1:
        notes.append(f"different things are compared: {', '.join(sorted(told))}")
    notes += differences({label: report.conditions for label, report in reports.items()})
    notes += different_lags(
        (float(run["lag_ps"][0]), label)
        for label, report in reports.items()
        if report.analysis == "diffusion"
        for run in report.curves.get("runs", ())
    )
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
            freedom = _freedom((row, rows[reference]))
            notes.append(_in_words(title, away[title], freedom))
    return Report("compare", tuple(files), tuple(results), tuple(notes), {"standard_errors": away})


def require_independent(reports: Mapping[str, Report]) -> list[str]:
    """Refuse results that cannot be put beside one another, or that are of one run.

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
    seen: dict[object, str] = {}
    for label, report in reports.items():
        for mark in set(_marks(report)):
            if mark in seen:
                raise MixpiError(
                    f"{seen[mark]} and {label} hold the same numbers to the last digit: they are "
                    "of one run under two names, or of runs with one seed, and not independent"
                )
            seen[mark] = label
    return files


def require_one_thing(reports: Mapping[str, Report]) -> None:
    """Refuse results of different atoms, bonds or directions.

    Parameters
    ----------
    reports : mapping of str to Report
        Label to what one analysis has found.

    Raises
    ------
    MixpiError
        If they say that they are of different things.
    """
    told = {report.of: label for label, report in reports.items() if report.of}
    if len(told) > 1:
        each = ", ".join(f"{label} of {what}" for what, label in told.items())
        raise MixpiError(f"results of different things are not one: {each}")


def different_lags(begins: Iterable[tuple[float, str]]) -> list[str]:
    """A note if lines of mean square displacements begin at lags that are far apart.

    Motion that remembers itself is faster, or slower, at short lags than at long ones, and where it
    is found to be so is for chance to say.

    Parameters
    ----------
    begins : iterable of (float, str)
        Shortest lag of each, ps, and its label.

    Returns
    -------
    list of str
    """
    known = sorted(begins)
    if not known or known[-1][0] <= LAGS_APART * known[0][0]:
        return []
    (short, first), (long, last) = known[0], known[-1]
    return [
        f"D of {first} is that of lags from {short:.3g} ps on, of {last} from {long:.3g} ps: give "
        "all one shortest lag (--from) before they are compared"
    ]


def _marks(report: Report) -> list[object]:
    """What two independent runs cannot have in common."""
    if report.analysis == "reflection":  # few shots have the same shares by chance
        return [(one["kind"], one["depth"]) for one in report.curves.get("fates", ())]
    told = [(r.name, r.value, r.error) for r in report.results if 0.0 < r.error < np.inf]
    return [tuple(told)] if told else []


def _freedom(rows: Sequence[Result]) -> float:
    """Degrees of freedom of the error of a sum (F. E. Satterthwaite, Biometrics 2, 110, 1946)."""
    squares = np.array([row.error**2 for row in rows])
    own = np.array([max(row.independent - 1.0, 1.0) for row in rows])
    known = np.isfinite(own)
    few = np.sum(squares[known] ** 2 / own[known])
    return float(squares.sum() ** 2 / few) if few > 0.0 else np.inf


def _renamed(name: str, row: Result) -> Result:
    return Result(name, row.value, row.error, row.units, row.independent, row.interval)


def _in_words(title: str, away: float, freedom: float) -> str:
    if not np.isfinite(away):
        return f"{title}: without an error nothing can be said"
    chance = 2.0 * float(t.sf(abs(away), freedom))
    return f"{title}: {away:+.1f} standard errors (by chance as far: {100 * chance:.2g} %)"
