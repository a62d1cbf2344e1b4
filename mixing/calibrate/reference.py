"""The expensive forces that those of clusters are compared with.

The exact forces on the atoms of positive weight are those of the full cell, or, to
the last digit, of a cluster with a buffer of twice the model's interaction range R:
every atom that such an atom shares a site energy with has its own surroundings
complete.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from ase import Atoms

from ..blend.clusters import Cluster, extract_cluster
from ..drivers.engine import Engine
from ..drivers.partial import LayeredEngine
from ..errors import MixpiError
from ..regions.groups import Groups
from ..regions.growth import build_regions, surround
from ..regions.periodic import PeriodicCell
from ..run.progress import Tell, silent


#: Atoms that a reference may have unless another number is asked for. By mace-torch on a CPU
#: each takes 0.7 to 0.8 MB with the small models of the examples, by symmetrix 0.14 to 0.16 MB at
#: a tenth of the time, by LAMMPS a few kB. What is not known is taken to be like mace-torch.
LARGEST_REFERENCE = {
    ("cuda", "mace-torch"): 10_000,
    ("cpu", "mace-torch"): 3_000,
    ("cpu", "symmetrix"): 15_000,
    ("cpu", "LAMMPS"): 50_000,
}
#: Å; how much narrower than a reference that is not exact the buffers must be.
MARGIN = 1.0


@dataclass(frozen=True)
class Snapshot:
    """Positions of the whole system, and the exact forces on its atoms of positive weight.

    Attributes
    ----------
    positions : ndarray, shape (n, 3)
        Å.
    indices : ndarray of int, shape (k,)
        The atoms of positive weight, ascending.
    weights : ndarray, shape (k,)
        Theirs.
    exact : ndarray, shape (k, 3)
        eV/Å.
    """

    positions: np.ndarray
    indices: np.ndarray
    weights: np.ndarray
    exact: np.ndarray


@dataclass(frozen=True)
class Reference:
    """What the clusters are compared with.

    Attributes
    ----------
    buffer : float or None
        Å; None: the full cell.
    atoms : int
        That it has.
    exact : bool
        False for a cluster that had to be smaller than twice the range asks for.
    widest : float
        Å; the widest buffer that can be compared with it.
    seconds : float
        Of one evaluation.
    """

    buffer: float | None
    atoms: int
    exact: bool
    widest: float
    seconds: float


def largest_reference(engine: Engine, device: str) -> int:
    """Atoms that a reference may have, if nobody says otherwise.

    Parameters
    ----------
    engine : Engine
        The expensive potential.
    device : str
        Where it computes: cpu, cuda or cuda:<n>.

    Returns
    -------
    int
    """
    place, by = device.split(":")[0], engine.facts().get("evaluated_by", "")
    return LARGEST_REFERENCE.get((place, by), LARGEST_REFERENCE[place, "mace-torch"])


class Clusters:
    """The clusters of one system for any buffer, and the expensive forces on them.

    Parameters
    ----------
    atoms : Atoms
        The system.
    seeds : sequence of int
        Seed atoms.
    radii : dict
        ``core``, ``blend`` and ``profile`` of :func:`mixpi.build_regions`.
    engine : Engine
        The expensive potential.
    fill : ndarray, shape (species, f), optional
        For partial evaluation (:meth:`LayeredEngine.evaluate_partial`).
    groups : Groups, optional
        Of atoms that belong together.
    """

    def __init__(
        self,
        atoms: Atoms,
        seeds: Sequence[int],
        radii: dict,
        engine: Engine,
        *,
        fill: np.ndarray | None = None,
        groups: Groups | None = None,
    ) -> None:
        self._groups = groups
        self.numbers, self.cell = atoms.numbers, atoms.cell.array
        self._periodic = PeriodicCell(self.cell)
        self._seeds, self._radii, self._engine = seeds, radii, engine
        self._fill = fill

    def carve(self, positions: np.ndarray, buffer: float | None) -> Cluster:
        """The cluster with a buffer (Å), the full cell with None."""
        regions = build_regions(
            positions, self.cell, self._seeds, **self._radii, buffer=buffer or 0.0
        )
        if self._groups:
            # as in a run: weights of whole groups, and the buffer around these
            weights = self._groups.largest(regions.weights)
            regions = surround(positions, self.cell, weights, buffer=buffer or 0.0)
            regions = self._groups.with_whole_buffer(regions, buffer or 0.0)
        if buffer is None:
            return Cluster(np.arange(len(self.numbers)), self.numbers, regions.weights)
        return extract_cluster(regions, self.numbers)

    def forces(self, positions: np.ndarray, cluster: Cluster) -> np.ndarray:
        """Expensive forces (m, 3) on a cluster, eV/Å."""
        return self._forces(self._engine.evaluate, positions, cluster)

    def part_forces(
        self,
        positions: np.ndarray,
        cluster: Cluster,
        depths: np.ndarray,
        sites: float,
        features: float,
    ) -> np.ndarray:
        """The same of a part of it (:meth:`LayeredEngine.evaluate_partial`); radii in Å.

        ``depths`` (m,) are from each atom to the nearest of positive weight, Å.
        """
        assert isinstance(self._engine, LayeredEngine)  # was asked for before
        evaluate = partial(
            self._engine.evaluate_partial,
            distance=depths,
            sites=sites,
            features=features,
            fill=self._fill,
        )
        return self._forces(evaluate, positions, cluster)

    def _forces(self, evaluate: Callable, positions: np.ndarray, cluster: Cluster) -> np.ndarray:
        try:
            # far from home a model's float32 has no digits left for the distances
            inside = self._periodic.fold(cluster.positions(positions))
            return evaluate(cluster.numbers, inside, self.cell)[1]
        except (MemoryError, RuntimeError) as error:  # torch has no other word for it
            if isinstance(error, RuntimeError) and "memory" not in str(error):
                raise
            raise MixpiError(
                f"not enough memory for {len(cluster)} atoms: allow a smaller reference with "
                "--full-atoms"
            ) from None

    def exact(self, positions: np.ndarray, buffer: float | None) -> np.ndarray:
        """Forces (n, 3) from a reference's buffer (Å; None: full cell); NaN outside, eV/Å."""
        forces = np.full((len(self.numbers), 3), np.nan)
        whole = self.carve(positions, buffer)
        forces[whole.indices] = self.forces(positions, whole)
        return forces

    def snapshot(self, positions: np.ndarray, exact: np.ndarray) -> Snapshot:
        """What is needed of a snapshot with exact forces (n, 3), eV/Å."""
        inside = self.carve(positions, 0.0)
        return Snapshot(positions, inside.indices, inside.weights, exact[inside.indices])

    def reference(self, positions: np.ndarray, reach: float, limit: int) -> float | None:
        """The smallest exact reference: None for the full cell, or a cluster's buffer (Å).

        Where even that has more than ``limit`` atoms, the widest buffer that has not.
        """
        exact = 2.0 * reach
        atoms = len(self.carve(positions, exact))
        if min(len(self.numbers), atoms) <= limit:
            return exact if atoms < len(self.numbers) else None
        for buffer in np.arange(np.ceil(2 * exact) / 2 - 0.5, 0.0, -0.5):
            if len(self.carve(positions, float(buffer))) <= limit:
                return float(buffer)
        raise MixpiError(f"the region alone has more than {limit} atoms: raise --full-atoms")


