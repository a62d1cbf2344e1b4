"""Forces of carved clusters against exact ones: the error and the cost of a buffer.

The error at one buffer differs from snapshot to snapshot by a factor of two to three, so a
buffer is judged by an upper value over several: of so many that at most a tenth of all
snapshots are expected above it, where the number of snapshots allows that, else the largest.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np

from ..blend.clusters import Cluster
from ..errors import MixpiError
from ..run.progress import Tell, silent
from .reference import Clusters, Reference, Snapshot


Key = TypeVar("Key")

#: The curve ends where the error is this share of the tolerance: all is said by then.
NEGLIGIBLE = 1e-3
#: s; clusters are timed again as long as one round over all of them takes less than this.
SHORT_ROUND, ROUNDS = 30.0, 3
#: The share of fresh snapshots that are expected to be below the upper value.
QUANTILE = 0.9
#: A buffer whose error on one snapshot is further than this factor from the tolerance is
#: decided by it: from snapshot to snapshot errors differ by a factor of three.
WINDOW = 5.0


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
        In the cluster; of the first snapshot.
    error : ForceError
        Of the cluster as it is carved: the upper value over the snapshots.
    seconds : float
        Median time of one evaluation.
    errors : list of float
        The weighted rms error on each snapshot, eV/Å: on the first, or on all of them if that
        could change the answer.
    """

    buffer: float
    atoms: int
    error: ForceError
    seconds: float = float("nan")
    errors: list[float] = field(default_factory=list)


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


def upper(values: Sequence[float]) -> float:
    """The value that a fresh one is below with a probability of ``QUANTILE``.

    The k-th smallest of n, k = ⌈QUANTILE (n + 1)⌉: a further value from the same
    distribution, whatever that is, is above the k-th with the probability 1 − k / (n + 1).
    With too few values for that, the largest.

    Parameters
    ----------
    values : sequence of float
        At least one.

    Returns
    -------
    float
    """
    return float(sorted(values)[_rank(len(values)) - 1])


def share_above(n: int) -> float:
    """The share of fresh values that are expected above the :func:`upper` of n."""
    return 1.0 - _rank(n) / (n + 1)


def allowed_above(n: int) -> int:
    """So many of n values may be above a limit that their :func:`upper` is not above."""
    return n - _rank(n)


def _rank(n: int) -> int:
    return min(n, math.ceil(QUANTILE * (n + 1) - 1e-9))


def buffer_grid(
    buffers: Sequence[float] | None, configured: float, reference: Reference
) -> list[float]:
    """The buffers (Å, ascending) to measure: those asked for, or all that the reference allows.

    Raises
    ------
    MixpiError
        If the reference cannot judge them.
    """
    widest = reference.widest
    if buffers is None:
        grid = {float(b) for b in np.arange(2.0, widest + 1e-9, 1.0)}
        if configured <= widest:
            grid.add(configured)
        if not grid:
            raise MixpiError(
                f"a reference of {reference.atoms} atoms leaves no buffers to compare with it: "
                "raise --full-atoms"
            )
        return sorted(grid)
    if max(buffers) > widest:
        raise MixpiError(
            f"a buffer of {max(buffers):g} Å cannot be judged: up to {widest:g} Å can, "
            + (
                "twice the interaction range, where the forces are exact"
                if reference.exact
                else f"with a reference of {reference.atoms} atoms; raise --full-atoms"
            )
        )
    return sorted({float(b) for b in buffers})


