"""The force on the bond at rest, without temperature and noise: results/SIZE/at_rest.json.

python at_rest.py SIZE CELLS

Of each arm that has results, with several buffers; what is there is not computed again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.constraints import FixAtoms
from ase.optimize import FIRE
from mixpi import MixingCalculator
from mixpi.config import load_config
from mixpi.distil.lammps_engine import LammpsCalculator
from mixpi.drivers.lammps import LammpsSetup
from mixpi.drivers.symmetrix_engine import SymmetrixEngine
from stretched_bond import stretched_bond


HERE = Path(__file__).parent
#: eV/Å, largest force on an atom that is not held.
FMAX = 1e-3
#: Å; the paper's, what 'mixpi calibrate' asks for, and one beyond the model's range of 9 Å.
BUFFERS = (6, 8, 11)


def force_on_bond(atoms: Atoms, calculator: Calculator) -> float:
    """Both pulls together, eV/Å, once the other atoms are at rest; of the blended forces."""
    atoms = atoms.copy()
    atoms.calc = calculator
    atoms.set_constraint(FixAtoms([0, 1]))
    if not FIRE(atoms, logfile=None).run(fmax=FMAX, steps=1000):
        raise SystemExit("not at rest after 1000 steps")
    bond = atoms.positions[1] - atoms.positions[0]
    forces = atoms.get_forces(apply_constraint=False)
    return float((forces[0] - forces[1]) @ bond / np.linalg.norm(bond))


def main() -> None:
    size, cells = sys.argv[1], int(sys.argv[2])
    config = load_config(HERE / "mixing.yaml")
    cheap = LammpsCalculator(LammpsSetup(config.cheap.lammps.potential, folder=HERE))
    expensive = SymmetrixEngine(HERE / config.expensive.mace.model).calculator
    target = HERE / "results" / size / "at_rest.json"
    found = json.loads(target.read_text()) if target.exists() else {}
    for path in sorted(target.parent.glob("*/")):
        words = path.name.split("_")
        calculators = {"": {"cheap": cheap, "expensive": expensive}.get(path.name)}
        if len(words) == 4:
            calculators = {
                str(buffer): MixingCalculator(
                    cheap=cheap,
                    expensive=expensive,
                    seeds=[0, 1],
                    core=float(words[1]),
                    blend=float(words[3]),
                    buffer=buffer,
                    remove_net_force=False,
                )
                for buffer in BUFFERS
            }
        row = found.setdefault(path.name, {})
        for buffer, calculator in calculators.items():
            if buffer not in row:
                row[buffer] = force_on_bond(stretched_bond(cells), calculator)
                print(f"at rest: {path.name} {buffer}: {row[buffer]:.4f} eV/Å", flush=True)
                target.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
