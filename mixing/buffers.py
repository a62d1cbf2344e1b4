"""Forces of carved clusters against exact ones: the error and the cost of a buffer.

The exact forces on the atoms of positive weight are those of the full cell, or, to
the last digit, of a cluster with a buffer of twice the model's interaction range R:
every atom that such an atom shares a site energy with has its own surroundings
complete.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms

from .clusters import Cluster, extract_cluster
from .errors import MixpiError
from .periodic import PeriodicCell
from .progress import Tell, silent
from .regions import build_regions


#: The curve ends where the error is this share of the tolerance: all is said by then.
NEGLIGIBLE = 1e-3
#: s; clusters are timed again as long as one round over all of them takes less than this.
SHORT_ROUND, ROUNDS = 30.0, 3
#: Å; how much narrower than a reference that is not exact the buffers must be.
MARGIN = 1.0


@dataclass(frozen=True)
class ForceError:
    """How far forces on the atoms of positive weight are from the exact ones, eV/Å.

    Attributes
    ----------
    max, rms : float
        Largest component, and root mean square over components.
    weighted : float
        sqrt(Σ w² |ΔF|² / (3 Σ w²)): as the error enters the dynamics.
    """

    max: float
    rms: float
    weighted: float


@dataclass
class BufferResult:
    """What one buffer costs and leaves.

    Attributes
    ----------
    buffer : float
        Å.
    atoms : int
        In the cluster.
    error : ForceError
        Of the cluster as it is carved.
    seconds : float
        Median time of one evaluation.
    masked : dict
        Depth (Å) → error if only the site energies of atoms whose surroundings are
        complete within that depth are summed.
    """

    buffer: float
    atoms: int
    error: ForceError
    seconds: float = float("nan")
    masked: dict[float, ForceError] = field(default_factory=dict)


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
    engine : MaceEngine
        The expensive potential.
    """

    def __init__(self, atoms: Atoms, seeds: Sequence[int], radii: dict, engine) -> None:
        self.numbers, self.cell = atoms.numbers, atoms.cell.array
        self._seeds, self._radii, self._engine = seeds, radii, engine

    def carve(self, positions: np.ndarray, buffer: float | None) -> Cluster:
        """The cluster with a buffer (Å), the full cell with None."""
        regions = build_regions(
            positions, self.cell, self._seeds, **self._radii, buffer=buffer or 0.0
        )
        if buffer is None:
            return Cluster(np.arange(len(self.numbers)), self.numbers, regions.weights)
        return extract_cluster(regions, self.numbers)

    def forces(self, positions: np.ndarray, cluster: Cluster, mask=None) -> np.ndarray:
        """Expensive forces (m, 3) on a cluster, eV/Å; ``mask`` as for ``MaceEngine``."""
        try:
            inside = cluster.positions(positions)
            return self._engine.evaluate(cluster.numbers, inside, self.cell, mask=mask)[1]
        except RuntimeError as error:  # torch has no other word for it
            if "memory" not in str(error):
                raise
            raise MixpiError(
                f"not enough memory for {len(cluster)} atoms: allow a smaller reference with "
                "--full-atoms"
            ) from None

    def complete(self, positions: np.ndarray, cluster: Cluster, depth: float) -> np.ndarray:
        """Mask (m,) of the atoms with nothing missing from the cluster within ``depth`` Å."""
        outside = np.setdiff1d(np.arange(len(self.numbers)), cluster.indices)
        distance = PeriodicCell(self.cell).nearest(
            cluster.positions(positions), positions[outside], depth
        )
        return np.isinf(distance)

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
    is_exact = buffer is None or buffer >= 2.0 * reach
    widest = 2.0 * reach if is_exact else buffer - MARGIN
    seconds = statistics.median(times)
    return exact, Reference(buffer, len(cluster), is_exact, widest, seconds)


