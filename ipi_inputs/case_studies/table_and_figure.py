"""What the table.py of the studies share: how a table and a figure get into the results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from matplotlib.axes import Axes


def write_table_and_figure(folder: Path, text: str, draw: Callable[[Axes], None]) -> None:
    """Write table.md and figure.png, and print the table.

    Parameters
    ----------
    folder : Path
        results/SIZE of a study.
    text : str
        The table, Markdown.
    draw : callable
        Draws into the axes, with labels and what a legend needs.
    """
    from matplotlib.figure import Figure

    (folder / "table.md").write_text(text)
    figure = Figure(figsize=(6.0, 4.2), layout="constrained")
    axes = figure.subplots()
    draw(axes)
    axes.grid(alpha=0.25, lw=0.5, which="both")
    axes.legend(frameon=False, fontsize="small")
    figure.savefig(folder / "figure.png", dpi=130)
    print(text, end="")
