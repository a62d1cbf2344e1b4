"""The atoms of a simulation as i-PI sees them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_masses
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
    atoms = read_frames(path)[0]
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


def read_frames(path: str | Path) -> list[Atoms]:
    """The first frame of a structure file, and the second if there is one.

    Parameters
    ----------
    path : path-like
        Any format that ASE reads, or a LAMMPS data file (units metal).

    Returns
    -------
    list of Atoms
        As they are in the file.

    Raises
    ------
    MixpiError
        If the file cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        raise MixpiError(f"structure {path} is a folder: a file is needed")
    try:
        if path.stat().st_size == 0:
            raise MixpiError(f"structure {path} is empty")
        if _is_lammps_data(path):
            return [_read_lammps_data(path)]
        frames = read(path, index=slice(0, 2))
    except FileNotFoundError:
        raise MixpiError(f"structure {path} does not exist") from None
    except MixpiError:
        raise
    except Exception as error:
        what = type(error).__name__ + (f": {error}" if str(error) else "")
        raise MixpiError(
            f"ASE cannot read the structure {path} ({what}): is the name's ending that of its "
            "format? Extended XYZ (.extxyz) is safest"
        ) from None
    if not frames:
        raise MixpiError(f"structure {path} holds no atoms that ASE can read")
    return frames


def _is_lammps_data(path: Path) -> bool:
    """Whether a file is LAMMPS's, which ASE knows by no ending."""
    with path.open("rb") as file:
        head = file.read(4096)
    return all(re.search(line, head, re.M) for line in (rb"^\s*\d+\s+atoms\b", rb"xlo\s+xhi|avec"))


def _read_lammps_data(path: Path) -> Atoms:
    text = path.read_text(errors="replace")
    if not re.search(r"^\s*(Masses|Atom Type Labels)\b", text, re.M):
        raise MixpiError(
            f"structure {path} is a LAMMPS data file without 'Masses' and 'Atom Type Labels', so "
            "its species are unknown: add one of them, or convert it with "
            "ase.io.read(..., format='lammps-data', Z_of_type={1: 14}).write('init.extxyz')"
        )
    atoms = read(path, format="lammps-data", units="metal")
    wrong = np.flatnonzero(np.abs(atoms.get_masses() - atomic_masses[atoms.numbers]) > 0.3)
    if len(wrong):
        raise MixpiError(
            f"structure {path}: a mass of {atoms.get_masses()[wrong[0]]:g} is that of no element; "
            "LAMMPS's units metal are expected (g/mol, Å)"
        )
    found = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
    # what is not used is said where that is known
    if atoms.has("momenta"):
        found.set_velocities(atoms.get_velocities())
    if atoms.has("initial_charges"):
        found.set_initial_charges(atoms.get_initial_charges())
    return found


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
