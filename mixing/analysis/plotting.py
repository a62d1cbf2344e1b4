"""``mixpi plot``: regions, temperature and time against the step, and the cell in colour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.utils import rotate

from ..errors import MixpiError
from ..files.replacing import replace_file
from ..ipi.input import IpiInput
from ..output.frames import bead_paths, last_frame
from ..output.records import last_of_each_step
from ..structure import read_structure
from .freedom import read_temperature
from .properties import Series
from .report import STAGES, run_steps


if TYPE_CHECKING:
    from matplotlib.axes import Axes


#: One colour a region, the same in all pictures (colour-blind safe).
COLOURS = {
    "outside": "#c9ced6",
    "buffer": "#7fa8d1",
    "blend": "#f2a33a",
    "core": "#c8322b",
}
#: One colour a stage (the palette of M. Okabe and K. Ito, for all kinds of colour vision).
STAGE_COLOURS = {
    "ipi": "#000000",
    "regions": "#009e73",
    "cheap_layer": "#56b4e9",
    "cheap": "#56b4e9",
    "cheap_cluster": "#0072b2",
    "expensive": "#d55e00",
    "send": "#cc79a7",
    "blending": "#e69f00",
    "output": "#999999",
}
#: One colour a direction, of the same palette.
AXIS_COLOURS = {"x": "#0072b2", "y": "#d55e00", "z": "#009e73"}
#: Å; a region whose centre has moved by less stands.
STANDS = 0.3
#: One shape a species, the most frequent first.
MARKERS = "oD^svph*P"
#: Points up to which a curve shows each of them. Of more: places where median and quantiles are
#: drawn, and the share of all points that they are of, on each side.
MOST_POINTS, PLACES, HALF_WINDOW = 200, 200, 0.01
#: Quantiles between which the bands lie: the middle 80 %.
BAND = (0.1, 0.9)
#: Slices of the cell, drawn from the back to the front.
SLICES = 16

#: The twelve edges of a cell, in fractional coordinates.
CELL_EDGES = [
    (start, end)
    for start, end in combinations(list(product((0, 1), repeat=3)), 2)
    if sum(a != b for a, b in zip(start, end, strict=True)) == 1
]


def plot(ipi_input: IpiInput, *, say: Callable[[str], None] | None = None) -> list[Path]:
    """Draw what a run left: all parts of one that was continued.

    Parameters
    ----------
    ipi_input : IpiInput
        The run.
    say : callable, optional
        Told why a picture is missing.

    Returns
    -------
    list of Path
        ``mixpi.steps.png`` and, if there is a trajectory, ``mixpi.cell.png``.

    Raises
    ------
    MixpiError
        If there is nothing to draw.
    """
    folder, output = ipi_input.folder, ipi_input.config.output
    rows = run_steps(ipi_input)
    paths, missing = [], []
    if len(rows["step"]) > 1:
        paths.append(folder / "mixpi.steps.png")
        n_atoms = len(read_structure(ipi_input.config_path.parent / ipi_input.config.structure))
        draw_steps(rows, read_temperature(ipi_input, n_atoms), paths[-1])
    else:
        missing.append("one evaluation only: nothing to draw against the step")
    beads = ipi_input.beads
    frames = bead_paths(folder / output.trajectory, beads)[0] if output.trajectory else None
    try:
        if frames and frames.exists():
            target = folder / "mixpi.cell.png"
            bead = f"bead 0 of {beads}" if beads > 1 else ""
            config = ipi_input.config
            # those that are found anew as the atoms move were others at the start
            seeds = [] if config.classified or config.everywhere else config.seed_indices
            draw_cell(last_frame(frames), target, seeds=seeds, note=bead)
            paths.append(target)
    except MixpiError as error:
        missing.append(str(error))
    if not paths:
        raise MixpiError("; ".join(missing))
    if say:
        for reason in missing:
            say(reason)
    return paths


def draw_steps(rows: dict[str, np.ndarray], temperature: Series | str, target: Path) -> None:
    """Draw region sizes, temperature and times against the step.

    Parameters
    ----------
    rows : dict
        As :func:`mixpi.output.records.read_steps`, at least two evaluations.
    temperature : Series or str
        In K, or why there is none.
    target : Path
        PNG.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    ends = last_of_each_step(rows)
    moved = _moves(rows, ends)
    figure = Figure(figsize=(7.5, 11 if moved else 9), layout="constrained")
    ratios = (2, *((2,) if moved else ()), 2, 3)
    panels = figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios)
    regions, middle, stages = panels[0], panels[-2], panels[-1]

    for name in ("core", "blend", "buffer"):
        _draw_curve(regions, rows["step"][ends], rows[name][ends], COLOURS[name], name)
    regions.set(ylabel="atoms", ylim=(0, None))
    regions.set_title("Regions", loc="left")
    for axis, distance in moved.items():
        _draw_curve(panels[1], rows["step"][ends], distance, AXIS_COLOURS[axis], axis)
    if moved:
        panels[1].set(ylabel="Å")
        panels[1].set_title("How far the region has moved", loc="left")
        panels[1].legend(
            frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1), borderpad=0
        )

    middle.set(ylabel="K")
    middle.set_title("Temperature", loc="left")
    if isinstance(temperature, Series):
        part = temperature.between(int(rows["step"][0]) - 1)
        _draw_curve(middle, part.step, part.values, "black")
    else:
        middle.set_yticks([])
        middle.text(
            0.5, 0.5, temperature, ha="center", va="center", wrap=True, transform=middle.transAxes
        )

    # the first evaluation waits for the drivers to start
    x = _within_steps(rows["step"])[1:]
    shown = {name: label for name, label in STAGES.items() if name in rows}
    for name, label in shown.items():
        ms = np.maximum(rows[name][1:], 1e-3)
        _draw_curve(stages, x, ms, STAGE_COLOURS[name], label.strip())
    several = (~ends).any()
    title = "Time per stage of a force evaluation" + (
        " (several a step: multiple time steps)" if several else ""
    )
    stages.set(yscale="log", xlabel="step", ylabel="ms")
    stages.set_title(title, loc="left")
    stages.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in panels:
        axes.margins(x=0.01)
        axes.grid(alpha=0.25, lw=0.5)
        for number, step in enumerate(rows["step"][:-1][np.diff(rows["part"]) > 0]):
            label = "_" if number else "run continued"
            axes.axvline(step, color="black", ls=":", lw=1, label=label, zorder=0)
    regions.legend(frameon=False, ncols=4, loc="lower right", bbox_to_anchor=(1, 1), borderpad=0)
    lines, labels = stages.get_legend_handles_labels()
    figure.legend(
        lines[: len(shown)],
        labels[: len(shown)],
        loc="outside lower center",
        frameon=False,
        fontsize="small",
        ncols=3,
    )
    if len(x) > MOST_POINTS:
        middle.text(
            1.0,
            1.01,
            "lines: running medians; bands: the middle 80 %",
            ha="right",
            va="bottom",
            fontsize="small",
            transform=middle.transAxes,
        )
    replace_file(target, lambda part: figure.savefig(part, dpi=130))


