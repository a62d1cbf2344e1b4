"""ADP: angles through vectors and tensors of the surroundings, at the cost of pairs.

The energy is a sum over LAMMPS's ``pair_style adp`` (Mishin et al., Acta Mater. 2005), of
which only the angular terms are used,

    E = Σ_i ½ Σ_ab ( C_ab μ_a,i · μ_b,i + D_ab Q_a,i : Q_b,i ),
    μ_a,i = Σ_j u_a(r_ij) r_ij,    Q_a,i = Σ_j u_a(r_ij) (r_ij r_ijᵀ − r²/3),

with fixed splines u_a and free symmetric C and D, in which it is linear. An ADP of LAMMPS
has one product each; the eigenvectors of C and D are the functions of several, and the
signs of their eigenvalues those of the layers of ``hybrid/scaled``. Unlike sums over
triples, this costs as much as there are neighbours, times the layers. Of those the data need
few: the functions of the strongest are kept, and their C and D fitted anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations_with_replacement, zip_longest
from pathlib import Path
from typing import ClassVar

import numpy as np
from ase import Atoms
from scipy import sparse
from scipy.interpolate import BSpline

from ..errors import MixpiError
from .basis import Basis, Rows, Written
from .bonds import Bonds, shortest_distance
from .bsplines import clamped_knots
from .eam_tables import Setfl, Table, neighbour_weights
from .lammps_engine import LammpsCalculator
from .overlay import Layer, layers_line


#: Points of the tables.
POINTS = 2000
#: Splines at the cutoff that are left out: value, slope and curvature vanish there.
_TRIM = 3
#: Å; the splines begin so far below the shortest distance.
_MARGIN = 0.02
#: Å; each layer's file has a cutoff that is longer by this than the one before. LAMMPS (2025)
#: cannot order the neighbour lists of three styles with equal cutoffs (its issue 4529). There is
#: nothing but zeros, so that the energy does not know.
_APART = 0.01
#: Of the largest eigenvalue of C or D: what is smaller is nothing.
_NOTHING = 1e-14


@dataclass(frozen=True)
class AdpBasis(Basis):
    """Products of vectors and of tensors of the neighbourhood.

    Attributes
    ----------
    species : tuple of str
        Chemical symbols; they differ by weights.
    cutoff : float
        Å.
    radials : int
        Number of splines u_a.
    layers : int or None
        How many ADPs are added; None: as many as C and D have eigenvalues of each sign. A fit
        with fewer has two rounds: :meth:`narrowed` chooses the functions. Where an
        eigenvalue changes its sign in the second one, there is one more.
    start : float or None
        Å; where the splines begin, straight below; of :meth:`prepared`.
    kept : tuple or None
        Vector and tensor functions, as sums of the splines; of :meth:`narrowed`.
    """

    smoothness: ClassVar[float] = 1e-3
    more: ClassVar[str] = "take more functions (adp: radials) or a longer cutoff"
    pair_style: ClassVar[str] = "adp"
    cutoff: float = 4.0
    radials: int = 3
    layers: int | None = None
    start: float | None = None
    kept: tuple[np.ndarray, np.ndarray] | None = field(default=None, compare=False)

    @property
    def pair_styles(self) -> tuple[str, ...]:
        """Of LAMMPS, which reads the files."""
        return ("adp", "hybrid/scaled")

    @cached_property
    def _functions(self) -> tuple[np.ndarray, np.ndarray]:
        """Vector and tensor functions as sums of splines, each (radials, m)."""
        everything = np.eye(self.radials)
        return (everything, everything) if self.kept is None else self.kept

    @property
    def _counts(self) -> tuple[int, int]:
        """Coefficients of C and of D: their upper triangles."""
        vectors, tensors = (len(_products(f.shape[1])) for f in self._functions)
        return vectors, tensors

    @property
    def size(self) -> int:
        """Number of coefficients, p."""
        return sum(self._counts)

    def prepared(self, frames: Sequence[Atoms]) -> AdpBasis:
        """The same basis with splines that begin at the shortest distance."""
        shortest = min(shortest_distance(atoms, self.cutoff) for atoms in frames)
        start = shortest - _MARGIN
        if start > 0.9 * self.cutoff:
            raise MixpiError(
                f"ADP: no two atoms are closer than {shortest:.2f} Å, the cutoff is "
                f"{self.cutoff} Å: raise adp: cutoff"
            )
        return replace(self, start=start)

    @cached_property
    def _table(self) -> Table:
        if self.start is None:
            raise MixpiError("ADP: the shortest distance is not known yet: prepared() finds it")
        step = (self.cutoff + _APART * (2 * self.radials + 1)) / (POINTS - 1)
        knots = clamped_knots(self.start, self.cutoff, self.radials)
        splines = BSpline(knots, np.eye(self.radials + _TRIM), 3)
        r = step * np.arange(POINTS)
        inside = np.clip(r, self.start, self.cutoff)
        below = (r - inside)[:, None] * splines(inside, 1)
        values = np.where((r < self.cutoff)[:, None], splines(inside) + below, 0.0)
        return Table.of(step, values[:, : self.radials])

    def rows(self, atoms: Atoms) -> Rows:
        """The design rows: shapes (p,) and (3 n, p)."""
        n = len(atoms)
        found = Bonds.of(atoms, self.kinds(atoms), self.cutoff + _APART)
        kinds, i, j, bonds, r = found.kinds, found.i, found.j, found.vectors, found.r
        values, slopes = self._table.at(r)
        weights = neighbour_weights(len(self.species))
        weights = (weights[kinds[i]] * weights[kinds[j]])[:, None]
        values, slopes = weights * values, weights * slopes / r[:, None]
        here = np.arange(len(r))
        gather = sparse.csr_matrix((np.ones(len(r)), (i, here)), shape=(n, len(r)))
        apart = gather - sparse.csr_matrix((np.ones(len(r)), (j, here)), shape=(n, len(r)))
        trace = (r**2 / 3.0)[:, None, None] * np.eye(3)
        square = (bonds[:, :, None] * bonds[:, None, :] - trace).reshape(-1, 9)
        energy, forces = [], []
        for tensor, functions in zip((bonds, square), self._functions, strict=True):
            own, own_slopes = values @ functions, slopes @ functions
            # (n, 3) or (n, 9) of each spline, and as each bond sees those of its first atom
            sums = [gather @ (own[:, [a]] * tensor) for a in range(own.shape[1])]
            seen = [total[i] for total in sums]
            if tensor is square:
                pulled = [2.0 * np.einsum("mxy,my->mx", s.reshape(-1, 3, 3), bonds) for s in seen]
                along = [np.einsum("mx,mx->m", p, bonds) / 2.0 for p in pulled]
            else:
                pulled = seen
                along = [np.einsum("mx,mx->m", p, bonds) for p in pulled]
            for a, b in _products(own.shape[1]):
                both = ((a, b), (b, a)) if a != b else ((a, a),)
                energy.append(0.5 * len(both) * np.sum(sums[a] * sums[b]))
                slope = sum(
                    own[:, [x]] * pulled[y] + (own_slopes[:, x] * along[y])[:, None] * bonds
                    for x, y in both
                )
                forces.append((apart @ slope).ravel())
        return Rows(np.array(energy), np.array(forces).T)

    def write(
        self,
        coefficients: np.ndarray,
        offsets: Mapping[str, float],
        target: Path,
        *,
        inert: Sequence[str] = (),
    ) -> Written:
        """Write an ``.adp`` file for each layer; the format has no place for constant energies."""
        everyone = tuple(sorted(self.everyone(inert)))
        target.parent.mkdir(parents=True, exist_ok=True)
        vectors, tensors = self._eigenfunctions(coefficients)
        files: list[Path] = []
        layers: list[Layer] = []
        nothing = np.zeros(self.radials)
        for sign in (1.0, -1.0):
            pairs = zip_longest(vectors[sign], tensors[sign], fillvalue=nothing)
            for vector, tensor in pairs:
                files.append(Path(f"{target}.{len(files) + 1}.adp"))
                layers.append(Layer(("adp",), sign))
                self._write_layer(files[-1], len(files), vector, tensor)
        if not files:
            files, layers = [Path(f"{target}.1.adp")], [Layer(("adp",))]
            self._write_layer(files[0], 1, nothing, nothing)
        types = " ".join("NULL" if symbol in inert else symbol for symbol in everyone)
        lines = [
            f"pair_coeff * * adp {f'{number} ' if len(files) > 1 else ''}{path.name} {types}"
            for number, path in enumerate(files, 1)
        ]
        if inert:  # every pair of types must have some style
            layers.append(Layer(("zero", str(self.cutoff))))
            lines.append("pair_coeff * * zero")
        return Written(tuple(files), (layers_line(layers), *lines), everyone, has_offset=False)

    def _eigenfunctions(self, coefficients: np.ndarray) -> list[Signed]:
        """Vector and tensor functions of the layers, as sums of splines."""
        return [
            _eigenfunctions(_symmetric(half), functions)
            for half, functions in zip(
                np.split(coefficients, [self._counts[0]]), self._functions, strict=True
            )
        ]

    def narrowed(self, coefficients: np.ndarray, frames: Sequence[Atoms]) -> AdpBasis:
        """The basis with the functions of the strongest layers only.

        How strong a function is, its forces in the frames say.
        """
        if self.layers is None or self.kept is not None or self.layers >= 2 * self.radials:
            return self
        rows = np.vstack([self.rows(atoms).forces for atoms in frames])
        blocks = np.split(rows, [self._counts[0]], axis=1)
        found: list[Signed] = []
        strengths: list[dict[float, list[float]]] = []
        for signed, block in zip(self._eigenfunctions(coefficients), blocks, strict=True):
            ranked: Signed = {}
            strength: dict[float, list[float]] = {}
            for sign, functions in signed.items():
                norms = [float(np.linalg.norm(block @ _upper(f))) for f in functions]
                order = np.argsort(norms)[::-1]
                ranked[sign] = [functions[k] for k in order]
                strength[sign] = [norms[k] ** 2 for k in order]
            found.append(ranked)
            strengths.append(strength)
        # of the ways to have so many layers, the one that loses least
        layers = self.layers

        def explained(plus: int) -> float:
            return sum(sum(s[1.0][:plus]) + sum(s[-1.0][: layers - plus]) for s in strengths)

        plus = max(range(layers + 1), key=explained)
        kept = [
            np.reshape([*signed[1.0][:plus], *signed[-1.0][: layers - plus]], (-1, self.radials)).T
            for signed in found
        ]
        return replace(self, kept=(kept[0], kept[1]))

    def _write_layer(self, path: Path, number: int, vector: np.ndarray, tensor: np.ndarray) -> None:
        """The functions u of the dipoles and w of the quadrupoles of LAMMPS's ADP."""
        count = len(self.species)
        weights = neighbour_weights(count)
        pairs = [weights[i] * weights[j] for i in range(count) for j in range(i + 1)]
        empty = np.zeros(POINTS)
        Setfl(
            self.species,
            density_step=1.0,
            step=self._table.step,
            cutoff=self.cutoff + _APART * number,
            embedding=np.zeros((count, POINTS)),
            density=np.zeros((count, POINTS)),
            pair=np.array([empty for _ in pairs]),
            further=np.array(
                [w * (self._table.values @ c) for c in (vector, tensor) for w in pairs]
            ),
        ).write(path)

    def calculator(self, written: Written) -> LammpsCalculator:
        """LAMMPS with the written files."""
        return LammpsCalculator.of(written)


