"""Formation energies of the dumbbells by the potentials of the study, as a table of Markdown.

python energies.py
"""

from __future__ import annotations

import sys
from pathlib import Path

from ase import Atoms
from ase.optimize import FIRE
from mixpi.distil.lammps_engine import LammpsCalculator
from mixpi.drivers.symmetrix_engine import SymmetrixEngine


ROOT = Path(__file__).resolve().parents[3]
INPUTS = ROOT / "ipi_inputs"
sys.path.insert(0, str(ROOT / "scripts"))

from make_interstitial import crystal, dumbbell_in_iron  # noqa: E402


CELLS = 5
AXES = {"⟨110⟩": (1, 1, 0), "⟨111⟩": (1, 1, 1), "⟨100⟩": (1, 0, 0)}


def distilled(name: str) -> LammpsCalculator:
    """A potential of ipi_inputs/potentials."""
    return LammpsCalculator.reported(INPUTS / "potentials" / f"{name}.json")


def relaxed(axis: tuple[int, int, int], first: LammpsCalculator, calculator) -> Atoms:
    """A dumbbell at rest; the first potential takes it out of where atoms are too close."""
    atoms, _ = dumbbell_in_iron(CELLS, axis)
    for one, largest in ((first, 0.05), (calculator, 0.03)):
        atoms.calc = one
        if not FIRE(atoms, logfile=None).run(fmax=largest, steps=200):
            raise SystemExit(f"{axis} does not come to rest")
    return atoms


def main() -> None:
    rich = distilled("fe-eam-uf3")
    found = {
        "fe-small": SymmetrixEngine(INPUTS / "models" / "fe-small.model").calculator,
        "fe-eam-uf3": rich,
        "fe-adp": distilled("fe-adp"),
    }
    print(f"| formation energy (eV), {2 * CELLS**3 + 1} atoms | {' | '.join(AXES)} |")
    print("|---|---|---|---|")
    for name, calculator in found.items():
        perfect, _ = crystal("Fe", CELLS)
        perfect.calc = calculator
        an_atom = perfect.get_potential_energy() / len(perfect)
        row = []
        for axis in AXES.values():
            atoms = relaxed(axis, rich, calculator)
            row.append(f"{atoms.get_potential_energy() - an_atom * len(atoms):.3f}")
        print(f"| `{name}` | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
