"""A LAMMPS potential as a driver that computes the sites that matter, in a wider cluster."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..errors import MixpiError
from .lammps_cluster import LammpsClusterEngine
from .lammps_sites import other_lammps
from .partial_engine import require_buffer


#: Of the largest force: how much those may differ that must be equal.
_SAME = 1e-9


class LammpsPartialEngine:
    """Computes a part of each cluster, and a structure without depths as a whole.

    At the first one, the forces that all sites within the cutoff exert on the atoms of positive
    weight are compared with those of the whole cluster, to which no others contribute.

    Parameters
    ----------
    engine : LammpsClusterEngine
        The potential.
    sites : float
        Å; of atoms closer than this to one of positive weight the energies count.

    Attributes
    ----------
    takes_depths : bool
        True: how far each atom is from those that count goes with the species.
    needs_buffer : float
        Å; buffer that the clusters must have for all sites to see their neighbours.

    Raises
    ------
    MixpiError
        If the potential is no sum over sites, or has pairs that reach further.
    """

    takes_depths = True
    has_site_energies = False

    def __init__(self, engine: LammpsClusterEngine, *, sites: float) -> None:
        engine.require_sites()
        if sites < engine.reach_of_pairs:
            raise MixpiError(
                f"partial: sites: {sites:g} Å: the pairs of this potential reach "
                f"{engine.reach_of_pairs:g} Å, and sites must go as far"
            )
        self._engine, self._sites = engine, sites
        self.numbers = engine.numbers
        self.interaction_range = engine.interaction_range
        self.needs_buffer = sites + (engine.cutoff or 0.0)
        self._compared = False

    def facts(self) -> dict:
        """What the potential is, and the buffer that it needs."""
        return {**self._engine.facts(), "needs_buffer": self.needs_buffer}

    def require(self, symbols: Iterable[str]) -> None:
        """See :meth:`LammpsClusterEngine.require`."""
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
            As :meth:`LammpsClusterEngine.evaluate`.
        depths : ndarray, shape (m,), optional
            From each atom to the nearest of positive weight, Å; without them the whole
            structure is evaluated.
        buffer : float
            Of the cluster, Å.
        places : ndarray of int, shape (m,), optional
            Which atoms of the system these are; LAMMPS need not know.

        Raises
        ------
        MixpiError
            If the buffer is too narrow, or this LAMMPS does not compute what it was asked for.
        """
        if depths is None:
            return self._engine.evaluate(numbers, positions, cell)
        require_buffer(buffer, self.needs_buffer)
        if not self._compared:
            self._compare(numbers, positions, cell, depths)
            self._compared = True
        counted = depths < self._sites
        energy, forces = self._engine.evaluate_sites(numbers, positions, cell, counted)
        return energy, forces, np.full((3, 3), np.nan)

    def _compare(
        self, numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray, depths: np.ndarray
    ) -> None:
        structure, weighted = (numbers, positions, cell), depths == 0.0
        _, forces = self._engine.evaluate_sites(*structure, depths < (self._engine.cutoff or 0.0))
        _, whole, _ = self._engine.evaluate(*structure)
        difference = np.abs(forces - whole)[weighted].max(initial=0.0)
        if difference > _SAME * max(1.0, np.abs(whole).max()):
            raise other_lammps(f"forces that should be equal differ by {difference:.1e} eV/Å")

    def close(self) -> None:
        """Let LAMMPS go."""
        self._engine.close()
