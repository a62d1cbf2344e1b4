"""The atoms of a simulation as i-PI sees them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from ase import Atoms
from ase.data import atomic_masses

from .errors import MixpiError
from .files.ase_files import read_atoms
from .files.user_files import MiB, open_file, require_file
from .regions.periodic import PeriodicCell


#: Bytes of a structure, also when it is unpacked; ten million atoms in extended XYZ.
LARGEST = 2048 * MiB
#: Endings of texts, in which a zero is damage.
_TEXT = (".extxyz", ".xyz", ".cif", ".pdb", ".vasp", ".poscar", ".data", ".lmp", ".in", ".txt")
_PACKED: dict[str, Callable[[Path, Literal["rb"]], io.BufferedIOBase]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
#: Å³ for an atom; diamond has 5.7, hydrogen in a star less than one.
DENSEST = 0.1
#: Å; between opposite faces of a cell, and the length of its vectors.
THINNEST, LONGEST = 0.2, 1e6


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
    return oriented(read_frames(path)[0], path)


def oriented(atoms: Atoms, path: str | Path) -> tuple[Atoms, np.ndarray]:
    """As :func:`read_oriented`, of a structure from that file, which stays as it is."""
    require_periodic(atoms, path)
    if atoms.cell.handedness < 0:
        raise MixpiError(
            f"structure {path} has a left-handed cell, which i-PI and LAMMPS refuse: "
            "exchange two cell vectors"
        )
    cell = atoms.cell.array
    if np.allclose(np.triu(cell, 1), 0.0, atol=1e-9) and (np.diagonal(cell) >= 0).all():
        return atoms, np.eye(3)
    standard, rotation = atoms.cell.standard_form()
    turned = atoms.copy()
    turned.set_cell(standard)
    turned.set_scaled_positions(atoms.get_scaled_positions(wrap=False))
    return turned, rotation


def read_only_frame(path: str | Path) -> Atoms:
    """The structure in a file that is to have one.

    Parameters
    ----------
    path : path-like
        Any format that ASE reads.

    Raises
    ------
    MixpiError
        If it cannot be read, or has several frames.
    """
    frames = read_frames(path)
    if len(frames) > 1:
        raise MixpiError(
            f"{path} has several frames: which one is meant? Write that one into a file of its own"
        )
    return frames[0]


def read_frames(path: str | Path, *, most: int | None = 2) -> list[Atoms]:
    """The first frames of a structure file.

    Parameters
    ----------
    path : path-like
        Any format that ASE reads, or a LAMMPS data file (units metal).
    most : int or None
        No more than so many; None for all.

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
    if os.path.isdir(path):
        raise MixpiError(f"structure {path} is a folder: a file is needed")
    try:
        _require_sane_file(path)
        if _is_lammps_data(path):
            return [_read_lammps_data(path)]
        frames = read_atoms(path, slice(0, most))
    except MixpiError:
        raise
    except (Exception, SystemExit) as error:  # some of ASE's readers end the program
        said = " ".join(str(error).split())
        what = type(error).__name__ + (f": {said[:300]}" if said else "")
        raise MixpiError(
            f"ASE cannot read the structure {path} ({what}): is the name's ending that of its "
            "format? Extended XYZ (.extxyz) is safest"
        ) from None
    if not frames:
        raise MixpiError(f"structure {path} holds no atoms that ASE can read")
    return frames


def _require_sane_file(path: Path) -> None:
    """Refuse what ASE would hang on, or load without end."""
    if not os.path.lexists(path):
        raise MixpiError(f"structure {path} does not exist")
    if require_file(path, "structure", largest=LARGEST) == 0:
        raise MixpiError(f"structure {path} is empty")
    with open_file(path, "structure") as stream:
        head = stream.read(MiB)
    is_text = path.suffix.lower() in _TEXT
    if is_text and len(head) == MiB and b"\n" not in head:
        raise MixpiError(f"cannot read the structure {path}: its first line does not end")
    if is_text and b"\0" in head:
        raise MixpiError(
            f"cannot read the structure {path}: there are zeros where text should be; it is damaged"
        )
    if b"PickleTrajectory" in head[:64]:
        raise MixpiError(
            f"structure {path} is one of ASE's old trajectories, a pickle: reading it would run "
            "whatever code is in it. Convert it where you trust it (python -m ase.io.trajectory)"
        )
    unpack = _PACKED.get(path.suffix.lower())
    if unpack is None:
        return
    size = 0
    with unpack(path, "rb") as stream:
        while chunk := stream.read(MiB):
            size += len(chunk)
            if size > LARGEST:
                raise MixpiError(
                    f"structure {path} unpacks to more than {LARGEST / MiB:,.0f} MiB: it is none"
                )


def _is_lammps_data(path: Path) -> bool:
    """Whether a file is LAMMPS's, which ASE knows by no ending."""
    with open_file(path, "structure") as file:
        head = file.read(4096)
    return all(
        re.search(line, head, re.M) for line in (rb"^[ \t]*\d+[ \t]+atoms\b", rb"xlo\s+xhi|avec")
    )


def _read_lammps_data(path: Path) -> Atoms:
    text = path.read_text(errors="replace")
    if not re.search(r"^[ \t]*(Masses|Atom Type Labels)\b", text, re.M):
        raise MixpiError(
            f"structure {path} is a LAMMPS data file without 'Masses' and 'Atom Type Labels', so "
            "its species are unknown: add one of them, or convert it with "
            "ase.io.read(..., format='lammps-data', Z_of_type={1: 14}).write('init.extxyz')"
        )
    atoms = read_atoms(path, format="lammps-data", units="metal")[0]
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
        If it has no atoms, no volume, open boundaries, NaN in it, or dimensions of no matter.
    """
    if len(atoms) == 0:
        raise MixpiError(f"structure {path} has no atoms")
    if not atoms.pbc.all():
        raise MixpiError(
            f"structure {path} is not periodic in all directions (pbc {atoms.pbc.tolist()}): set "
            "pbc='T T T' and, for a surface or a molecule, a cell with vacuum"
        )
    try:
        with np.errstate(all="ignore"):
            cell = PeriodicCell(atoms.cell.array)
    except (ValueError, np.linalg.LinAlgError) as error:
        raise MixpiError(f"structure {path}: {error}") from None
    if not np.isfinite(atoms.positions).all():
        raise MixpiError(f"structure {path} has NaN or infinite positions")
    longest = np.linalg.norm(cell.vectors, axis=1).max()
    if not longest <= LONGEST:
        raise MixpiError(f"structure {path} has a cell vector of {longest:.3g} Å: is it in Å?")
    if not cell.heights.min() >= THINNEST:
        raise MixpiError(
            f"structure {path} has a nearly flat cell: two opposite faces are only "
            f"{cell.heights.min():.3g} Å apart. For a slab or a molecule give the empty direction "
            "a length that holds vacuum"
        )
    if not cell.volume / len(atoms) >= DENSEST:
        raise MixpiError(
            f"structure {path} has {len(atoms)} atoms in {cell.volume:.3g} Å³, "
            f"{cell.volume / len(atoms):.3g} Å³ each: no matter is so dense. Is the cell in Å?"
        )
    far = np.abs(atoms.positions).max()
    if far > LONGEST:
        raise MixpiError(f"structure {path} has an atom {far:.3g} Å from the origin: is it in Å?")