def force_error(forces: np.ndarray, exact: np.ndarray, weights: np.ndarray) -> ForceError:
    """Compare forces on the atoms of positive weight.

    Parameters
    ----------
    forces, exact : ndarray, shape (m, 3)
        eV/Å.
    weights : ndarray, shape (m,)
        Of the same atoms.

    Returns
    -------
    ForceError
    """
    inside = weights > 0.0
    difference, w = np.abs(forces - exact)[inside], weights[inside]
    return ForceError(
        float(difference.max()), root_mean_square(difference), root_mean_square(difference, w)
    )


def root_mean_square(vectors: np.ndarray, factors: np.ndarray | None = None) -> float:
    """Root mean square of components (k, 3), weighted by the squares of factors (k,)."""
    if factors is None:
        return float(np.sqrt(np.mean(vectors**2)))
    squares = factors**2
    total = squares.sum()
    return float(np.sqrt((squares[:, None] * vectors**2).sum() / (3.0 * total))) if total else 0.0


def measure_buffers(
    clusters: Clusters,
    positions: np.ndarray,
    exact: np.ndarray,
    buffers: Sequence[float],
    *,
    tolerance: float,
    depths: Sequence[float] = (),
    always: float | None = None,
    refine: bool = True,
    tell: Tell = silent,
) -> tuple[list[BufferResult], float | None]:
    """The error and the cost of each buffer.

    Parameters
    ----------
    clusters : Clusters
        The system.
    positions : ndarray, shape (n, 3)
        A snapshot, Å.
    exact : ndarray, shape (n, 3)
        Exact forces where the weight is positive, eV/Å.
    buffers : sequence of float
        Å, ascending; the rest is left out once the error is negligible.
    tolerance : float
        eV/Å, on the weighted rms error.
    depths : sequence of float
        Depths (Å) of masks to try.
    always : float, optional
        A buffer that is not left out, Å.
    refine : bool
        Also try half an ångström less than the answer.
    tell : callable
        Gets the progress.

    Returns
    -------
    results : list of BufferResult
        Ascending.
    recommended : float or None
        The narrowest buffer that, with all wider ones, is within the tolerance.
    """
    results: list[BufferResult] = []
    carved: dict[float, Cluster] = {}

    def measure(buffer: float) -> BufferResult:
        cluster = carved[buffer] = clusters.carve(positions, buffer)
        tell(f"buffer {buffer:g} Å, {len(cluster)} atoms", len(results) / len(buffers))
        start = time.perf_counter()
        forces = clusters.forces(positions, cluster)
        seconds = time.perf_counter() - start
        target, weights = exact[cluster.indices], cluster.weights
        result = BufferResult(
            buffer, len(cluster), force_error(forces, target, weights), seconds=seconds
        )
        for depth in depths:
            mask = clusters.complete(positions, cluster, depth)
            forces = clusters.forces(positions, cluster, mask)
            result.masked[depth] = force_error(forces, target, weights)
        results.append(result)
        results.sort(key=lambda r: r.buffer)
        return result

    done = False
    for buffer in buffers:
        if not done or buffer == always:
            done = measure(buffer).error.weighted < NEGLIGIBLE * tolerance or done
    recommended = recommend(results, tolerance)
    if refine and recommended is not None and results[0].buffer < recommended - 0.5:
        if recommended - 0.5 not in carved:
            measure(recommended - 0.5)
        recommended = recommend(results, tolerance)

    times = {result.buffer: [result.seconds] for result in results}
    for number in range(1, ROUNDS):
        if sum(result.seconds for result in results) > SHORT_ROUND:
            break
        for result in results:
            tell(f"timing, round {number} of {ROUNDS - 1}", number / ROUNDS)
            start = time.perf_counter()
            clusters.forces(positions, carved[result.buffer])
            times[result.buffer].append(time.perf_counter() - start)
    for result in results:
        result.seconds = statistics.median(times[result.buffer])
    return results, recommended


def recommend(results: Sequence[BufferResult], tolerance: float) -> float | None:
    """The narrowest buffer that, with all wider ones, is within the tolerance; or None."""
    recommended = None
    for result in reversed(results):
        if result.error.weighted >= tolerance:
            break
        recommended = result.buffer
    return recommended
