"""An engine that evaluates what matters for the atoms of positive weight, as a driver needs it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from ase import Atoms

from ..errors import MixpiError
from ..regions.periodic import PeriodicCell
from ..regions.search import distance_to_nearest
from .committee import Committee
from .engine import evaluate_with_sites
from .partial import LayeredEngine
from .trained import NO_VIRIAL


#: Atoms of each species whose features are averaged.
ENOUGH = 300


class PartialEngine:
    """Evaluates a part of each cluster, and a structure without depths as a whole.

    Parameters
    ----------
    engine : LayeredEngine
        The model.
    sites, features : float
        Å; see :meth:`LayeredEngine.evaluate_partial`.
    fill : ndarray, shape (species, f), optional
        As there; :func:`bulk_means` makes it.

    Attributes
    ----------
    takes_depths : bool
        True: how far each atom is from those that count goes with the species.
    """

    takes_depths = True
    has_site_energies = False

    def __init__(
        self,
        engine: LayeredEngine,
        *,
        sites: float,
        features: float,
        fill: np.ndarray | None = None,
    ) -> None:
        self._engine, self._fill = engine, fill
        self._radii = {"sites": sites, "features": features}
        #: Whether the models' forces can be compared (:meth:`evaluate_with_spread`).
        self.has_spread = isinstance(engine, Committee)
        self.notes = engine.notes
        self.numbers = engine.numbers
        self.interaction_range = engine.interaction_range
        #: Å; buffer that the clusters must have for all that is evaluated to see its neighbours.
        self.needs_buffer = max(sites, features) + engine.cutoff

    def facts(self) -> dict:
        """What the model is, and the buffer that it needs."""
        return {**self._engine.facts(), "needs_buffer": self.needs_buffer}

    def turn_to(self, system: int) -> None:
        """See :meth:`LayeredEngine.turn_to`."""
        self._engine.turn_to(system)

    def require(self, symbols: Iterable[str]) -> None:
        """See :meth:`LayeredEngine.require`."""
        self._engine.require(symbols)

    def evaluate(
        self,
        numbers: np.ndarray,
        positions: np.ndarray,
        cell: np.ndarray,
        depths: np.ndarray | None = None,
        buffer: float = 0.0,
        places: np.ndarray | None = None,
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Energy (eV), forces (eV/Å) and virial (NaN) of what matters.

        Parameters
        ----------
        numbers, positions, cell
            As :meth:`LayeredEngine.evaluate`.
        depths : ndarray, shape (m,), optional
            From each atom to the nearest of positive weight, Å; without them the whole
            structure is evaluated.
        buffer : float
            Of the cluster, Å.
        places : ndarray of int, shape (m,), optional
            Which atoms of the system these are.

        Raises
        ------
        MixpiError
            If the buffer is too narrow for what is to be evaluated.
        """
        if depths is None:
            return self._engine.evaluate(numbers, positions, cell)
        return self._engine.evaluate_partial(
            numbers, positions, cell, **self._part(depths, buffer, places)
        )

    def evaluate_with_sites(
        self,
        numbers: np.ndarray,
        positions: np.ndarray,
        cell: np.ndarray,
        depths: np.ndarray | None = None,
        buffer: float = 0.0,
        places: np.ndarray | None = None,
    ) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """As :meth:`evaluate`, and energies of the atoms (m,), eV; NaN where there are none."""
        if depths is None:
            result, sites = evaluate_with_sites(self._engine, numbers, positions, cell)
            assert sites is not None  # layered engines have them
            return *result, sites
        energy, forces, sites = self._engine.partial_sites(
            numbers, positions, cell, **self._part(depths, buffer, places)
        )
        return energy, forces, NO_VIRIAL.copy(), sites

    def evaluate_with_spread(
        self,
        numbers: np.ndarray,
        positions: np.ndarray,
        cell: np.ndarray,
        depths: np.ndarray | None = None,
        buffer: float = 0.0,
        places: np.ndarray | None = None,
    ) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """As :meth:`evaluate`, and the spread of a committee's forces (m,), eV/Å."""
        assert isinstance(self._engine, Committee)  # of one that has a spread
        if depths is None:
            return self._engine.evaluate_with_spread(numbers, positions, cell)
        return self._engine.partial_with_spread(
            numbers, positions, cell, **self._part(depths, buffer, places)
        )

    def _part(self, depths: np.ndarray, buffer: float, places: np.ndarray | None) -> dict[str, Any]:
        """What is to be evaluated of a cluster, if its buffer is wide enough."""
        require_buffer(buffer, self.needs_buffer)
        return {"distance": depths, "fill": self._fill, "places": places, **self._radii}


def bulk_means(engine: LayeredEngine, atoms: Atoms) -> np.ndarray:
    """What partial evaluation fills with: mean features of each species in a structure.

    Of a large structure some atoms of each species stand for all.

    Parameters
    ----------
    engine : LayeredEngine
        The model.
    atoms : Atoms
        The whole system; whether it is at rest or a thermal snapshot matters little
        (``docs/partial_evaluation.md``).

    Returns
    -------
    ndarray, shape (species, f)
        Zero for species that are not there.
    """
    rng = np.random.default_rng(0)
    chosen: list[int] = []
    for number in np.unique(atoms.numbers):
        own = np.flatnonzero(atoms.numbers == number)
        chosen += rng.permutation(own)[:ENOUGH].tolist()
    periodic, cell = PeriodicCell(atoms.cell.array), atoms.cell.array
    distance = distance_to_nearest(
        periodic, atoms.positions, atoms.positions[chosen], engine.cutoff
    )
    seen = np.flatnonzero(np.isfinite(distance))
    asked = np.isin(seen, chosen)
    return engine.mean_features(atoms.numbers[seen], atoms.positions[seen], cell, asked)


def require_buffer(buffer: float, needed: float) -> None:
    """Refuse a buffer (Å) that leaves out neighbours of what is evaluated.

    Raises
    ------
    MixpiError
        If it is narrower than what is needed.
    """
    if buffer < needed - 1e-6:
        raise MixpiError(
            f"regions: a buffer of {buffer:g} Å is too narrow for partial evaluation: it takes "
            f"{needed:.4g} Å, the larger of its radii and the model's cutoff"
        )
