"""Write a sheared silicon crystal, and print the seeds: the atoms around its middle.

python sheared_crystal.py CELLS SHEAR OUTPUT
"""

from __future__ import annotations

import sys

import numpy as np
from ase import Atoms
from ase.build import bulk


#: Å; of si-small.model, and of the potential that was distilled from it under the constraint.
LATTICE = 5.46526
#: Å, before the shear: atoms closer than this to the middle of the cell are seeds.
AROUND = 6.0


def sheared(cells: int, shear: float) -> Atoms:
    """A supercell of cells × cells × cells conventional cells, in which x grows by ``shear`` y."""
    atoms = bulk("Si", "diamond", a=LATTICE, cubic=True) * (cells, cells, cells)
    change = np.array([[1.0, 0.0, 0.0], [shear, 1.0, 0.0], [0.0, 0.0, 1.0]])
    atoms.set_cell(atoms.cell.array @ change, scale_atoms=True)
    return atoms


def seeds(cells: int) -> list[int]:
    """The same atoms whatever the shear."""
    atoms = sheared(cells, 0.0)
    distances = np.linalg.norm(atoms.positions - atoms.cell.lengths() / 2, axis=1)
    return [int(k) for k in np.flatnonzero(distances < AROUND)]


if __name__ == "__main__":
    number, shear = int(sys.argv[1]), float(sys.argv[2])
    sheared(number, shear).write(sys.argv[3], columns=["symbols", "positions"])
    print(seeds(number))
