"""Trajectories for the analyses: whole frames of one system, with their times."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import iread

from ..errors import MixpiError
from ..files.ase_files import read_atoms
from ..files.user_files import require_file
from ..regions.periodic import PeriodicCell


#: Relative; frames that are further from even spacing are refused.
UNEVEN = 1e-3
#: Quantity and unit in i-PI's comment of a frame.
_IPI = re.compile(r"(\w+)\{(\w*)\}")


@dataclass(frozen=True)
class Trajectory:
    """A file of frames.

    Attributes
    ----------
    path : Path
        mixpi's ``mix.extxyz``, or any file that ASE reads.
    spacing : float or None
        fs between frames; by default their ``time`` (fs) tells.
    skip : float
        fs at the beginning that are left out.
    """

    path: Path
    spacing: float | None = None
    skip: float = 0.0

    def frames(self) -> Iterator[tuple[float, Atoms]]:
        """Time (fs, from the first frame of the file on) and atoms of each whole frame.

        Raises
        ------
        MixpiError
            If the file cannot be read, atoms change, or times are unknown.
        """
        numbers, begin = None, 0.0
        for index, atoms in enumerate(self._whole_frames()):
            self._require_positions(atoms)
            time = self._time(index, atoms)
            if numbers is None:
                numbers, begin = atoms.numbers, time
            elif not np.array_equal(numbers, atoms.numbers):
                raise MixpiError(
                    f"{self.path}: frame {index} has other atoms than the first one: all frames "
                    "must hold the same atoms in the same order"
                )
            if time - begin >= self.skip * (1.0 - 1e-9):
                yield time - begin, atoms
        if numbers is None:
            raise MixpiError(f"{self.path} holds no whole frame")

    def _whole_frames(self) -> Iterator[Atoms]:
        require_file(self.path, "trajectory")
        index = 0
        try:
            for atoms in iread(self.path, ":"):
                yield atoms
                index += 1
        except Exception as error:  # ASE's readers fail in many ways
            if index == 0 or self._is_there(index + 1):
                said = " ".join(str(error).split())[:200]
                raise MixpiError(
                    f"{self.path}: frame {index} cannot be read ({type(error).__name__}: {said})"
                ) from None
            # what a run leaves that was killed or goes on: its last frame is half written

    def _is_there(self, index: int) -> bool:
        try:
            return bool(read_atoms(self.path, index))
        except Exception:
            return False

    def _require_positions(self, atoms: Atoms) -> None:
        """Refuse what i-PI has written in the same form, but is something else."""
        told = _IPI.search(str(atoms.info.get("ipi_comment", "")))
        if told and (told[1] != "positions" or told[2] not in ("ase", "angstrom")):
            raise MixpiError(
                f"{self.path} holds {told[1]} in {told[2] or 'atomic units'}, where positions in Å "
                "are needed: let i-PI write <trajectory format='ase'> positions </trajectory>"
            )

    def _time(self, index: int, atoms: Atoms) -> float:
        if self.spacing is not None:
            return index * self.spacing
        try:
            return float(atoms.info["time"])
        except (KeyError, TypeError, ValueError):
            raise MixpiError(
                f"{self.path}: frame {index} has no 'time': say how many fs lie between frames "
                "(--spacing)"
            ) from None


def require_even(path: str | Path, times: Sequence[float] | np.ndarray, fewest: int) -> np.ndarray:
    """Times of frames, if there are enough of them at even distances.

    Parameters
    ----------
    path : path-like
        For the message.
    times : sequence of float
        fs.
    fewest : int
        How many are needed.

    Returns
    -------
    ndarray, shape (n,)
        fs.

    Raises
    ------
    MixpiError
        If there are too few, or not evenly spaced.
    """
    found = np.asarray(times, dtype=float)
    if len(found) < fewest:
        raise MixpiError(
            f"{path}: {len(found)} frames are too few for an error bar, {fewest} are needed: run "
            "longer, write more frames, or skip less"
        )
    gaps = np.diff(found)
    spacing = np.median(gaps)
    odd = np.flatnonzero(np.abs(gaps - spacing) > UNEVEN * abs(spacing))
    if len(odd) or not spacing > 0.0:
        where = int(odd[0]) if len(odd) else 0
        raise MixpiError(
            f"{path}: frames are not evenly spaced: from {found[where]:g} to "
            f"{found[where + 1]:g} fs after the first one, else {spacing:g} fs. Leave out frames "
            "that are there twice, or give --spacing if their times are wrong"
        )
    return found


def choose(
    atoms: Atoms, path: str | Path, species: str | None, indices: Sequence[int]
) -> np.ndarray:
    """Atoms by species, or by number.

    Parameters
    ----------
    atoms : Atoms
    path : path-like
        For the message.
    species : str or None
        Chemical symbol.
    indices : sequence of int
        From 0; used without a species.

    Returns
    -------
    ndarray of int
        Ascending.

    Raises
    ------
    MixpiError
        If there are no such atoms.
    """
    if species is not None:
        found = np.flatnonzero(np.array(atoms.get_chemical_symbols()) == species)
        if not len(found):
            there = ", ".join(sorted(set(atoms.get_chemical_symbols())))
            raise MixpiError(f"{path} has no atom of species {species!r}: there are {there}")
        return found
    found = np.unique(np.asarray(indices, dtype=int))
    if not len(found):
        raise MixpiError("no atoms are chosen: name a species or atom numbers (from 0)")
    if found[0] < 0 or found[-1] >= len(atoms):
        wrong = int(found[0] if found[0] < 0 else found[-1])
        raise MixpiError(
            f"{path} has no atom {wrong}: its {len(atoms)} atoms are numbered from 0 to "
            f"{len(atoms) - 1}"
        )
    return found


def periodic_cell(atoms: Atoms, path: str | Path, same_as: PeriodicCell | None) -> PeriodicCell:
    """The cell of a frame.

    Parameters
    ----------
    atoms : Atoms
    path : path-like
        For the message.
    same_as : PeriodicCell or None
        Of an earlier frame, which it must not differ from.

    Returns
    -------
    PeriodicCell

    Raises
    ------
    MixpiError
        If it has no volume, or changes.
    """
    if same_as is not None and np.allclose(atoms.cell.array, same_as.vectors, rtol=1e-6):
        return same_as
    if same_as is not None:
        raise MixpiError(
            f"{path}: the cell changes, and what atoms move cannot be told from what it does: "
            "analyse a run at constant volume"
        )
    try:
        return PeriodicCell(atoms.cell.array)
    except ValueError as error:
        raise MixpiError(f"{path}: {error}") from None
