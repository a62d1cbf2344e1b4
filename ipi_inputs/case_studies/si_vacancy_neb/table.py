"""Write the table and the figure of the study: results/SIZE/table.md and figure.png.

python table.py SIZE
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from mixpi.paths.profile import curve_of


HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from table_and_figure import write_table_and_figure  # noqa: E402


ARMS = ("mixed", "expensive", "cheap")
REFERENCE = "expensive"
LABELS = {"mixed": "mixed", "expensive": "**all-expensive**", "cheap": "cheap"}
COLOURS = {"mixed": "#d55e00", "expensive": "#000000", "cheap": "#0072b2"}
#: meV; Birks et al., npj Comput. Mater. 2026, with ACE potentials in 7,999 atoms.
PUBLISHED = {"mixed": 54.8, "expensive": 54.3}


def seconds(folder: Path, arm: str) -> int:
    """What ends and band have taken."""
    lines = (folder / f"{arm}.seconds").read_text().splitlines()
    return sum(int(line.split()[0]) for line in lines)


def table(folder: Path) -> str:
    """As Markdown."""
    lines = [
        "| | barrier (meV) | − all-expensive | by the forces | by the estimate | published, ACE | "
        "s | speed-up |",
        "|---|---|---|---|---|---|---|---|",
    ]
    found = {arm: json.loads((folder / f"{arm}.json").read_text()) for arm in ARMS}
    took = {arm: seconds(folder, arm) for arm in ARMS}
    heights = {
        arm: [
            1e3 * one[f"barrier_by_{way}_eV"]
            for way in ("expensive_energies", "work", "energy_estimate")
        ]
        for arm, one in found.items()
    }
    for arm in ARMS:
        band = json.loads((folder / f"{arm}.neb.json").read_text())
        if not band["converged"]:
            force = band["largest_force_eV_per_A"]
            why = f"no path: {force:.2g} eV/Å on the band after {band['steps']} steps"
            lines.append(f"| {LABELS[arm]} | {why} | | | | | {took[arm]} | |")
            continue
        best, work, estimate = heights[arm]
        off = "" if arm == REFERENCE else f"{best - heights[REFERENCE][0]:+.2f}"
        published = f"{PUBLISHED[arm]:.1f}" if arm in PUBLISHED else ""
        gain = f"{took[REFERENCE] / took[arm]:.1f}" if arm != REFERENCE and took[arm] else ""
        lines.append(
            f"| {LABELS[arm]} | {best:.1f} | {off} | {work:.1f} | {estimate:.1f} | {published} | "
            f"{took[arm]} | {gain} |"
        )
    return "\n".join(lines) + "\n"


def draw(folder: Path, axes: Axes) -> None:
    """Energies of the expensive potential along each path; as in the paper."""
    # where two lie on one another, both are seen
    looks = {"expensive": ("o", 9, "-"), "mixed": (".", 6, "--"), "cheap": ("x", 5, ":")}
    for arm, (marker, size, line) in looks.items():
        if not json.loads((folder / f"{arm}.neb.json").read_text())["converged"]:
            continue
        found = json.loads((folder / f"{arm}.json").read_text())
        length = np.array(found["length_A"])
        energy = 1e3 * np.array(found["expensive_eV"])
        look = {"color": COLOURS[arm], "ms": size, "mfc": "none" if arm == REFERENCE else None}
        axes.plot(length / length[-1], energy, marker, **look, label=LABELS[arm].strip("*"))
        # of the cheap arm the forces are not the slopes of these energies
        force = 1e3 * np.array(found["force_along_path_eV_per_A"]) if arm != "cheap" else None
        s, e = (length, energy) if force is None else curve_of(length, energy, force)
        axes.plot(s / length[-1], e, line, color=COLOURS[arm], lw=1)
    axes.set(xlabel="along the path (share)", ylabel="energy of the expensive potential (meV)")


def main() -> None:
    folder = HERE / "results" / sys.argv[1]
    write_table_and_figure(folder, table(folder), partial(draw, folder))


if __name__ == "__main__":
    main()
