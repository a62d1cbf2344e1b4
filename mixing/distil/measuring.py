"""A fit on disk, measured as it will be used: by reading its files back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from ..drivers.lammps import LammpsSetup
from .basis import Basis, Written
from .fitting import Fit
from .lammps_engine import LammpsCalculator, has_pair_styles
from .properties import Crystal, crystal_of


#: Force error, as a share of the forces, that is as good as none.
EXCELLENT = 0.01


@dataclass(frozen=True)
class Errors:
    """Cheap against expensive on a set of frames.

    Attributes
    ----------
    energy : ndarray, shape (k, 2)
        Expensive and cheap energy per atom of each frame, eV.
    forces : ndarray, shape (m, 2)
        Expensive and cheap force components, eV/Å.
    """

    energy: np.ndarray
    forces: np.ndarray

    @property
    def energy_rmse(self) -> float:
        """eV/atom."""
        return float(np.sqrt(np.mean((self.energy[:, 0] - self.energy[:, 1]) ** 2)))

    @property
    def force_rmse(self) -> float:
        """eV/Å, of components."""
        return float(np.sqrt(np.mean((self.forces[:, 0] - self.forces[:, 1]) ** 2)))

    def force_ratio(self, other: Errors) -> float:
        """Force error over that of ``other``, or over :data:`EXCELLENT` if that is better."""
        size = np.sqrt(np.mean(self.forces[:, 0] ** 2))
        return self.force_rmse / max(other.force_rmse, EXCELLENT * size, 1e-12)


@dataclass
class Candidate:
    """One fitted potential with everything measured of it.

    Attributes
    ----------
    fit : Fit
        Coefficients.
    written : Written
        Its files.
    lammps : tuple of str
        ``pair_style`` and ``pair_coeff`` lines with the repulsion.
    in_lammps : bool
        Whether the LAMMPS at hand knows the style; else the potential is measured
        without the repulsion.
    held_out : Errors
        On snapshots that were not fitted to.
    crystal : Crystal
        As far as there is one near the expensive one.
    read_back : tuple of float
        Largest difference of energy (eV) and of force components (eV/Å) between the
        fit and what the file gives.
    """

    fit: Fit
    written: Written
    lammps: tuple[str, ...]
    in_lammps: bool
    held_out: Errors
    crystal: Crystal
    read_back: tuple[float, float]

    @property
    def setup(self) -> LammpsSetup:
        """The potential as its users get it, with the repulsion."""
        return LammpsCalculator.of(self.written, self.lammps).setup


def measure(
    name: str,
    basis: Basis,
    fit: Fit,
    written: Written,
    lines: Sequence[str],
    *,
    held_out: Sequence[Atoms],
    checks: Sequence[Atoms],
    crystal: Atoms,
) -> Candidate:
    """Everything about one fit that the report says.

    Parameters
    ----------
    name : str
        What messages call it.
    basis, fit, written
        The fit and its files.
    lines : sequence of str
        LAMMPS lines with the repulsion.
    held_out : sequence of Atoms
        Frames that were not fitted to, with energies and forces.
    checks : sequence of Atoms
        Further frames to read the file back on.
    crystal : Atoms
        Near the minimum.

    Returns
    -------
    Candidate
    """
    plain = basis.calculator(written)
    energies, components = 0.0, 0.0
    for frame in [held_out[0], *checks]:
        energy, forces = fit.predict(basis, frame)
        fresh = frame.copy()
        fresh.calc = plain
        missing = _missing(fit, written, frame)
        off = abs(float(fresh.get_potential_energy()) + missing - energy)
        energies = max(energies, off)
        components = max(components, float(np.abs(fresh.get_forces() - forces).max()))
    in_lammps = has_pair_styles(*basis.pair_styles)
    calculator = LammpsCalculator.of(written, lines) if in_lammps else plain
    errors = compare(calculator, held_out, lambda frame: _missing(fit, written, frame))
    measured = crystal_of(crystal, calculator, whose=name)
    read_back = (energies, components)
    return Candidate(fit, written, tuple(lines), in_lammps, errors, measured, read_back)


def _missing(fit: Fit, written: Written, atoms: Atoms) -> float:
    """The constant energy (eV) that the file cannot hold."""
    return 0.0 if written.has_offset else sum(fit.offsets[s] for s in atoms.symbols)


def compare(
    calculator: Calculator, frames: Sequence[Atoms], offset: Callable[[Atoms], float]
) -> Errors:
    """Energies and forces of a calculator beside those that the frames carry.

    ``offset(frame)`` (eV) is added to the calculator's energies.
    """
    energy, forces = [], []
    for atoms in frames:
        fresh = atoms.copy()
        fresh.calc = calculator
        n, cheap = len(atoms), fresh.get_potential_energy() + offset(atoms)
        energy.append((atoms.get_potential_energy() / n, cheap / n))
        forces.append(np.column_stack([atoms.get_forces().ravel(), fresh.get_forces().ravel()]))
    return Errors(np.array(energy), np.vstack(forces))