def _moves(rows: dict[str, np.ndarray], ends: np.ndarray) -> dict[str, np.ndarray]:
    """Along each axis how far the region's centre is from where it first was, Å.

    Nothing where it stays, as around fixed seeds, or the steps file does not tell.
    """
    found: dict[str, np.ndarray] = {}
    for axis in AXIS_COLOURS:
        centre = rows.get(f"centre_{axis}", np.full(len(ends), np.nan))[ends]
        known = np.flatnonzero(np.isfinite(centre))
        if len(known):
            found[axis] = centre - centre[known[0]]
    far = max((np.nanmax(np.abs(moved)) for moved in found.values()), default=0.0)
    return found if far > STANDS else {}


def _draw_curve(axes: Axes, x: np.ndarray, y: np.ndarray, colour: str, label: str = "") -> None:
    """A line through few points; through many the running median, in a band of quantiles."""
    if len(x) <= MOST_POINTS:
        axes.plot(x, y, color=colour, lw=1.2, label=label, marker="." if len(x) < 30 else "")
        return
    places = np.linspace(0, len(x) - 1, PLACES).round().astype(int)
    half = max(int(HALF_WINDOW * len(x)), 4)
    windows = [y[max(place - half, 0) : place + half + 1] for place in places]
    low, middle, high = np.array([np.quantile(w, (BAND[0], 0.5, BAND[1])) for w in windows]).T
    axes.fill_between(x[places], low, high, color=colour, alpha=0.25, lw=0)
    axes.plot(x[places], middle, color=colour, lw=1.4, label=label)


def _within_steps(step: np.ndarray) -> np.ndarray:
    """Where evaluations lie: spread over the step that they lead to."""
    _, index, counts = np.unique(step, return_inverse=True, return_counts=True)
    behind = (np.cumsum(counts)[index] - 1 - np.arange(len(step))) / counts[index]
    return step - behind


