"""Trajectories for the analyses: whole frames of one system, with their times."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import iread

from ..errors import MixpiError
from ..files.ase_files import read_atoms
from ..files.user_files import require_file
from ..regions.periodic import PeriodicCell
from .conditions import Conditions, Watch
from .dumps import drop_placeholder, is_dump, require_known_columns, require_metal


#: Relative; frames that are further from even spacing are refused.
UNEVEN = 1e-3
#: Quantity and unit in i-PI's comment of a frame.
_IPI = re.compile(r"(\w+)\{(\w*)\}")
_IPI_STEP = re.compile(r"Step:\s*(\d+)")
#: Formats of text that end a line with each atom, beside LAMMPS's dumps.
_LINES = (".xyz", ".extxyz")


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
    _watch: Watch = field(default_factory=Watch, init=False, repr=False, compare=False)

    @property
    def conditions(self) -> Conditions:
        """Of the run, by the frames that were read last."""
        return self._watch.conditions

    def frames(self) -> Iterator[tuple[float, Atoms]]:
        """Time (fs, from the first frame of the file on) and atoms of each whole frame.

        Raises
        ------
        MixpiError
            If the file cannot be read, atoms change, positions are not finite, times are unknown,
            frames are not as far apart as ``spacing`` says, velocities are not finite, or a dump
            of LAMMPS's would be read as something else.
        """
        self._watch.clear()
        numbers, begin = None, 0.0
        counted = _Counted(self.path)
        dump = is_dump(self.path)
        for index, atoms in enumerate(self._whole_frames(dump)):
            if dump:
                drop_placeholder(atoms)
            self._require_positions(index, atoms)
            if self.spacing is not None:
                counted.take(index, atoms)
            time = self._time(index, atoms)
            if numbers is None:
                numbers, begin = atoms.numbers, time
                if dump:
                    require_metal(atoms, self.path)
            elif not np.array_equal(numbers, atoms.numbers):
                raise MixpiError(
                    f"{self.path}: frame {index} has other atoms than the first one: all frames "
                    "must hold the same atoms in the same order"
                )
            if time - begin >= self.skip * (1.0 - 1e-9):
                self._watch.read(atoms, self.path, time - begin)
                yield time - begin, atoms
        if numbers is None:
            raise MixpiError(f"{self.path} holds no whole frame")

    def _whole_frames(self, dump: bool) -> Iterator[Atoms]:
        size = require_file(self.path, "trajectory")
        if dump:
            require_known_columns(self.path)
        # a number that was cut off is a number, too
        lines = dump or self.path.suffix in _LINES
        cut = size > 0 and lines and not _ends_a_line(self.path)
        index = 0
        last: Atoms | None = None
        try:
            for atoms in iread(self.path, ":"):
                if last is not None:
                    yield last
                    index += 1
                last = atoms
            if last is not None and not cut:
                yield last
        except Exception as error:  # ASE's readers fail in many ways
            index += last is not None
            if index == 0 or self._is_there(index + 1):
                said = " ".join(str(error).split())[:200]
                raise MixpiError(
                    f"{self.path}: frame {index} cannot be read ({type(error).__name__}: {said})"
                ) from None
            # what a run leaves that was killed or goes on: its last frame is half written
            if last is not None:
                yield last

    def _is_there(self, index: int) -> bool:
        try:
            return bool(read_atoms(self.path, index))
        except Exception:
            return False

    def _require_positions(self, index: int, atoms: Atoms) -> None:
        """Refuse what is not finite, or what i-PI has written in the same form, but is not that."""
        if not np.isfinite(atoms.positions).all():
            atom = int(np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))[0])
            raise MixpiError(
                f"{self.path}: frame {index}: the position of atom {atom} is not finite: the run "
                "has gone wrong there. Analyse what is before, and see why"
            )
        comment = str(atoms.info.get("ipi_comment", ""))
        if index == 0 and self.path.suffix == ".pdb":  # ASE does not read titles
            with self.path.open(errors="replace") as stream:
                comment = stream.read(2000).partition("\nATOM")[0]
        told = _IPI.search(comment)
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


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read() == b"\n"


def _step_of(atoms: Atoms) -> int | None:
    """The step of a frame of mixpi's, i-PI's or LAMMPS's, if it tells."""
    told = _IPI_STEP.search(str(atoms.info.get("ipi_comment", "")))
    named = (atoms.info[key] for key in ("step", "timestep", "Timestep") if key in atoms.info)
    step = told[1] if told else next(named, None)
    try:
        return None if step is None else int(step)
    except (TypeError, ValueError):
        return None


class _Counted:
    """Frames whose times are counted by their number: none may be missing, or there twice.

    A run that was started again may have left such, which only the steps of the frames tell, or
    that two are the same.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._steps: list[int] = []
        self._last: Atoms | None = None

    def take(self, index: int, atoms: Atoms) -> None:
        """Look at the next frame."""
        step, last = _step_of(atoms), self._last
        self._last = atoms
        odd = ""
        if step is not None:
            self._steps = [*self._steps, step][-3:]
            gaps = np.diff(self._steps)
            if len(gaps) and (gaps[-1] != gaps[0] or gaps[0] <= 0):
                odd = f"it is of step {step}, after {' and '.join(map(str, self._steps[:-1]))}"
        elif last is not None and len(atoms) and atoms == last:
            odd = "it is the one before once more"
        if odd:
            raise MixpiError(
                f"{self._path}: frame {index}: {odd}, so that --spacing does not tell its time. "
                "Leave out frames that are there twice, and analyse parts of a run between which "
                "some are missing one by one"
            )


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
