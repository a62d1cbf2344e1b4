"""Functions as LAMMPS's ``pair_style eam`` has them: tables, and cubic pieces between.

LAMMPS takes the slope at each point of a table from its neighbours and joins the points by
cubics of those values and slopes (``PairEAM::interpolate``, S. M. Foiles and M. S. Daw). That is
linear in the values, so a basis whose functions are tables is exactly what LAMMPS
computes, whatever the spacing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import atomic_masses, atomic_numbers

from ..files.replacing import replace_text


@dataclass(frozen=True)
class Table:
    """Functions by their values at 0, h, 2 h, ...

    Attributes
    ----------
    step : float
        h.
    values : ndarray, shape (m, k)
        Of k functions.
    slopes : ndarray, shape (m, k)
        Times h.
    """

    step: float
    values: np.ndarray
    slopes: np.ndarray

    @classmethod
    def of(cls, step: float, values: np.ndarray) -> Table:
        """The table of these values, with LAMMPS's slopes.

        Parameters
        ----------
        step : float
            Distance of the points.
        values : ndarray, shape (m, k)
            At least five points.
        """
        v = values
        slopes = np.empty_like(v)
        slopes[0], slopes[-1] = v[1] - v[0], v[-1] - v[-2]
        slopes[1], slopes[-2] = (v[2] - v[0]) / 2, (v[-1] - v[-3]) / 2
        slopes[2:-2] = (v[:-4] - v[4:] + 8.0 * (v[3:-1] - v[1:-3])) / 12
        return cls(step, v, slopes)

    def at(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values and slopes (n, k) at points (n,); beyond the last one, on a line."""
        last = (len(self.values) - 1) * self.step
        inside = np.minimum(x, last)
        m = np.minimum((inside / self.step).astype(int), len(self.values) - 2)
        p = (inside / self.step - m)[:, None]
        start, end = self.slopes[m], self.slopes[m + 1]
        rise = self.values[m + 1] - self.values[m]
        square, cube = 3.0 * rise - 2.0 * start - end, start + end - 2.0 * rise
        slopes = ((3.0 * cube * p + 2.0 * square) * p + start) / self.step
        values = ((cube * p + square) * p + start) * p + self.values[m]
        return values + slopes * (x - inside)[:, None], slopes


@dataclass(frozen=True)
class Setfl:
    """What an ``eam/alloy`` file holds.

    Attributes
    ----------
    species : sequence of str
        s chemical symbols.
    density_step, step, cutoff : float
        Of the density; of the distance, Å; Å.
    embedding : ndarray, shape (s, m)
        Energy (eV) of an atom at each density.
    density : ndarray, shape (s, n)
        What an atom adds to the density at each distance.
    pair : ndarray, shape (s (s + 1) / 2, n)
        r times the pair energy, eV Å; of the pairs 11, 21, 22, 31, ...
    further : ndarray, shape (k, n) or None
        What follows in an ``adp`` file: u of all pairs, then w of all.
    """

    species: Sequence[str]
    density_step: float
    step: float
    cutoff: float
    embedding: np.ndarray
    density: np.ndarray
    pair: np.ndarray
    further: np.ndarray | None = None

    def write(self, path: Path) -> None:
        """Write the file, in full precision."""
        count = len(self.species)
        lines = [f"# {' '.join(self.species)}, distilled by mixpi", "#", "#"]
        lines.append(f"{count} {' '.join(self.species)}")
        lines.append(
            f"{self.embedding.shape[1]} {self.density_step:.17g} {self.pair.shape[1]} "
            f"{self.step:.17g} {self.cutoff:.17g}"
        )
        for symbol, embedding, density in zip(
            self.species, self.embedding, self.density, strict=True
        ):
            number = atomic_numbers[symbol]
            lines.append(f"{number} {atomic_masses[number]:.8g} 0 none")
            lines += [*_rows(embedding), *_rows(density)]
        for values in [*self.pair, *([] if self.further is None else self.further)]:
            lines += _rows(values)
        replace_text(path, "\n".join(lines) + "\n")


def neighbour_weights(count: int) -> np.ndarray:
    """A weight (count,) of each species as a neighbour; they only must differ."""
    return 1.0 - 0.15 * np.arange(count) / max(1, count - 1)


def _rows(values: np.ndarray) -> list[str]:
    return [
        " ".join(f"{value:.17g}" for value in values[start : start + 5])
        for start in range(0, len(values), 5)
    ]
