"""What the mixing layer writes while it runs: a line a force evaluation, frames to look at."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io.extxyz import write_extxyz

from .regions import Regions


@dataclass(frozen=True)
class StepRecord:
    """One evaluation of the mixed forces; the columns of the steps file, in order.

    Times are wall-clock ms. ``cheap`` and ``expensive`` run at the same time: both
    are counted from the moment that the work was handed out.
    """

    evaluation: int
    core: int
    blend: int
    buffer: int
    net_force: float
    potential: float
    ipi: float
    regions: float
    send: float
    cheap: float
    expensive: float
    blending: float
    output: float
    lost_drivers: int


COLUMN_HELP = {
    "evaluation": "force evaluation, from 0",
    "core": "atoms in the core",
    "blend": "atoms in the blend",
    "buffer": "atoms in the buffer",
    "net_force": "size of the net force of the blend, eV/Å (largest over beads)",
    "potential": "energy estimate, eV (mean over beads)",
    "ipi": "ms between the last evaluation and this one: i-PI and its output",
    "regions": "ms to build regions and cluster",
    "send": "ms to hand out the work",
    "cheap": "ms until the last cheap reply (contains 'send')",
    "expensive": "ms until the last expensive reply (contains 'send')",
    "blending": "ms to blend",
    "output": "ms to write frames of the previous evaluation",
    "lost_drivers": "drivers lost so far",
}


#: Set by ``mixpi run`` when it continues from a RESTART: the evaluation it begins with.
CONTINUE = "MIXPI_CONTINUE_FROM"


def continued_from() -> int | None:
    """The first evaluation of a continued run, None for a run from the start."""
    text = os.environ.get(CONTINUE)
    return int(text) if text else None


class Recorder:
    """Writes the steps file and the trajectory.

    An older file of the same name is kept under i-PI's kind of name,
    ``#file#0#``; in a run that continues another (:func:`continued_from`) it is
    continued.

    Parameters
    ----------
    steps : path-like
        Steps file.
    trajectory : path-like or None
        Extended XYZ file.
    stride : int
        Evaluations between frames.
    numbers : ndarray of int, shape (n,)
        Atomic numbers.
    """

    def __init__(
        self, steps: str | Path, trajectory: str | Path | None, stride: int, numbers: np.ndarray
    ) -> None:
        append = continued_from() is not None
        self._stride, self._numbers = stride, numbers
        self._trajectory = _opened(trajectory, append) if trajectory else None
        self._steps = _opened(steps, append)
        if append and self._steps.tell():
            self._steps.write("# continued\n")
        else:
            for number, column in enumerate(fields(StepRecord), 1):
                self._steps.write(f"# column {number} {column.name}: {COLUMN_HELP[column.name]}\n")
        self._steps.flush()

    def step(self, record: StepRecord) -> None:
        """Add a line to the steps file."""
        self._steps.write(
            " ".join(f"{v:d}" if isinstance(v, int) else f"{v:.6g}" for v in astuple(record)) + "\n"
        )
        self._steps.flush()

    def frames(
        self,
        evaluation: int,
        geometries: Sequence[np.ndarray],
        cells: Sequence[np.ndarray],
        regions: Regions,
    ) -> None:
        """Write a frame a geometry if the stride says so."""
        again = evaluation == continued_from()  # its frame was written before the stop
        if self._trajectory is None or evaluation % self._stride or again:
            return
        for bead, (positions, cell) in enumerate(zip(geometries, cells, strict=True)):
            atoms = Atoms(self._numbers, positions, cell=cell, pbc=True)
            atoms.arrays["mix_weight"] = regions.weights
            atoms.arrays["mix_region"] = regions.labels
            atoms.info = {"evaluation": evaluation, "bead": bead}
            write_extxyz(
                self._trajectory,
                [atoms],
                columns=["symbols", "positions", "mix_weight", "mix_region"],
                write_results=False,
            )
        self._trajectory.flush()

    def close(self) -> None:
        """Close both files."""
        self._steps.close()
        if self._trajectory:
            self._trajectory.close()


def read_steps(path: str | Path) -> dict[str, np.ndarray]:
    """The columns of a steps file by name; of a continued one, the last part.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict
        Name → ndarray, shape (evaluations,).
    """
    text = Path(path).read_text()
    *_, last = text.split("# continued\n")
    rows = [line.split() for line in last.splitlines() if line and not line.startswith("#")]
    names = [column.name for column in fields(StepRecord)]
    # a run that was killed may leave half a line
    rows = [row for row in rows if len(row) == len(names)]
    table = np.array(rows, dtype=float).reshape(-1, len(names))
    return dict(zip(names, table.T, strict=True))


def _opened(path: str | Path, append: bool):
    path = Path(path)
    if path.exists() and not append:
        number = 0
        while (backup := path.with_name(f"#{path.name}#{number}#")).exists():
            number += 1
        path.rename(backup)
    return path.open("a" if append else "w")
