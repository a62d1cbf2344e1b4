"""Mixed forces and energy estimates with fixed weights: what relaxations and paths need.

With weights that follow the atoms, a path's images would each have forces of another kind, and
a relaxation might never come to rest. Here they are those of the geometries at the start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from ..blend.clusters import Cluster
from ..blend.external_forces import external_forces
from ..blend.levels import CHEAP, CHEAP_ON_CLUSTER, EXPENSIVE
from ..blend.mixer import Plan
from ..blend.site_energies import species_offsets, weighted_difference
from ..config import MixingConfig
from ..ipi.cluster_text import cluster_text
from ..ipi.first_look import FirstLook, require_same_cheap
from ..ipi.folding import HomeImages
from ..ipi.limits import Limits
from ..ipi.run_regions import make_mixer
from ..regions.periodic import PeriodicCell
from ..run.own_drivers import Job, OwnDrivers, Result
from ..sockets.pool import init_text


#: Who computes the forces: both potentials, or one of them everywhere (a reference).
EVERYWHERE = ("mixed", "expensive", "cheap")

#: Å; an atom that moves further along a path should be in the core.
FAR = 0.5


@dataclass(frozen=True)
class FixedResult:
    """One geometry.

    Attributes
    ----------
    forces : ndarray, shape (n, 3)
        eV/Å.
    energy : float or None
        Estimate, eV; None where a potential has no site energies.
    """

    forces: np.ndarray
    energy: float | None


def meant_by(kind: str, config: MixingConfig) -> str:
    """The kind of forces that is meant where the configuration's seeds are none or all."""
    return config.everywhere or kind if kind == "mixed" else kind


def pools_for(config: MixingConfig, kind: str) -> tuple[str, ...]:
    """The pools that are needed, cheapest first.

    Parameters
    ----------
    config : MixingConfig
        Without seeds nothing is expensive.
    kind : {"mixed", "expensive", "cheap"}
        As for :class:`FixedMixing`.
    """
    kind = meant_by(kind, config)
    if kind == "mixed" and config.seed_indices:
        on_cluster = (CHEAP_ON_CLUSTER.pool,) * (config.cheap_cluster is not None)
        return (CHEAP.pool, *on_cluster, EXPENSIVE.pool)
    return (EXPENSIVE.pool,) if kind == "expensive" else (CHEAP.pool,)


