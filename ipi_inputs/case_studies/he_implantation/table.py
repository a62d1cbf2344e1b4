"""Write the table and the figure of the study: results/SIZE/table.md and figure.png.

python table.py SIZE
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from mixpi.analysis.results import Report, Result, read_report, with_error


HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from table_and_figure import write_table_and_figure  # noqa: E402


LABELS = {"mixed": "mixed", "expensive": "**all-expensive**"}
#: eV to the share that is reflected and its 95 %, where that is known, read off the paper's figure
#: (±0.004): of its all-expensive runs (about 100 shots an energy) and its mixed ones (about 500).
PAPER = {
    "expensive": {
        10: (0.980, 0.946, 1.0),
        15: (0.912, 0.850, 0.959),
        20: (0.833, 0.756, 0.899),
        25: (0.765, 0.678, 0.842),
        30: (0.784, 0.700, 0.858),
        35: (0.765, 0.678, 0.842),
        40: (0.676, 0.583, 0.764),
    },
    "mixed": {
        10: (0.986, np.nan, np.nan),
        20: (0.849, 0.816, 0.878),
        30: (0.772, 0.735, 0.808),
        35: (0.692, 0.650, 0.731),
        40: (0.739, 0.700, 0.776),
        50: (0.661, 0.618, 0.702),
        60: (0.645, 0.600, 0.687),
    },
}
#: eV to what was measured (van Gorkum), with its error bar where the figure shows one.
EXPERIMENT = {
    8.1: (0.988, np.nan, np.nan),
    15.8: (0.944, np.nan, np.nan),
    25.4: (0.807, 0.79, 0.82),
    51.2: (0.644, 0.608, 0.679),
    102.5: (0.410, 0.346, 0.473),
}


@dataclass
class Arm:
    """The shots of one arm at one energy.

    Attributes
    ----------
    name, energy : str, float
        As in the name of the folder, eV.
    report : Report
        Of all shots.
    costs : list of dict
        Of each, what keep.py has written.
    """

    name: str
    energy: float
    report: Report
    costs: list[dict]

    @property
    def reflected(self) -> Result:
        """The share."""
        return self.report["reflected"]

    @property
    def depth(self) -> Result | None:
        """Of the implanted, Å."""
        return next((one for one in self.report.results if one.name == "depth"), None)

    def mean(self, name: str) -> float:
        """Of a cost, over the shots."""
        return float(np.mean([cost[name] for cost in self.costs]))

    @property
    def step_ms(self) -> float:
        """Over all steps of all shots."""
        return 1e3 * self.mean("seconds") / self.mean("steps")


def arms(folder: Path) -> list[Arm]:
    """All that have shots, by energy."""
    found = []
    for path in (path for path in folder.iterdir() if path.is_dir()):
        name, energy = path.name.split("_")
        costs = [json.loads(one.read_text()) for one in sorted(path.glob("cost.*.json"))]
        found.append(Arm(name, float(energy), read_report(f"{path}.json"), costs))
    return sorted(found, key=lambda arm: (arm.energy, arm.name == "expensive"))


def table(found: list[Arm]) -> str:
    """As Markdown: each energy, mixed beside all-expensive."""
    by_name = {(arm.name, arm.energy): arm for arm in found}
    lines = [
        "| eV | | shots | reflected (95 %) | paper | mean depth (Å) | s a shot | steps | ms a step "
        "| speed-up | energy gained (eV) |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for arm in found:
        other = by_name.get(("expensive", arm.energy))
        counts = arm.report.curves["counts"]
        changes = [cost["energy_change_eV"] for cost in arm.costs]
        row = [f"{arm.energy:g}", LABELS[arm.name]]
        row += [f"{sum(counts.values()) - counts['unfinished']}", _share(arm.reflected)]
        row += [_published(arm), _depth(arm), f"{arm.mean('seconds'):.0f}"]
        row += [f"{arm.mean('steps'):.0f}", f"{arm.step_ms:.0f}"]
        row += [f"{_gain(arm, other):.1f}" if other and arm.name == "mixed" else ""]
        row += [f"{np.mean(changes):+.3f}" if len(changes) else ""]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def _share(result: Result) -> str:
    if not np.isfinite(result.value):
        return "none arrived"
    low, high = result.interval
    return f"{result.value:.2f} ({low:.2f} to {high:.2f})"


def _published(arm: Arm) -> str:
    points = PAPER[arm.name]
    return f"{points[arm.energy][0]:.3f}" if arm.energy in points else ""


def _depth(arm: Arm) -> str:
    if arm.depth is None:
        return ""
    known = np.isfinite(arm.depth.error)
    return with_error(arm.depth.value, arm.depth.error) if known else f"{arm.depth.value:.0f}"


def _gain(arm: Arm, other: Arm) -> float:
    """All-expensive forces on as many atoms as an arm has, over its own: times of a step."""
    return other.step_ms / other.mean("atoms") * arm.mean("atoms") / arm.step_ms


def draw(found: list[Arm], axes: Axes) -> None:
    """The share against the energy, beside the paper's and what was measured."""
    for points, style in (
        (EXPERIMENT, {"fmt": "k*", "ms": 8, "label": "experiment (van Gorkum)"}),
        (PAPER["expensive"], {"fmt": "s", "color": "0.6", "ms": 4, "label": "paper, MACE"}),
        (PAPER["mixed"], {"fmt": "o", "color": "0.6", "ms": 4, "label": "paper, MACE and SNAP"}),
    ):
        values = np.array(list(points.values()))
        bars = np.abs(values[:, 1:] - values[:, :1]).T
        axes.errorbar(list(points), values[:, 0], bars, lw=1, **style)
    for number, name in enumerate(LABELS):
        some = [arm for arm in found if arm.name == name and np.isfinite(arm.reflected.value)]
        if not some:
            continue
        x = [arm.energy + 0.7 * number for arm in some]  # side by side
        values = np.array([[arm.reflected.value, *arm.reflected.interval] for arm in some])
        bars = np.abs(values[:, 1:] - values[:, :1]).T
        axes.errorbar(x, values[:, 0], bars, fmt="oD"[number], color=f"C{number}", capsize=3,
                      label=LABELS[name].strip("*"))  # fmt: skip
    axes.set(xlabel="energy of He (eV)", ylabel="reflected", ylim=(0.0, 1.02))


def main() -> None:
    folder = HERE / "results" / sys.argv[1]
    found = arms(folder)
    write_table_and_figure(folder, table(found), partial(draw, found))


if __name__ == "__main__":
    main()
