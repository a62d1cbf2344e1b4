"""Print the heat of mixed forces by the area of the seam, as the paper has it.

python table.py

Of what scripts/energy_flux.py has measured (docs/drift.json); nothing is computed anew.
"""

from __future__ import annotations

import json
from math import pi
from pathlib import Path


MEASURED = Path(__file__).resolve().parents[3] / "docs" / "drift.json"
#: Core and blend, Å, linear weights that stay.
WAYS = ((4, 0), (5, 0), (6, 0), (4, 6), (5, 4), (5, 6), (6, 4))
#: Å³; of an atom in silicon.
VOLUME = 5.46526**3 / 8
#: Å; outer edge of the regions in the paper, of whose sphere all its fluxes are.
PUBLISHED = 10.0
#: meV/ps → 1e-5 eV/ps.
UNIT = 100.0


def name(core: int, blend: int) -> str:
    """As in the file."""
    return f"{'linear' if blend else 'abrupt'} {core}/{blend}, frozen"


def table() -> str:
    """As Markdown."""
    ways = {way["way"]: way for way in json.loads(MEASURED.read_text())["own"]["ways"]}
    lines = [
        "| core / blend (Å) | weighted atoms | outer edge (Å) | meV/ps "
        "| by its own area | by the paper's |",
        "|---|---|---|---|---|---|",
    ]
    for core, blend in WAYS:
        way = ways[name(core, blend)]
        edge = (3 * VOLUME * way["weighted"] / (4 * pi)) ** (1 / 3)
        heat, error = way["meV_per_ps"], way["error"]
        fluxes = [
            f"{UNIT * heat / (4 * pi * radius**2):.1f} ± {UNIT * error / (4 * pi * radius**2):.1f}"
            for radius in (edge, PUBLISHED)
        ]
        lines.append(
            f"| {core} / {blend or 'abrupt'} | {way['weighted']} | {edge:.1f} "
            f"| {heat:.0f} ± {error:.0f} | {' | '.join(fluxes)} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
