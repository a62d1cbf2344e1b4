"""Write a slab of tungsten with two {100} surfaces, at rest, its lowest layer at 10 Å.

python slab.py CELLS LAYERS LATTICE VACUUM TARGET

CELLS × CELLS cells along the surface, LAYERS cells thick; LATTICE (constant) and VACUUM in Å.
"""

from __future__ import annotations

import sys

from ase import Atoms
from ase.build import bcc100


#: Å; where the lowest layer is.
BOTTOM = 10.0


def main() -> None:
    cells, layers = map(int, sys.argv[1:3])
    lattice, vacuum = map(float, sys.argv[3:5])
    slab = bcc100("W", (cells, cells, 2 * layers), a=lattice, periodic=True)
    slab.cell[2, 2] = (layers - 0.5) * lattice + vacuum
    slab.positions[:, 2] += BOTTOM - slab.positions[:, 2].min()
    Atoms(slab.numbers, slab.positions, cell=slab.cell, pbc=True).write(sys.argv[5])


if __name__ == "__main__":
    main()
