"""Write a diamond crystal with one vacancy and print the seeds: the vacancy's neighbours.

python scripts/make_vacancy.py CELLS OUTPUT [--lattice 5.467] [--symbol Si] [--hop LAST]

With --hop also the crystal in which one of these atoms has moved into the hole; the seeds are then
the neighbours of both vacancies.
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


def hopped(atoms: Atoms, seeds: list[int], cells: int) -> tuple[Atoms, list[int]]:
    """The same atoms, one of the neighbours in the hole; and the neighbours of both holes."""
    perfect = bulk("Si", "diamond", a=atoms.cell.lengths()[0] / cells, cubic=True)
    bond = perfect.get_distance(0, 1, mic=True)
    # the hole is where four bonds from its neighbours meet
    around = atoms.positions[seeds]
    hole = np.mean(around, axis=0)
    hop = seeds[0]
    place = atoms.positions[hop].copy()
    last = atoms.copy()
    last.positions[hop] = hole
    probe = last + Atoms("H", [place])
    near = probe.get_distances(len(last), range(len(last)), mic=True)
    others = np.flatnonzero(near < 1.1 * bond).tolist()
    return last, sorted({*seeds, *others})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", type=int, help="unit cells along each edge")
    parser.add_argument("output")
    parser.add_argument("--lattice", type=float, default=5.467, help="Å (that of the MACE model)")
    parser.add_argument("--symbol", default="Si")
    parser.add_argument("--hop", metavar="LAST", help="also write the other end of a hop")
    arguments = parser.parse_args()
    atoms, seeds = vacancy(arguments.cells, lattice=arguments.lattice, symbol=arguments.symbol)
    atoms.write(arguments.output, columns=["symbols", "positions"])
    if arguments.hop:
        last, seeds = hopped(atoms, seeds, arguments.cells)
        last.write(arguments.hop, columns=["symbols", "positions"])
    print(f"{len(atoms)} atoms in {arguments.output}; seeds: {seeds}")


if __name__ == "__main__":
    main()
