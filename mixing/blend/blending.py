"""Cheap and expensive forces → the forces that move the atoms."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .clusters import Cluster


def blend_forces(cheap: ArrayLike, expensive: ArrayLike, cluster: Cluster) -> np.ndarray:
    """Blend per atom: F = w F_expensive + (1 − w) F_cheap.

    Birks et al., npj Comput. Mater. 2026 (doi:10.1038/s41524-026-01982-6). The
    expensive forces on buffer atoms (w = 0) are dropped.

    Parameters
    ----------
    cheap : array_like, shape (n, 3)
        Cheap forces on the whole system, eV/Å.
    expensive : array_like, shape (m, 3)
        Expensive forces on the cluster, eV/Å.
    cluster : Cluster
        The m atoms that ``expensive`` belongs to.

    Returns
    -------
    ndarray, shape (n, 3)
        eV/Å.

    Raises
    ------
    ValueError
        If a shape does not fit.
    """
    forces = np.array(cheap, dtype=float)
    expensive = np.asarray(expensive, dtype=float)
    if expensive.shape != (len(cluster), 3):
        raise ValueError(
            f"expensive forces must be ({len(cluster)}, 3) like the cluster, got {expensive.shape}"
        )
    weighted = np.flatnonzero(cluster.weights > 0.0)
    atoms, w = cluster.indices[weighted], cluster.weights[weighted, None]
    forces[atoms] = w * expensive[weighted] + (1.0 - w) * forces[atoms]
    return forces


def correction_forces(
    cheap: ArrayLike, expensive: ArrayLike, around: Cluster, cluster: Cluster, n: int
) -> np.ndarray:
    """What the expensive forces differ by, weighted: Δ = w (F_expensive − F_cheap).

    Added to cheap forces on the whole system it is :func:`blend_forces`. Zero outside the
    blend, it may be added less often, or on a smoother ring polymer.

    Parameters
    ----------
    cheap : array_like, shape (k, 3)
        Cheap forces on the cluster ``around``, eV/Å.
    expensive : array_like, shape (m, 3)
        Expensive forces on ``cluster``, eV/Å.
    around, cluster : Cluster
        Of the same weights; their surroundings may be of different width.
    n : int
        Atoms of the whole system.

    Returns
    -------
    ndarray, shape (n, 3)
        eV/Å.

    Raises
    ------
    ValueError
        If a shape does not fit, or the weights are not the same.
    """
    shown = (("cheap", cheap, around), ("expensive", expensive, cluster))
    atoms, weights, found = [], [], []
    for name, forces, part in shown:
        forces = np.asarray(forces, dtype=float)
        if forces.shape != (len(part), 3):
            raise ValueError(
                f"{name} forces must be ({len(part)}, 3) like the cluster, got {forces.shape}"
            )
        weighted = np.flatnonzero(part.weights > 0.0)
        atoms.append(part.indices[weighted])
        weights.append(part.weights[weighted])
        found.append(forces[weighted])
    if not all(np.array_equal(one, other) for one, other in (atoms, weights)):
        raise ValueError("the clusters of the cheap and the expensive forces have other weights")
    forces = np.zeros((n, 3))
    forces[atoms[0]] = weights[0][:, None] * (found[1] - found[0])
    return forces


def net_force(forces: np.ndarray) -> np.ndarray:
    """The sum (3,) of forces (n, 3); not zero where two potentials meet, eV/Å."""
    return forces.sum(axis=0)


def without_net_force(forces: np.ndarray, masses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take the net force from all atoms in proportion to their masses.

    Momentum is then conserved, and every atom loses the same acceleration: the motion of
    the atoms relative to one another is not touched. (Equal forces would accelerate a
    helium atom among tungsten 46 times as much as its neighbours.)

    Parameters
    ----------
    forces : ndarray, shape (n, 3)
        eV/Å.
    masses : ndarray, shape (n,)
        In any unit.

    Returns
    -------
    forces : ndarray, shape (n, 3)
        With zero sum, eV/Å.
    removed : ndarray, shape (3,)
        The net force there was, eV/Å.
    """
    removed = net_force(forces)
    return forces - np.outer(masses / masses.sum(), removed), removed
