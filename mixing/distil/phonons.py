"""Every phonon of a crystal: which displacements lower the energy.

A supercell's force constants hold the frequencies at the wave vectors that fit into it
exactly, whatever the range of the forces; between them they are interpolated.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.phonons import Phonons


#: Å; the supercell reaches at least so far each way.
REACH = 9.5
#: meV; a branch below -NOISE is imaginary. Noise of finite displacements and of relaxed
#: crystals was seen to make the translations of a stable one, which are 0, -0.4 meV.
NOISE = 1.0
#: Å; of the finite displacements.
_STEP = 0.02


@dataclass(frozen=True)
class Spectrum:
    """The phonons of one potential.

    Attributes
    ----------
    points : ndarray, shape (q, 3)
        Wave vectors that fit into the supercell, in reciprocal vectors of the crystal.
    branches : ndarray, shape (q, 3 n)
        All energies there, ascending, meV; imaginary ones negative.
    line : ndarray, shape (k, 3)
        The three lowest ones along the first reciprocal vector, from the centre to the
        boundary of the zone of the given cell; interpolated, for the picture.
    """

    points: np.ndarray
    branches: np.ndarray
    line: np.ndarray

    @property
    def lowest(self) -> float:
        """Lowest of all, meV."""
        return float(self.branches.min())

    @property
    def imaginary(self) -> int:
        """How many branches are imaginary, summed over the wave vectors."""
        return int(np.sum(self.branches < -NOISE))

    def imaginary_against(self, other: Spectrum) -> np.ndarray:
        """Which branches (q, 3 n) are imaginary here and real in ``other``.

        Branches are paired by their order at each wave vector.
        """
        return (self.branches < -NOISE) & (other.branches >= -NOISE)


def phonon_repeats(crystal: Atoms) -> tuple[int, int, int]:
    """Repeats of the supercell: :data:`REACH` each way, and even.

    Only an even number of cells holds the waves at the boundary of the zone, where the
    atoms of neighbouring cells move against each other.
    """
    heights = 1.0 / np.linalg.norm(crystal.cell.reciprocal(), axis=1)
    a, b, c = (int(np.ceil(REACH / height)) for height in heights)
    return _even(a), _even(b), _even(c)


def _even(count: int) -> int:
    return count + count % 2 if count > 1 else 1


def spectrum(atoms: Atoms, repeats: tuple[int, int, int], *, points: int = 21) -> Spectrum:
    """All phonons of a relaxed crystal with its calculator, from finite displacements.

    Parameters
    ----------
    atoms : Atoms
        n atoms at a minimum of their calculator.
    repeats : tuple of int
        Of the supercell; the same for potentials that are compared.
    points : int
        Of the line.

    Returns
    -------
    Spectrum
    """
    with tempfile.TemporaryDirectory(prefix="mixpi-") as folder:
        phonons = Phonons(
            atoms.copy(),
            atoms.calc,
            supercell=repeats,
            delta=_STEP,
            name=str(Path(folder) / "phonons"),
        )
        phonons.run()
        phonons.read(acoustic=True)
    cells = np.stack(np.meshgrid(*map(np.arange, repeats), indexing="ij"), axis=-1)
    grid = cells.reshape(-1, 3) / repeats
    branches = _branches(phonons, grid)
    # translations of the whole crystal cost nothing; what they show at the centre is noise
    branches[0, np.argsort(np.abs(branches[0]))[:3]] = 0.0
    branches[0].sort()
    path = np.zeros((points, 3))
    path[:, 0] = np.linspace(0.0, 0.5, points)
    return Spectrum(grid, branches, _branches(phonons, path)[:, :3])


def _branches(phonons: Phonons, points: np.ndarray) -> np.ndarray:
    bands = np.array(phonons.band_structure(points, verbose=False))
    return 1e3 * np.sort(bands.real, axis=1)
