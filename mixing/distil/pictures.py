"""The pictures of a distillation's report."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import MixpiError
from ..files.replacing import replace_file
from .distilling import Distilled


if TYPE_CHECKING:
    from matplotlib.figure import Figure


COLOURS = {"expensive": "#222222", "unconstrained": "#c8322b", "constrained": "#2a6fb0"}


def draw(result: Distilled, folder: Path) -> list[Path]:
    """Parity, constraint and acoustic branches.

    Returns
    -------
    list of Path
        PNG files in ``folder``.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, painter, size in (
        ("parity", _parity, (9.0, 4.2)),
        ("constraint", _constraint, (5.0, 4.0)),
        ("acoustic", _acoustic, (5.0, 4.0)),
    ):
        figure = Figure(figsize=size, layout="constrained")
        painter(figure, result)
        paths.append(folder / f"{result.config.name}.{name}.png")
        replace_file(paths[-1], partial(figure.savefig, dpi=110))
    return paths


def _parity(figure: Figure, result: Distilled) -> None:
    left, right = figure.subplots(1, 2)
    for name, candidate in (("unconstrained", result.free), ("constrained", result.constrained)):
        colour, errors = COLOURS[name], candidate.held_out
        left.plot(*errors.forces.T, ".", ms=2, color=colour, label=name, rasterized=True)
        energy = 1e3 * (errors.energy - errors.energy[:, 0].mean())
        right.plot(*energy.T, "o", ms=4, color=colour, label=name)
    for axes, unit in ((left, "force (eV/Å)"), (right, "energy (meV/atom)")):
        axes.axline((0.0, 0.0), slope=1.0, color="0.6", lw=0.8)
        axes.set(xlabel=f"expensive {unit}", ylabel=f"cheap {unit}")
        axes.legend(frameon=False)


def _constraint(figure: Figure, result: Distilled) -> None:
    """What meeting the constraint costs: the soft residual and λ against α."""
    axes = figure.subplots()
    squares = result.problem.least_squares
    start = squares.unconstrained.hard_residual
    low = max(squares.floor * 1.1, 1e-22, start * 1e-16)
    alphas, residuals, soft = np.geomspace(low, start, 40), [], []
    kept = []
    for alpha in alphas:
        try:
            solution = squares.solve(alpha)
        except MixpiError:
            continue
        kept.append(alpha)
        residuals.append(solution.hard_residual)
        soft.append(solution.soft_residual)
    axes.loglog(kept, residuals, color=COLOURS["constrained"], label="residual")
    axes.axvline(
        max(result.config.hard.tolerance**2, low), color="0.4", ls="--", lw=0.8, label="chosen α"
    )
    axes.set(xlabel="α (eV²/atom²)", ylabel="‖Hc − h‖² (eV²/atom²)")
    twin = axes.twinx()
    twin.semilogx(kept, np.sqrt(soft), color=COLOURS["unconstrained"])
    twin.set_ylabel("soft residual (rms)", color=COLOURS["unconstrained"])
    axes.legend(frameon=False, loc="upper left")


def _acoustic(figure: Figure, result: Distilled) -> None:
    axes = figure.subplots()
    for name, crystal in (
        ("expensive", result.expensive),
        ("unconstrained", result.free.crystal),
        ("constrained", result.constrained.crystal),
    ):
        x = np.linspace(0.0, 0.5, len(crystal.spectrum.line))
        width, alpha = (2.5, 0.5) if name == "expensive" else (1.0, 1.0)
        lines = axes.plot(x, crystal.spectrum.line, color=COLOURS[name], lw=width, alpha=alpha)
        lines[0].set_label(name)
    axes.set(
        xlabel="wave vector (of the first reciprocal vector)",
        ylabel="energy (meV)",
        xlim=(0.0, 0.5),
    )
    axes.axhline(0.0, color="0.6", lw=0.8)
    axes.legend(frameon=False)
