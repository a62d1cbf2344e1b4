"""What the mixing layer writes while it runs: a line a force evaluation."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from .continuing import cut_table, put_aside


@dataclass(frozen=True)
class StepRecord:
    """One evaluation of the mixed forces; the columns of the steps file, in order.

    Times are wall-clock ms. ``waits`` has a column a pool; pools that compute at the same time
    are all counted from the moment that the work was handed out. ``work`` has a column a bead,
    ``centre`` one a direction.
    """

    step: int
    evaluation: int
    core: int
    blend: int
    buffer: int
    net_force: float
    potential: float
    ipi: float
    regions: float
    send: float
    waits: tuple[float, ...]
    blending: float
    output: float
    lost_drivers: int
    work: tuple[float, ...]
    seeds: int = 0
    centre: tuple[float, ...] = (math.nan,) * 3


COLUMN_HELP = {
    "step": "step of i-PI that the geometry belongs to; several rows with multiple time steps",
    "evaluation": "force evaluation, from 0",
    "core": "atoms in the core",
    "blend": "atoms in the blend",
    "buffer": "atoms in the buffer",
    "net_force": "size of the net force of the blend, eV/Å (largest over beads)",
    "potential": "energy estimate, eV (mean over beads)",
    "ipi": "ms between the last evaluation and this one: i-PI and its output",
    "regions": "ms to fold the atoms, build regions and cluster",
    "send": "ms to hand out the work",
    "blending": "ms to blend",
    "output": "ms to write the previous evaluation's line",
    "lost_drivers": "drivers lost so far",
    "work": "work of all that is not the cheap force, eV, of bead {bead}",
    "seeds": "seed atoms",
    "centre": "centre of the region along {axis}, Å, in the frame of the structure's file "
    "(nan without a region)",
}
#: As in a simulation without a correction of its own.
WAITS = {
    "cheap": "ms until the last cheap reply (contains 'send')",
    "expensive": "ms until the last expensive reply (contains 'send')",
}
#: Column for cheap forces that are waited for before the others.
CHEAP_LAYER = "cheap_layer"
#: As in one with it.
WAITS_FOR_CORRECTION = {
    CHEAP_LAYER: "ms for all cheap forces on the whole system since the last row",
    "cheap_cluster": "ms until the last cheap reply on the cluster (contains 'send')",
    "expensive": "ms until the last expensive reply (contains 'send')",
}
#: How the line begins where a run was continued.
CONTINUED = "# continued from step "


class StepsFile:
    """Writes the steps file.

    Parameters
    ----------
    path : path-like
        An older one is put aside, under i-PI's kind of name, ``#file#0#``, unless this
        run continues it.
    beads : int
        Geometries of each evaluation.
    waits : mapping of str to str
        Pool → what the ms in its column are.
    first_step : int
        Step that this run begins with; more than 0 for one that continues another, whose
        rows behind that step are cut off. One that does not reach that step is put aside.

    Attributes
    ----------
    evaluations : int
        In the file, those of earlier parts included.
    last : dict of str to float
        The last row of an earlier part, by columns; empty without one.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        beads: int,
        waits: Mapping[str, str] = WAITS,
        first_step: int = 0,
    ) -> None:
        path, self.last = Path(path), {}
        self.evaluations = 0
        columns = _columns(beads, waits)
        if first_step and path.exists():
            cut_table(path, first_step, list(columns).index("step"))
            before = read_steps(path)
            # without the line of the first step, what is before has another zero of energy
            goes_on = len(before["step"]) and before["step"][-1] == first_step
            if list(before) == [*columns, "part"] and goes_on:
                self.last = {name: float(values[-1]) for name, values in before.items()}
                self.evaluations = int(self.last["evaluation"]) + 1
        if not self.last and path.exists():
            put_aside(path)
        self._stream = path.open("a")
        if self.last:
            self._stream.write(f"{CONTINUED}{first_step}\n")
        else:
            for number, (column, text) in enumerate(columns.items(), 1):
                self._stream.write(f"# column {number} {column}: {text}\n")
        self._stream.flush()

    def add(self, record: StepRecord) -> None:
        """Add a line."""
        columns = (value if isinstance(value, tuple) else (value,) for value in astuple(record))
        self._stream.write(" ".join(map(_text, chain.from_iterable(columns))) + "\n")
        self._stream.flush()
        self.evaluations += 1

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def _columns(beads: int, waits: Mapping[str, str] = WAITS) -> dict[str, str]:
    several = {
        "waits": waits,
        "work": {f"work_{bead}": COLUMN_HELP["work"].format(bead=bead) for bead in range(beads)},
        "centre": {f"centre_{axis}": COLUMN_HELP["centre"].format(axis=axis) for axis in "xyz"},
    }
    columns: dict[str, str] = {}
    for column in fields(StepRecord):
        name = column.name
        columns |= several[name] if name in several else {name: COLUMN_HELP[name]}
    return columns


def _text(value: float) -> str:
    # energies of a million atoms to a few µeV
    return f"{value:d}" if isinstance(value, int) else f"{value:.13g}"


def read_steps(path: str | Path) -> dict[str, np.ndarray]:
    """The columns of a steps file by name.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict
        Name → ndarray, shape (evaluations,); "part" counts how often the run had been
        continued before.
    """
    names: list[str] = []
    rows: list[list[float]] = []
    part = 0
    for line in Path(path).read_text(errors="replace").splitlines():
        if line.startswith("# column "):
            names.append(line.split()[3].rstrip(":"))
        elif line.startswith(CONTINUED):
            part += 1
        elif len(words := line.split()) == len(names):
            # a run that was killed may leave half a line, a disk that was full anything
            with contextlib.suppress(ValueError):
                rows.append([*map(float, words), part])
    if not rows:
        names = list(_columns(0))
    names.append("part")
    table = np.array(rows, dtype=float).reshape(-1, len(names))
    return dict(zip(names, table.T, strict=True))


def last_of_each_step(steps: Mapping[str, ArrayLike]) -> np.ndarray:
    """Mask of the rows that end a step: of several evaluations the last."""
    step = np.asarray(steps["step"])
    return np.append(step[1:] != step[:-1], True) if len(step) else np.zeros(0, dtype=bool)
