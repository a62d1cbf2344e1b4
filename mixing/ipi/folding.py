"""Which image of every atom the drivers are given.

i-PI does not wrap positions: an unwrapped start, diffusion or a drifting centre of mass
take atoms any number of cells from home. LAMMPS's ``fix ipi`` computes wrong forces, in
silence, for atoms more than a cell outside its box, and single precision loses digits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..regions.periodic import PeriodicCell


#: An atom is left where it is as long as its fractional coordinates are within these:
#: every change of image makes LAMMPS rebuild its neighbour lists.
LOW, HIGH = -0.5, 1.5


class HomeImages:
    """The lattice vectors that bring every atom home, kept until it has gone far again.

    All beads of an atom share an image, chosen by their centroid, so that a ring polymer
    is never torn.
    """

    def __init__(self) -> None:
        self._images: np.ndarray | None = None

    def fold(self, geometries: Sequence[np.ndarray], cell: np.ndarray) -> list[np.ndarray]:
        """The same atoms, each in an image at most half a cell outside the cell.

        Parameters
        ----------
        geometries : sequence of ndarray, shape (n, 3)
            Of the beads; any unit of length.
        cell : ndarray, shape (3, 3)
            Rows are lattice vectors, in the same unit.

        Returns
        -------
        list of ndarray, shape (n, 3)
        """
        periodic = PeriodicCell(cell)
        centroid = geometries[0] if len(geometries) == 1 else np.mean(geometries, axis=0)
        fractional = centroid @ periodic.inverse
        if self._images is None:
            self._images = np.zeros_like(fractional)
        home = fractional - self._images
        gone = (home < LOW) | (home >= HIGH)
        if gone.any():
            self._images[gone] = np.floor(fractional[gone])
        if not self._images.any():
            return list(geometries)
        shift = self._images @ periodic.vectors
        return [positions - shift for positions in geometries]
