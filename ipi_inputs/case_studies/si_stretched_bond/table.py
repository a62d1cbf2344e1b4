"""Write the table and the figure of the study: results/SIZE/table.md and figure.png.

python table.py SIZE
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from mixpi.analysis.comparing import compare
from mixpi.analysis.results import Result, read_report, with_error


HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from table_and_figure import write_table_and_figure  # noqa: E402


REFERENCE = "expensive"


@dataclass
class Arm:
    """What the runs of one arm have given.

    Attributes
    ----------
    name : str
        cheap, expensive, or core_R_blend_B.
    force : Result
        On the bond, eV/Å: both pulls together, as in the paper.
    away : Result or None
        Difference from the reference.
    at_rest : dict of str to float
        Difference from the reference at rest, eV/Å, by the buffer (Å) where there is one.
    ps : float
        Length of all runs, with what is left out at their beginning.
    speed_up : tuple of float or None
        Against all-expensive evaluations, measured in turns at the end of each run; and the ms
        of both, mixed and all-expensive.
    """

    name: str
    force: Result
    away: Result | None
    at_rest: dict[str, float]
    ps: float
    speed_up: tuple[float, float, float] | None

    @property
    def radii(self) -> tuple[float, float] | None:
        """Core and blend, Å."""
        words = self.name.split("_")
        return (float(words[1]), float(words[3])) if len(words) == 4 else None

    @property
    def label(self) -> str:
        if self.radii is None:
            return {"cheap": "cheap (core 0)", "expensive": "**all-expensive**"}[self.name]
        return f"core {self.radii[0]:g}, blend {self.radii[1]:g} Å"


def arms(folder: Path) -> Iterator[Arm]:
    """All that have results."""
    reference = read_report(folder / f"{REFERENCE}.json")
    at_rest = json.loads((folder / "at_rest.json").read_text())
    [zero] = at_rest[REFERENCE].values()
    for path in sorted((one.with_name(f"{one.name}.json") for one in folder.glob("*/")), key=order):
        report, away = read_report(path), None
        if path.stem != REFERENCE:
            away = compare({"arm": report, REFERENCE: reference}, ["force"]).results[-1]
        runs = [
            json.loads(run.read_text()) for run in sorted(path.with_name(path.stem).glob("run.*"))
        ]
        names = ("speed_up", "mixed_s", "all_expensive_s")
        gains = [[run[name] for name in names] for run in runs if "speed_up" in run]
        gain = np.median(gains, axis=0) * (1.0, 1e3, 1e3) if gains else None
        yield Arm(
            path.stem,
            report["force"],
            away,
            {buffer: value - zero for buffer, value in at_rest[path.stem].items()},
            sum(run["steps"] for run in runs) / 1000.0,
            None if gain is None else tuple(gain),
        )


def order(path: Path) -> tuple[float, float]:
    """By blend, then core; the reference last."""
    words = path.stem.split("_")
    if len(words) == 4:
        return float(words[3]), float(words[1])
    return (-1.0, 0.0) if path.stem == "cheap" else (np.inf, 0.0)


def table(found: list[Arm]) -> str:
    """As Markdown."""
    lines = [
        "| | force on the bond (eV/Å) | half of it | − all-expensive "
        "| the same at rest, buffer 6, 8, 11 Å | ps | speed-up | ms: mixed, all-expensive |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for arm in found:
        half = with_error(arm.force.value / 2, arm.force.error / 2)
        away = "" if arm.away is None else with_error(arm.away.value, arm.away.error)
        at_rest = (
            ", ".join(f"{round(off, 3) + 0.0:+.3f}" for off in arm.at_rest.values())
            if arm.away
            else ""
        )
        gain = "{:.2f} | {:.0f}, {:.0f}".format(*arm.speed_up) if arm.speed_up else " | "
        lines.append(
            f"| {arm.label} | {with_error(arm.force.value, arm.force.error)} | {half} | {away} "
            f"| {at_rest} | {arm.ps:.4g} | {gain} |"
        )
    return "\n".join(lines) + "\n"


def draw(found: list[Arm], axes: Axes) -> None:
    """The force against the core's radius, with the reference as a band."""
    by_name = {arm.name: arm for arm in found}
    full, cheap = by_name[REFERENCE].force, by_name["cheap"].force
    low, high = full.value - full.error, full.value + full.error
    axes.axhspan(low, high, color="#009e73", alpha=0.3, lw=0, label="all-expensive")
    axes.errorbar([0], [cheap.value], [cheap.error], fmt="s", color="black", capsize=3,
                  label="cheap")  # fmt: skip
    blends = sorted({arm.radii[1] for arm in found if arm.radii})
    for number, blend in enumerate(blends):
        some = [arm for arm in found if arm.radii and arm.radii[1] == blend]
        x = [arm.radii[0] + 0.12 * number for arm in some]  # side by side
        y, error = [[getattr(arm.force, name) for arm in some] for name in ("value", "error")]
        axes.errorbar(x, y, error, fmt="o", capsize=3, color=f"C{number}",
                      label=f"mixed, blend {blend:g} Å")  # fmt: skip
    axes.set(xlabel="core (Å)", ylabel="mean force on the bond (eV/Å)")


def main() -> None:
    folder = HERE / "results" / sys.argv[1]
    found = list(arms(folder))
    write_table_and_figure(folder, table(found), partial(draw, found))


if __name__ == "__main__":
    main()
