"""The trajectory of a mixed run: atoms with their regions, in the frame of the user's file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io.extxyz import write_extxyz

from ..config import OutputConfig
from ..errors import MixpiError
from ..files.ase_files import read_atoms
from ..regions.growth import Regions
from .continuing import cut_frames, put_aside


#: Relative; masses that are as near to those of the elements need not be written.
COMMON = 1e-3


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation found, for the frames.

    Attributes
    ----------
    step : int
        i-PI's.
    geometries : sequence of ndarray, shape (n, 3)
        Positions of each bead, Å.
    cell : ndarray, shape (3, 3)
        Rows are lattice vectors, Å.
    regions : Regions
        Of all beads.
    forces : sequence of ndarray, shape (n, 3)
        Mixed forces on each bead, eV/Å.
    potentials : sequence of float
        Energy estimates, eV.
    correction : bool
        Whether forces and energies are not all of them, but what is added to cheap ones.
    """

    step: int
    geometries: Sequence[np.ndarray]
    cell: np.ndarray
    regions: Regions
    forces: Sequence[np.ndarray]
    potentials: Sequence[float]
    correction: bool = False


def bead_paths(trajectory: str | Path, beads: int) -> list[Path]:
    """The file of each bead: the name itself for one, with i-PI's kind of number for more."""
    path = Path(trajectory)
    if beads == 1:
        return [path]
    digits = len(str(beads))
    return [path.with_name(f"{path.stem}_{bead:0{digits}d}{path.suffix}") for bead in range(beads)]


class Frames:
    """Writes a frame a bead every so many steps.

    Parameters
    ----------
    config : OutputConfig
        Says where, how often and what.
    template : Atoms
        Species, as the user's file has them.
    rotation : ndarray, shape (3, 3)
        Row vectors in i-PI's frame times this are those in the user's.
    beads : int
        Geometries of each evaluation.
    first_step : int
        Step that this run begins with; more than 0 for one that continues another, whose
        frames behind that step are cut off.
    load : ndarray, shape (3,), optional
        Sizes of the constant forces on atoms, added up, eV/Å; written so that analyses can tell
        runs under different loads apart.
    others : bool
        Whether further forces of i-PI's act on the atoms, so that those of the frames are not all
        (``other_forces``).
    """

    def __init__(
        self,
        config: OutputConfig,
        template: Atoms,
        rotation: np.ndarray,
        *,
        beads: int,
        first_step: int = 0,
        load: np.ndarray | None = None,
        others: bool = False,
    ) -> None:
        self._load, self._others = load, others
        self._config, self._numbers, self._rotation = config, template.numbers, rotation
        paths = bead_paths(config.trajectory, beads) if config.trajectory else []
        there = [path for path in paths if path.exists()]
        self._written = -1
        if first_step:
            left = [cut_frames(path, first_step) for path in there]
            self._written = min((-1 if step is None else step for step in left), default=-1)
        for path in there:
            if first_step:
                cut_frames(path, self._written)  # a bead's file may have lost a frame more
            else:
                put_aside(path)
        self._streams = [path.open("a") for path in paths]

    @property
    def wants_velocities(self) -> bool:
        """Whether velocities are to be given."""
        return bool(self._streams) and self._config.velocities

    def wants(self, step: int) -> bool:
        """Whether a step has a frame, and it is not there yet."""
        return bool(self._streams) and step % self._config.stride == 0 and step > self._written

    def write(
        self,
        found: Evaluated,
        *,
        time: float | None = None,
        velocities: Sequence[np.ndarray] | None = None,
        masses: np.ndarray | None = None,
    ) -> None:
        """Write the frame of a step.

        Parameters
        ----------
        found : Evaluated
            What the last evaluation of the step found.
        time : float, optional
            fs.
        velocities : sequence of ndarray, shape (n, 3), optional
            Of each bead, Å/fs.
        masses : ndarray, shape (n,), optional
            Dalton; written with velocities if they are not those of the elements, as of isotopes.
        """
        self._written = found.step
        for bead, stream in enumerate(self._streams):
            atoms = Atoms(
                self._numbers,
                found.geometries[bead] @ self._rotation,
                cell=found.cell @ self._rotation,
                pbc=True,
            )
            atoms.arrays["mix_weight"] = found.regions.weights
            atoms.arrays["mix_region"] = found.regions.labels
            if self._config.forces:
                name = "correction_forces" if found.correction else "forces"
                atoms.arrays[name] = found.forces[bead] @ self._rotation
            if velocities is not None:
                atoms.arrays["velocities"] = velocities[bead] @ self._rotation
                if masses is not None and not np.allclose(masses, atoms.get_masses(), rtol=COMMON):
                    atoms.set_masses(masses)
            name = "correction_energy_estimate" if found.correction else "energy_estimate"
            atoms.info = {"step": found.step, name: found.potentials[bead]}
            if len(self._streams) > 1:
                atoms.info |= {"bead": bead, "beads": len(self._streams)}
            if time is not None:
                atoms.info["time"] = time
            if self._load is not None:
                atoms.info["load"] = self._load
            if self._others and not found.correction:
                atoms.info["other_forces"] = True
            columns = ["symbols", "positions", *list(atoms.arrays)[2:]]
            write_extxyz(stream, [atoms], columns=columns, write_results=False)
            stream.flush()

    def close(self) -> None:
        """Close the files."""
        for stream in self._streams:
            stream.close()


def last_frame(path: str | Path) -> Atoms:
    """The last frame that is whole: a run that was killed, or goes on, may leave half a one.

    Parameters
    ----------
    path : path-like
        One of the files of :func:`bead_paths`.

    Raises
    ------
    MixpiError
        If there is none.
    """
    with Path(path).open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(size - 1, 0))
        ended = stream.read() == b"\n"
    for index in (-1, -2) if ended else (-2,):
        try:
            return read_atoms(path, index)[0]
        except Exception:  # ASE's reader fails in many ways on half a frame
            continue
    raise MixpiError(f"{path} holds no whole frame")
