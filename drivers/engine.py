"""What a driver computes, and any of it as an ASE calculator."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress


@runtime_checkable
class Answers(Protocol):
    """The least that a driver needs.

    One that does not care for species sets ``needs_species = False`` and may be given an empty
    array for them.
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
    """A potential that says what it is."""

    @property
    def numbers(self) -> tuple[int, ...] | None:
        """Atomic numbers that it knows; None for any."""
        ...

    @property
    def interaction_range(self) -> float | None:
        """Å; how far the force on an atom depends on others; None if unknown."""
        ...

    @property
    def has_site_energies(self) -> bool:
        """Whether ``site_energies`` may be asked for; else it raises."""
        ...

    @property
    def has_masked_forces(self) -> bool:
        """Whether ``evaluate`` takes a mask: atoms whose site energies alone are differentiated.

        One that does is a :class:`~mixpi.drivers.partial.LayeredEngine`.
        """
        ...

    def site_energies(
        self, numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray
    ) -> np.ndarray:
        """What each atom contributes to the energy (eV), shape (m,).

        Parameters
        ----------
        numbers, positions, cell
            As for ``evaluate``.

        Raises
        ------
        MixpiError
            If it has none.
        """
        ...

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


@runtime_checkable
class EvaluatesSites(Protocol):
    """An engine that finds site energies on the way to the forces."""

    def evaluate_with_sites(
        self, numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray, **more: Any
    ) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """As ``evaluate``, and what each atom contributes to the energy (eV), shape (m,).

        NaN for atoms whose contribution is not computed.
        """
        ...


@runtime_checkable
class EvaluatesSpread(Protocol):
    """An engine of several models, which knows how far apart they are if ``has_spread``."""

    @property
    def has_spread(self) -> bool:
        """Whether it has several models."""
        ...

    def evaluate_with_spread(
        self, numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray, **more: Any
    ) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """As ``evaluate``, and the spread of the models' forces on each atom (m,), eV/Å."""
        ...


def evaluate_with_sites(
    engine: Answers, numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray, **more: Any
) -> tuple[tuple[float, np.ndarray, np.ndarray], np.ndarray | None]:
    """An evaluation, and the site energies if the engine has any.

    Parameters
    ----------
    engine : Answers
        Evaluates.
    numbers, positions, cell, **more
        As for its ``evaluate``.

    Returns
    -------
    result : tuple
        Of ``evaluate``.
    sites : ndarray, shape (m,), or None
        eV; NaN where they are not computed.
    """
    if isinstance(engine, EvaluatesSites):
        energy, forces, virial, sites = engine.evaluate_with_sites(numbers, positions, cell, **more)
        return (energy, forces, virial), sites
    result = engine.evaluate(numbers, positions, cell, **more)
    if more or not getattr(engine, "has_site_energies", False):
        return result, None
    return result, cast("Engine", engine).site_energies(numbers, positions, cell)


class EngineCalculator(Calculator):
    """An engine as an ASE calculator.

    Parameters
    ----------
    engine : Engine
        Evaluates.
    """

    # ASE does not declare it as a variable of the class
    implemented_properties: ClassVar = [  # type: ignore[misc]
        "energy",
        "free_energy",
        "forces",
        "stress",
    ]

    def __init__(self, engine: Answers) -> None:
        super().__init__()
        self.engine = engine

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Evaluate; called by ASE."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None  # ASE has kept a copy
        cell = self.atoms.cell.array
        energy, forces, virial = self.engine.evaluate(
            self.atoms.numbers, self.atoms.positions, cell
        )
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}
        if np.isfinite(virial).all():
            stress = -virial / self.atoms.get_volume()
            self.results["stress"] = full_3x3_to_voigt_6_stress(stress)
