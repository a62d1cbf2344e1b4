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


LABELS = {
    "cheap": "cheap",
    "mixed": "mixed",
    "expensive": "**all-expensive**",
    "mace_mixed": "mixed, MACE",
    "mace_expensive": "**all-expensive**, MACE",
}
#: eV and m²/s: DFT (C. C. Fu et al., Phys. Rev. Lett. 92, 175503), and what prefactors are like.
ENERGY, PREFACTORS = 0.34, (1e-7, 2e-7)
TEMPERATURES = (800.0, 900.0, 1000.0, 1100.0)


def main() -> None:
    activated = {t: float(np.exp(-ENERGY / (kB * t))) for t in TEMPERATURES}
    write_all(
        HERE / "results" / sys.argv[1],
        LABELS,
        {
            f"{ENERGY:g} eV (DFT), {prefactor:.0e} m²/s": {
                t: prefactor * share for t, share in activated.items()
            }
            for prefactor in PREFACTORS
        },
        "0.34 eV (DFT), 1e-7 to 2e-7 m²/s",
        {
            t: " to ".join(f"{prefactor * share:.2g}" for prefactor in PREFACTORS)
            for t, share in activated.items()
        },
    )


if __name__ == "__main__":
    main()
