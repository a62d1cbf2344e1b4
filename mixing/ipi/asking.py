"""One evaluation as the drivers see it: work is handed out, waited for, and taken."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase.units import Bohr, Hartree

from ..blend.clusters import Cluster
from ..blend.levels import CHEAP, CHEAP_ON_CLUSTER, EXPENSIVE, Level
from ..blend.mixer import Plan
from ..regions.uncertainty import SpreadSeeds
from ..sockets.connection import Request
from ..sockets.pool import wait
from ..sockets.server import say_aloud
from .cluster_text import cluster_text
from .first_look import require_same_cheap
from .geometries import Geometries
from .probing import Probing
from .session import Session


@dataclass(frozen=True)
class Replies:
    """What the drivers have computed.

    Attributes
    ----------
    energies : dict of str to list of float
        Pool → eV, of each geometry.
    forces : dict of str to list of ndarray
        Pool → (atoms that it was shown, 3), eV/Å, of each geometry; none of a cluster without
        atoms.
    send : float
        s to hand out the work.
    seconds : dict of str to float
        Pool → s until its last reply, from when the work was begun to be handed out.
    """

    energies: Mapping[str, list[float]]
    forces: Mapping[str, list[np.ndarray]]
    send: float
    seconds: Mapping[str, float]


class Asking:
    """Asks the drivers of one mixing layer.

    Parameters
    ----------
    session : Session
        Its pools.
    levels : sequence of Level
        That the layer's part of the forces needs.
    rule : object
        Who knows the seeds: of one that goes by the spread of a committee, patches of the
        system are asked for, too.

    Attributes
    ----------
    buffers : dict of str to float
        Pool → how far its cluster goes beyond the atoms of positive weight, Å, where that need
        not be the configuration's.
    probing : Probing or None
    """

    def __init__(self, session: Session, levels: Sequence[Level], rule: object) -> None:
        self._session, self._levels, self._config = session, levels, session.config
        self.buffers = dict.fromkeys(
            (CHEAP_ON_CLUSTER.pool,) * (CHEAP_ON_CLUSTER in levels), session.config.regions.buffer
        )
        self.probing: Probing | None = None
        if EXPENSIVE in levels and isinstance(rule, SpreadSeeds):
            self.probing = Probing(rule, session.config, session.structure.numbers)
        self._jobs: dict[str, list[Request]] = {}

    def observe(self, step: int, plan: Plan) -> None:
        """Tell the seeds what an evaluation has shown of the committee."""
        if self.probing:
            pool = self._session.pools[EXPENSIVE.pool]
            self.probing.observe(pool, step, plan, self._jobs.get(EXPENSIVE.pool, []))

    @property
    def used(self) -> list[Level]:
        """The levels that are asked: without seeds nothing is on a cluster."""
        return [level for level in self._levels if level.pool in self._session.pools]

    def ask(self, plan: Plan | None, asked: Geometries) -> Replies:
        """Hand out the work of all beads, wait, and take what has come."""
        begun = time.perf_counter()
        jobs: dict[str, list[Request]] = {}
        pools = self._session.pools
        # the longest first
        for level in reversed(self.used):
            shown, init = asked.folded, ""
            if level.on_cluster:
                assert plan is not None  # only parts that mix have such levels
                cluster = plan.clusters[level.pool]
                if not len(cluster):
                    continue
                # the species of the cluster travel in the INIT text of its request
                init = self._told(level, cluster, asked)
                shown = [cluster.positions(positions) for positions in shown]
            jobs[level.pool] = [
                pools[level.pool].submit(positions, asked.cells[bead], bead, init)
                for bead, positions in enumerate(shown)
            ]
        sent = time.perf_counter()
        awaited = {pools[name]: requests for name, requests in jobs.items()}
        if self.probing:
            pool = pools[EXPENSIVE.pool]
            awaited[pool] = [*awaited.get(pool, []), *self.probing.submit(pool, asked)]
        seconds = wait(awaited)
        asked_for = [level.pool for level in self.used if level.pool in jobs]
        results = {name: [pools[name].result(one) for one in jobs[name]] for name in asked_for}
        self._jobs = jobs
        return Replies(
            {name: [energy * Hartree for energy, _ in found] for name, found in results.items()},
            {name: [f * (Hartree / Bohr) for _, f in found] for name, found in results.items()},
            sent - begun,
            {name: sent - begun + waited for name, waited in seconds.items()},
        )

    def _told(self, level: Level, cluster: Cluster, asked: Geometries) -> str:
        """What a driver is told of its cluster."""
        return cluster_text(
            getattr(self._config, level.pool).driver,
            cluster,
            asked.folded_angstrom,
            asked.cells_angstrom,
            self.buffers.get(level.pool, self._config.regions.buffer),
            spread=level is EXPENSIVE and self.probing is not None,
        )

    def widen(self) -> bool:
        """Whether the cheap potential sees further than its cluster goes; it then goes as far.

        What it is shown must be as much as it would see in the whole system: then the correction
        is that of the blended forces, whatever the buffer of the expensive one.
        """
        pool = CHEAP_ON_CLUSTER.pool
        reach = self._session.pools[pool].told(self._jobs[pool][0]).get("force_range")
        if not isinstance(reach, float):
            say_aloud(
                "the driver of the cheap potential on the cluster does not say how far it sees: "
                f"it is shown what the expensive one is, up to {self.buffers[pool]:g} Å. If it "
                "sees further, the correction is not exact: use lammps or mace"
            )
            return False
        wider = reach > self.buffers[pool]
        # a hair more, because all comparisons are strict
        self.buffers[pool] = max(self.buffers[pool], reach * (1.0 + 1e-9))
        return wider

    def require_same_cheap(self, plan: Plan, asked: Geometries, replies: Replies) -> None:
        """Refuse a correction of other cheap forces than those that move the atoms.

        One evaluation of the whole system tells, where drivers of ours compute it.
        """
        pool = self._session.pools.get(CHEAP.pool)
        if pool is None:
            return
        request = pool.submit(asked.folded[0], asked.cells[0], 0)
        wait({pool: [request]})
        _, forces = pool.result(request)
        whole = forces * (Hartree / Bohr)
        own = CHEAP_ON_CLUSTER.pool
        require_same_cheap(whole, replies.forces[own][0], plan.clusters[own], self.buffers[own])
