"""How the atoms of a frame move: their velocities, and the temperature that these are of."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.units import fs, kB

from ..errors import MixpiError
from .statistics import Estimate, mean


#: Frames with velocities below which nothing is said about the temperature of a run.
FEWEST = 10
#: A centre of mass with less than this share of an atom's kinetic energy is at rest, but for the
#: digits of the velocities; by chance a free one is as slow in one frame of a billion.
AT_REST = 1e-6


def has_velocities(atoms: Atoms) -> bool:
    """Whether a frame tells them."""
    return "velocities" in atoms.arrays or atoms.has("momenta")


def velocities_of(atoms: Atoms, path: object, frame_time: float) -> np.ndarray:
    """Velocities of a frame.

    mixpi's frames have ``velocities`` in Å/fs; momenta that ASE's formats know are used, too.

    Parameters
    ----------
    atoms : Atoms
    path : path-like
        For the message.
    frame_time : float
        fs; for the message.

    Returns
    -------
    ndarray, shape (n, 3)
        In ASE's units, √(eV/u).

    Raises
    ------
    MixpiError
        If there are none, or they are no numbers.
    """
    if not has_velocities(atoms):
        raise MixpiError(
            f"{path}: the frame at {frame_time:g} fs has no velocities: write them (velocities: "
            "true in the section output of mixing.yaml) and run again"
        )
    if "velocities" in atoms.arrays:
        found = atoms.arrays["velocities"] / fs
    else:
        found = atoms.get_velocities()
    if not np.isfinite(found).all():
        raise MixpiError(f"{path}: velocities at {frame_time:g} fs are not finite")
    return found


def kinetic_temperature(
    atoms: Atoms,
    velocities: np.ndarray,
    among: np.ndarray | None = None,
    *,
    fixed_centre: bool = True,
) -> float:
    """The temperature of the atoms, or of some, in one frame.

    Where the centre of mass is at rest, as i-PI keeps it, atom i has 3 (1 − m_i / M) degrees of
    freedom, else 3; less those that do not move at all.

    Parameters
    ----------
    atoms : Atoms
        Of n classical atoms.
    velocities : ndarray, shape (n, 3)
        √(eV/u).
    among : ndarray of bool, shape (n,), optional
        Atoms whose temperature it is.
    fixed_centre : bool
        Whether the centre of mass of all is at rest, if it is in this frame and nothing is fixed
        (atoms that are hold the others by forces, not their centre).

    Returns
    -------
    float
        K; NaN if none of them moves.
    """
    masses = atoms.get_masses()
    twice = masses * np.sum(velocities**2, axis=1)
    freedom = np.count_nonzero(velocities, axis=1).astype(float)
    common = float(np.sum((masses @ velocities) ** 2)) / masses.sum()
    if fixed_centre and freedom.min() == 3.0 and common < AT_REST * twice.mean():
        freedom *= 1.0 - masses / masses.sum()
    zone = slice(None) if among is None else among
    own = freedom[zone].sum()
    return float(twice[zone].sum() / own / kB) if own > 0.0 else np.nan


class Thermometer:
    """The temperature of a run, as far as its frames have velocities."""

    def __init__(self) -> None:
        self._read: list[float] = []

    def clear(self) -> None:
        """Begin anew."""
        self._read.clear()

    def read(self, atoms: Atoms, path: object, frame_time: float) -> None:
        """Take the next frame (fs).

        Parameters
        ----------
        atoms : Atoms
            Velocities of one of P beads are those of P times the temperature.
        path : path-like
            For the message.
        frame_time : float
            fs; for the message.

        Raises
        ------
        MixpiError
            If velocities are no numbers.
        """
        if has_velocities(atoms):
            found = kinetic_temperature(atoms, velocities_of(atoms, path, frame_time))
            if found > 0.0:
                self._read.append(found / int(atoms.info.get("beads", 1)))

    def mean(self) -> Estimate | None:
        """Over the frames, K; None if too few tell."""
        return mean(self._read) if len(self._read) >= FEWEST else None
