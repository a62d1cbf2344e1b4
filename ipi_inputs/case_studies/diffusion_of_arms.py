"""What the studies of diffusion share: the table and the Arrhenius plot of their arms.

Of each run there are results/SIZE/ARM_T/run.N.json (the report of mixpi run) and
temperature.N.json, and of all runs of an arm results/SIZE/ARM_T.json (mixpi analyse
diffusion). A run whose defect could not be followed has lost.N.txt, with what mixpi said.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as xml
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from mixpi.analysis.arrhenius import arrhenius
from mixpi.analysis.combining import combine
from mixpi.analysis.results import Report, Result, read_report, with_error
from mixpi.analysis.statistics import at_most
from mixpi.errors import MixpiError
from table_and_figure import speed_up, write_table_and_figure


#: Standard errors from zero below which D is only bounded.
SEEN = 2.0
#: The arm that the others are compared with, as folders and as tables call it.
REFERENCE, REFERENCE_LABEL = "expensive", "**all-expensive**"


@dataclass
class Arm:
    """The runs of one arm at one temperature.

    Attributes
    ----------
    name, temperature : str, float
        As in the name of the folder, K.
    coefficient : Result or None
        D, m²/s; None if no run could be analysed.
    bound : Result or None
        Largest D, where nothing has jumped.
    jumps : Result or None
        Changes of site, 1/ps, where the sites of a defect are known.
    kelvin : Result or None
        The temperature that was there.
    runs, ps : int, float
        Runs that D is of; length of all runs, with the equilibration.
    step : float
        ms a step: the median over the runs of their medians.
    speed_up : float or None
        Against all-expensive evaluations.
    lost : tuple of str
        Why runs could not be analysed.
    """

    name: str
    temperature: float
    coefficient: Result | None
    bound: Result | None
    jumps: Result | None
    kelvin: Result | None
    runs: int
    ps: float
    step: float
    speed_up: float | None
    lost: tuple[str, ...]

    @property
    def seen(self) -> bool:
        """Whether D can be told from zero."""
        found = self.coefficient
        return found is not None and found.value > SEEN * found.error

    @property
    def words(self) -> str:
        """D with its error, or what can be said instead."""
        found = self.coefficient
        if found is None:
            return "none"
        if self.bound is not None:
            return f"< {self.bound.value:.2g} (95 %, no jump)"
        if self.seen or not np.isfinite(found.error):
            return with_error(found.value, found.error)
        return f"< {at_most(found.value, found.error):.2g} (95 %)"


def arms_of(folder: Path) -> list[Arm]:
    """All arms that have results, by temperature."""
    timestep = float(xml.parse(folder.parent.parent / "input.xml").findtext(".//timestep", ""))
    found = (_arm(path, timestep) for path in folder.iterdir() if path.is_dir())
    return sorted(found, key=lambda arm: (arm.temperature, arm.name == REFERENCE, arm.name))


def _arm(folder: Path, timestep: float) -> Arm:
    name, _, temperature = folder.name.rpartition("_")
    runs = [json.loads(path.read_text()) for path in sorted(folder.glob("run.*.json"))]
    lost = tuple(path.read_text().strip() for path in sorted(folder.glob("lost.*.txt")))
    together = folder.with_name(f"{folder.name}.json")
    report = read_report(together) if together.exists() else None
    return Arm(
        name,
        float(temperature),
        None if report is None else careful(report),
        None if report is None else _named(report, "D at most (95 %)"),
        None if report is None else _named(report, "changes of site"),
        _kelvin(folder),
        0 if report is None else len(report.files),
        sum(run["steps"] for run in runs) * timestep / 1000.0,
        float(np.median([run["step_ms"]["median"] for run in runs])),
        speed_up(folder),
        lost,
    )


def careful(report: Report) -> Result:
    """D with the larger of its two errors, since two runs may agree by chance."""
    found, other = report["D"], _named(report, "D propagated")
    return found if other is None else replace(found, error=max(found.error, other.error))


def _named(report: Report, name: str) -> Result | None:
    return next((one for one in report.results if one.name == name), None)


def _kelvin(folder: Path) -> Result | None:
    found = {str(path): read_report(path) for path in sorted(folder.glob("temperature.*.json"))}
    try:
        return combine(found)["all"]
    except MixpiError:  # there are none, or of runs too short for an error
        return None


def table_of(
    arms: list[Arm], labels: Mapping[str, str], published: Mapping[float, str], source: str
) -> str:
    """As Markdown: each arm beside the reference of its temperature, and the Arrhenius lines.

    Parameters
    ----------
    arms : list of Arm
    labels : mapping of str to str
        Name of an arm to what the table calls it.
    published : mapping of float to str
        D in words, by temperature.
    source : str
        Whose, the title of that column.
    """
    jumps = any(arm.jumps is not None for arm in arms)
    titles = ["T (K)", "", "D (m²/s)", "− all-expensive", source, *["jumps / ps"] * jumps]
    titles += ["measured T (K)", "runs, ps in all", "ms a step", "speed-up"]
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    for arm in arms:
        row = [f"{arm.temperature:g}", labels[arm.name], arm.words, _away(arm, arms)]
        row += [published.get(arm.temperature, "")]
        if jumps:
            row += [_words(arm.jumps)]
        row += [_words(arm.kelvin), f"{arm.runs}, {arm.ps:.4g}", f"{arm.step:.1f}"]
        row += ["" if arm.speed_up is None else f"{arm.speed_up:.2f}"]
        lines.append(f"| {' | '.join(row)} |")
    for arm in arms:
        for why in arm.lost:
            lines += ["", f"{labels[arm.name]}, {arm.temperature:g} K: {why}"]
    return "\n".join([*lines, *_lines_of(arms, labels)]) + "\n"


def _away(arm: Arm, arms: list[Arm]) -> str:
    """How far D is from that of the reference, which is the one of the same potentials."""
    prefix = arm.name.rpartition("_")[0]
    name = f"{prefix}_{REFERENCE}" if prefix else REFERENCE
    others = [one for one in arms if one.name == name and one.temperature == arm.temperature]
    if arm.name == name or not others or not (arm.seen and others[0].seen):
        return ""
    mine, other = arm.coefficient, others[0].coefficient
    return with_error(mine.value - other.value, float(np.hypot(mine.error, other.error)))


def _words(found: Result | None) -> str:
    return "" if found is None else with_error(found.value, found.error)


def _lines_of(arms: list[Arm], labels: Mapping[str, str]) -> Iterator[str]:
    """A table of the Arrhenius lines of the arms that have one."""
    rows = []
    for name in dict.fromkeys(arm.name for arm in arms):
        line = line_of(arms, name)
        if line is not None:
            energy, prefactor = line["activation energy"], line["prefactor"]
            low, high = prefactor.interval
            words = f"{prefactor.value:.2g} ({low:.2g} to {high:.2g})"
            rows.append(f"| {labels[name]} | {_words(energy)} | {words} |")
    if rows:
        yield from ["", "| | activation energy (eV) | prefactor (m²/s), 95 % |", "|---|---|---|"]
        yield from rows


def line_of(arms: list[Arm], name: str) -> Report | None:
    """Of all temperatures at which an arm has a D; None of fewer than three."""
    points = {one.temperature: one.coefficient for one in arms if one.name == name and one.seen}
    if len(points) < 3:
        return None
    try:
        return arrhenius(points)
    except MixpiError:  # an error bar that is not known
        return None


def draw(
    arms: list[Arm],
    labels: Mapping[str, str],
    published: Mapping[str, Mapping[float, float]],
    axes: Axes,
) -> None:
    """D against 1/T, with error bars; bounds as arrows; what is published in grey.

    Parameters
    ----------
    arms, labels
        As for :func:`table_of`.
    published : mapping of str to mapping of float to float
        Whose to temperature to D, m²/s.
    axes : Axes
    """
    for number, (whose, points) in enumerate(published.items()):
        x, y = zip(*sorted((1000.0 / t, value) for t, value in points.items()), strict=True)
        axes.plot(x, y, "x", color="0.55", lw=1, ms=5, ls=["-", ":", "--"][number], label=whose)
    for number, name in enumerate(dict.fromkeys(arm.name for arm in arms)):
        some = [arm for arm in arms if arm.name == name and arm.coefficient is not None]
        label = labels[name].strip("*")
        for arm in some:
            # side by side
            x = 1000.0 / arm.temperature * (1.0 + 0.006 * number)
            value, error = arm.coefficient.value, arm.coefficient.error
            bound = not arm.seen and np.isfinite(error)
            axes.errorbar(
                [x],
                [at_most(value, error) if bound else value],
                None if bound or not np.isfinite(error) else [error],
                fmt="v" if bound else "os^D*"[number],
                color=f"C{number}",
                capsize=3,
                label=label,
            )
            label = None
    axes.set(xlabel="1000 K / T", ylabel="D (m²/s)", yscale="log")


def write_all(
    folder: Path,
    labels: Mapping[str, str],
    published: Mapping[str, Mapping[float, float]],
    title: str,
    words: Mapping[float, str],
) -> None:
    """Table and figure of a study, into its results; what is published as curves and in words."""
    arms = arms_of(folder)
    text = table_of(arms, labels, words, title)
    write_table_and_figure(folder, text, lambda axes: draw(arms, labels, published, axes))
