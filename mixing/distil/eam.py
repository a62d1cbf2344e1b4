"""EAM: pair splines, and the energy of an atom in a fixed density (Daw and Baskes, PRB 1984).

The energy is that of LAMMPS's ``pair_style eam/alloy``,

    E = Σ_{i<j} V(r_ij) + Σ_i F(ρ_i),    ρ_i = Σ_j w_j (1 − (r_ij / R)²)³,

with cubic splines for V and F of each pair and species. The density is fixed, so the energy
is linear in all coefficients. Which densities occur, the data must tell: outside their
range F goes on along a line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from ase import Atoms
from scipy.interpolate import BSpline, CubicSpline

from ..errors import MixpiError
from .basis import Basis, Rows, Written
from .bonds import Bonds
from .bsplines import clamped_knots, second_differences
from .eam_tables import Setfl, Table, neighbour_weights
from .lammps_engine import LammpsCalculator


#: Points of the tables over distance and over density: larger ones leave the processor's cache.
POINTS = 2000
#: Splines at the cutoff that are left out: value, slope and curvature vanish there.
_TRIM = 3
#: The range of densities is that of the data, and this share of its width on either side.
_MARGIN = 0.1
#: The tables over density end at this multiple of the largest one; LAMMPS goes on along a line.
_BEYOND = 1.5


@dataclass(frozen=True)
class EamBasis(Basis):
    """Pair splines and embedding splines over one fixed density.

    Attributes
    ----------
    species : tuple of str
        Chemical symbols.
    cutoff : float
        Of pairs, Å.
    intervals : int
        Of the knots of V between 0 and the cutoff.
    density_cutoff : float or None
        R, Å; None: the cutoff.
    density_intervals : int
        Of the knots of F.
    spans : tuple of (float, float)
        Lowest and highest density of each species; of :meth:`prepared`.
    """

    smoothness: ClassVar[float] = 1e-3
    more: ClassVar[str] = (
        "take longer cutoffs or more functions (eam: cutoff, intervals), or put three-body terms "
        "beside it (uf3: next to eam: in the same basis)"
    )
    pair_style: ClassVar[str] = "eam/alloy"
    cutoff: float = 5.5
    intervals: int = 30
    density_cutoff: float | None = None
    density_intervals: int = 10
    spans: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self._range > self.cutoff:
            raise MixpiError(
                f"EAM: density_cutoff ({self._range}) must not be longer than cutoff "
                f"({self.cutoff})"
            )

    @property
    def _range(self) -> float:
        return self.cutoff if self.density_cutoff is None else self.density_cutoff

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """The kinds of pairs, as indices of the species, the later one first: 11, 21, 22, ..."""
        return [(i, j) for i in range(len(self.species)) for j in range(i + 1)]

    @property
    def _per_pair(self) -> int:
        return self.intervals + 3 - _TRIM

    @property
    def _per_species(self) -> int:
        return self.density_intervals + 1

    @property
    def size(self) -> int:
        """Number of coefficients, p: of V of each pair, then of F of each species."""
        return len(self.pairs) * self._per_pair + len(self.species) * self._per_species

    @cached_property
    def _step(self) -> float:
        return self.cutoff / (POINTS - 1)

    @cached_property
    def _distances(self) -> np.ndarray:
        return self._step * np.arange(POINTS)

    @cached_property
    def _pair_table(self) -> Table:
        """R V(r) of each spline, as the file has it."""
        splines = BSpline(
            clamped_knots(0.0, self.cutoff, self.intervals), np.eye(self.intervals + 3), 3
        )
        # rounding may go beyond the last knot
        values = splines(np.minimum(self._distances, self.cutoff))[:, : self._per_pair]
        return Table.of(self._step, self._distances[:, None] * values)

    @cached_property
    def _density_table(self) -> Table:
        x = np.minimum(self._distances / self._range, 1.0)
        return Table.of(self._step, (1.0 - x[:, None] ** 2) ** 3)

    @cached_property
    def _embedding(self) -> tuple[Table, ...]:
        """Of each species: natural splines that are 1 at one knot, straight outside of all."""
        if not self.spans:
            raise MixpiError("EAM: the range of densities is not known yet: prepared() finds it")
        densities = self._density_step * np.arange(POINTS)
        tables = []
        for low, high in self.spans:
            knots = np.linspace(low, high, self._per_species)
            splines = CubicSpline(knots, np.eye(self._per_species), bc_type="natural")
            inside = np.clip(densities, low, high)
            beyond = (densities - inside)[:, None] * splines(inside, 1)
            tables.append(Table.of(self._density_step, splines(inside) + beyond))
        return tuple(tables)

    @cached_property
    def _density_step(self) -> float:
        return _BEYOND * max(high for _, high in self.spans) / (POINTS - 1)

    def prepared(self, frames: Sequence[Atoms]) -> EamBasis:
        """The same basis with F's knots where the densities of the frames are."""
        found: list[list[np.ndarray]] = [[] for _ in self.species]
        for atoms in frames:
            kinds = self.kinds(atoms)
            density = self._densities(Bonds.of(atoms, kinds, self.cutoff))[0]
            for kind, values in enumerate(found):
                values.append(density[kinds == kind])
        spans = []
        for symbol, values in zip(self.species, found, strict=True):
            seen = np.concatenate(values)
            if not seen.size:
                raise MixpiError(f"EAM: no {symbol} in the data")
            # of a perfect crystal alone there would be no range
            margin = max(_MARGIN * np.ptp(seen), 0.02 * seen.max(), 1e-3)
            spans.append((max(0.0, float(seen.min() - margin)), float(seen.max() + margin)))
        return replace(self, spans=tuple(spans))

    def _densities(self, bonds: Bonds) -> tuple[np.ndarray, np.ndarray]:
        """ρ (n,) of each atom, and how each bond (m,) adds to that of its first atom."""
        values, slopes = self._density_table.at(bonds.r)
        weights = neighbour_weights(len(self.species))[bonds.kinds[bonds.j]]
        density = np.bincount(bonds.i, weights * values[:, 0], minlength=len(bonds.kinds))
        return density, weights * slopes[:, 0]

    def rows(self, atoms: Atoms) -> Rows:
        """The design rows: shapes (p,) and (3 n, p)."""
        kinds = self.kinds(atoms)
        bonds = Bonds.of(atoms, kinds, self.cutoff)
        along, r = bonds.pull(), bonds.r[:, None]
        energy, forces = np.zeros(self.size), np.zeros((3 * len(atoms), self.size))
        # each pair is there twice
        values, slopes = self._pair_table.at(bonds.r)
        values /= r
        slopes = (slopes - values) / r
        for block, pair in enumerate(self.pairs):
            here = np.flatnonzero(_is_pair(bonds, pair))
            columns = slice(block * self._per_pair, (block + 1) * self._per_pair)
            energy[columns] = values[here].sum(axis=0) / 2
            forces[:, columns] = along[:, here] @ slopes[here] / 2
        density, density_slopes = self._densities(bonds)
        first = len(self.pairs) * self._per_pair
        for kind, table in enumerate(self._embedding):
            columns = slice(
                first + kind * self._per_species, first + (kind + 1) * self._per_species
            )
            values, slopes = table.at(density)
            energy[columns] = values[kinds == kind].sum(axis=0)
            here = np.flatnonzero(kinds[bonds.i] == kind)
            turned = slopes[bonds.i[here]] * density_slopes[here, None]
            forces[:, columns] = along[:, here] @ turned
        return Rows(energy, forces)

    def penalty(self) -> np.ndarray:
        """Curvature of V and F: second differences of their coefficients."""
        two = second_differences(self.intervals + 3)[:, : self._per_pair]
        embedding = second_differences(self._per_species)
        blocks, column = [], 0
        for rows in [two] * len(self.pairs) + [embedding] * len(self.species):
            block = np.zeros((len(rows), self.size))
            block[:, column : column + rows.shape[1]] = rows
            blocks.append(block)
            column += rows.shape[1]
        return np.vstack(blocks)

    def write(
        self,
        coefficients: np.ndarray,
        offsets: Mapping[str, float],
        target: Path,
        *,
        inert: Sequence[str] = (),
    ) -> Written:
        """Write one ``.eam.alloy`` file, constant energies within F."""
        everyone = tuple(sorted(self.everyone(inert)))
        target.parent.mkdir(parents=True, exist_ok=True)
        path = Path(f"{target}.eam.alloy")
        split = len(self.pairs) * self._per_pair
        pairs = np.reshape(coefficients[:split], (len(self.pairs), self._per_pair))
        embedding = np.reshape(coefficients[split:], (len(self.species), self._per_species))
        Setfl(
            self.species,
            self._density_step,
            self._step,
            self.cutoff,
            np.array(
                [
                    table.values @ c + offsets.get(symbol, 0.0)
                    for symbol, table, c in zip(
                        self.species, self._embedding, embedding, strict=True
                    )
                ]
            ),
            np.outer(neighbour_weights(len(self.species)), self._density_table.values[:, 0]),
            pairs @ self._pair_table.values.T,
        ).write(path)
        types = " ".join("NULL" if symbol in inert else symbol for symbol in everyone)
        lammps: tuple[str, ...] = ("pair_style eam/alloy", f"pair_coeff * * {path.name} {types}")
        if inert:  # every pair of types must have some style
            lammps = (
                f"pair_style hybrid/overlay eam/alloy zero {self.cutoff}",
                f"pair_coeff * * eam/alloy {path.name} {types}",
                "pair_coeff * * zero",
            )
        return Written((path,), lammps, everyone, has_offset=True)

    def calculator(self, written: Written) -> LammpsCalculator:
        """LAMMPS with the written file."""
        return LammpsCalculator.of(written)


def _is_pair(bonds: Bonds, pair: tuple[int, int]) -> np.ndarray:
    one, two = pair
    a, b = bonds.kinds[bonds.i], bonds.kinds[bonds.j]
    return ((a == one) & (b == two)) | ((a == two) & (b == one))
