"""Write a diamond crystal with one vacancy and print the seeds: the vacancy's neighbours.

python scripts/make_vacancy.py CELLS OUTPUT [--lattice 5.467] [--symbol Si]
"""

from __future__ import annotations

import argparse

import numpy as np
from ase import Atoms
from ase.build import bulk


def vacancy(cells: int, *, lattice: float, symbol: str) -> tuple[Atoms, list[int]]:
    """A cubic supercell without its most central atom, and the four atoms around the hole."""
    atoms = bulk(symbol, "diamond", a=lattice, cubic=True) * (cells, cells, cells)
    centre = int(np.argmin(np.linalg.norm(atoms.positions - atoms.cell.sum(axis=0) / 2, axis=1)))
    distances = atoms.get_distances(centre, range(len(atoms)), mic=True)
    distances[centre] = np.inf
    neighbours = np.argsort(distances)[:4]
    seeds = sorted(int(k) - (k > centre) for k in neighbours.tolist())
    del atoms[centre]
    return atoms, seeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", type=int, help="unit cells along each edge")
    parser.add_argument("output")
    parser.add_argument("--lattice", type=float, default=5.467, help="Å (that of the MACE model)")
    parser.add_argument("--symbol", default="Si")
    arguments = parser.parse_args()
    atoms, seeds = vacancy(arguments.cells, lattice=arguments.lattice, symbol=arguments.symbol)
    atoms.write(arguments.output, columns=["symbols", "positions"])
    print(f"{len(atoms)} atoms in {arguments.output}; seeds: {seeds}")


if __name__ == "__main__":
    main()
