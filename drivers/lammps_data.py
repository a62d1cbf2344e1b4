"""A structure as a LAMMPS data file, exact to the last digit, in any periodic cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.cell import Cell
from numpy.typing import ArrayLike


#: Off-diagonal elements below this part of the cell are rounding, not tilts.
ROUNDING = 1e-13


def lammps_frame(cell: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The box that LAMMPS reads for a cell, and the rotation into its frame.

    LAMMPS wants the first vector along x, the second in the xy plane, and a right-handed
    box. A cell that is so already is returned as it is, with the identity; of a
    left-handed one the third vector is turned round, which is the same lattice.

    Parameters
    ----------
    cell : array_like, shape (3, 3)
        Rows are the lattice vectors, Å.

    Returns
    -------
    box : ndarray, shape (3, 3)
        Lower triangular, positive on the diagonal, Å.
    rotation : ndarray, shape (3, 3)
        ``vectors @ rotation`` are the structure's vectors in LAMMPS's frame,
        ``vectors @ rotation.T`` LAMMPS's in that of the structure.
    """
    box, rotation = np.array(cell, dtype=float), np.eye(3)
    if np.linalg.det(box) < 0:
        box[2] *= -1.0
    if np.triu(box, 1).any() or (np.diag(box) < 0).any():
        lower, axes = Cell(box).standard_form()
        box, rotation = np.tril(lower.array), axes.T
    # with no tilt at all LAMMPS takes its faster path for rectangular boxes
    box[np.abs(box) < ROUNDING * np.abs(box).max()] = 0.0
    return box, rotation


def folded(positions: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Positions (m, 3) moved into the cell by whole lattice vectors; Å."""
    return positions - np.floor(positions @ np.linalg.inv(box)) @ box


def write_data(path: Path, atoms: Atoms, species: Sequence[str]) -> None:
    """Write a data file of ``atom_style atomic``, ids in the order of the atoms.

    Box and coordinates come back from it to double precision: a tilt that is dropped
    because it is small moves the images of the atoms, the more the longer the cell.

    Parameters
    ----------
    path : Path
        The file.
    atoms : Atoms
        Any periodic cell; atoms outside it are folded in.
    species : sequence of str
        Chemical symbols in the order of LAMMPS atom types.
    """
    box, rotation = lammps_frame(atoms.cell.array)
    positions = folded(atoms.positions @ rotation, box)
    kinds = [species.index(symbol) + 1 for symbol in atoms.symbols]
    lines = ["# written by mixpi", "", f"{len(atoms)} atoms", f"{len(species)} atom types"]
    lines += [f"0 {box[k, k]:.17g} {axis}lo {axis}hi" for k, axis in enumerate("xyz")]
    tilts = box[1, 0], box[2, 0], box[2, 1]
    if any(tilts):
        lines.append(" ".join(f"{tilt:.17g}" for tilt in tilts) + " xy xz yz")
    lines += ["", "Atoms # atomic", ""]
    lines += [
        f"{number} {kind} {x:.17g} {y:.17g} {z:.17g}"
        for number, (kind, (x, y, z)) in enumerate(
            zip(kinds, positions.tolist(), strict=True), start=1
        )
    ]
    path.write_text("\n".join(lines) + "\n")
