"""i-PI's properties files: what is in them, in mixpi's units, and what is missing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ipi.utils.units import unit_to_internal, unit_to_user
from numpy.typing import ArrayLike

from ..ipi.input import IpiInput


#: Properties that mixpi uses, with the kind of their unit and mixpi's own.
KNOWN = {
    "step": None,
    "time": ("time", "femtosecond"),
    "temperature": ("temperature", "kelvin"),
    "conserved": ("energy", "electronvolt"),
}
#: A line of the header, e.g. "# column   4     --> temperature{kelvin} : The temperature".
_HEADER = re.compile(r"#\s*(?:column|cols\.)\s+(\d+)(?:-\d+)?\s*-->\s*(\w+)(?:\{([^}]*)\})?(\()?")


@dataclass(frozen=True)
class Series:
    """A property over the steps.

    Attributes
    ----------
    step : ndarray of int, shape (n,)
        i-PI's, ascending, each once.
    time : ndarray, shape (n,)
        fs.
    values : ndarray, shape (n,)
        K or eV.
    """

    step: np.ndarray
    time: np.ndarray
    values: np.ndarray

    def between(self, first: int, last: int | None = None) -> Series:
        """The part behind the step ``first``, up to the step ``last`` (default: the end)."""
        kept = self.step > first
        if last is not None:
            kept &= self.step <= last
        return Series(self.step[kept], self.time[kept], self.values[kept])


def read_series(ipi_input: IpiInput, name: str) -> Series | str:
    """A property of a run, from the first of i-PI's files that has it.

    Parameters
    ----------
    ipi_input : IpiInput
        The run.
    name : {"temperature", "conserved"}
        The property.

    Returns
    -------
    Series or str
        Or what is missing, in words.
    """
    if not ipi_input.properties_files:
        return "the input has no <properties>"
    reasons = []
    for path in ipi_input.properties_files:
        if not path.exists():
            reasons.append(f"{path.name} does not exist")
            continue
        columns = read_properties(path)
        missing = [column for column in ("step", "time", name) if column not in columns]
        if missing:
            reasons.append(f"{path.name} has no {' and no '.join(map(repr, missing))}")
            continue
        last = written_last(columns["step"])
        step, time, values = (columns[column][last] for column in ("step", "time", name))
        if not np.isfinite(values).all():
            where = int(step[np.argmin(np.isfinite(values))])
            reasons.append(f"{name!r} in {path.name} is not a number at step {where}")
            continue
        return Series(step.astype(int), time, values)
    return "; ".join(reasons)


def read_properties(path: str | Path) -> dict[str, np.ndarray]:
    """Those columns of a properties file that mixpi knows.

    Lines that are not whole, as a run leaves them that is killed or still going on, are
    left out (i-PI's own reader fails on them).

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict
        Name → ndarray, shape (rows,), in fs, K and eV.
    """
    text = Path(path).read_text(errors="replace")
    places: dict[str, tuple[int, str]] = {}
    rows: list[list[str]] = []
    for line in text[: text.rfind("\n") + 1].splitlines():
        if not line.startswith("#"):
            rows.append(line.split())
        elif found := _HEADER.match(line):
            column, name, unit, arguments = found.groups()
            # of a quantity with arguments, such as the temperature of one atom, there are many
            if name in KNOWN and not arguments:
                places.setdefault(name, (int(column) - 1, unit or ""))
    width = max(map(len, rows), default=0)
    numbers = [row for row in map(_numbers, rows) if row is not None and len(row) == width]
    table = np.array(numbers, dtype=float).reshape(len(numbers), width)
    columns = {}
    for name, (column, unit) in places.items():
        if column < width:
            columns[name] = table[:, column] * _factor(name, unit)
        elif not rows:
            columns[name] = np.zeros(0)
    return columns


def _numbers(words: Sequence[str]) -> list[float] | None:
    try:
        return [float(word) for word in words]
    except ValueError:
        return None


def _factor(name: str, unit: str) -> float:
    """From the unit of a file to mixpi's."""
    known = KNOWN[name]
    if known is None:
        return 1.0
    family, own = known
    return float(unit_to_user(family, own, unit_to_internal(family, unit, 1.0)))


def written_last(step: ArrayLike, *, rows_a_step: bool = False) -> np.ndarray:
    """Mask of the rows that no later row takes the place of.

    What a run that was continued has computed again stands twice where it was not cut off.

    Parameters
    ----------
    step : array_like, shape (n,)
        Of each row, in the order of the file.
    rows_a_step : bool
        Whether one step may have several rows.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    step = np.asarray(step)
    smallest_behind = np.append(np.minimum.accumulate(step[::-1])[::-1][1:], np.inf)
    return step <= smallest_behind if rows_a_step else step < smallest_behind
