"""What the first evaluation shows to be suspicious: said aloud, because nobody else would.

LAMMPS with its species exchanged computes an energy of zero and ends with success; so does
one whose potential does not reach as far as the atoms.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .clusters import Cluster


#: Rms of F_expensive − F_cheap relative to that of F_expensive, and in eV/Å, from which on the
#: two are said to be far apart. Potentials that were never fitted to one another have half of it.
FAR, FAR_FORCE = 0.8, 0.05


def suspicious(
    cheap_energy: float,
    cheap: np.ndarray,
    expensive_energy: float,
    expensive: np.ndarray,
    cluster: Cluster,
) -> Iterator[str]:
    """What a user should know of the first forces.

    Parameters
    ----------
    cheap_energy : float
        Of the whole system; any unit.
    cheap : ndarray, shape (n, 3)
        Cheap forces, eV/Å.
    expensive_energy : float
        Of the cluster; any unit.
    expensive : ndarray, shape (m, 3)
        Expensive forces on the cluster, eV/Å.
    cluster : Cluster
        The m atoms.

    Yields
    ------
    str
        A sentence or two each.
    """
    silent = False
    for name, energy, forces in (
        ("cheap", cheap_energy, cheap),
        ("expensive", expensive_energy, expensive),
    ):
        if not len(forces) or forces.any():
            continue
        silent = True
        what = "energy and forces" if energy == 0.0 else "forces"
        yield (
            f"the {name} driver returned {what} of exactly zero on all {len(forces)} atoms: are "
            "its potential, the order of its species and its cutoff right for this system?"
        )
    weighted = cluster.weights > 0.0
    if silent or not weighted.any():
        return
    # where both count, if there is such a place
    blend = weighted & (cluster.weights < 1.0)
    chosen = blend if blend.any() else weighted
    difference = _rms(expensive[chosen] - cheap[cluster.indices[chosen]])
    force = _rms(expensive[chosen])
    if difference > FAR * force and difference > FAR_FORCE:
        yield (
            f"on the {'blend' if blend.any() else 'core'} atoms the cheap potential is far from "
            f"the expensive one: rms difference {difference:.3g} eV/Å, rms force {force:.3g} eV/Å. "
            "Are species, units and cutoffs right? If so, 'mixpi distil' makes a cheap potential "
            "that is close, and 'mixpi calibrate' measures it"
        )


def _rms(vectors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(vectors**2)))
