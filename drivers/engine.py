"""What a driver computes, and any of it as an ASE calculator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress


@runtime_checkable
class Answers(Protocol):
    """The least that a driver needs.

    One that does not care for species sets ``needs_species = False`` and may be given None
    for them.
    """

    def evaluate(
        self, numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Energy and forces of a periodic structure.

        Parameters
        ----------
        numbers : ndarray of int, shape (m,)
            Atomic numbers.
        positions : ndarray, shape (m, 3)
            Å.
        cell : ndarray, shape (3, 3)
            Rows are lattice vectors, Å.

        Returns
        -------
        energy : float
            eV.
        forces : ndarray, shape (m, 3)
            eV/Å.
        virial : ndarray, shape (3, 3)
            eV; NaN if unknown.
        """
        ...


class Engine(Answers, Protocol):
    """A potential that says what it is.

    Attributes
    ----------
    numbers : tuple of int or None
        Atomic numbers that it knows; None for any.
    interaction_range : float or None
        Å; how far the force on an atom depends on others; None if unknown.
    has_site_energies : bool
        Whether ``evaluate`` takes ``mask`` (m,), the atoms whose site energies are summed and
        differentiated.
    """

    numbers: tuple[int, ...] | None
    interaction_range: float | None
    has_site_energies: bool

    def require(self, symbols: Iterable[str]) -> None:
        """Refuse species that it does not know.

        Raises
        ------
        MixpiError
            If there is one.
        """
        ...

    def facts(self) -> dict:
        """What it says of itself, for ``--describe``: plain values by their names."""
        ...


class EngineCalculator(Calculator):
    """An engine as an ASE calculator.

    Parameters
    ----------
    engine : Engine
        Evaluates.
    """

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(self, engine: Answers) -> None:
        super().__init__()
        self.engine = engine

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        """Evaluate; called by ASE."""
        super().calculate(atoms, properties, system_changes)
        cell = self.atoms.cell.array
        energy, forces, virial = self.engine.evaluate(
            self.atoms.numbers, self.atoms.positions, cell
        )
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}
        if np.isfinite(virial).all():
            stress = -virial / self.atoms.get_volume()
            self.results["stress"] = full_3x3_to_voigt_6_stress(stress)
