"""Write frames of hot {100} slabs of tungsten with a MACE model's energies and forces.

python scripts/surface_frames.py MODEL OUTPUT [--lattice 3.198]

Extra data for ``mixpi distil``: a potential that is fitted to the crystal alone may move the layers
of a surface apart that the model moves together. Langevin dynamics of 108 atoms at 1,000 K.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bcc100
from ase.io import write
from defect_frames import Frames, hot
from mixpi.drivers.symmetrix_engine import SymmetrixEngine


#: Å.
VACUUM = 14.0
#: Cells along the surface, layers across it.
CELLS, LAYERS = 3, 12
#: Å from its site, where an atom has left it.
FAR = 1.37


def slab(cells: int, lattice: float, vacuum: float = VACUUM) -> Atoms:
    """At rest."""
    atoms = bcc100("W", (cells, cells, LAYERS), a=lattice, vacuum=vacuum / 2, periodic=True)
    return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)


def frames(model: Path, lattice: float) -> Iterator[Atoms]:
    """Of one run."""
    start = slab(CELLS, lattice)
    atoms = start.copy()
    atoms.calc = SymmetrixEngine(model).calculator
    wanted = Frames(start.copy, 1000.0, before=200, between=100, number=16)
    for frame in hot(atoms, wanted, np.random.default_rng(1)):
        moved = np.linalg.norm(frame.positions - start.positions, axis=1).max()
        if moved > FAR:
            raise SystemExit(f"an atom is {moved:.1f} Å from its site: the model bears no surface")
        yield frame


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--lattice", type=float, default=3.198, help="constant at 1,000 K, Å")
    arguments = parser.parse_args()
    found = list(frames(arguments.model, arguments.lattice))
    write(arguments.output, found, columns=["symbols", "positions", "forces"])


if __name__ == "__main__":
    main()