def measure_reference(
    clusters: Clusters,
    positions: np.ndarray,
    reach: float,
    limit: int,
    *,
    tell: Tell = silent,
) -> tuple[np.ndarray, Reference]:
    """The forces that clusters are compared with.

    Parameters
    ----------
    clusters : Clusters
        The system.
    positions : ndarray, shape (n, 3)
        A snapshot, Å.
    reach : float
        Interaction range of the model, Å.
    limit : int
        Atoms that the reference may have.
    tell : callable
        Gets the progress.

    Returns
    -------
    exact : ndarray, shape (n, 3)
        eV/Å; NaN outside the reference, meaningful where the weight is positive.
    reference : Reference
        What they are from.
    """
    buffer = clusters.reference(positions, reach, limit)
    cluster = clusters.carve(positions, buffer)
    tell("warming up", 0.0)
    small = clusters.carve(positions, 2.0)
    for _ in range(3):  # torch optimises a model during its first calls
        clusters.forces(positions, small)
    tell(f"reference, {len(cluster)} atoms", 0.0)
    exact = np.full((len(clusters.numbers), 3), np.nan)
    times: list[float] = []
    while len(times) < 3 and sum(times) < 5.0:
        start = time.perf_counter()
        exact[cluster.indices] = clusters.forces(positions, cluster)
        times.append(time.perf_counter() - start)
    reached = np.inf if buffer is None else buffer
    is_exact = reached >= 2.0 * reach
    widest = 2.0 * reach if is_exact else reached - MARGIN
    seconds = statistics.median(times)
    return exact, Reference(buffer, len(cluster), is_exact, widest, seconds)
