"""Write frames of hot {100} slabs of tungsten with a MACE model's energies and forces.

python scripts/surface_frames.py MODEL OUTPUT

Extra data for ``mixpi distil``: a potential that is fitted to the crystal alone may move the layers
of a surface apart that the model moves together. Langevin dynamics of 108 atoms at 1,000 K.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bcc100
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.md.langevin import Langevin
from make_interstitial import Expensive


#: K, fs, Å; the lattice constant is that at this temperature.
TEMPERATURE, TIMESTEP, LATTICE, VACUUM = 1000.0, 2.0, 3.197, 14.0
#: Cells along the surface, layers across it, steps before the first frame, between frames, frames.
FAR = 1.37  # Å from its site, where an atom has left it
CELLS, LAYERS, BEFORE, BETWEEN, FRAMES = 3, 12, 200, 100, 16


def slab() -> Atoms:
    """At rest."""
    atoms = bcc100("W", (CELLS, CELLS, LAYERS), a=LATTICE, vacuum=VACUUM / 2, periodic=True)
    return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)


def frames(model: Path) -> Iterator[Atoms]:
    """Of one run."""
    rng, atoms = np.random.default_rng(1), slab()
    atoms.calc = Expensive(model)
    # half of the kinetic energy goes into the bonds
    width = np.sqrt(2 * TEMPERATURE * units.kB * atoms.get_masses())
    atoms.set_momenta(rng.normal(size=(len(atoms), 3)) * width[:, None])
    moving = Langevin(
        atoms,
        TIMESTEP * units.fs,
        temperature_K=TEMPERATURE,
        friction=0.01 / units.fs,
        rng=rng,
        fixcm=False,
    )
    moving.run(BEFORE)
    for _ in range(FRAMES):
        frame = atoms.copy()
        frame.set_momenta(None)
        moved = np.linalg.norm(frame.positions - slab().positions, axis=1).max()
        if moved > FAR:
            raise SystemExit(f"an atom is {moved:.1f} Å from its site: the model bears no surface")
        frame.calc = SinglePointCalculator(
            frame, energy=atoms.get_potential_energy(), forces=atoms.get_forces()
        )
        yield frame
        moving.run(BETWEEN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    found = list(frames(arguments.model))
    write(arguments.output, found, columns=["symbols", "positions", "forces"])


if __name__ == "__main__":
    main()
