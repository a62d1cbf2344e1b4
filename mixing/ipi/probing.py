"""The spread of a committee's forces: asked for with each evaluation, told to the seeds.

Beside the region a patch of the atoms outside is looked at now and then: one more cluster for
the expensive drivers, with a buffer around it as around the region.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..blend.clusters import Cluster, extract_cluster
from ..blend.mixer import Plan
from ..config import MixingConfig
from ..drivers.packed import unpacked
from ..errors import MixpiError
from ..regions.growth import surround, union
from ..regions.uncertainty import SpreadSeeds
from ..sockets.connection import Request
from ..sockets.pool import DriverPool
from .cluster_text import cluster_text
from .geometries import Geometries


class Probing:
    """Asks the expensive drivers how far their models are apart.

    Parameters
    ----------
    rule : SpreadSeeds
        Says which patch is due, and is told what was found.
    config : MixingConfig
        The expensive drivers, and the buffer.
    numbers : ndarray of int, shape (n,)
        Atomic numbers of the system.
    """

    def __init__(self, rule: SpreadSeeds, config: MixingConfig, numbers: np.ndarray) -> None:
        self._rule, self._numbers = rule, numbers
        self._driver, self._buffer = config.expensive.driver, config.regions.buffer
        self._patch: Cluster | None = None
        self._requests: list[Request] = []
        self._row = (0.0, 0.0, 0.0, 0.0)

    @property
    def row(self) -> tuple[float, ...]:
        """What the last evaluation cost, as :data:`mixpi.output.records.PROBES` has it."""
        return self._row

    def choose(self, step: int, plan: Plan, asked: Geometries) -> None:
        """Find the patch that is due at a step, if one is, and its surroundings."""
        self._patch, self._requests = None, []
        outside = plan.regions.weights == 0.0
        geometries, cells = asked.folded_angstrom, asked.cells_angstrom
        patch = self._rule.probe(step, outside, geometries, cells[0])
        if patch is None:
            return
        weights = np.zeros(len(self._numbers))
        weights[patch] = 1.0
        regions = [
            surround(positions, cell, weights, buffer=self._buffer)
            for positions, cell in zip(geometries, cells, strict=True)
        ]
        self._patch = extract_cluster(union(regions), self._numbers)

    def submit(self, pool: DriverPool, asked: Geometries) -> list[Request]:
        """Hand the patch to the drivers; nothing where none is due."""
        if self._patch is None:
            return []
        init = cluster_text(
            self._driver,
            self._patch,
            asked.folded_angstrom,
            asked.cells_angstrom,
            self._buffer,
            spread=True,
        )
        beads = len(asked.folded)
        self._requests = [
            pool.submit(self._patch.positions(positions), asked.cells[bead], beads + bead, init)
            for bead, positions in enumerate(asked.folded)
        ]
        return self._requests

    def observe(self, pool: DriverPool, step: int, plan: Plan, region: Sequence[Request]) -> None:
        """Tell the seeds what the drivers have found.

        Parameters
        ----------
        pool : DriverPool
            The expensive one.
        step : int
        plan : Plan
            Of the evaluation.
        region : sequence of Request
            What was asked of the region, one a bead; none of an empty one.

        Raises
        ------
        MixpiError
            If the drivers do not tell a spread, or one that is none.
        """
        seen, found, seconds = [np.empty(0, dtype=int)], [np.empty(0)], []
        for cluster, requests in ((plan.cluster, region), (self._patch, self._requests)):
            told = [pool.told(request) for request in requests]
            seconds.append(sum(float(one.get("driver_seconds", 0.0)) for one in told))
            if cluster is not None and told:
                counts = cluster.weights > 0.0
                spreads = [_spread_in(one, len(cluster)) for one in told]
                seen.append(cluster.indices[counts])
                found.append(np.max(spreads, axis=0)[counts])
        self._rule.observe(step, np.concatenate(seen), np.concatenate(found))
        probed = 0 if self._patch is None else int(np.count_nonzero(self._patch.weights))
        self._row = (probed, 1e3 * seconds[1], 1e3 * seconds[0], self._rule.tour)


def _spread_in(told: dict[str, Any], atoms: int) -> np.ndarray:
    """The spread (m,), eV/Å, in what a driver says."""
    if "spread" not in told:
        raise MixpiError(
            "seeds: spread: the expensive driver does not tell how far its models are apart: is it "
            "one of mixpi, with several models (mace: committee)?"
        )
    try:
        found = unpacked(told["spread"], "<f4").astype(float)
    except (ValueError, TypeError):
        found = np.empty(0)
    if found.shape != (atoms,) or not np.isfinite(found).all():
        raise MixpiError(
            f"the expensive driver told a spread that is not one finite number for each of {atoms} "
            "atoms: are the models good for this geometry?"
        )
    return found
