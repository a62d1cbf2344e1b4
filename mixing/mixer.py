"""Seeds → regions → cluster, and forces → blend: one mixed evaluation, without drivers.

Who evaluates the two potentials is not known here: sockets (:mod:`mixpi.ipi_pes`) and
ASE calculators (:mod:`mixpi.calculator`) both go through :class:`Mixer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .blending import blend_forces, net_force, without_net_force
from .clusters import Cluster, extract_cluster
from .periodic import PeriodicCell
from .regions import Regions, build_regions, union, valid_seeds


@dataclass(frozen=True)
class Plan:
    """What to evaluate: the regions of a batch of geometries, and their cluster."""

    regions: Regions
    cluster: Cluster


@dataclass(frozen=True)
class Mixed:
    """The result for one geometry.

    Attributes
    ----------
    forces : ndarray, shape (n, 3)
        eV/Å.
    net_force : ndarray, shape (3,)
        Sum of the blended forces before it was removed (if it was), eV/Å.
    correction : ndarray, shape (m, 3)
        w (F_expensive − F_cheap) on the cluster's atoms, eV/Å.
    """

    forces: np.ndarray
    net_force: np.ndarray
    correction: np.ndarray


class Mixer:
    """The mixing of two potentials around fixed seeds.

    Parameters
    ----------
    numbers : array_like of int, shape (n,)
        Atomic numbers.
    seeds : array_like of int
        Indices of the seed atoms; empty for no region.
    core, blend, buffer : float
        Radii, Å (see :func:`mixpi.build_regions`).
    profile : {"linear", "cubic"}
        Shape of the weight across the blend.
    remove_net_force : bool
        Subtract the mean force from every atom.

    Raises
    ------
    ValueError, IndexError
        As :func:`mixpi.build_regions`.
    """

    def __init__(
        self,
        numbers,
        seeds,
        *,
        core: float,
        blend: float,
        buffer: float,
        profile: str = "linear",
        remove_net_force: bool = True,
    ) -> None:
        self.numbers = np.asarray(numbers)
        self.seeds = valid_seeds(seeds, len(self.numbers))
        self.remove_net_force = remove_net_force
        self._radii = {"core": core, "blend": blend, "buffer": buffer, "profile": profile}

    def plan(self, geometries: Sequence[np.ndarray], cells: Sequence[np.ndarray]) -> Plan:
        """The regions and the cluster that all geometries (beads, images) share.

        Parameters
        ----------
        geometries : sequence of ndarray, shape (n, 3)
            Å.
        cells : sequence of ndarray, shape (3, 3)
            Rows are lattice vectors, Å; one a geometry.

        Returns
        -------
        Plan
        """
        regions = union(
            [
                build_regions(positions, cell, self.seeds, **self._radii)
                for positions, cell in zip(geometries, cells, strict=True)
            ]
        )
        return Plan(regions, extract_cluster(regions, self.numbers))

    def combine(self, plan: Plan, cheap: np.ndarray, expensive: np.ndarray) -> Mixed:
        """Blend the forces of one geometry.

        Parameters
        ----------
        plan : Plan
            Of the batch that the geometry belongs to.
        cheap : ndarray, shape (n, 3)
            eV/Å.
        expensive : ndarray, shape (m, 3)
            On the cluster, eV/Å.

        Returns
        -------
        Mixed
        """
        indices = plan.cluster.indices
        forces = blend_forces(cheap, expensive, plan.cluster)
        correction = forces[indices] - cheap[indices]
        if self.remove_net_force:
            forces, removed = without_net_force(forces)
        else:
            removed = net_force(forces)
        return Mixed(forces, removed, correction)


class WorkOfCorrection:
    """Work done by the correction forces along a trajectory: the energy estimate.

    Blended forces have no potential. What i-PI is given as one is the cheap energy
    of the whole system minus the work ∫ w (F_expensive − F_cheap)·dR done since the
    first evaluation (trapezoidal rule): exactly the cheap energy where there is no
    region, and within the rule's error the expensive one, up to a constant, where
    the region is everything. It depends on the path taken, so it is an estimate for
    dynamics, not an energy to compare unrelated geometries with.
    """

    def __init__(self) -> None:
        self._previous: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._work: list[float] = []

    def add(
        self,
        geometries: Sequence[np.ndarray],
        cell: np.ndarray,
        plan: Plan,
        corrections: Sequence[np.ndarray],
    ) -> list[float]:
        """The correction (eV) to each geometry's cheap energy.

        Parameters
        ----------
        geometries : sequence of ndarray, shape (n, 3)
            Å, in the same order at every call; wrapped into the cell or not.
        cell : ndarray, shape (3, 3)
            Rows are lattice vectors, Å.
        plan : Plan
            Of this batch.
        corrections : sequence of ndarray, shape (m, 3)
            ``Mixed.correction`` of each geometry, eV/Å.

        Returns
        -------
        list of float
            Minus the work done so far. It starts again from zero when the number
            of geometries changes, because their order is all there is to know
            them by.
        """
        indices = plan.cluster.indices
        if len(self._previous) != len(geometries):
            self._work = [0.0] * len(geometries)
        else:
            periodic = PeriodicCell(cell)

            def work(force, atoms, new, old) -> float:
                return 0.5 * float(np.sum(force * periodic.fold(new[atoms] - old[atoms])))

            for bead, (old, old_indices, old_correction) in enumerate(self._previous):
                new = geometries[bead]
                self._work[bead] += work(corrections[bead], indices, new, old)
                self._work[bead] += work(old_correction, old_indices, new, old)
        self._previous = [
            (positions, indices, correction)
            for positions, correction in zip(geometries, corrections, strict=True)
        ]
        return [-work for work in self._work]
