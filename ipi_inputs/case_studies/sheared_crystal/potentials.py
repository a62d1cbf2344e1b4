"""What the three potentials make of the crystal, perfect and sheared, as JSON.

python potentials.py OUTPUT SHEAR ...
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from ase.calculators.calculator import Calculator
from ase.optimize import FIRE
from ase.units import GPa
from mixpi.distil.data import relaxed_crystal
from mixpi.distil.lammps_engine import LammpsCalculator
from mixpi.distil.properties import elastic_constants
from mixpi.drivers.lammps import LammpsSetup
from mixpi.drivers.symmetrix_engine import SymmetrixEngine
from sheared_crystal import sheared


HERE = Path(__file__).resolve().parent
INPUTS = HERE.parents[1]
#: eV/Å.
FMAX = 1e-5


def potentials() -> dict[str, Calculator]:
    """The expensive one, and both cheap ones."""
    path = INPUTS / "potentials" / "si-uf3.json"
    report = json.loads(path.read_text())
    free = [line.replace("si-uf3.uf3", "si-uf3-unconstrained.uf3") for line in report["lammps"]]
    return {
        "expensive": SymmetrixEngine(INPUTS / "models" / "si-small.model").calculator,
        "constrained": LammpsCalculator.reported(path),
        "unconstrained": LammpsCalculator(LammpsSetup(free, report["species"], HERE)),
    }


def at_shear(shear: float, calculator: Calculator) -> dict:
    """Stress (GPa) at rest, and how far one sublattice has moved against the other (Å).

    In a crystal with two atoms in its elementary cell that is all that can relax.
    """
    atoms = sheared(1, shear)
    start = atoms.positions.copy()
    atoms.calc = calculator
    if not FIRE(atoms, logfile=None).run(fmax=FMAX, steps=1000):
        raise SystemExit(f"not at rest at a shear of {shear}")
    # every second atom of the conventional cell belongs to the other sublattice
    moved = atoms.positions - start
    shift = moved[1::2].mean(axis=0) - moved[::2].mean(axis=0)
    stress = atoms.get_stress(voigt=False) / GPa
    return {
        "shear": shear,
        "stress_xy": float(stress[0, 1]),
        "tension": float(np.trace(stress) / 3.0),
        "shift": shift.tolist(),
    }


def main() -> None:
    target, shears = Path(sys.argv[1]), [float(word) for word in sys.argv[2:]]
    found = json.loads(target.read_text()) if target.exists() else {}
    if found and all(
        {row["shear"] for row in one["sheared"]} >= set(shears) for one in found.values()
    ):
        return
    for name, calculator in potentials().items():
        crystal = relaxed_crystal(sheared(1, 0.0), calculator, whose=name)
        found[name] = {
            "a0": float(crystal.cell.lengths().mean()),
            **elastic_constants(crystal, cubic=True),
            "sheared": [at_shear(shear, calculator) for shear in shears],
        }
    target.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
