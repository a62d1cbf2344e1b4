"""What i-PI asks for, in its units and in ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from ase.units import Bohr


@dataclass(frozen=True)
class Geometries:
    """What i-PI asks for, and the same as the drivers are given it.

    Attributes
    ----------
    cells : list of ndarray, shape (3, 3)
        i-PI's h: columns are lattice vectors, bohr; one a geometry.
    given, folded : list of ndarray, shape (n, 3)
        As i-PI has them, and near the home cell; bohr.
    """

    cells: Sequence[np.ndarray]
    given: Sequence[np.ndarray]
    folded: Sequence[np.ndarray]

    @cached_property
    def cells_angstrom(self) -> list[np.ndarray]:
        """Rows are lattice vectors, Å."""
        return [np.asarray(h).T * Bohr for h in self.cells]

    @cached_property
    def given_angstrom(self) -> list[np.ndarray]:
        """As i-PI has them, Å."""
        return [positions * Bohr for positions in self.given]

    @cached_property
    def folded_angstrom(self) -> list[np.ndarray]:
        """Near the home cell, Å."""
        return [positions * Bohr for positions in self.folded]
