"""Which products of atomic densities an ACE has, and how they couple to invariants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from ..extras import needs


#: Weight of an angular degree relative to a radial one, as in ACEpotentials.
ANGULAR_WEIGHT = 1.5


@dataclass(frozen=True)
class Couplings:
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


def couplings(kinds: int, order: int, max_degree: int) -> Couplings:
    """All invariants up to a correlation order and a total degree, from ace-jax.

    Parameters
    ----------
    kinds : int
        Number of species.
    order : int
        Most densities in a product.
    max_degree : int
        Largest sum of n + 1.5 l over the densities of a product, with n from 1.

    Returns
    -------
    Couplings

    Raises
    ------
    MixpiError
        Without ace-jax.
    """
    with needs("ace", "the ACE basis"):
        from ace_jax.basis.coupling import couple
        from ace_jax.basis.spec import build_spec
    bodies, radials, harmonics = build_spec(kinds, order, max_degree, ANGULAR_WEIGHT)
    coupled = couple(bodies, radials, harmonics)
    # ace-jax counts the neighbour species within the radial index
    index = np.array([radials[i][0] for i, _ in coupled.aspec]) - 1
    ell, m = np.array([harmonics[j] for _, j in coupled.aspec]).T
    products = [
        np.pad(spec, ((0, 0), (0, order - spec.shape[1])), constant_values=len(index))
        for spec in map(np.asarray, coupled.aa_specs)
    ]
    return Couplings(
        species=index % kinds,
        n=index // kinds + 1,
        ell=ell,
        m=m,
        products=np.vstack(products),
        matrix=csr_array(coupled.A2B),
        bodies=[[((n - 1) // kinds + 1, ell) for n, ell in b] for b in coupled.nnll_spec],
    )
