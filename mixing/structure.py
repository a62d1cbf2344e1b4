"""The atoms of a simulation as i-PI sees them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read

from .errors import MixpiError
from .periodic import PeriodicCell


def read_structure(path: str | Path) -> Atoms:
    """Read a periodic structure and turn it to i-PI's orientation.

    Parameters
    ----------
    path : path-like
        Any format that ASE reads; its first frame is taken.

    Returns
    -------
    Atoms

    Raises
    ------
    MixpiError
        As :func:`read_oriented`.
    """
    return read_oriented(path)[0]


def read_oriented(path: str | Path) -> tuple[Atoms, np.ndarray]:
    """Read a periodic structure, and how it was turned to i-PI's orientation.

    i-PI (like LAMMPS) wants the first cell vector along x and the second in the xy
    plane, and its ``ase`` reader turns structures so; the same is done here, so
    that both agree on the cell.

    Parameters
    ----------
    path : path-like
        Any format that ASE reads; its first frame is taken.

    Returns
    -------
    atoms : Atoms
        In i-PI's orientation.
    rotation : ndarray, shape (3, 3)
        Turns vectors (rows) back to those of the file: ``vectors @ rotation``. The
        identity if nothing was turned.

    Raises
    ------
    MixpiError
        If the file cannot be read, or has no atoms or no periodic cell.
    """
    try:
        atoms = read(path, index=0)
    except FileNotFoundError:
        raise MixpiError(f"structure {path} does not exist") from None
    except Exception as error:
        raise MixpiError(f"ASE cannot read the structure {path}: {error}") from None
    require_periodic(atoms, path)
    if atoms.cell.handedness < 0:
        raise MixpiError(
            f"structure {path} has a left-handed cell, which i-PI and LAMMPS refuse: "
            "exchange two cell vectors"
        )
    rotation = np.eye(3)
    cell = atoms.cell.array
    if not np.allclose(np.triu(cell, 1), 0.0, atol=1e-9) or (np.diagonal(cell) < 0).any():
        standard, rotation = atoms.cell.standard_form()
        scaled = atoms.get_scaled_positions(wrap=False)
        atoms.set_cell(standard)
        atoms.set_scaled_positions(scaled)
    return atoms, rotation


def require_periodic(atoms: Atoms, path: str | Path) -> None:
    """Refuse what is no sound periodic structure.

    Raises
    ------
    MixpiError
        If it has no atoms, no volume, open boundaries or NaN in it.
    """
    if len(atoms) == 0:
        raise MixpiError(f"structure {path} has no atoms")
    if not atoms.pbc.all():
        raise MixpiError(
            f"structure {path} is not periodic in all directions (pbc {atoms.pbc.tolist()}): set "
            "pbc='T T T' and, for a surface or a molecule, a cell with vacuum"
        )
    try:
        PeriodicCell(atoms.cell.array)
    except ValueError as error:
        raise MixpiError(f"structure {path}: {error}") from None
    if not np.isfinite(atoms.positions).all():
        raise MixpiError(f"structure {path} has NaN or infinite positions")
