"""Write the table and the figure of the study: results/SIZE/table.md and figure.png.

python table.py SIZE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from mixpi.paths.profile import curve_of


HERE = Path(__file__).parent
ARMS = ("mixed", "expensive", "cheap")
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
        label = LABELS[arm]
        if not band["converged"]:
            force = band["largest_force_eV_per_A"]
            label += f" (not at rest after {band['steps']} steps: {force:.2g} eV/Å)"
        best, work, estimate = heights[arm]
        off = "" if arm == "expensive" else f"{best - heights['expensive'][0]:+.2f}"
        published = f"{PUBLISHED[arm]:.1f}" if arm in PUBLISHED else ""
        gain = f"{took['expensive'] / took[arm]:.1f}" if arm != "expensive" and took[arm] else ""
        lines.append(
            f"| {label} | {best:.1f} | {off} | {work:.1f} | {estimate:.1f} | {published} | "
            f"{took[arm]} | {gain} |"
        )
    return "\n".join(lines) + "\n"


def draw(folder: Path, target: Path) -> None:
    """Energies of the expensive potential along each path; as in the paper."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 4.2), layout="constrained")
    axes = figure.subplots()
    for arm in ARMS:
        found = json.loads((folder / f"{arm}.json").read_text())
        length = np.array(found["length_A"])
        energy = 1e3 * np.array(found["expensive_eV"])
        share = length / length[-1]
        axes.plot(share, energy, "o", color=COLOURS[arm], ms=4, label=LABELS[arm].strip("*"))
        if arm == "cheap":  # its forces are not the slopes of these energies
            axes.plot(share, energy, ":", color=COLOURS[arm], lw=1)
        else:
            force = 1e3 * np.array(found["force_along_path_eV_per_A"])
            s, e = curve_of(length, energy, force)
            axes.plot(s / length[-1], e, color=COLOURS[arm], lw=1)
    axes.set(xlabel="along the path (share)", ylabel="energy of the expensive potential (meV)")
    axes.grid(alpha=0.25, lw=0.5)
    axes.legend(frameon=False)
    figure.savefig(target, dpi=130)


def main() -> None:
    folder = HERE / "results" / sys.argv[1]
    text = table(folder)
    (folder / "table.md").write_text(text)
    draw(folder, folder / "figure.png")
    print(text, end="")


if __name__ == "__main__":
    main()
