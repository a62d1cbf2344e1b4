"""Write the table and the figure of the study: results/SIZE/table.md and figure.png.

python table.py SIZE
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ase.units import kB


HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from diffusion_of_arms import write_all  # noqa: E402


LABELS = {"mixed": "mixed", "expensive": "**all-expensive**"}
#: m²/s and eV; what is often used for helium in tungsten (classical simulations).
PREFACTOR, ENERGY = 2.9e-8, 0.13
TEMPERATURES = (400.0, 600.0, 800.0)


def main() -> None:
    literature = {t: float(PREFACTOR * np.exp(-ENERGY / (kB * t))) for t in TEMPERATURES}
    write_all(
        HERE / "results" / sys.argv[1],
        LABELS,
        {f"literature, {ENERGY:g} eV": literature},
        "literature",
        {t: f"{value:.2g}" for t, value in literature.items()},
    )


if __name__ == "__main__":
    main()
