"""Which atoms LAMMPS needs for the values of some: these, and what decides about them.

Taken out of a structure they keep cell, places and order. LAMMPS makes its bins and lists of the
cell and the cutoff, and goes through atoms and images in their order: so the list of an atom whose
neighbours are all there is the one that it has in the whole structure, item by item, and what is
computed from such lists is equal to the last bit, whatever else is there or not.
"""

from __future__ import annotations

import math

import numpy as np

from ..regions.periodic import PeriodicCell


#: Relative; how much further than needed, for distances that are rounded in another way.
_ROUNDING = 1e-6
#: How much room there is for more atoms than are needed at first.
_ROOM = 1.1


class Surroundings:
    """Some atoms and those around them, always of one number if there is room enough.

    An instance of LAMMPS then keeps its atoms and is told new places. The room is filled with any
    others, which change no value.

    Parameters
    ----------
    among : ndarray of bool, shape (n,)
        Whose values are wanted.
    distance : float
        Å; how far away from these others decide.
    """

    def __init__(self, among: np.ndarray, distance: float) -> None:
        self.among, self.distance = np.array(among, dtype=bool), distance
        self._centres = np.flatnonzero(among)
        self._room = 0

    def atoms(self, positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
        """The atoms that LAMMPS needs, and others for which there is room.

        Parameters
        ----------
        positions : ndarray, shape (n, 3)
            Å; atoms may be any number of cells from home.
        cell : ndarray, shape (3, 3)
            Rows are lattice vectors, Å.

        Returns
        -------
        ndarray of int
            Ascending.
        """
        count = len(self.among)
        if self._room == count:
            return np.arange(count)
        reach = self.distance * (1 + _ROUNDING)
        there = np.zeros(count, dtype=bool)
        there[PeriodicCell(cell).near(positions, positions[self._centres], reach)] = True
        needed = int(there.sum())
        if needed > self._room:
            self._room = min(count, math.ceil(_ROOM * needed))
        there[np.flatnonzero(~there)[: self._room - needed]] = True
        return np.flatnonzero(there)
