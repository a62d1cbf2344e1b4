"""An ACE in the terms of a PACE potential file (``.yace``).

PACE sums products of *complex* densities, the invariants here are made of *real* ones.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import product

import numpy as np
from scipy.sparse import csr_array

from .couplings import Couplings


#: A product of complex densities: (neighbour species, n, l, m) of each factor, sorted.
Term = tuple[tuple[int, int, int, int], ...]


def pace_tree(
    table: Couplings,
    coefficients: np.ndarray,
    *,
    elements: Sequence[str],
    offsets: Mapping[str, float],
    cutoff: float,
) -> dict:
    """The contents of a ``.yace`` file.

    Parameters
    ----------
    table : Couplings
        With b invariants.
    coefficients : ndarray, shape (s, b)
        Of the invariants around each of the first `s` elements, eV.
    elements : sequence of str
        Chemical symbols; those after the first `s` are inert: they have a single term of
        coefficient 0.
    offsets : mapping of str to float
        Constant energy per atom, eV.
    cutoff : float
        Å.

    Returns
    -------
    dict
        As ``ace_jax.eval.pace_io.dump_tree`` writes it.
    """
    terms, matrix = _products(table)
    values = matrix @ coefficients.T
    lmax, count = int(table.ell.max()), int(table.n.max())
    bond = {
        "nradmax": count,
        "lmax": lmax,
        "nradbasemax": count,
        "radbasename": "SBessel",
        "radparameters": [1.0],  # no meaning here, but read
        "radcoefficients": [
            [[float(k == n) for k in range(count)] for _ in range(lmax + 1)] for n in range(count)
        ],
        "rcut": float(cutoff),
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
    active = len(coefficients)
    functions = {z: _functions(z, terms, values[:, z]) for z in every[:active]}
    nothing = {z: _functions(z, [((z, 1, 0, 0),)], [0.0]) for z in every[active:]}
    return {
        "elements": list(elements),
        "E0": [float(offsets.get(s, 0.0)) for s in elements],
        "deltaSplineBins": 0.001,
        # copies, or the file would have YAML references
        "embeddings": {z: deepcopy(linear) for z in every},
        "bonds": {pair: deepcopy(bond) for pair in product(every, every)},
        "functions": functions | nothing,
    }


def _products(table: Couplings) -> tuple[list[Term], csr_array]:
    """PACE's products, and the matrix (products, b) that the invariants are made of.

    A product stands for itself and its conjugate, with every m reversed. The matrix is
    real, as the invariants are, and without products whose m do not add up to 0.
    """
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
