"""Partial evaluation against exact forces: the radii that are good enough for the least work.

What is evaluated depends on two radii (:mod:`mixpi.drivers.partial`). The work is counted in
node evaluations: atoms with first-layer features, and atoms with a site energy.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from ..blend.clusters import Cluster, depths_of
from ..drivers.engine import Engine
from ..drivers.partial import LayeredEngine
from ..errors import MixpiError
from ..run.progress import Tell, silent
from .buffers import (
    BufferResult,
    ForceError,
    allowed_above,
    force_error,
    time_in_turns,
    upper_error,
)
from .cheapest import cheapest
from .reference import Clusters, Reference, Snapshot


#: Å; the narrowest radius, and the step from one to the next.
NARROWEST, STEP = 2.0, 0.5
#: With site energies and features of all atoms within so many cutoffs forces are exact.
SITES_EXACT, FEATURES_EXACT = 2.0, 3.0
#: Layers; each evaluates all atoms of a cluster that is evaluated as a whole.
LAYERS = 2
#: Of the tolerance; what partial evaluation may leave of it. To first order the error changes the
#: energy by a random walk whose steps grow with it, and whole clusters within a tolerance leave
#: about half of it (``docs/partial_evaluation.md``): the one shall not be worse than the other.
SHARE = 0.5
#: Å; by so much wider than needed is the buffer that is recommended, so that the driver knows
#: atoms before they come near, and keeps its neighbours (:mod:`mixpi.drivers.kept_neighbours`).
MARGIN = 0.5
#: A buffer is written with so many decimals.
DECIMALS = 2


@dataclass
class PartialResult:
    """What one pair of radii costs and leaves.

    Attributes
    ----------
    sites, features : float
        Å.
    buffer : float
        Å; that the cluster must have.
    atoms, evaluations : int
        In the cluster, and node evaluations; of the first snapshot.
    error : ForceError
        The upper value over the snapshots that were measured.
    errors : list of float
        The weighted rms error on each snapshot, eV/Å; ends where a pair is known to be
        too bad.
    seconds : float
        Median time of one evaluation.
    """

    sites: float
    features: float
    buffer: float
    atoms: int
    evaluations: int
    error: ForceError
    errors: list[float] = field(default_factory=list)
    seconds: float = float("nan")


@dataclass
class PlainResult:
    """What it takes to evaluate a whole cluster, timed in turns with parts.

    Attributes
    ----------
    buffer : float
        Å.
    atoms, evaluations : int
        As of :class:`PartialResult`.
    seconds : float
        Median time of one evaluation.
    """

    buffer: float
    atoms: int
    evaluations: int
    seconds: float = float("nan")


@dataclass
class PartialCalibration:
    """What partial evaluation can do; lengths in Å, times in s.

    Attributes
    ----------
    results : list of PartialResult
        By node evaluations, ascending.
    searched : bool
        Whether the cheapest pair was looked for; else only the configured one is there.
    tolerance : float
        eV/Å; the error of the recommended pair is not above it.
    configured, recommended : tuple of float or None
        ``(sites, features)``.
    buffer : float or None
        That is recommended with it.
    lines : str
        What to write into the YAML for the recommended pair.
    check : ForceError or None
        The error of the recommended (else the configured) pair on another snapshot.
    plain : list of PlainResult
        The configured and the recommended buffer.
    """

    results: list[PartialResult]
    searched: bool
    tolerance: float
    configured: tuple[float, float] | None = None
    recommended: tuple[float, float] | None = None
    buffer: float | None = None
    lines: str = ""
    check: ForceError | None = None
    plain: list[PlainResult] = field(default_factory=list)

    def of(self, radii: tuple[float, float] | None) -> PartialResult | None:
        """The result for a pair, if there is one."""
        return next((r for r in self.results if (r.sites, r.features) == radii), None)


def require_layered(engine: Engine, kind: str) -> LayeredEngine:
    """The engine, if parts of it can be evaluated.

    Parameters
    ----------
    engine : Engine
        The expensive potential.
    kind : str
        What the configuration calls it, for messages.

    Raises
    ------
    MixpiError
        If it is not a network whose layers can be had one by one.
    """
    if not isinstance(engine, LayeredEngine):
        raise MixpiError(
            f"--partial looks for the radii of MACE models of two layers; the expensive driver is "
            f"'{kind}': leave --partial out"
        )
    nobody = np.zeros(0)
    # asks for the layers, and computes nothing
    engine.evaluate_partial(
        nobody, np.zeros((0, 3)), np.eye(3), distance=nobody, sites=1.0, features=1.0
    )
    return engine


def buffer_for(sites: float, features: float, cutoff: float) -> float:
    """The buffer that a pair of radii needs, rounded up; all in Å."""
    digits = 10.0**DECIMALS
    return math.ceil((max(sites, features) + cutoff) * digits - 1e-5) / digits


def lines_for(found: PartialCalibration, kind: str, fill: str) -> str:
    """What to write into the YAML for the recommended pair; empty without one."""
    if found.recommended is None:
        return ""
    sites, features = found.recommended
    radii = f"sites: {sites:g}, features: {features:g}, fill: {fill}"
    return f"regions:\n  buffer: {found.buffer:g}\nexpensive:\n  {kind}:\n    partial: {{{radii}}}"


def widest_radius(cutoff: float, reference: Reference) -> float:
    """The widest radius (Å) that is worth trying.

    Parameters
    ----------
    cutoff : float
        Of a layer, Å.
    reference : Reference
        What parts are compared with.

    Returns
    -------
    float

    Raises
    ------
    MixpiError
        If the reference cannot judge any.
    """
    widest = FEATURES_EXACT * cutoff
    if not reference.exact and reference.buffer is not None:
        # a part sees complete surroundings: those of the reference must be no narrower
        widest = min(widest, reference.buffer - cutoff)
    if widest < NARROWEST:
        raise MixpiError(
            f"a reference of {reference.atoms} atoms cannot judge partial evaluation, which needs "
            f"a buffer of {NARROWEST + cutoff:g} Å at the least: raise --full-atoms"
        )
    return widest


def doubts_about_reference(found: PartialCalibration, reference: Reference) -> list[str]:
    """Why the error of the configured pair may be that of the reference; empty if it is not."""
    result = found.of(found.configured)
    if result is None or reference.exact or result.buffer <= (reference.buffer or 0.0):
        return []
    return [
        f"partial evaluation as configured sees {result.buffer:g} Å of surroundings, the reference "
        f"only {reference.buffer:g} Å: the error may be that of the reference (--full-atoms)"
    ]


def radii_grid(depths: np.ndarray, widest: float) -> np.ndarray:
    """The radii (Å, ascending) to try: every half an ångström that has further atoms.

    Parameters
    ----------
    depths : ndarray, shape (m,)
        From each atom to the nearest of positive weight, Å.
    widest : float
        Å; at least ``NARROWEST``.

    Returns
    -------
    ndarray
    """
    tried = np.arange(NARROWEST, widest + 1e-9, STEP)
    inside = _within(depths, tried)
    return tried[np.diff(inside, prepend=-1) > 0]


def _within(depths: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """How many atoms are nearer than each radius; as :func:`mixpi.drivers.partial.choose`."""
    return np.searchsorted(np.sort(depths), radii, side="left")


def measure_partial(
    clusters: Clusters,
    engine: LayeredEngine,
    snapshots: Sequence[Snapshot],
    reference: Reference,
    *,
    tolerance: float,
    search: bool = True,
    configured: tuple[float, float] | None = None,
    plain: Sequence[BufferResult] = (),
    to_check: Snapshot | None = None,
    tell: Tell = silent,
) -> PartialCalibration:
    """The cheapest pair of radii that is good enough, and what it costs.

    Parameters
    ----------
    clusters : Clusters
        The system.
    engine : LayeredEngine
        The expensive potential, that of the clusters.
    snapshots : sequence of Snapshot
        At least one.
    reference : Reference
        Where their exact forces are from.
    tolerance : float
        eV/Å; the weighted rms error is not above it.
    search : bool
        Whether to look for the cheapest pair.
    configured : tuple of float, optional
        A pair (Å) that is measured in any case.
    plain : sequence of BufferResult
        Buffers of whole clusters that are timed in turns with the parts.
    to_check : Snapshot, optional
        Another snapshot, for the answer.
    tell : callable
        Gets the progress.

    Returns
    -------
    PartialCalibration

    Raises
    ------
    MixpiError
        If the reference cannot judge any pair.
    """
    first, cutoff = snapshots[0], engine.cutoff
    calls: dict[object, Callable[[], object]] = {}
    times: dict[object, list[float]] = {}
    results: list[PartialResult] = []

    def error(snapshot: Snapshot, radii: tuple[float, float]) -> ForceError:
        cluster, depths = _surroundings(clusters, snapshot, buffer_for(*radii, cutoff))
        call = partial(clusters.part_forces, snapshot.positions, cluster, depths, *radii)
        start = time.perf_counter()
        forces = call()
        if snapshot is first:
            times[radii], calls[radii] = [time.perf_counter() - start], call
        inside = cluster.weights > 0.0
        return force_error(forces[inside], snapshot.exact, snapshot.weights)

    def measure(radii: tuple[float, float], *, all_of_them: bool = False) -> PartialResult:
        """On as many snapshots as it takes to know whether the pair is good enough."""
        cluster, depths = _surroundings(clusters, first, buffer_for(*radii, cutoff))
        errors: list[ForceError] = []
        for snapshot in snapshots:
            tell(f"partial evaluation, {radii[0]:g} / {radii[1]:g} Å", len(errors) / len(snapshots))
            errors.append(error(snapshot, radii))
            above = sum(e.weighted > tolerance for e in errors)
            if above > allowed_above(len(snapshots)) and not all_of_them:
                break
        results.append(
            PartialResult(
                *radii,
                buffer=buffer_for(*radii, cutoff),
                atoms=len(cluster),
                evaluations=int(_within(depths, np.array(radii)).sum()),
                error=upper_error(errors),
                errors=[e.weighted for e in errors],
            )
        )
        return results[-1]

    found = PartialCalibration(results, search, tolerance, configured)
    tell("partial evaluation, warming up", 0.0)
    for _ in range(3):  # torch optimises a model during its first calls
        error(first, configured or (NARROWEST, NARROWEST))
    calls.clear()
    times.clear()
    if configured:
        measure(configured, all_of_them=True)
    if search:
        widest = widest_radius(cutoff, reference)
        _, depths = _surroundings(clusters, first, widest)
        features = radii_grid(depths, widest)
        sites = features[features <= SITES_EXACT * cutoff + 1e-9]
        costs = np.add.outer(_within(depths, sites), _within(depths, features))

        def good(i: int, j: int) -> bool:
            radii = float(sites[i]), float(features[j])
            return (found.of(radii) or measure(radii)).error.weighted <= tolerance

        chosen = cheapest(costs, good)
        if chosen is not None:
            found.recommended = float(sites[chosen[0]]), float(features[chosen[1]])
            found.buffer = buffer_for(*found.recommended, cutoff + MARGIN)
    results.sort(key=lambda r: (r.evaluations, r.sites))

    for whole in plain:
        cluster = clusters.carve(first.positions, whole.buffer)
        call = partial(clusters.forces, first.positions, cluster)
        start = time.perf_counter()
        call()
        times[whole.buffer], calls[whole.buffer] = [time.perf_counter() - start], call
        found.plain.append(PlainResult(whole.buffer, len(cluster), LAYERS * len(cluster)))
    time_in_turns(calls, times, tell=tell)
    for result in results:
        result.seconds = statistics.median(times[result.sites, result.features])
    for timed in found.plain:
        timed.seconds = statistics.median(times[timed.buffer])
    answer = found.recommended or configured
    if to_check is not None and answer is not None:
        found.check = error(to_check, answer)
    return found


def _surroundings(
    clusters: Clusters, snapshot: Snapshot, buffer: float
) -> tuple[Cluster, np.ndarray]:
    """A cluster, and how far its atoms are from those of positive weight, as in a run."""
    cluster = clusters.carve(snapshot.positions, buffer)
    return cluster, depths_of(cluster, [snapshot.positions], [clusters.cell], buffer)
