"""What the first forces show to be suspicious: said aloud, because nobody else would.

LAMMPS with its species exchanged computes an energy of zero and ends with success; so does
one whose potential does not reach as far as the atoms.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..blend.clusters import Cluster


#: Rms of F_expensive − F_cheap relative to that of F_expensive from which on the two are said to
#: be far apart; potentials that were never fitted to one another have half of it.
FAR = 0.8
#: eV/Å; where both are smaller, as near lattice sites, nothing can be said yet.
TELLING = 0.2


def exactly_zero(name: str, energy: float, forces: np.ndarray) -> Iterator[str]:
    """What to say of a driver that returns nothing but zeros.

    Parameters
    ----------
    name : str
        Of its pool.
    energy : float
        Any unit.
    forces : ndarray, shape (n, 3)
        Any unit.

    Yields
    ------
    str
    """
    if len(forces) and not forces.any():
        what = "energy and forces" if energy == 0.0 else "forces"
        yield (
            f"the {name} driver returned {what} of exactly zero on all {len(forces)} atoms: are "
            "its potential, the order of its species and its cutoff right for this system?"
        )


def far_apart(cheap: np.ndarray, expensive: np.ndarray, cluster: Cluster) -> str | None:
    """Whether the cheap potential is far from the expensive one where both count.

    Parameters
    ----------
    cheap : ndarray, shape (n, 3)
        Cheap forces, eV/Å.
    expensive : ndarray, shape (m, 3)
        Expensive forces on the cluster, eV/Å.
    cluster : Cluster
        The m atoms.

    Returns
    -------
    str or None
        What to say, empty if they are not; None while the forces are too small to tell.
    """
    weighted = cluster.weights > 0.0
    blend = weighted & (cluster.weights < 1.0)
    chosen = blend if blend.any() else weighted
    if not chosen.any():
        return None
    difference = _rms(expensive[chosen] - cheap[cluster.indices[chosen]])
    force = _rms(expensive[chosen])
    if max(difference, force) < TELLING:
        return None
    if difference <= FAR * force:
        return ""
    return (
        f"on the {'blend' if blend.any() else 'core'} atoms the cheap potential is far from "
        f"the expensive one: rms difference {difference:.3g} eV/Å, rms force {force:.3g} eV/Å. "
        "Are species, units and cutoffs right? If so, 'mixpi calibrate' measures this and says "
        "whether a better cheap potential ('mixpi distil') or a wider core is needed"
    )


def _rms(vectors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(vectors**2)))
