"""What a cheap potential must be to be distilled: linear in its coefficients.

A further basis is one module with a subclass of :class:`Basis`, and a line in
:mod:`mixpi.distil.bases`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import chemical_symbols

from ..errors import MixpiError


@dataclass(frozen=True)
class Rows:
    """One structure's rows of the design matrix.

    Attributes
    ----------
    energy : ndarray, shape (p,)
        Energy of each basis function, eV; without any constant per atom.
    forces : ndarray, shape (3 n, p)
        Forces of each basis function, eV/Å; atom by atom, x y z.
    """

    energy: np.ndarray
    forces: np.ndarray


@dataclass(frozen=True)
class Written:
    """A potential on disk.

    Attributes
    ----------
    files : tuple of Path
        Everything that was written.
    lammps : tuple of str
        The ``pair_style`` and ``pair_coeff`` lines, file names without folder.
    species : tuple of str
        Chemical symbols in the order of LAMMPS's atom types: alphabetical, inert ones too.
    has_offset : bool
        Whether the constant energy per atom is in the file; if not, the potential's
        energies lie lower or higher by that constant.
    """

    files: tuple[Path, ...]
    lammps: tuple[str, ...]
    species: tuple[str, ...]
    has_offset: bool


@dataclass(frozen=True)
class Basis(ABC):
    """A family of functions of the surroundings, and the file format of their sum.

    Attributes
    ----------
    species : tuple of str
        Chemical symbols that the potential is for.
    cutoff : float
        Å.
    """

    species: tuple[str, ...]
    cutoff: float = field(init=False, default=0.0)

    #: Strength of :meth:`penalty` unless another is asked for.
    smoothness: ClassVar[float] = 0.0
    #: How it is made larger, for messages.
    more: ClassVar[str]
    #: Of LAMMPS, which reads the files.
    pair_style: ClassVar[str]
    #: Whether LAMMPS is needed to read them back, or for the rows.
    needs_lammps: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self.everyone()

    @property
    def pair_styles(self) -> tuple[str, ...]:
        """All of LAMMPS's pair styles that the files need."""
        return (self.pair_style,)

    def everyone(self, inert: Sequence[str] = ()) -> tuple[str, ...]:
        """The species, then the inert ones.

        Raises
        ------
        MixpiError
            If one is no chemical symbol or there twice, or there is none.
        """
        symbols = (*self.species, *inert)
        wrong = [s for s in symbols if s not in chemical_symbols[1:]]
        if wrong or not symbols or len(set(symbols)) < len(symbols):
            raise MixpiError(
                f"species{' and inert' if inert else ''} must be different chemical symbols, "
                f"got {', '.join(symbols) or 'none'}"
            )
        return symbols

    def kinds(self, atoms: Atoms) -> np.ndarray:
        """Each atom's index in the species, shape (n,).

        Raises
        ------
        MixpiError
            If a structure has other species.
        """
        foreign = sorted(set(atoms.symbols) - set(self.species))
        if foreign:
            raise MixpiError(
                f"the structure has {', '.join(foreign)}, the potential is for "
                f"{', '.join(self.species)}; add the species, make it inert, or leave the "
                "structure out"
            )
        return np.array([self.species.index(s) for s in atoms.symbols], dtype=int)

    def prepared(self, frames: Sequence[Atoms]) -> Basis:
        """The basis for data such as these; itself, where it needs to know nothing of them.

        Parameters
        ----------
        frames : sequence of Atoms
            All that it will be fitted to.
        """
        return self

    def narrowed(self, coefficients: np.ndarray, frames: Sequence[Atoms]) -> Basis:
        """A smaller basis that a fit has shown to be enough; itself, where there is none.

        Parameters
        ----------
        coefficients : ndarray, shape (p,)
            Of the fit.
        frames : sequence of Atoms
            Some of what was fitted to.
        """
        return self

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of coefficients, p."""

    @abstractmethod
    def rows(self, atoms: Atoms) -> Rows:
        """The design rows of a periodic structure.

        Parameters
        ----------
        atoms : Atoms
            n atoms of the basis's species, any cell.

        Returns
        -------
        Rows
            Shapes (p,) and (3 n, p).
        """

    def penalty(self) -> np.ndarray:
        """Rows (r, p) whose squared products with the coefficients are kept small.

        A smoothness that is the basis's own; a plain ridge is added elsewhere.
        """
        return np.zeros((0, self.size))

    @abstractmethod
    def write(
        self,
        coefficients: np.ndarray,
        offsets: Mapping[str, float],
        target: Path,
        *,
        inert: Sequence[str] = (),
    ) -> Written:
        """Write the potential.

        Parameters
        ----------
        coefficients : ndarray, shape (p,)
            eV times the unit of the basis functions.
        offsets : mapping of str to float
            Constant energy per atom of each species, eV.
        target : Path
            Folder and stem of the files, e.g. ``potentials/Si``.
        inert : sequence of str
            Further species, which feel nothing and are felt by nobody.

        Returns
        -------
        Written
        """

    @abstractmethod
    def calculator(self, written: Written) -> Calculator:
        """An ASE calculator that reads the written files back.

        It is independent of :meth:`rows`, so that it can check them.
        """
