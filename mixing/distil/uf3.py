"""UF3: two- and three-body terms as cubic B-splines (Xie et al., npj Comput. Mater. 2023).

The energy is that of LAMMPS's ``pair_style uf3``,

    E = Σ_{i≠j} V₂(r_ij) + Σ_i Σ_{j<k} V₃(r_ij, r_ik, r_jk),

V₂ summed over ordered pairs. Splines whose last three coefficients are zero end
smoothly at the cutoffs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from pathlib import Path
from typing import ClassVar

import numpy as np
from ase import Atoms
from scipy import sparse

from ..errors import MixpiError
from ..files.replacing import replace_text
from .basis import Basis, Rows, Written
from .bonds import Bonds
from .bsplines import clamped_knots, local_splines, second_differences
from .lammps_engine import LammpsCalculator


#: LAMMPS reads outside its tables below the first knot, so two-body knots start here (Å).
_FIRST_KNOT = 1e-3
#: Splines at the end of a range that are left out, so that the value, slope and
#: curvature are zero there.
_TRIM = 3
#: Triples that are expanded at once: 64 products each.
_TRIPLES = 50_000
#: Cutoff of the empty tables of a species that interacts with nobody (Å).
_NOWHERE = 0.1


@dataclass(frozen=True)
class Uf3Basis(Basis):
    """Two- and three-body B-splines.

    Attributes
    ----------
    species : tuple of str
        Chemical symbols.
    cutoff : float
        Of the two-body term, Å.
    intervals : int
        Of the two-body knots between 0 and the cutoff.
    cutoff_3b : float
        Of r_ij and r_ik in the three-body term, Å; r_jk reaches twice as far.
    start_3b : float
        First three-body knot, Å; a triple with a shorter distance has no three-body
        term, so this must be shorter than any distance that occurs.
    intervals_3b : int
        Of the three-body knots of r_ij and r_ik; r_jk has twice as many.
    """

    smoothness: ClassVar[float] = 1e-3
    more: ClassVar[str] = (
        "take more functions (uf3: intervals, intervals_3b) or longer cutoffs (cutoff_3b first)"
    )
    pair_style: ClassVar[str] = "uf3"
    cutoff: float = 5.5
    intervals: int = 22
    cutoff_3b: float = 3.6
    start_3b: float = 1.5
    intervals_3b: int = 6

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.start_3b < self.cutoff_3b <= self.cutoff:
            raise MixpiError(
                "UF3 needs start_3b < cutoff_3b <= cutoff (LAMMPS looks for triples among the "
                f"pairs), got {self.start_3b}, {self.cutoff_3b}, {self.cutoff}"
            )

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """The kinds of two-body terms."""
        return list(combinations_with_replacement(self.species, 2))

    @cached_property
    def trios(self) -> list[tuple[str, str, str]]:
        """The kinds of three-body terms: the centre, then its two neighbours."""
        return [(centre, *ends) for centre in self.species for ends in self.pairs]

    @cached_property
    def _knots(self) -> np.ndarray:
        return clamped_knots(_FIRST_KNOT, self.cutoff, self.intervals)

    @cached_property
    def _knots_ij(self) -> np.ndarray:
        return clamped_knots(self.start_3b, self.cutoff_3b, self.intervals_3b)

    @cached_property
    def _knots_jk(self) -> np.ndarray:
        return clamped_knots(self.start_3b, 2 * self.cutoff_3b, 2 * self.intervals_3b)

    @cached_property
    def _columns(self) -> np.ndarray:
        """Column of each product of splines (ij, ik, jk) of one trio; -1: left out.

        The two ends of equal species are exchangeable: products that differ by the
        exchange share a column.
        """
        side, far = self.intervals_3b + 3, 2 * self.intervals_3b + 3
        table = np.full((side, side, far), -1)
        kept = side - _TRIM
        order = {pair: k for k, pair in enumerate(combinations_with_replacement(range(kept), 2))}
        for (one, two), k in order.items():
            table[one, two] = table[two, one] = k * far + np.arange(far)
        return table

    @cached_property
    def _columns_unlike(self) -> np.ndarray:
        """As :attr:`_columns`, for ends of two species."""
        side, far = self.intervals_3b + 3, 2 * self.intervals_3b + 3
        table = np.full((side, side, far), -1)
        kept = side - _TRIM
        table[:kept, :kept] = np.arange(kept * kept * far).reshape(kept, kept, far)
        return table

    def _table(self, trio: tuple[str, str, str]) -> np.ndarray:
        return self._columns if trio[1] == trio[2] else self._columns_unlike

    @cached_property
    def _start(self) -> dict[tuple[str, ...], int]:
        """First column of each kind of term."""
        starts: dict[tuple[str, ...], int] = {}
        column = 0
        for pair in self.pairs:
            starts[pair] = column
            column += self.intervals + 3 - _TRIM
        for trio in self.trios:
            starts[trio] = column
            column += int(self._table(trio).max()) + 1
        starts[()] = column
        return starts

    @property
    def size(self) -> int:
        """Number of coefficients, p."""
        return self._start[()]

    def rows(self, atoms: Atoms) -> Rows:
        """The design rows: shapes (p,) and (3 n, p)."""
        bonds = Bonds.of(atoms, self.kinds(atoms), self.cutoff)
        if len(bonds) and bonds.r.min() < self.start_3b:
            raise MixpiError(
                f"two atoms are {bonds.r.min():.3f} Å apart, closer than start_3b "
                f"({self.start_3b} Å), where the three-body term begins: lower basis: uf3: start_3b"
            )
        energy = np.zeros(self.size)
        forces = self._two_body(bonds.where(bonds.r < self.cutoff), energy)
        near = bonds.where(bonds.r <= self.cutoff_3b)  # as LAMMPS does
        return Rows(energy, (forces + self._three_body(near, energy)).toarray())

    def _two_body(self, bonds: Bonds, energy: np.ndarray) -> sparse.csr_matrix:
        """Add to the energy row (p,), and return the force rows (3 n, p), sparse."""
        first, values, slopes = local_splines(bonds.r, self._knots)
        kind = np.sort(bonds.kinds[np.column_stack([bonds.i, bonds.j])], axis=1)
        starts = np.zeros((len(self.species),) * 2, dtype=int)
        for one, two in self.pairs:
            starts[self.species.index(one), self.species.index(two)] = self._start[one, two]
        inside = first[:, None] + np.arange(4)
        used = inside < len(self._knots) - 4 - _TRIM
        columns = np.where(used, starts[kind[:, 0], kind[:, 1]][:, None] + inside, 0)
        np.add.at(energy, columns[used], values[used])
        return bonds.pull() @ _sparse(columns, np.where(used, slopes, 0.0), self.size)

    def _three_body(self, bonds: Bonds, energy: np.ndarray) -> sparse.csr_matrix:
        """As :meth:`_two_body`, for triples around each atom i."""
        first, second = _neighbour_pairs(bonds.i)
        total = sparse.csr_matrix((3 * len(bonds.kinds), self.size))
        for start in range(0, len(first), _TRIPLES):
            chunk = slice(start, start + _TRIPLES)
            total = total + self._triples(bonds, first[chunk], second[chunk], energy)
        return total

    def _triples(
        self, bonds: Bonds, a: np.ndarray, b: np.ndarray, energy: np.ndarray
    ) -> sparse.csr_matrix:
        """As :meth:`_two_body`, for pairs (a, b) of bonds that start at the same atom."""
        # unlike ends in the order of the species, which the tables are made for
        swap = bonds.kinds[bonds.j[a]] > bonds.kinds[bonds.j[b]]
        one, two = bonds.where(np.where(swap, b, a)), bonds.where(np.where(swap, a, b))
        vectors = two.vectors - one.vectors
        across = Bonds(bonds.kinds, one.j, two.j, vectors, np.linalg.norm(vectors, axis=1))
        first_a, value_a, slope_a = local_splines(one.r, self._knots_ij)
        first_b, value_b, slope_b = local_splines(two.r, self._knots_ij)
        # two neighbours at the cutoff on a line: rounding may go beyond the last knot
        first_c, value_c, slope_c = local_splines(
            np.minimum(across.r, 2 * self.cutoff_3b), self._knots_jk
        )
        columns = self._trio_columns(one, two, (first_a, first_b, first_c))
        used = columns >= 0
        columns = np.where(used, columns, 0)

        def product(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
            full = x[:, :, None, None] * y[:, None, :, None] * z[:, None, None, :]
            return np.where(used, full.reshape(len(x), 64), 0.0)

        np.add.at(energy, columns, product(value_a, value_b, value_c))
        total = sparse.csr_matrix((3 * len(bonds.kinds), self.size))
        for side, slopes in (
            (one, product(slope_a, value_b, value_c)),
            (two, product(value_a, slope_b, value_c)),
            (across, product(value_a, value_b, slope_c)),
        ):
            total = total + side.pull() @ _sparse(columns, slopes, self.size)
        return total

    def _trio_columns(
        self, one: Bonds, two: Bonds, first: tuple[np.ndarray, np.ndarray, np.ndarray]
    ) -> np.ndarray:
        """Columns (t, 64) of the products of splines of each triple; -1: left out.

        ``first`` are the first splines that matter, each (t,), of the two bonds from the centre
        and of the distance across.
        """
        near = np.arange(4)
        a, b, c = first
        columns = np.full((len(one), 4, 4, 4), -1)
        which = one.kinds[np.stack([one.i, one.j, two.j], axis=1)]
        for trio in self.trios:
            wanted = [self.species.index(s) for s in trio]
            here = np.flatnonzero((which == wanted).all(axis=1))
            found = self._table(trio)[
                (a[here, None] + near)[:, :, None, None],
                (b[here, None] + near)[:, None, :, None],
                (c[here, None] + near)[:, None, None, :],
            ]
            columns[here] = np.where(found >= 0, found + self._start[trio], -1)
        return columns.reshape(len(one), 64)

    def penalty(self) -> np.ndarray:
        """Curvature of the splines: second differences of the coefficients."""
        blocks = []
        two = second_differences(self.intervals + 3)[:, :-_TRIM]
        for pair in self.pairs:
            rows = np.zeros((len(two), self.size))
            rows[:, self._start[pair] : self._start[pair] + two.shape[1]] = two
            blocks.append(rows)
        for trio in self.trios:
            table = self._table(trio)
            identity = np.zeros((table.size, self.size))
            used = table.ravel() >= 0
            identity[used, table.ravel()[used] + self._start[trio]] = 1.0
            cube = identity.reshape(*table.shape, self.size)
            for axis in range(3):
                bent = np.diff(cube, n=2, axis=axis).reshape(-1, self.size)
                blocks.append(bent[bent.any(axis=1)])
        return np.vstack(blocks)

    def write(
        self,
        coefficients: np.ndarray,
        offsets: Mapping[str, float],
        target: Path,
        *,
        inert: Sequence[str] = (),
    ) -> Written:
        """Write one ``.uf3`` file; the format has no place for constant energies."""
        target.parent.mkdir(parents=True, exist_ok=True)
        path = Path(f"{target}.uf3")
        everyone = sorted(self.everyone(inert))
        blocks = [_two_body_block(p, self._knots, self._pair_values(p, coefficients))
                  for p in self.pairs]  # fmt: skip
        blocks += [
            _three_body_block(t, self._knots_jk, self._knots_ij, self._trio_values(t, coefficients))
            for t in self.trios
        ]
        nowhere, nowhere_jk = (clamped_knots(_FIRST_KNOT, c, 1) for c in (_NOWHERE, 2 * _NOWHERE))
        for pair in combinations_with_replacement(everyone, 2):
            if not set(pair) <= set(self.species):
                blocks.append(_two_body_block(pair, nowhere, np.zeros(4)))
        for centre in everyone:
            for ends in combinations_with_replacement(everyone, 2):
                trio = (centre, *ends)
                if not set(trio) <= set(self.species):
                    blocks.append(_three_body_block(trio, nowhere_jk, nowhere, np.zeros((4, 4, 4))))
        replace_text(path, "".join(blocks))
        return Written(
            (path,),
            ("pair_style uf3 3", f"pair_coeff * * {path.name} {' '.join(everyone)}"),
            tuple(everyone),
            has_offset=False,
        )

    def _pair_values(self, pair: tuple[str, str], coefficients: np.ndarray) -> np.ndarray:
        start, kept = self._start[pair], self.intervals + 3 - _TRIM
        return np.concatenate([coefficients[start : start + kept], np.zeros(_TRIM)])

    def _trio_values(self, trio: tuple[str, str, str], coefficients: np.ndarray) -> np.ndarray:
        table = self._table(trio)
        return np.where(table >= 0, coefficients[np.maximum(table, 0) + self._start[trio]], 0.0)

    def calculator(self, written: Written) -> LammpsCalculator:
        """LAMMPS with the written file."""
        return LammpsCalculator.of(written)


def _neighbour_pairs(i: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of bonds that start at the same atom, as indices into the bonds.

    ``i`` (m,) is sorted: where each bond starts.
    """
    starts, counts = np.unique(i, return_index=True, return_counts=True)[1:]
    firsts, seconds = [np.zeros(0, dtype=int)], [np.zeros(0, dtype=int)]
    for count in np.unique(counts):
        one, two = np.triu_indices(count, 1)
        begin = starts[counts == count][:, None]
        firsts.append((begin + one).ravel())
        seconds.append((begin + two).ravel())
    return np.concatenate(firsts), np.concatenate(seconds)