#: Functions of the layers by the sign of the layer, largest first.
Signed = dict[float, list[np.ndarray]]


def _products(count: int) -> list[tuple[int, int]]:
    return list(combinations_with_replacement(range(count), 2))


def _symmetric(upper: np.ndarray) -> np.ndarray:
    """The symmetric matrix of an upper triangle."""
    count = round((np.sqrt(8 * len(upper) + 1) - 1) / 2)
    matrix = np.zeros((count, count))
    for (a, b), value in zip(_products(count), upper, strict=True):
        matrix[a, b] = matrix[b, a] = value
    return matrix


def _upper(vector: np.ndarray) -> np.ndarray:
    """The upper triangle of v vᵀ."""
    return np.array([vector[a] * vector[b] for a, b in _products(len(vector))])


def _eigenfunctions(matrix: np.ndarray, functions: np.ndarray) -> Signed:
    """The matrix is Σ v vᵀ of those at 1 minus those at -1, in terms of the functions (k, m)."""
    values, vectors = np.linalg.eigh(matrix)
    largest = np.abs(values).max(initial=0.0)
    found: Signed = {1.0: [], -1.0: []}
    for k in np.argsort(-np.abs(values)):
        if abs(values[k]) > _NOTHING * largest:
            v = np.sqrt(abs(values[k])) * vectors[:, k]
            found[float(np.sign(values[k]))].append(functions @ v)
    return found
