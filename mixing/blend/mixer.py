"""Seeds → regions → cluster, and forces → blend: one mixed evaluation, without drivers.

Who evaluates the two potentials is not known here: sockets (:mod:`mixpi.ipi.pes`) and
ASE calculators (:mod:`mixpi.blend.calculator`) both go through :class:`Mixer`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import atomic_masses
from numpy.typing import ArrayLike

from ..regions.following import Following
from ..regions.growth import Regions, build_regions, union, valid_seeds
from ..regions.neighbourhood import Neighbourhood
from ..regions.periodic import PeriodicCell
from .blending import blend_forces, correction_forces, net_force, without_net_force
from .clusters import Cluster, extract_cluster
from .levels import EXPENSIVE


@dataclass(frozen=True)
class Plan:
    """What to evaluate: the regions of a batch of geometries, and their clusters.

    Attributes
    ----------
    regions : Regions
        With the buffer of the expensive potential.
    clusters : mapping of str to Cluster
        Pool → what it is shown; those that are shown the whole system are not in it.
    """

    regions: Regions
    clusters: Mapping[str, Cluster]

    @property
    def cluster(self) -> Cluster:
        """That of the expensive potential."""
        return self.clusters[EXPENSIVE.pool]


@dataclass(frozen=True)
class Mixed:
    """The result for one geometry.

    Attributes
    ----------
    forces : ndarray, shape (n, 3)
        eV/Å.
    net_force : ndarray, shape (3,)
        Sum of the blended forces before it was removed (if it was), eV/Å.
    removed : ndarray, shape (3,)
        What was removed: the net force or nothing, eV/Å.
    correction : ndarray, shape (m, 3)
        w (F_expensive − F_cheap) on the cluster's atoms, eV/Å.
    """

    forces: np.ndarray
    net_force: np.ndarray
    removed: np.ndarray
    correction: np.ndarray


class Mixer:
    """The mixing of two potentials around seeds.

    Parameters
    ----------
    numbers : array_like of int, shape (n,)
        Atomic numbers.
    seeds : array_like of int
        Indices of the seed atoms; empty for no region.
    core, blend, buffer : float
        Radii, Å (see :func:`mixpi.build_regions`).
    profile : {"linear", "cubic", "smooth"}
        Shape of the weight across the blend.
    remove_net_force : bool
        Take the net force from all atoms, in proportion to their masses.
    masses : array_like, shape (n,), optional
        In any unit. Default: those of the elements.
    following : Following, optional
        Who keeps the regions of a run whose weights depend on earlier steps.

    Raises
    ------
    ValueError, IndexError
        As :func:`mixpi.build_regions`.
    """

    def __init__(
        self,
        numbers: ArrayLike,
        seeds: ArrayLike,
        *,
        core: float,
        blend: float,
        buffer: float,
        profile: str = "linear",
        remove_net_force: bool = True,
        masses: ArrayLike | None = None,
        following: Following | None = None,
    ) -> None:
        self.numbers = np.asarray(numbers)
        self.masses = atomic_masses[self.numbers] if masses is None else self._valid(masses)
        self.seeds = valid_seeds(seeds, len(self.numbers))
        self.remove_net_force = remove_net_force
        self.following = following
        #: Buffer (Å) → what is known of the surroundings of the seeds in each geometry.
        self._neighbourhoods: dict[float, list[Neighbourhood]] = {}
        self._radii: dict[str, Any] = {
            "core": core,
            "blend": blend,
            "buffer": buffer,
            "profile": profile,
        }

    def meet(self, masses: ArrayLike, timestep: float) -> None:
        """Fit into a simulation.

        Parameters
        ----------
        masses : array_like, shape (n,)
            In any unit.
        timestep : float
            fs.

        Raises
        ------
        ValueError
            If a mass is missing or not positive.
        """
        self.masses = self._valid(masses)
        if self.following:
            self.following.timestep = timestep

    def _valid(self, masses: ArrayLike) -> np.ndarray:
        masses = np.array(masses, dtype=float)
        if masses.shape != self.numbers.shape or not np.all(masses > 0.0):
            raise ValueError("masses must be positive, one an atom")
        return masses

    @property
    def seed_count(self) -> int:
        """Seeds of the last step."""
        return int(np.count_nonzero(self.following.seeds)) if self.following else len(self.seeds)

    def plan(
        self,
        geometries: Sequence[np.ndarray],
        cells: Sequence[np.ndarray],
        buffers: Mapping[str, float] | None = None,
        *,
        step: int | None = None,
    ) -> Plan:
        """The regions and the clusters that all geometries (beads, images) share.

        Parameters
        ----------
        geometries : sequence of ndarray, shape (n, 3)
            Å.
        cells : sequence of ndarray, shape (3, 3)
            Rows are lattice vectors, Å; one a geometry.
        buffers : mapping of str to float, optional
            Further pools that are shown a cluster → their own buffer, Å.
        step : int, optional
            Of the run that is followed; without it the weights are those of the geometries alone.

        Returns
        -------
        Plan
            The union of the regions, and its clusters.
        """
        own = self._radii["buffer"]
        wanted = {EXPENSIVE.pool: own, **(buffers or {})}
        widths = {*wanted.values()}
        if self.following and step is not None:
            regions = self.following.regions(step, geometries, cells, widths)
        else:
            regions = {buffer: self._union(geometries, cells, buffer) for buffer in widths}
        clusters = {
            pool: extract_cluster(regions[buffer], self.numbers) for pool, buffer in wanted.items()
        }
        return Plan(regions[own], clusters)

    def _union(
        self, geometries: Sequence[np.ndarray], cells: Sequence[np.ndarray], buffer: float
    ) -> Regions:
        radii = {**self._radii, "buffer": buffer}
        known = self._neighbourhoods.setdefault(buffer, [])
        while len(known) < len(geometries):
            known.append(Neighbourhood())
        return union(
            [
                build_regions(positions, cell, self.seeds, **radii, neighbourhood=near)
                for positions, cell, near in zip(geometries, cells, known, strict=False)
            ]
        )

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
            Forces on all atoms, and what the mixing did.
        """
        indices = plan.cluster.indices
        forces = blend_forces(cheap, expensive, plan.cluster)
        return self._mixed(forces, forces[indices] - cheap[indices])

    def correct(self, plan: Plan, cheap: np.ndarray, expensive: np.ndarray, *, pool: str) -> Mixed:
        """What is to be added to the cheap forces on the whole system, for one geometry.

        Parameters
        ----------
        plan : Plan
            Of the batch that the geometry belongs to.
        cheap : ndarray, shape (k, 3)
            On the cluster of ``pool``, eV/Å.
        expensive : ndarray, shape (m, 3)
            On the cluster, eV/Å.
        pool : str
            That has computed the cheap ones.

        Returns
        -------
        Mixed
            The correction on all atoms: Δ, and what takes its net force away.
        """
        around, n = plan.clusters[pool], len(self.numbers)
        forces = correction_forces(cheap, expensive, around, plan.cluster, n)
        return self._mixed(forces, forces[plan.cluster.indices])

    def _mixed(self, forces: np.ndarray, correction: np.ndarray) -> Mixed:
        if self.remove_net_force:
            forces, net = without_net_force(forces, self.masses)
            return Mixed(forces, net, net, correction)
        return Mixed(forces, net_force(forces), np.zeros(3), correction)