def measure_buffers(
    clusters: Clusters,
    snapshots: Sequence[Snapshot],
    buffers: Sequence[float],
    *,
    tolerance: float,
    always: float | None = None,
    refine: bool = True,
    tell: Tell = silent,
) -> tuple[list[BufferResult], float | None]:
    """The error and the cost of each buffer.

    All are measured on the first snapshot, those that may be the answer on all of them.

    Parameters
    ----------
    clusters : Clusters
        The system.
    snapshots : sequence of Snapshot
        At least one.
    buffers : sequence of float
        Å, ascending; the rest is left out once the error is negligible.
    tolerance : float
        eV/Å, on the weighted rms error.
    always : float, optional
        A buffer that is not left out, and measured on all snapshots, Å.
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
    first, *others = snapshots
    results: list[BufferResult] = []
    carved: dict[float, Cluster] = {}
    times: dict[float, list[float]] = {}
    found: dict[float, list[ForceError]] = {}

    def measure(buffer: float) -> None:
        cluster = carved[buffer] = clusters.carve(first.positions, buffer)
        tell(f"buffer {buffer:g} Å, {len(cluster)} atoms", len(results) / len(buffers))
        start = time.perf_counter()
        forces = clusters.forces(first.positions, cluster)
        times[buffer] = [time.perf_counter() - start]
        inside = forces[cluster.weights > 0.0]
        found[buffer] = [force_error(inside, first.exact, first.weights)]
        results.append(_combined(buffer, len(cluster), found[buffer]))
        results.sort(key=lambda r: r.buffer)

    def decide() -> float | None:
        """The answer, with all that it rests on measured on all snapshots."""
        while True:
            answer = recommend(results, tolerance)
            certain = {results[-1].buffer if answer is None else answer, always}
            undecided = [
                number
                for number, result in enumerate(results)
                if len(result.errors) < len(snapshots)
                and (
                    result.buffer in certain
                    or tolerance / WINDOW < result.error.weighted < tolerance * WINDOW
                )
            ]
            if not undecided:
                return answer
            for done, number in enumerate(undecided):
                buffer, atoms = results[number].buffer, results[number].atoms
                for other in others:
                    share = (done + len(found[buffer]) / len(snapshots)) / len(undecided)
                    tell(f"spread over snapshots, buffer {buffer:g} Å", share)
                    found[buffer].append(snapshot_error(clusters, other, buffer))
                results[number] = _combined(buffer, atoms, found[buffer])

    done = False
    for buffer in buffers:
        if not done or buffer == always:
            measure(buffer)
            done = found[buffer][0].weighted < NEGLIGIBLE * tolerance or done
    recommended = decide()
    if refine and recommended is not None and results[0].buffer < recommended - 0.5:
        if recommended - 0.5 not in carved:
            measure(recommended - 0.5)
        recommended = decide()

    time_in_turns(
        {b: partial(clusters.forces, first.positions, cluster) for b, cluster in carved.items()},
        times,
        tell=tell,
    )
    for result in results:
        result.seconds = statistics.median(times[result.buffer])
    return results, recommended


def time_in_turns(
    calls: Mapping[Key, Callable[[], object]], times: dict[Key, list[float]], *, tell: Tell = silent
) -> None:
    """Time calls again, one after the other in each round, unless a round takes too long.

    Parameters
    ----------
    calls : mapping of callable
        What is timed, by any name.
    times : dict of list of float
        By the same names: a first time of each, s. The others are added.
    tell : callable
        Gets the progress.
    """
    for number in range(1, ROUNDS):
        if sum(spent[0] for spent in times.values()) > SHORT_ROUND:
            break
        for name, call in calls.items():
            tell(f"timing, round {number} of {ROUNDS - 1}", number / ROUNDS)
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)


def recommend(results: Sequence[BufferResult], tolerance: float) -> float | None:
    """The narrowest buffer that, with all wider ones, is within the tolerance; or None."""
    recommended = None
    for result in reversed(results):
        if result.error.weighted >= tolerance:
            break
        recommended = result.buffer
    return recommended


def snapshot_error(clusters: Clusters, snapshot: Snapshot, buffer: float) -> ForceError:
    """The error of a buffer (Å) on one snapshot."""
    cluster = clusters.carve(snapshot.positions, buffer)
    forces = clusters.forces(snapshot.positions, cluster)[cluster.weights > 0.0]
    return force_error(forces, snapshot.exact, snapshot.weights)


def upper_error(errors: Sequence[ForceError]) -> ForceError:
    """The :func:`upper` values of the errors on several snapshots."""
    return ForceError(*map(upper, zip(*map(astuple, errors), strict=True)))


def _combined(buffer: float, atoms: int, errors: Sequence[ForceError]) -> BufferResult:
    """What several snapshots say together."""
    return BufferResult(
        buffer, atoms, upper_error(errors), errors=[error.weighted for error in errors]
    )
