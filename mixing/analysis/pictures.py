"""Pictures of what ``mixpi analyse`` finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import MixpiError
from ..files.replacing import replace_file
from .results import Report


if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_report(report: Report, target: Path) -> None:
    """Draw the curves of a report.

    Parameters
    ----------
    report : Report
    target : Path
        PNG, PDF or SVG.

    Raises
    ------
    MixpiError
        If the name has no such ending.
    """
    from matplotlib.figure import Figure

    if target.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise MixpiError(f"{target}: a picture is a .png, .pdf or .svg")
    figure = Figure(figsize=(6.0, 4.2), layout="constrained")
    axes = figure.subplots()
    # of runs that were combined there are only the results
    (_KINDS[report.analysis] if report.curves else _draw_results)(axes, report)
    axes.grid(alpha=0.25, lw=0.5)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize="small")
    replace_file(target, lambda part: figure.savefig(part, dpi=130))


def _draw_diffusion(axes: Axes, report: Report) -> None:
    for number, run in enumerate(report.curves["runs"]):
        lag = np.asarray(run["lag_ps"], dtype=float)
        colour = f"C{number % 10}"
        axes.errorbar(lag, run["square_A2"], run["error_A2"], fmt=".", color=colour)
        axes.plot(lag, run["line_A2"], color=colour, lw=1, label=Path(run["file"]).parent.name)
    axes.set(xlabel="lag (ps)", ylabel="mean square displacement (Å²)", title=str(report["D"]))


def _draw_arrhenius(axes: Axes, report: Report) -> None:
    curves = report.curves
    x = 1e3 / np.asarray(curves["temperature_K"], dtype=float)
    axes.errorbar(x, curves["coefficient"], curves["error"], fmt="o", color="black")
    axes.plot(x, curves["line"], color="#0072b2")
    axes.set(yscale="log", xlabel="1000 K / T", ylabel=f"D ({report['prefactor'].units})")
    axes.set_title(f"{report['activation energy']}")


def _draw_line(axes: Axes, report: Report) -> None:
    axes.plot(report.curves["time_ps"], report.curves["place_A"], color="black", lw=1)
    axes.set(xlabel="ps", ylabel="place of the line (Å)", title=str(report["velocity"]))


def _draw_results(axes: Axes, report: Report) -> None:
    """All results of one unit, with their errors, side by side."""
    unit = report.results[0].units
    shown = [one for one in report.results if one.units == unit and np.isfinite(one.value)]
    place = np.arange(len(shown))
    error = [one.error if np.isfinite(one.error) else 0.0 for one in shown]
    axes.errorbar(place, [one.value for one in shown], error, fmt="o", color="black", capsize=3)
    axes.set_xticks(place, [one.name for one in shown], rotation=20, ha="right")
    axes.set(ylabel=unit or "share")
    for level, name in report.curves.get("levels", []):
        axes.axhline(level, color="#d55e00", lw=1, label=name)
    for low, high, name in report.curves.get("bands", []):
        axes.axhspan(low, high, color="#009e73", alpha=0.25, lw=0, label=name)


_KINDS: dict[str, Callable[[Axes, Report], None]] = {
    "diffusion": _draw_diffusion,
    "arrhenius": _draw_arrhenius,
    "line": _draw_line,
    "temperature": _draw_results,
    "drift": _draw_results,
    "flux": _draw_results,
    "mean-force": _draw_results,
    "compare": _draw_results,
    "reflection": _draw_results,
}
