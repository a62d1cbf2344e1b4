"""Write a bcc crystal with an interstitial, relaxed, and print the interstitial atoms.

python scripts/make_interstitial.py w-he CELLS MODEL OUTPUT         He in a tetrahedral site of W
python scripts/make_interstitial.py fe-dumbbell CELLS MODEL OUTPUT  a <110> dumbbell in Fe

Hot dynamics must not begin with atoms at 1.7 Å from each other: behind such a distance the small
models know no repulsion.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.optimize import FIRE
from mixpi.distil.data import relaxed_crystal
from mixpi.drivers.symmetrix_engine import SymmetrixEngine


#: Å; of the first small MACE models, near enough for all to start from.
LATTICE = {"W": 3.1881, "Fe": 2.8466}


def crystal(symbol: str, cells: int) -> tuple[Atoms, int]:
    """A cubic supercell, and its most central atom."""
    atoms = bulk(symbol, "bcc", a=LATTICE[symbol], cubic=True) * (cells, cells, cells)
    distances = np.linalg.norm(atoms.positions - atoms.cell.sum(axis=0) / 2, axis=1)
    return atoms, int(np.argmin(distances))


def helium_in_tungsten(cells: int) -> tuple[Atoms, list[int]]:
    """He in a tetrahedral site; the seed is the He."""
    atoms, centre = crystal("W", cells)
    atoms += Atoms("He", [atoms.positions[centre] + np.array([0.5, 0.25, 0.0]) * LATTICE["W"]])
    return atoms, [len(atoms) - 1]


def dumbbell_in_iron(cells: int, axis: Sequence[int] = (1, 1, 0)) -> tuple[Atoms, list[int]]:
    """Two atoms that share a site, 0.75 lattice constants apart; they are the seeds."""
    atoms, centre = crystal("Fe", cells)
    half = np.array(axis) / np.linalg.norm(axis) * 0.375 * LATTICE["Fe"]
    atoms += Atoms("Fe", [atoms.positions[centre] + half])
    atoms.positions[centre] -= half
    return atoms, [centre, len(atoms) - 1]


def relax(atoms: Atoms, model: Path) -> None:
    """To forces below 0.02 eV/Å, in the cell that the model's crystal has at rest."""
    calculator = SymmetrixEngine(model).calculator
    host = atoms.symbols[0]
    unit = bulk(host, "bcc", a=LATTICE[host], cubic=True)
    stretch = relaxed_crystal(unit, calculator).cell.lengths().mean() / LATTICE[host]
    atoms.set_cell(stretch * atoms.cell.array, scale_atoms=True)
    atoms.calc = calculator
    if not FIRE(atoms).run(fmax=0.02, steps=300):
        raise SystemExit("not relaxed after 300 steps")
    atoms.calc = None


KINDS = {"w-he": helium_in_tungsten, "fe-dumbbell": dumbbell_in_iron}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("cells", type=int, help="unit cells along each edge")
    parser.add_argument("model", type=Path)
    parser.add_argument("output")
    arguments = parser.parse_args()
    atoms, seeds = KINDS[arguments.kind](arguments.cells)
    relax(atoms, arguments.model)
    atoms.write(arguments.output, columns=["symbols", "positions"])
    print(f"{len(atoms)} atoms in {arguments.output}; seeds: {seeds}")


if __name__ == "__main__":
    main()
