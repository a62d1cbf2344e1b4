"""What a potential makes of the crystal: lattice, elastic constants, acoustic branches, cost."""

from __future__ import annotations

import contextlib
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.optimize import LBFGS
from ase.phonons import Phonons
from matscipy.elasticity import fit_elastic_constants

from ..errors import MixpiError
from .data import FMAX, STEPS, is_cubic, relaxed_crystal


#: Strain between the points of an elastic constant: five span ±0.4 %, by default the hard
#: data ±0.5 %.
STRAIN_STEP = 2e-3


class _PatientLBFGS(LBFGS):
    """As many steps as any relaxation here; matscipy would wait for ever."""

    def run(self, fmax: float = FMAX) -> bool:
        if not super().run(fmax=fmax, steps=STEPS):
            raise MixpiError(f"the atoms of a strained cell do not relax in {STEPS} steps")
        return True


@dataclass(frozen=True)
class Crystal:
    """A potential's crystal.

    Attributes
    ----------
    lattice : dict of str to float
        Lengths of the relaxed cell, Å: ``a0`` if cubic, else ``a``, ``b``, ``c``.
    elastic : dict of str to float
        Elastic constants of relaxed atoms, GPa.
    frequencies : ndarray, shape (q, 3)
        The three lowest branches along the first reciprocal vector, from the centre to
        the boundary of the zone of the given cell, meV; imaginary ones negative.
    """

    lattice: dict[str, float]
    elastic: dict[str, float]
    frequencies: np.ndarray

    @property
    def stable(self) -> bool:
        """Whether normal strains and shears cost energy, as far as `elastic` tells."""
        c = self.elastic
        # what is not there is equal by symmetry
        normal = np.array(
            [
                [c["C11"], c["C12"], c.get("C13", c["C12"])],
                [c["C12"], c.get("C22", c["C11"]), c.get("C23", c["C12"])],
                [c.get("C13", c["C12"]), c.get("C23", c["C12"]), c.get("C33", c["C11"])],
            ]
        )
        shears = [c.get(name, c["C44"]) for name in ("C44", "C55", "C66")]
        return bool(np.linalg.eigvalsh(normal).min() > 0.0 and min(shears) > 0.0)


def crystal_of(start: Atoms, calculator, *, whose: str = "expensive", points: int = 21) -> Crystal:
    """Relax the crystal under a potential and measure it.

    Parameters
    ----------
    start : Atoms
        Near the minimum.
    calculator : ASE calculator
        With energies, forces and stress.
    whose : str
        What the potential is called in messages.
    points : int
        Wave vectors.

    Raises
    ------
    MixpiError
        If the potential has no minimum there, or under strain.
    """
    atoms = relaxed_crystal(start, calculator, whose=whose)
    lengths, cubic = atoms.cell.lengths(), is_cubic(start)
    lattice = (
        {"a0": float(lengths.mean())}
        if cubic
        else dict(zip("abc", map(float, lengths), strict=True))
    )
    return Crystal(lattice, elastic_constants(atoms, cubic=cubic), acoustic_branches(atoms, points))


def elastic_constants(atoms: Atoms, *, cubic: bool) -> dict[str, float]:
    """Elastic constants of a relaxed crystal with its calculator, GPa.

    C11, C12 and C44 of a cubic crystal along x, y, z; of others the nine of an
    orthorhombic one, measured without assuming a symmetry.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        c, _ = fit_elastic_constants(
            atoms,
            symmetry="cubic" if cubic else "triclinic",
            N_steps=5,
            delta=STRAIN_STEP,
            optimizer=_PatientLBFGS,
            fmax=FMAX,
            verbose=False,
        )
    c = np.asarray(c) / units.GPa
    pairs = [(1, 1), (1, 2), (4, 4)]
    if not cubic:
        pairs = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (1, 2), (1, 3), (2, 3)]
    return {f"C{i}{j}": float(c[i - 1, j - 1]) for i, j in pairs}


def acoustic_branches(atoms: Atoms, points: int) -> np.ndarray:
    """The three lowest phonon branches (points, 3) along the first reciprocal vector, meV.

    From finite displacements in a supercell of about 10 Å, up to the boundary of the
    zone of the given cell; where that is not the primitive one, other branches are
    folded in.
    """
    heights = 1.0 / np.linalg.norm(atoms.cell.reciprocal(), axis=1)
    repeats = tuple(int(np.ceil(9.5 / height)) for height in heights)
    with tempfile.TemporaryDirectory(prefix="mixpi-") as folder:
        plain = atoms.copy()
        phonons = Phonons(
            plain, atoms.calc, supercell=repeats, delta=0.02, name=str(Path(folder) / "phonons")
        )
        phonons.run()
        phonons.read(acoustic=True)
        path = np.zeros((points, 3))
        path[:, 0] = np.linspace(0.0, 0.5, points)
        bands = np.array(phonons.band_structure(path, verbose=False))
    return 1e3 * np.sort(bands.real, axis=1)[:, :3]