class FixedMixing:
    """Evaluates geometries of one system.

    Parameters
    ----------
    config : MixingConfig
        Seeds and radii.
    atoms : Atoms
        The system in i-PI's orientation; a structure at rest, on which the energies are aligned.
    geometries : sequence of ndarray, shape (n, 3)
        Å; the weight of an atom is its largest in any of them.
    drivers : OwnDrivers
        Of :func:`pools_for`.
    kind : {"mixed", "expensive", "cheap"}
        One of the potentials everywhere is for comparison.
    say : callable
        Told what is suspicious.

    Attributes
    ----------
    weights : ndarray, shape (n,)
    labels : ndarray of int, shape (n,)
        3 core, 2 blend, 1 buffer, 0 outside.
    counts : tuple of int
        Atoms in core, blend, buffer.
    """

    def __init__(
        self,
        config: MixingConfig,
        atoms: Atoms,
        geometries: Sequence[np.ndarray],
        drivers: OwnDrivers,
        *,
        kind: str = "mixed",
        say: Callable[[str], None],
    ) -> None:
        self._config, self._atoms, self._drivers, self._say = config, atoms, drivers, say
        self._kind = kind = meant_by(kind, config)
        self._pools = pools_for(config, kind)
        self._limits = Limits(config.limits, atoms.symbols)
        self._mixer = make_mixer(config, atoms, still=True)
        self._mixer.meet(atoms.get_masses(), timestep=0.0)
        self._external = external_forces(config.loads, config.home / config.structure)
        self._geometries, self._images = list(geometries), HomeImages()
        self._buffers: dict[str, float] = {}
        if CHEAP_ON_CLUSTER.pool in self._pools:
            self._buffers[CHEAP_ON_CLUSTER.pool] = config.regions.buffer
        self._plan = self._make_plan()
        n = len(atoms)
        regions = self._plan.regions
        self.weights, self.labels, self.counts = regions.weights, regions.labels, regions.counts
        if kind == "expensive":
            self.weights, self.labels, self.counts = np.ones(n), np.full(n, 3), (n, 0, 0)
        elif kind == "cheap":
            self.weights, self.labels, self.counts = np.zeros(n), np.zeros(n, int), (0, 0, 0)
        self._offsets: dict[int, float] | None = None
        self._look_at_movers()

    def _look_at_movers(self) -> None:
        """Say so where an atom that moves far is not in the core: the path is then another."""
        periodic = PeriodicCell(self._atoms.cell.array)
        first = self._geometries[0]
        moved = np.zeros(len(first))
        for x in self._geometries[1:]:
            moved = np.maximum(moved, np.linalg.norm(periodic.shortest(x - first), axis=1))
        loose = np.flatnonzero((moved > FAR) & (self.weights < 1.0))
        if self._kind == "mixed" and len(loose):
            atom = loose[moved[loose].argmax()]
            self._say(
                f"atom {atom} (from 0, {self._atoms.symbols[atom]}) moves by {moved[atom]:.2g} Å "
                f"along the path and its weight is {self.weights[atom]:.2g}"
                + (f" ({len(loose)} atoms are so)" if len(loose) > 1 else "")
                + ": are the seeds those of this path? What moves should be in the core"
            )

    def _make_plan(self) -> Plan:
        cells = [self._atoms.cell.array] * len(self._geometries)
        return self._mixer.plan(self._geometries, cells, self._buffers, step=0)

    def evaluate(self, geometries: Sequence[np.ndarray]) -> list[FixedResult]:
        """Forces and energies of geometries, all handed to the drivers at once.

        Parameters
        ----------
        geometries : sequence of ndarray, shape (n, 3)
            Å.

        Raises
        ------
        MixpiError
            If a driver fails, forces are absurd, or the cheap forces on the cluster are not those
            on the whole system.
        """
        for positions in geometries:
            self._limits.require_positions(positions, 1.0, "this geometry")
        found = self._of_potentials([self._home(positions) for positions in geometries])
        return [self._loaded(one, x) for one, x in zip(found, geometries, strict=True)]

    def _home(self, positions: np.ndarray) -> np.ndarray:
        """The same atoms near the cell, where LAMMPS has right forces for them, too."""
        return self._images.fold([positions], self._atoms.cell.array)[0]

    def _loaded(self, found: FixedResult, positions: np.ndarray) -> FixedResult:
        """What the potentials say of a geometry, and the loads of the configuration."""
        forces, energy = self._external.added_to(found.forces), found.energy
        if energy is not None:
            energy += self._external.energy(positions)
        return FixedResult(forces, energy)

    def _of_potentials(self, geometries: Sequence[np.ndarray]) -> list[FixedResult]:
        if self._kind != "mixed":
            return self._one_potential(geometries)
        if self._offsets is None:
            self._align()
        found = self._ask(geometries)
        return [self._mixed(found, number, x) for number, x in enumerate(geometries)]

    def _one_potential(self, geometries: Sequence[np.ndarray]) -> list[FixedResult]:
        [pool] = self._pools
        told = init_text(self._atoms.numbers)
        found = self._drivers.evaluate({pool: [Job(x, told) for x in geometries]})[pool]
        for result, x in zip(found, geometries, strict=True):
            self._require_forces(pool, result, None, x)
        return [FixedResult(result.forces, result.energy) for result in found]

    def _align(self) -> None:
        """Look at the structure at rest: the reach of the cheap potential, and the offsets."""
        at_rest = [self._home(self._atoms.positions)]
        found = self._ask(at_rest)
        around, pool = self._plan.clusters.get(CHEAP_ON_CLUSTER.pool), CHEAP_ON_CLUSTER.pool
        if around is not None and found.get(pool):
            reach = found[pool][0].said.get("force_range")
            if isinstance(reach, float) and reach > self._buffers[pool]:
                self._buffers[pool] = reach * (1.0 + 1e-9)
                self._plan = self._make_plan()
                found = self._ask(at_rest)
        if around is not None and found.get(pool):
            on_cluster, whole = found[pool][0].forces, found[CHEAP.pool][0].forces
            require_same_cheap(whole, on_cluster, self._plan.clusters[pool], self._buffers[pool])
        look = FirstLook(self._say)
        look.at_difference(self._plan, {name: several[0].forces for name, several in found.items()})
        self._offsets = {}
        if EXPENSIVE.pool not in self._pools:  # no seeds: energies are the cheap ones
            return
        sites = self._weighted_sites(found, 0)
        if sites is None:
            self._say(
                "one of the potentials has no site energies (or 'cheap_cluster' is missing): "
                "energies along a path are then the work of the forces"
            )
            return
        weights = self._plan.regions.weights
        numbers = self._atoms.numbers[weights > 0.0]
        self._offsets = species_offsets(numbers, weights[weights > 0.0], *sites)

    def _ask(self, geometries: Sequence[np.ndarray]) -> Mapping[str, list[Result]]:
        jobs: dict[str, list[Job]] = {}
        for pool in reversed(self._pools):
            cluster = self._plan.clusters.get(pool)
            if cluster is None:
                jobs[pool] = [Job(x, init_text(self._atoms.numbers)) for x in geometries]
            elif len(cluster):
                driver = getattr(self._config, pool).driver
                # the depths of all images, so that each is evaluated in the same way
                told = cluster_text(
                    driver,
                    cluster,
                    self._geometries,
                    [self._atoms.cell.array] * len(self._geometries),
                    self._buffers.get(pool, self._config.regions.buffer),
                    sites=True,
                )
                jobs[pool] = [Job(cluster.positions(x), told) for x in geometries]
        return self._drivers.evaluate(jobs)

    def _weighted_sites(
        self, found: Mapping[str, list[Result]], number: int
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Cheap and expensive site energies of the atoms of positive weight, eV."""
        both = []
        for pool in (CHEAP_ON_CLUSTER.pool, EXPENSIVE.pool):
            if pool not in found:
                return None
            sites = found[pool][number].said.get("site_energies")
            cluster = self._plan.clusters[pool]
            if not isinstance(sites, list) or len(sites) != len(cluster):
                return None
            own = np.array(sites, dtype=float)[cluster.weights > 0.0]
            if not np.isfinite(own).all():
                return None
            both.append(own)
        return both[0], both[1]

    def _mixed(
        self, found: Mapping[str, list[Result]], number: int, positions: np.ndarray
    ) -> FixedResult:
        plan, cheap = self._plan, found[CHEAP.pool][number]
        for pool, several in found.items():
            self._require_forces(pool, several[number], plan.clusters.get(pool), positions)
        if EXPENSIVE.pool not in found:  # no seeds
            return FixedResult(cheap.forces, cheap.energy)
        forces = self._mixer.combine(
            plan, cheap.forces, found[EXPENSIVE.pool][number].forces
        ).forces
        sites = self._weighted_sites(found, number)
        if sites is None:
            return FixedResult(forces, None)
        weights = plan.regions.weights
        weighted = weights > 0.0
        correction = weighted_difference(
            self._atoms.numbers[weighted], weights[weighted], *sites, self._offsets or {}
        )
        return FixedResult(forces, cheap.energy + correction)

    def _require_forces(
        self, pool: str, result: Result, cluster: Cluster | None, positions: np.ndarray
    ) -> None:
        where = positions, self._atoms.cell.array
        self._limits.require_forces(pool, result.forces, cluster, where, "this geometry")
