"""What a potential makes of the crystal: lattice, elastic constants, phonons."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.geometry import find_mic

from ..errors import MixpiError
from ..extras import needs
from .data import FMAX, STEPS, is_cubic, relax, relaxed_crystal
from .phonons import Spectrum, phonon_repeats, spectrum


#: Strain between the points of an elastic constant: five span ±0.4 %, by default the hard
#: data ±0.5 %.
STRAIN_STEP = 2e-3


class _Patient:
    """The optimiser that matscipy asks for, with an end; matscipy would wait for ever."""

    def __init__(self, atoms: Atoms, **_: object) -> None:
        self._atoms = atoms

    def run(self, fmax: float) -> None:
        """Relax the atoms, or say that they do not."""
        if not relax(self._atoms):
            raise MixpiError(f"the atoms of a strained cell do not relax in {STEPS} steps")


@dataclass(frozen=True)
class Crystal:
    """A potential's crystal.

    Attributes
    ----------
    lattice : dict of str to float
        Lengths of the relaxed cell, Å: ``a0`` if cubic, else ``a``, ``b``, ``c``; empty
        if the crystal does not relax.
    elastic : dict of str to float
        Elastic constants of relaxed atoms, GPa; empty if there are none.
    softest : float
        Smallest eigenvalue of all of them as a (6, 6) matrix, GPa; NaN if there are none.
    fault : str
        Why there is no lattice, or no elastic constants.
    spectrum : Spectrum
        Phonons; of the crystal as it was given where it does not relax.
    moved : float
        Å; how far an atom went from where it was in the cell, when that was relaxed.
    """

    lattice: dict[str, float]
    elastic: dict[str, float]
    softest: float
    fault: str
    spectrum: Spectrum
    moved: float

    @property
    def stable(self) -> bool:
        """Whether every strain costs energy."""
        return bool(self.softest > 0.0)


def crystal_of(start: Atoms, calculator: Calculator, *, whose: str = "expensive") -> Crystal:
    """Relax the crystal under a potential and measure it.

    Parameters
    ----------
    start : Atoms
        Near the minimum; it decides on the symmetry and on the phonons' supercell.
    calculator : ASE calculator
        With energies, forces and stress.
    whose : str
        What the potential is called in messages.

    Returns
    -------
    Crystal
        What cannot be measured is missing there, with the reason.
    """
    cubic = is_cubic(start)
    lattice, tensor, fault = {}, None, ""
    try:
        atoms = relaxed_crystal(start, calculator, whose=whose)
        lengths = atoms.cell.lengths()
        lattice = (
            {"a0": float(lengths.mean())}
            if cubic
            else dict(zip("abc", map(float, lengths), strict=True))
        )
        tensor = elastic_tensor(atoms, cubic=cubic)
    except (MixpiError, ValueError, ArithmeticError) as error:  # what NaN makes of ASE, too
        fault = str(error)
    if not lattice:
        atoms = start.copy()
        atoms.calc = calculator
    return Crystal(
        lattice,
        {} if tensor is None else _named(tensor, cubic),
        np.nan if tensor is None else float(np.linalg.eigvalsh(tensor).min()),
        fault,
        spectrum(atoms, phonon_repeats(start)),
        _moved(start, atoms),
    )


def _moved(before: Atoms, after: Atoms) -> float:
    shift = after.get_scaled_positions(wrap=False) - before.get_scaled_positions(wrap=False)
    return farthest(shift @ after.cell.array, after.cell.array)


def farthest(shift: np.ndarray, cell: np.ndarray) -> float:
    """Length (Å) of the largest of displacements (n, 3), apart from what they have in common.

    Parameters
    ----------
    shift : ndarray, shape (n, 3)
        Å, up to lattice vectors.
    cell : ndarray, shape (3, 3)
        Å.
    """
    # of the first atom before images are chosen: a mean would depend on them
    vectors, _ = find_mic(shift - shift[0], cell, pbc=True)
    return float(np.linalg.norm(vectors - vectors.mean(axis=0), axis=1).max())


def elastic_constants(atoms: Atoms, *, cubic: bool) -> dict[str, float]:
    """Elastic constants of a relaxed crystal with its calculator, GPa.

    C11, C12 and C44 of a cubic crystal along x, y, z; of others the nine of an
    orthorhombic one, measured without assuming a symmetry.
    """
    return _named(elastic_tensor(atoms, cubic=cubic), cubic)


def elastic_tensor(atoms: Atoms, *, cubic: bool) -> np.ndarray:
    """All elastic constants (6, 6) of a relaxed crystal with its calculator, GPa.

    Raises
    ------
    MixpiError
        If the atoms of a strained cell do not relax.
    """
    with needs("distil", "mixpi distil"):
        from matscipy.elasticity import fit_elastic_constants
    with contextlib.redirect_stdout(io.StringIO()):
        c, _ = fit_elastic_constants(
            atoms,
            symmetry="cubic" if cubic else "triclinic",
            N_steps=5,
            delta=STRAIN_STEP,
            optimizer=_Patient,
            fmax=FMAX,
            verbose=False,
        )
    c = np.asarray(c) / units.GPa
    return (c + c.T) / 2


def _named(c: np.ndarray, cubic: bool) -> dict[str, float]:
    pairs = [(1, 1), (1, 2), (4, 4)]
    if not cubic:
        pairs = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (1, 2), (1, 3), (2, 3)]
    return {f"C{i}{j}": float(c[i - 1, j - 1]) for i, j in pairs}
