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


HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from table_and_figure import write_table_and_figure  # noqa: E402


ARMS = ("constrained", "unconstrained")
LABELS = {"expensive": "**all-expensive**", "constrained": "constrained",
          "unconstrained": "unconstrained"}  # fmt: skip
#: Neighbours of an atom.
BONDS = 4


@dataclass
class Sheared:
    """The crystal at one shear.

    Attributes
    ----------
    shear : float
    crystals : dict of str to dict
        Potential to what it makes of the crystal alone (potentials.py).
    mixed : dict
        What mixed forces make of it (strain_error.py).
    """

    shear: float
    crystals: dict[str, dict]
    mixed: dict

    def shift_off(self, arm: str) -> float:
        """How far the cheap crystal's sublattices are from the expensive one's, Å."""
        shift, other = (np.array(self.crystals[name]["shift"]) for name in (arm, "expensive"))
        return float(np.linalg.norm(shift - other))

    def all_cheap(self, arm: str) -> float:
        """The measure of the paper, Å, where all atoms are as in the cheap crystal."""
        return float(np.sqrt(BONDS * self.mixed["atoms"])) * self.shift_off(arm)


def read(folder: Path) -> tuple[dict[str, dict], list[Sheared]]:
    """The potentials, and the crystal at all shears."""
    potentials = json.loads((folder / "potentials.json").read_text())
    found = []
    for number, point in enumerate(potentials["expensive"]["sheared"]):
        shear = point["shear"]
        mixed = json.loads((folder / f"shear_{shear:g}.json").read_text())
        crystals = {name: one["sheared"][number] for name, one in potentials.items()}
        found.append(Sheared(shear, crystals, mixed))
    return potentials, found


def table(potentials: dict[str, dict], found: list[Sheared]) -> str:
    """As Markdown."""
    lines = [
        "| | a0 (Å) | C11 (GPa) | C12 | C44 | tension at the expensive a0 (GPa) |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in potentials.items():
        values = " | ".join(f"{one[key]:.1f}" for key in ("C11", "C12", "C44"))
        tension = fixed(one["sheared"][0]["tension"])
        lines.append(f"| {LABELS[name]} | {one['a0']:.4f} | {values} | {tension} |")
    lines += [
        "",
        "| shear (%) | shear stress (GPa) | sublattices apart (Å) "
        "| **Δu (Å)**: constrained | unconstrained | were all atoms cheap "
        "| a bond (mÅ), core, seam, cheap: constrained | unconstrained |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [row(one) for one in found]
    return "\n".join(lines) + "\n"


def fixed(value: float) -> str:
    """Two decimals, and no negative zero."""
    return f"{round(value, 2) + 0.0:.2f}"


def row(one: Sheared) -> str:
    """One shear."""
    stress = ", ".join(fixed(crystal["stress_xy"]) for crystal in one.crystals.values())
    shift = ", ".join(f"{np.linalg.norm(c['shift']):.4f}" for c in one.crystals.values())
    norms = " | ".join(f"{one.mixed[arm]['norm']:.3f}" for arm in ARMS)
    cheap = ", ".join(f"{one.all_cheap(arm):.3f}" for arm in ARMS)
    regions = " | ".join(
        ", ".join(f"{1e3 * one.mixed[arm][region]:.2f}" for region in ("core", "seam", "cheap"))
        for arm in ARMS
    )
    return f"| {100 * one.shear:g} | {stress} | {shift} | {norms} | {cheap} | {regions} |"


def draw(found: list[Sheared], axes: Axes) -> None:
    """The measure of the paper against the shear."""
    shears = [100 * one.shear for one in found]
    for arm, colour in zip(ARMS, ("#d55e00", "#0072b2"), strict=True):
        norms = [one.mixed[arm]["norm"] for one in found]
        axes.plot(shears, norms, "o-", color=colour, label=f"mixed, {arm}")
        cheap = [one.all_cheap(arm) for one in found]
        axes.plot(shears, cheap, ":", color=colour, label=f"were all atoms {arm}")
    axes.set(xlabel="shear (%)", ylabel="Δu (Å)")


def main() -> None:
    folder = HERE / "results" / sys.argv[1]
    potentials, found = read(folder)
    write_table_and_figure(folder, table(potentials, found), partial(draw, found))


if __name__ == "__main__":
    main()