def draw_cell(atoms: Atoms, target: Path, *, seeds: Sequence[int] = (), note: str = "") -> None:
    """Draw a frame: colours are regions, shapes are species, rings are seeds.

    The atoms are shifted through the periodic boundaries so that the region is whole.

    Parameters
    ----------
    atoms : Atoms
        With ``mix_region``.
    target : Path
        PNG.
    seeds : sequence of int
        Indices of the seeds.
    note : str
        For the title.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    region = atoms.arrays["mix_region"]
    figure = Figure(figsize=(8.5, 6.5), layout="constrained")
    axes = figure.subplots()
    # Tilted a little, so that rows of atoms do not hide one another.
    view = rotate("-80x,20y,8x").T
    projected = make_whole(atoms, region >= 2) @ view.T
    corners = np.array(list(product((0, 1), repeat=3))) @ atoms.cell.array @ view.T
    spacing = (abs(atoms.cell.volume) / len(atoms)) ** (1 / 3)
    inch = 5.5 / np.ptp(corners[:, :2], axis=0).max()
    diameter = np.maximum(72 * inch * spacing * np.array([0.2, 0.4, 0.6, 0.75])[region], 1.0)
    colours = np.array(list(COLOURS.values()))
    symbols, counts = np.unique(atoms.get_chemical_symbols(), return_counts=True)
    species = symbols[np.argsort(-counts)]
    marker = {symbol: MARKERS[k % len(MARKERS)] for k, symbol in enumerate(species)}

    for start, end in CELL_EDGES:
        edge = np.array([start, end]) @ atoms.cell.array @ view.T
        axes.plot(*edge[:, :2].T, color="black", lw=0.7, alpha=0.6, zorder=0)
    # by depth, but the core is over the blend, and that over what is around
    order = np.lexsort((projected[:, 2], np.maximum(region, 1)))
    for part in np.array_split(order, min(SLICES, len(order))):
        for symbol in species:
            shown = part[atoms.symbols[part] == symbol]
            if not len(shown):
                continue
            axes.scatter(
                projected[shown, 0],
                projected[shown, 1],
                s=diameter[shown] ** 2,
                c=colours[region[shown]],
                alpha=np.array([0.6, 0.6, 0.9, 1.0])[region[shown]],
                marker=marker[symbol],
                linewidths=0.4 if symbol == species[0] else 0.8,
                edgecolors="white" if symbol == species[0] else "#222222",
                zorder=1,
            )
    marked = np.asarray(seeds, dtype=int)
    axes.scatter(
        projected[marked, 0],
        projected[marked, 1],
        s=(1.15 * diameter[marked] + 1.5) ** 2,
        facecolors="none",
        edgecolors="black",
        linewidths=1.6,
        zorder=2,
    )
    axes.set(aspect="equal")
    axes.set_axis_off()
    words = [f"{len(atoms)} atoms of {' and '.join(species)}", note]
    words += [f"step {atoms.info['step']}"] if "step" in atoms.info else []
    words += [f"{atoms.info['time']:.5g} fs"] if "time" in atoms.info else []
    axes.set_title(", ".join(word for word in words if word))
    sizes = np.bincount(region, minlength=4)
    handles = [
        Line2D([], [], marker="o", ls="", color=colour, label=f"{name} ({count})")
        for (name, colour), count in zip(COLOURS.items(), sizes, strict=True)
    ][::-1]
    for symbol in species if len(species) > 1 else ():
        handles.append(
            Line2D([], [], marker=marker[symbol], ls="", mfc="none", mec="#444444", label=symbol)
        )
    if len(marked):
        label = f"seed ({len(marked)})"
        handles.append(
            Line2D([], [], marker="o", ls="", mfc="none", mec="black", mew=1.6, ms=9, label=label)
        )
    figure.legend(handles=handles, frameon=False, loc="outside right center")
    replace_file(target, lambda part: figure.savefig(part, dpi=130))


def make_whole(atoms: Atoms, chosen: np.ndarray) -> np.ndarray:
    """Positions inside the cell, shifted so that its borders do not cut through some atoms.

    Along each cell vector the border goes through the middle of the widest gap between
    the chosen atoms, which so come to lie around the middle of the cell.

    Parameters
    ----------
    atoms : Atoms
        In a periodic cell of any shape.
    chosen : ndarray of bool, shape (n,)
        The atoms that are to be whole; nothing is shifted for none.

    Returns
    -------
    ndarray, shape (n, 3)
        Å.
    """
    scaled = atoms.cell.scaled_positions(atoms.positions)
    for axis in range(3) if chosen.any() else ():
        places = np.sort(scaled[chosen, axis] % 1.0)
        gaps = np.diff(places, append=places[0] + 1.0)
        widest = int(np.argmax(gaps))
        scaled[:, axis] -= places[widest] + gaps[widest] / 2
    return (scaled % 1.0) @ atoms.cell.array
