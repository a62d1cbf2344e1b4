"""Write a silicon crystal in which the bond between the atoms 0 and 1 is too long.

python stretched_bond.py CELLS OUTPUT
"""

from __future__ import annotations

import sys

from ase import Atoms
from ase.build import bulk


#: Å; of si-small.model, and of the potential that was distilled from it.
LATTICE = 5.4653
#: Å, by which the bond is longer than in the crystal (2.367 Å): each atom is moved by half.
STRETCH = 0.6


def stretched_bond(cells: int) -> Atoms:
    """A cubic supercell of cells × cells × cells conventional cells."""
    atoms = bulk("Si", "diamond", a=LATTICE, cubic=True) * (cells, cells, cells)
    bond = atoms.positions[1] - atoms.positions[0]
    length = (bond @ bond) ** 0.5
    atoms.positions[0] -= 0.5 * STRETCH * bond / length
    atoms.positions[1] += 0.5 * STRETCH * bond / length
    return atoms


if __name__ == "__main__":
    stretched_bond(int(sys.argv[1])).write(sys.argv[2], columns=["symbols", "positions"])
