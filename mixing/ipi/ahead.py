"""Results of beads that were evaluated with others of their ring, until i-PI asks for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .simulation import RunningSimulation


class Ahead:
    """What has been computed ahead, bead by bead.

    Parameters
    ----------
    pes : object, optional
        What i-PI knows the layer as.
    """

    def __init__(self, pes: object = None) -> None:
        self._pes = pes
        self._waiting: dict[int, tuple[np.ndarray, tuple]] = {}

    def keep(
        self, geometries: Sequence[np.ndarray], results: Sequence[tuple], given_out: Sequence[int]
    ) -> None:
        """Keep results of a whole ring, but for beads whose results i-PI gets now.

        Parameters
        ----------
        geometries : sequence of ndarray, shape (n, 3)
            Of all beads, bohr.
        results : sequence of tuple
            As i-PI takes them.
        given_out : sequence of int
            Beads.
        """
        self._waiting = {
            bead: (geometries[bead], results[bead])
            for bead in range(len(results))
            if bead not in given_out
        }

    def take(
        self, h: np.ndarray, given: Sequence[np.ndarray], simulation: RunningSimulation | None
    ) -> list[tuple] | None:
        """The results of geometries, each of another bead.

        Parameters
        ----------
        h : ndarray, shape (3, 3)
            Columns are lattice vectors, bohr.
        given : sequence of ndarray, shape (n, 3)
            bohr.
        simulation : RunningSimulation or None
            Of which they are.

        Returns
        -------
        list of tuple or None
            None if one of them has not been computed.
        """
        if not self._waiting:
            return None
        beads = self._beads_of(given)
        if beads is None and simulation:
            # i-PI may have wrapped them (pbc='True'): they are known as they are in the ring
            ring, asked = simulation.ring_with(given, h.T, self._pes)
            beads = self._beads_of([ring[bead] for bead in asked])
        return None if beads is None else [self._waiting.pop(bead)[1] for bead in beads]

    def _beads_of(self, given: Sequence[np.ndarray]) -> list[int] | None:
        beads: list[int] = []
        for positions in given:
            alike = (b for b, (x, _) in self._waiting.items() if np.array_equal(x, positions))
            bead = next((b for b in alike if b not in beads), None)
            if bead is None:
                return None
            beads.append(bead)
        return beads
