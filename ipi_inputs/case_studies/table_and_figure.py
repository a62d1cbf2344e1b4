"""What the table.py of the studies share: gains in speed, how a table and a figure get there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np


if TYPE_CHECKING:
    from matplotlib.axes import Axes


def speed_up(folder: Path) -> float | None:
    """How much faster the runs of an arm are than all-expensive evaluations.

    Parameters
    ----------
    folder : Path
        results/SIZE/ARM, with the reports of its runs, which measure that in turns at their end.
        Short runs that were made for it (STEPS=200: results/SIZE_200/ARM) tell it better than those
        that took hours, beside others.

    Returns
    -------
    float or None
        Median of the runs; None if none has measured it.
    """
    size = folder.parent
    timed = sorted(size.parent.glob(f"{size.name}_*/{folder.name}/run.*.json"))
    runs = [json.loads(path.read_text()) for path in timed or sorted(folder.glob("run.*.json"))]
    found = [run["speed_up"] for run in runs if "speed_up" in run]
    return float(np.median(found)) if found else None


def write_table_and_figure(folder: Path, text: str, *draw: Callable[[Axes], None]) -> None:
    """Write table.md and figure.png, and print the table.

    Parameters
    ----------
    folder : Path
        results/SIZE of a study.
    text : str
        The table, Markdown.
    *draw : callable
        Each draws into axes of its own, with labels and what a legend needs; of several the
        panels stand side by side, on one scale.
    """
    from matplotlib.figure import Figure

    (folder / "table.md").write_text(text)
    width, height = (6.0, 4.2) if len(draw) == 1 else (1.2 + 3.2 * len(draw), 3.4)
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplots(1, len(draw), sharey=True, squeeze=False)[0]
    for axes, drawn in zip(panels, draw, strict=True):
        drawn(axes)
        axes.label_outer()
        axes.grid(alpha=0.25, lw=0.5, which="both")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize="small")
    figure.savefig(folder / "figure.png", dpi=130)
    print(text, end="")
