"""An analytic potential that costs nothing: for tests, and to time everything else.

Each atom sits in a periodic field of its own, E = Σ k (1 − cos(2π x / λ)), so the
force on an atom is the same in any cluster and every mixed force is known.
"""

from __future__ import annotations

import numpy as np


class ToyEngine:
    """A sinusoidal field.

    Parameters
    ----------
    stiffness : float
        k, eV.
    wavelength : float
        λ, Å.
    """

    needs_species = False

    def __init__(self, *, stiffness: float = 0.1, wavelength: float = 2.0) -> None:
        self.stiffness, self.wavelength = stiffness, wavelength

    def evaluate(
        self, numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Energy (eV), forces (eV/Å), virial (eV, NaN: a field has none)."""
        k, q = self.stiffness, 2 * np.pi / self.wavelength
        phase = q * positions
        energy = k * float(np.sum(1.0 - np.cos(phase)))
        return energy, -k * q * np.sin(phase), np.full((3, 3), np.nan)


class ZeroEngine:
    """No forces at all: the cheapest possible driver."""

    needs_species = False

    def evaluate(
        self, numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Zero energy and forces."""
        return 0.0, np.zeros_like(positions), np.zeros((3, 3))