def _sparse(columns: np.ndarray, values: np.ndarray, size: int) -> sparse.csr_matrix:
    """Rows with few entries each, (m, k) columns and values."""
    m, k = columns.shape
    return sparse.csr_matrix(
        (values.ravel(), columns.ravel(), np.arange(0, m * k + 1, k)), shape=(m, size)
    )


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.17g}" for value in values)


def _two_body_block(pair: Sequence[str], knots: np.ndarray, values: np.ndarray) -> str:
    lines = [
        "#UF3 POT UNITS: metal distilled by mixpi",
        f"2B {' '.join(pair)} 0 {_TRIM} uk",
        f"{knots[-1]:.17g} {len(knots)}",
        _numbers(knots),
        str(len(values)),
        _numbers(values),
        "#",
    ]
    return "\n".join(lines) + "\n"


def _three_body_block(
    trio: Sequence[str], knots_jk: np.ndarray, knots_ij: np.ndarray, values: np.ndarray
) -> str:
    cutoff = knots_ij[-1]
    lines = [
        "#UF3 POT UNITS: metal distilled by mixpi",
        f"3B {' '.join(trio)} 0 {_TRIM} uk",
        f"{2 * cutoff:.17g} {cutoff:.17g} {cutoff:.17g} "
        f"{len(knots_jk)} {len(knots_ij)} {len(knots_ij)}",
        _numbers(knots_jk),
        _numbers(knots_ij),
        _numbers(knots_ij),
        " ".join(map(str, values.shape)),
        *(_numbers(line) for plane in values for line in plane),
        "#",
    ]
    return "\n".join(lines) + "\n"