class WorkOfCorrection:
    """Work of all that is not the cheap force along a trajectory: the energy estimate.

    Blended forces have no potential. What i-PI is given as one is the cheap energy
    of the whole system minus the work that the other forces have done since the first
    evaluation, ∫ w (F_expensive − F_cheap)·dR and, if the net force is removed, the work of
    that (trapezoidal rule): exactly the cheap energy where there is no region, and
    within the rule's error the expensive one, up to a constant, where the region is
    everything. It depends on the path taken, so it is an estimate for dynamics, not an
    energy to compare unrelated geometries with.

    Parameters
    ----------
    masses : ndarray, shape (n,)
        Of the atoms: the net force is removed in proportion to them.
    """

    def __init__(self, masses: np.ndarray) -> None:
        self._shares = masses / masses.sum()
        self._previous: list[tuple[np.ndarray, np.ndarray, Mixed]] = []
        self._work: list[float] = []

    @property
    def done(self) -> list[float]:
        """Done so far, eV, one a geometry."""
        return list(self._work)

    def resume(self, work: Sequence[float]) -> None:
        """Go on from the work (eV) that an earlier part of the run had come to, one a geometry."""
        self._work = list(work)

    def add(
        self,
        geometries: Sequence[np.ndarray],
        cell: np.ndarray,
        plan: Plan,
        mixed: Sequence[Mixed],
    ) -> list[float]:
        """The work (eV) done so far along each geometry's path.

        Parameters
        ----------
        geometries : sequence of ndarray, shape (n, 3)
            Å, in the same order at every call; wrapped into the cell or not.
        cell : ndarray, shape (3, 3)
            Rows are lattice vectors, Å.
        plan : Plan
            Of this batch.
        mixed : sequence of Mixed
            The result for each geometry.

        Returns
        -------
        list of float
            It starts again from zero when the number of geometries changes, because
            their order is all there is to know them by.
        """
        if len(self._work) != len(geometries):
            self._work = [0.0] * len(geometries)
            self._previous = []
        indices = plan.cluster.indices
        periodic = PeriodicCell(cell)
        for bead, (old, old_indices, before) in enumerate(self._previous):
            moved = periodic.shortest(geometries[bead] - old)
            centre = self._shares @ moved
            for atoms, force in ((indices, mixed[bead]), (old_indices, before)):
                done = np.sum(force.correction * moved[atoms]) - force.removed @ centre
                self._work[bead] += 0.5 * float(done)
        self._previous = [
            (positions, indices, result)
            for positions, result in zip(geometries, mixed, strict=True)
        ]
        return self.done
