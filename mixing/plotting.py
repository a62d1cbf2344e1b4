"""``mixpi plot``: regions, temperature and time against the step, and the cell in colour."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path

import numpy as np
from ase.io import read
from ase.utils import rotate

from .errors import MixpiError
from .ipi_input import IpiInput
from .records import read_steps
from .report import STAGES


#: One colour a region, the same in all pictures (colour-blind safe).
COLOURS = {
    "outside": "#c9ced6",
    "buffer": "#7fa8d1",
    "blend": "#f2a33a",
    "core": "#c8322b",
}


#: The twelve edges of a cell, in fractional coordinates.
CELL_EDGES = [
    (start, end)
    for start, end in combinations(list(product((0, 1), repeat=3)), 2)
    if sum(a != b for a, b in zip(start, end, strict=True)) == 1
]


def plot(ipi_input: IpiInput) -> list[Path]:
    """Draw what a run left.

    Parameters
    ----------
    ipi_input : IpiInput
        The run.

    Returns
    -------
    list of Path
        ``mixpi.steps.png`` and, if there is a trajectory, ``mixpi.cell.png``.

    Raises
    ------
    MixpiError
        If there is nothing to draw.
    """
    output = ipi_input.config.output
    steps_file = ipi_input.folder / output.steps
    if not steps_file.exists():
        raise MixpiError(
            f"{steps_file} does not exist: run 'mixpi run {ipi_input.path.name}' first"
        )
    paths = [ipi_input.folder / "mixpi.steps.png"]
    steps = read_steps(steps_file)
    _draw_steps(steps, ipi_input.properties_file, paths[0])
    if output.trajectory and (ipi_input.folder / output.trajectory).exists():
        paths.append(ipi_input.folder / "mixpi.cell.png")
        draw_cell(ipi_input.folder / output.trajectory, paths[1])
    return paths


def _draw_steps(steps: dict[str, np.ndarray], properties: Path | None, target: Path) -> None:
    from ipi import read_output
    from matplotlib.figure import Figure

    if len(steps["evaluation"]) < 2:
        raise MixpiError("fewer than two evaluations: nothing to draw against the step")
    figure = Figure(figsize=(7, 8.5), layout="constrained")
    regions, temperature, stages = figure.subplots(3, 1, sharex=True)

    x = steps["step"]
    for name in ("core", "blend", "buffer"):
        regions.plot(x, steps[name], color=COLOURS[name], label=name)
    regions.set(ylabel="atoms", ylim=(0, None), title="Regions")
    regions.legend(frameon=False, ncols=3)

    temperature.set(ylabel="K", title="Temperature")
    columns = {}
    if properties is not None and properties.exists():
        columns, _ = read_output(str(properties))
    if "temperature" in columns and "step" in columns:
        part = columns["step"] >= x[0]
        temperature.plot(columns["step"][part], columns["temperature"][part], color="black", lw=1)
    else:
        temperature.text(
            0.5,
            0.5,
            "i-PI writes no properties 'step' and 'temperature'",
            ha="center",
            transform=temperature.transAxes,
        )

    palette = ("#444444", "#3b8686", "#9bb95c", "#7fa8d1", "#c8322b", "#8660a8", "#b08a5b")
    for (name, label), colour in zip(STAGES.items(), palette, strict=True):
        stages.plot(x[1:], np.maximum(steps[name][1:], 1e-3), lw=1, label=label, color=colour)
    stages.set(yscale="log", xlabel="step", ylabel="ms", title="Time per stage")
    figure.legend(
        *stages.get_legend_handles_labels(),
        loc="outside lower center",
        frameon=False,
        fontsize="small",
        ncols=3,
    )
    figure.savefig(target, dpi=130)


def draw_cell(trajectory: Path, target: Path) -> None:
    """Draw the last frame, atoms coloured by region.

    Parameters
    ----------
    trajectory : Path
        Extended XYZ with ``mix_region``.
    target : Path
        PNG.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    atoms = read(trajectory, index=-1)
    atoms.wrap()
    region = atoms.arrays["mix_region"]
    figure = Figure(figsize=(8, 6.5), layout="constrained")
    axes = figure.subplots()
    # Tilted a little, so that rows of atoms do not hide one another.
    view = rotate("-80x,20y,8x").T
    projected = atoms.positions @ view.T
    # by depth, but nothing may cover the core and the blend
    order = np.lexsort((projected[:, 2], region >= 2))
    shown = region[order]
    spacing = (abs(atoms.cell.volume) / len(atoms)) ** (1 / 3)
    inch = 5.5 / np.ptp(projected[:, :2], axis=0).max()
    diameter = 72 * inch * spacing * np.array([0.2, 0.4, 0.6, 0.75])[shown]
    axes.scatter(
        *projected[order, :2].T,
        s=diameter**2,
        c=np.array(list(COLOURS.values()))[shown],
        alpha=np.array([0.6, 0.6, 0.9, 1.0])[shown],
        linewidths=0.4,
        edgecolors="white",
    )
    for start, end in CELL_EDGES:
        edge = np.array([start, end]) @ atoms.cell.array @ view.T
        axes.plot(*edge[:, :2].T, color="black", lw=0.7, alpha=0.6)
    axes.set(aspect="equal")
    axes.set_axis_off()
    axes.set_title(f"{len(atoms)} atoms, step {atoms.info.get('step', '?')}")
    counts = np.bincount(region, minlength=4)
    handles = [
        Line2D([], [], marker="o", ls="", color=colour, label=f"{name} ({count})")
        for (name, colour), count in zip(COLOURS.items(), counts, strict=True)
    ]
    figure.legend(handles=handles[::-1], frameon=False, loc="outside right center")
    figure.savefig(target, dpi=130)
