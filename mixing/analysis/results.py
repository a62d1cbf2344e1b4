"""What an analysis has found: values with their standard errors, as JSON and as text."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import MixpiError
from ..files.replacing import replace_text
from .conditions import Conditions
from .statistics import Estimate


@dataclass(frozen=True)
class Result:
    """A value with its error.

    Attributes
    ----------
    name : str
        What it is; unique in a :class:`Report`.
    value : float
        The estimate; NaN if there is none.
    error : float
        Standard error; infinite where the data do not tell.
    units : str
        Of both; empty for a ratio.
    independent : float
        Independent samples that the data are worth; NaN if that was not asked.
    interval : tuple of float or None
        Where the value is with 95 %, if that is not symmetric: (low, high).
    """

    name: str
    value: float
    error: float
    units: str
    independent: float = math.nan
    interval: tuple[float, float] | None = None

    def __str__(self) -> str:
        words = f"{with_error(self.value, self.error)} {self.units}".rstrip()
        if self.interval:
            low, high = self.interval
            words += f" (95 %: {low:.4g} to {high:.4g})"
        if math.isfinite(self.independent):
            words += f", {self.independent:.3g} independent samples"
        return words


@dataclass(frozen=True)
class Report:
    """The results of one analysis.

    Attributes
    ----------
    analysis : str
        Its name on the command line.
    files : tuple of str
        What was analysed.
    results : tuple of Result
        The most important first.
    notes : tuple of str
        What a reader has to know to trust the results, or not to.
    curves : dict
        What its picture shows, ready for JSON.
    of : str
        What was looked at in the files, such as ``bond 0-1``; empty where it is all there is, or
        not known (of older versions).
    conditions : Conditions
        Under which the runs were made, as far as their frames tell.
    """

    analysis: str
    files: tuple[str, ...]
    results: tuple[Result, ...]
    notes: tuple[str, ...] = ()
    curves: dict[str, Any] = field(default_factory=dict)
    of: str = ""
    conditions: Conditions = field(default_factory=Conditions)

    def __getitem__(self, name: str) -> Result:
        for result in self.results:
            if result.name == name:
                return result
        known = ", ".join(result.name for result in self.results)
        raise MixpiError(f"{self.analysis} has no result {name!r}: it has {known}")

    def __str__(self) -> str:
        width = max((len(result.name) for result in self.results), default=0)
        lines = [f"{result.name:{width}}  {result}" for result in self.results]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def named(self, files: Sequence[str | Path]) -> Report:
        """The same, of these files."""
        return replace(self, files=tuple(map(str, files)))

    def write(self, path: Path) -> None:
        """Write it as JSON; what is not finite is null.

        Names of files are those that they have from its folder, so that ``mix.extxyz`` of two
        folders are two.
        """
        found = {**asdict(self), "files": [_from(path.parent, file) for file in self.files]}
        replace_text(path, json.dumps(_finite(found), indent=1, allow_nan=False) + "\n")


def read_report(path: str | Path) -> Report:
    """A report that :meth:`Report.write` has written.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Report

    Raises
    ------
    MixpiError
        If it is none.
    """
    try:
        found = json.loads(Path(path).read_text())
        results = []
        for row in found.pop("results"):
            value, error = row.pop("value"), row.pop("error")
            many, interval = row.pop("independent"), row.pop("interval")
            results.append(
                Result(
                    value=math.nan if value is None else float(value),
                    error=math.inf if error is None else float(error),
                    independent=math.nan if many is None else float(many),
                    interval=None if interval is None else _read_interval(interval),
                    **row,
                )
            )
        files = tuple(os.path.normpath(Path(path).parent / file) for file in found.pop("files"))
        notes = tuple(found.pop("notes"))
        under = _read_conditions(**found.pop("conditions", {}))  # older ones do not tell
        return Report(files=files, notes=notes, results=tuple(results), conditions=under, **found)
    except OSError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MixpiError(
            f"{path} is no result of mixpi analyse ({type(error).__name__}: {error}): give a file "
            "that its --json has written"
        ) from None


def _from(folder: Path, file: str) -> str:
    try:
        return os.path.relpath(file, folder)
    except ValueError:  # of another drive
        return str(Path(file).absolute())


def _read_interval(ends: Sequence[float | None]) -> tuple[float, float]:
    low, high = ends
    return (-math.inf if low is None else low, math.inf if high is None else high)


def _read_conditions(
    temperature: dict[str, float] | None = None, load: Sequence[float] | None = None
) -> Conditions:
    under = Conditions()
    if temperature is not None:
        error = math.inf if temperature["error"] is None else temperature["error"]
        value, independent = temperature["value"], temperature["independent"]
        under = replace(under, temperature=Estimate(float(value), float(error), float(independent)))
    if load is not None:
        x, y, z = load
        under = replace(under, load=(float(x), float(y), float(z)))
    return under


def _finite(thing: Any) -> Any:
    if isinstance(thing, dict):
        return {name: _finite(value) for name, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [_finite(value) for value in thing]
    if hasattr(thing, "tolist"):
        return _finite(thing.tolist())
    return None if isinstance(thing, float) and not math.isfinite(thing) else thing


def with_error(value: float, error: float) -> str:
    """A value and its standard error, to two digits of the error.

    Parameters
    ----------
    value, error : float

    Returns
    -------
    str
        Such as ``300.4 ± 0.8`` or ``(6.7 ± 0.4)e-10``.
    """
    if not math.isfinite(value):
        return "unknown"
    if not math.isfinite(error):
        return f"{value:.4g} ± unknown"
    largest = max(abs(value), error)
    power = math.floor(math.log10(largest)) if largest > 0.0 else 0
    scale = power if not -4 < power < 6 else 0
    value, error = value / 10.0**scale, error / 10.0**scale
    digits = max(0, 1 - math.floor(math.log10(error))) if error > 0.0 else 6
    words = f"{value:.{min(digits, 12)}f} ± {error:.{min(digits, 12)}f}"
    return f"({words})e{scale:+03d}" if scale else words
