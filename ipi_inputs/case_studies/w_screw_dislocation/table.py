"""Write the table and the figure of the study: results/SIZE/table.md and figure.png.

python table.py SIZE
"""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as xml
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from mixpi.analysis.results import Result, read_report, with_error


HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from table_and_figure import write_table_and_figure  # noqa: E402


REFERENCE = "expensive"
LABELS = {"cheap": "cheap", "mixed": "mixed", REFERENCE: "**all-expensive**"}
COLOURS = {"cheap": "black", "mixed": "C0", REFERENCE: "#009e73"}


@dataclass
class Arm:
    """The runs of one arm under one stress at one temperature.

    Attributes
    ----------
    name, stress, temperature : str, float, float
        As in the name of the folder, MPa, K.
    velocity : Result or None
        m/s; None where no run could be analysed.
    ways : list of (ndarray, ndarray)
        Of each run: times, ps, and places of the line, Å.
    risen : list of float
        Of each run by how much the line has left its glide plane, Å, where that is known.
    ps : float
        Length of all runs, with what is left out at their beginning.
    step : float
        ms a step, the median over the runs of their medians.
    waits : dict of str to float
        ms until the last reply of each pool, likewise.
    speed_up : float or None
        Against all-expensive evaluations, measured in turns at the end of each run.
    none : tuple of str
        Why runs have no velocity.
    """

    name: str
    stress: float
    temperature: float
    velocity: Result | None
    ways: list[tuple[np.ndarray, np.ndarray]]
    risen: list[float]
    ps: float
    step: float
    waits: dict[str, float]
    speed_up: float | None
    none: tuple[str, ...]

    @property
    def glided(self) -> str:
        """Å, of each run."""
        return ", ".join(f"{places[-1] - places[0]:.1f}" for _, places in self.ways)


def arm_of(folder: Path, timestep: float) -> Arm:
    """One with results."""
    name, stress, temperature = folder.name.split("_")
    runs = [json.loads(path.read_text()) for path in sorted(folder.glob("run.*.json"))]
    lines = [read_report(path).curves for path in sorted(folder.glob("line.*.json"))]
    together = folder.with_name(f"{folder.name}.json")
    gains = [run["speed_up"] for run in runs if "speed_up" in run]
    return Arm(
        name,
        float(stress),
        float(temperature),
        read_report(together)["velocity"] if together.exists() else None,
        [(np.array(line["time_ps"]), np.array(line["place_A"])) for line in lines],
        [line["height_A"][-1] - line["height_A"][0] for line in lines if "height_A" in line],
        sum(run["steps"] for run in runs) * timestep / 1000.0,
        float(np.median([run["step_ms"]["median"] for run in runs])),
        {
            pool: float(np.median([run["stages_ms"].get(pool, 0.0) for run in runs]))
            for pool in ("cheap", "expensive")
        },
        float(np.median(gains)) if gains else None,
        tuple(path.read_text().strip() for path in sorted(folder.glob("none.*.txt"))),
    )


def arms_of(folder: Path) -> list[Arm]:
    """All arms, by temperature and stress, the reference last."""
    timestep = float(xml.parse(HERE / "input.xml").findtext(".//timestep", ""))
    found = [arm_of(path, timestep) for path in folder.iterdir() if path.is_dir()]
    order = list(LABELS)
    return sorted(found, key=lambda arm: (arm.temperature, arm.stress, order.index(arm.name)))


def table_of(arms: list[Arm]) -> str:
    """As Markdown."""
    lines = [
        "| T (K), stress (MPa) | | velocity (m/s) | glided, left its plane by (Å) | ps | ms a step "
        "| until the cheap, expensive reply | speed-up |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for arm in arms:
        found = arm.velocity
        waits = ", ".join(f"{wait:.3g}" if wait else "-" for wait in arm.waits.values())
        risen = ", ".join(f"{height:.1f}" for height in arm.risen)
        # of runs whose region is not nearly everything
        gain = "" if arm.speed_up is None or arm.name != "mixed" else f"{arm.speed_up:.3g}"
        way = f"{arm.glided}; {risen}" if risen else arm.glided
        lines.append(
            f"| {arm.temperature:g}, {arm.stress:g} | {LABELS[arm.name]} "
            f"| {with_error(found.value, found.error) if found else ''} | {way} "
            f"| {arm.ps:.4g} | {arm.step:.4g} | {waits} | {gain} |"
        )
    for arm in arms:
        for why in arm.none:
            lines += ["", f"{LABELS[arm.name]}, {arm.temperature:g} K, {arm.stress:g} MPa: {why}"]
    return "\n".join(lines) + "\n"


def draw(arms: list[Arm], axes: Axes) -> None:
    """Where the line is against time, under one stress at one temperature."""
    for arm in arms:
        label = LABELS[arm.name].strip("*")
        for times, places in arm.ways:
            axes.plot(times, places - places[0], color=COLOURS[arm.name], lw=1.2, label=label)
            label = None
    title = f"{arms[0].temperature:g} K, {arms[0].stress:g} MPa"
    axes.set(xlabel="ps", ylabel="the line has glided (Å)", title=title)


def main() -> None:
    folder = HERE / "results" / sys.argv[1]
    arms = arms_of(folder)
    panels = [list(some) for _, some in groupby(arms, lambda arm: (arm.temperature, arm.stress))]
    write_table_and_figure(folder, table_of(arms), *(partial(draw, some) for some in panels))


if __name__ == "__main__":
    main()
