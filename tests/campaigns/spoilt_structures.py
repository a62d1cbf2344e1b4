"""What can be wrong with a structure.

Each comes with the answer that is right: True in order, False to be refused, None either.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase import Atoms


def _cell(*rows) -> Callable:
    return lambda atoms, _rng: atoms.set_cell(np.array(rows, dtype=float))


def _scaled(*factors: float) -> Callable:
    def change(atoms: Atoms, _rng) -> None:
        atoms.set_cell(atoms.cell.array * np.array(factors)[:, None])

    return change


def _at(value) -> Callable:
    def change(atoms: Atoms, rng) -> None:
        atoms.positions[rng.integers(len(atoms))] = value

    return change


def _moved(size: float) -> Callable:
    def change(atoms: Atoms, rng) -> None:
        atoms.positions[rng.integers(len(atoms)), rng.integers(3)] += size

    return change


def _other_species(atoms: Atoms, rng) -> None:
    atoms.numbers[rng.integers(len(atoms))] = rng.choice([1, 2, 32, 74])


def _one_gone(atoms: Atoms, rng) -> Atoms:
    del atoms[int(rng.integers(len(atoms)))]
    return atoms


def _all_at_one_place(atoms: Atoms, _rng) -> None:
    atoms.positions[:] = 1.0


def _images(atoms: Atoms, rng) -> None:
    atoms.positions += rng.integers(-3, 4, size=(len(atoms), 3)) @ atoms.cell.array


def _with_more(atoms: Atoms, rng) -> None:
    atoms.set_array("forces", rng.normal(size=(len(atoms), 3)))
    atoms.set_array("tag", rng.integers(9, size=len(atoms)))
    atoms.info["comment"] = 'Lattice=x pbc=maybe "quoted" é'


#: Change of the structure of mixing.yaml alone, the answer.
STRUCTURES: dict[str, tuple[Callable, bool | None]] = {
    "another species": (_other_species, False),
    "an atom gone": (_one_gone, False),
    "an atom twice": (lambda a, _rng: a + a[3:4], False),
    "another order": (lambda a, rng: a[rng.permutation(len(a))], False),
    "an atom moved": (_moved(0.01), False),
    "an atom moved far": (_moved(3.0), False),
    "an atom moved by a rounding": (_moved(1e-5), True),
    "all atoms shifted": (lambda a, _rng: a.translate([0.1, 0, 0]), False),
    "other images": (_images, True),
    "further columns": (_with_more, True),
    "no changes": (lambda a, _rng: None, True),
    "cell stretched": (_scaled(1.001, 1, 1), False),
    "in bohr": (_scaled(1.8897, 1.8897, 1.8897), False),
    "no cell": (_scaled(0, 0, 0), False),
    "flat cell": (_scaled(1, 1, 0), False),
    "nearly flat cell": (_scaled(1, 1, 1e-8), False),
    "thin cell": (_scaled(1, 1, 1e-3), False),
    "huge cell": (_scaled(1e30, 1e30, 1e30), False),
    "long cell": (_scaled(1, 1, 1e7), False),
    "infinite cell": (_scaled(1, 1, np.inf), False),
    "cell of NaN": (_scaled(1, np.nan, 1), False),
    "tiny cell": (_scaled(1e-200, 1e-200, 1e-200), False),
    "left-handed": (_scaled(1, 1, -1), False),
    "parallel vectors": (_cell([10.92, 0, 0], [10.92, 1e-9, 0], [0, 0, 10.92]), False),
    "sheared cell": (_cell([10.92, 0, 0], [1e6, 10.92, 0], [0, 0, 10.92]), False),
    "position of NaN": (_at(np.nan), False),
    "infinite position": (_at(np.inf), False),
    "huge position": (_at(1e300), False),
    "far position": (_at(1e9), False),
    "all at one place": (_all_at_one_place, False),
    "open boundaries": (lambda a, _rng: a.set_pbc([True, True, False]), False),
    "no boundaries": (lambda a, _rng: a.set_pbc(False), False),
    "no atoms": (lambda a, _rng: a[:0], False),
}  # fmt: skip
#: Wrong also if i-PI has the same.
NEVER = {
    "no cell", "flat cell", "nearly flat cell", "thin cell", "huge cell", "long cell",
    "infinite cell", "cell of NaN", "tiny cell", "left-handed", "parallel vectors", "no atoms",
    "position of NaN", "infinite position", "huge position", "far position", "all at one place",
    "open boundaries", "no boundaries",
}  # fmt: skip
SAME_FOR_BOTH = {"no changes", "other images", "further columns"}
