"""Write the table and the figure of the study: results/SIZE/table.md and figure.png.

python table.py SIZE
python table.py SIZE --again     # no table: each run analysed anew, from the places it has kept
"""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as xml
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from mixpi.analysis.line import EDGES, line_results
from mixpi.analysis.results import Result, read_report, with_error


HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from table_and_figure import speed_up, write_table_and_figure  # noqa: E402


REFERENCE = "expensive"
CUTOFF = 3.838  # Å, as in run.sh
BOUND = "velocity at most (95 %)"
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
    bounds : list of float
        m/s, of each run in which the line has stayed in its valley.
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
        Against all-expensive evaluations.
    none : tuple of str
        Why runs have no velocity.
    """

    name: str
    stress: float
    temperature: float
    velocity: Result | None
    bounds: list[float]
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

    @property
    def speed(self) -> str:
        """m/s; a bound where the line has stood in all runs, in which so many steps are none."""
        if self.velocity is None:
            return ""
        if len(self.bounds) < len(self.ways):
            return with_error(self.velocity.value, self.velocity.error)
        return f"< {1.0 / sum(1.0 / most for most in self.bounds):.3g} (95 %, stood)"


def arm_of(folder: Path, timestep: float) -> Arm:
    """One with results."""
    name, stress, temperature = folder.name.split("_")
    runs = [json.loads(path.read_text()) for path in sorted(folder.glob("run.*.json"))]
    reports = [read_report(path) for path in sorted(folder.glob("line.*.json"))]
    lines = [report.curves for report in reports]
    together = folder.with_name(f"{folder.name}.json")
    return Arm(
        name,
        float(stress),
        float(temperature),
        read_report(together)["velocity"] if together.exists() else None,
        [one.value for report in reports for one in report.results if one.name == BOUND],
        [(np.array(line["time_ps"]), np.array(line["place_A"])) for line in lines],
        [line["height_A"][-1] - line["height_A"][0] for line in lines if "height_A" in line],
        sum(run["steps"] for run in runs) * timestep / 1000.0,
        float(np.median([run["step_ms"]["median"] for run in runs])),
        {
            pool: float(np.median([run["stages_ms"].get(pool, 0.0) for run in runs]))
            for pool in ("cheap", "expensive")
        },
        speed_up(folder),
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
        waits = ", ".join(f"{wait:.3g}" if wait else "-" for wait in arm.waits.values())
        risen = ", ".join(f"{height:.1f}" for height in arm.risen)
        # of runs whose region is not nearly everything
        gain = "" if arm.speed_up is None or arm.name != "mixed" else f"{arm.speed_up:.3g}"
        way = f"{arm.glided}; {risen}" if risen else arm.glided
        lines.append(
            f"| {arm.temperature:g}, {arm.stress:g} | {LABELS[arm.name]} | {arm.speed} | {way} "
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


def analyse_again(path: Path) -> None:
    """Write a run's report anew, from its own curves."""
    report = read_report(path)
    kept = report.curves
    times = 1000.0 * np.array(kept["time_ps"])
    results, notes = line_results(times, kept["place_A"], kept.get("height_A"), CUTOFF / EDGES)
    # the first note is of the atoms of the line
    replace(report, results=results, notes=(*report.notes[:1], *notes)).write(path)


def main() -> None:
    folder = HERE / "results" / sys.argv[1]
    if "--again" in sys.argv[2:]:
        for path in sorted(folder.glob("*/line.*.json")):
            analyse_again(path)
        return
    arms = arms_of(folder)
    panels = [list(some) for _, some in groupby(arms, lambda arm: (arm.temperature, arm.stress))]
    write_table_and_figure(folder, table_of(arms), *(partial(draw, some) for some in panels))


if __name__ == "__main__":
    main()
