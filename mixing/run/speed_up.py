"""How much faster a mixed step is than an all-expensive one, measured after a run.

Both are measured in turns, by the same drivers, because absolute times on a shared machine
move by a factor of two with what else it does; the ratio of neighbours hardly does.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms

from ..blend.clusters import extract_cluster
from ..errors import MixpiError
from ..files.user_files import special_kind
from ..ipi.cluster_text import cluster_text
from ..ipi.folding import HomeImages
from ..ipi.input import IpiInput
from ..ipi.run_regions import make_mixer
from ..output.frames import bead_paths, last_frame
from ..regions.growth import surround, union
from ..sockets.pool import init_text
from ..sockets.server import ONE_STRUCTURE
from ..structure import read_oriented
from .locking import lock
from .own_drivers import Job, OwnDrivers
from .processes import guarded
from .progress import Tell, silent
from .starting import unix_sockets
from .stopping import Stops


#: s; for all pairs. One all-expensive evaluation is waited for, however long it takes.
BUDGET = 60.0
#: Pairs at most: more would hardly narrow the spread.
MOST_PAIRS = 7
#: Mixed evaluations before the first pair: torch optimises a model during its first calls.
WARM_UP = 3
#: Evaluations of each side of a pair: as many as take the time of one of the other side, and at
#: least so long (s), but not more than so many where they are long.
SPELL, MOST_REPEATS = 0.3, 3


@dataclass
class SpeedUp:
    """Pairs of neighbouring measurements.

    Attributes
    ----------
    mixed : list of float
        s for a mixed evaluation of one bead, mean of a few.
    all_expensive : list of float
        s for an expensive evaluation of the whole system, right after; mean of a few if short.
    warmed_up : bool
        Whether an all-expensive evaluation had gone before those.
    """

    mixed: list[float] = field(default_factory=list)
    all_expensive: list[float] = field(default_factory=list)
    warmed_up: bool = True

    @property
    def ratios(self) -> np.ndarray:
        """The speed-up of each pair, shape (pairs,)."""
        return np.divide(self.all_expensive, self.mixed)


def measure_speed_up(
    ipi_input: IpiInput,
    logs: Path,
    *,
    own: float = 0.0,
    budget: float = BUDGET,
    tell: Tell = silent,
    stops: Stops | None = None,
) -> SpeedUp:
    """Start the drivers of a run once more and time both kinds of a step in turns.

    One driver of each kind is started, by the command of the run and at its address, and
    computes the last frame (the structure's file without one): the mixed side hands the
    cluster and the whole system of one bead to both and waits for the slower, the other
    side hands the whole system to the expensive one. Everything has ended when this returns.

    Parameters
    ----------
    ipi_input : IpiInput
        The run, which has ended.
    logs : Path
        Its folder of logs; new ones are put beside them.
    own : float
        s that i-PI and the mixing took for each bead of an evaluation in the run; added to
        each mixed evaluation.
    budget : float
        s for all pairs.
    tell : callable
        Called with what is being done, and the share of it.
    stops : Stops, optional
        Signals that are heard already, perhaps since before this.

    Returns
    -------
    SpeedUp

    Raises
    ------
    MixpiError
        If it cannot be measured; the message says why.
    """
    config = ipi_input.config
    if config.everywhere == "cheap":
        raise MixpiError("there are no seeds, and nothing is expensive")
    if config.everywhere == "expensive":
        raise MixpiError("all atoms are seeds, and everything is expensive")
    if ipi_input.part != "force":
        raise MixpiError(
            "the gain of a correction is in how seldom it is computed: 'mixpi check' says how often"
        )
    external = [pool for pool in ipi_input.pools if getattr(config, pool).external]
    if external:
        raise MixpiError(f"the {' and '.join(external)} drivers are external")
    log_file = logs / "reference.log"
    if kind := special_kind(log_file):
        raise MixpiError(f"{log_file} is {kind}, and a file of that name is to be written")
    with (
        lock(logs) as locked,
        guarded(keep=[locked], sockets=unix_sockets(config, ipi_input.pools)) as family,
        log_file.open("w") as log,
        contextlib.redirect_stdout(log),  # i-PI's sockets speak of every driver
    ):
        turns = _Turns(ipi_input)
        drivers = OwnDrivers(
            ipi_input,
            ipi_input.pools,
            turns.atoms,
            logs=logs,
            family=family,
            name="reference",
            stops=stops,
        )
        try:
            with drivers:
                return _take_turns(drivers, turns, own, budget, tell)
        except MixpiError as error:
            if ONE_STRUCTURE in str(error):
                raise MixpiError(
                    "the expensive driver can compute one structure only (no NEEDINIT)"
                ) from None
            raise


def _take_turns(
    drivers: OwnDrivers, turns: _Turns, own: float, budget: float, tell: Tell
) -> SpeedUp:
    tell("speed-up: starting the drivers", 0.0)
    for _ in range(WARM_UP):
        mixed = own + _seconds(drivers, turns.mixed)
    tell("speed-up: the first all-expensive evaluation", 0.0)
    full = _seconds(drivers, turns.all_expensive)
    found = SpeedUp()
    if full > budget:
        return SpeedUp([mixed], [full], warmed_up=False)
    start = time.monotonic()
    while len(found.mixed) < MOST_PAIRS:
        repeats = [_repeats(mixed, full), _repeats(full, mixed)]
        # a spread needs three pairs, which may take a little longer
        affordable = budget * (1.5 if len(found.mixed) < 3 else 1.0)
        used = time.monotonic() - start
        if found.mixed and used + repeats[0] * mixed + repeats[1] * full > affordable:
            break
        tell("speed-up: in turns", min(max(len(found.mixed) / MOST_PAIRS, used / budget), 1.0))
        mixed = own + float(np.mean([_seconds(drivers, turns.mixed) for _ in range(repeats[0])]))
        full = float(np.mean([_seconds(drivers, turns.all_expensive) for _ in range(repeats[1])]))
        found.mixed.append(mixed)
        found.all_expensive.append(full)
    return found


def _repeats(own: float, other: float) -> int:
    """How often to repeat what takes ``own`` s, beside what takes ``other`` s."""
    alike = min(round(other / own), MOST_REPEATS)
    return max(1, alike, round(SPELL / own))


def _seconds(drivers: OwnDrivers, jobs: Callable[[], dict[str, list[Job]]]) -> float:
    start = time.perf_counter()
    drivers.evaluate(jobs())
    return time.perf_counter() - start


class _Turns:
    """Both kinds of an evaluation, of the first bead of the last frame."""

    def __init__(self, ipi_input: IpiInput) -> None:
        self._config = config = ipi_input.config
        self.atoms, rotation = read_oriented(ipi_input.config_path.parent / config.structure)
        frames = _last_frames(ipi_input)
        geometries = [frame.positions @ rotation.T for frame in frames] or [self.atoms.positions]
        cell = self.atoms.cell.array
        self._geometries = HomeImages().fold(geometries, cell)
        if frames:  # the regions may have followed something since the start
            weights, buffer = frames[0].arrays["mix_weight"], config.regions.buffer
            regions = union([surround(x, cell, weights, buffer=buffer) for x in self._geometries])
        else:
            mixer = make_mixer(config, self.atoms, still=True)
            regions = mixer.plan(self._geometries, [cell], step=0).regions
        self._cluster = extract_cluster(regions, self.atoms.numbers)
        if not len(self._cluster):
            raise MixpiError("there are no seeds in the last frame, and nothing is expensive there")

    def mixed(self) -> dict[str, list[Job]]:
        """The cluster for one side, the whole system for the other."""
        config, cluster = self._config, self._cluster
        told = cluster_text(
            config.expensive.driver,
            cluster,
            self._geometries[:1],
            [self.atoms.cell.array],
            config.regions.buffer,
        )
        own = self._geometries[0]
        return {"expensive": [Job(cluster.positions(own), told)], "cheap": [Job(own, "")]}

    def all_expensive(self) -> dict[str, list[Job]]:
        """The whole system, of which the expensive side evaluates the whole."""
        return {"expensive": [Job(self._geometries[0], init_text(self.atoms.numbers))]}


def _last_frames(ipi_input: IpiInput) -> list[Atoms]:
    """The last frame of each bead; none without a trajectory."""
    name = ipi_input.config.output.trajectory
    paths = bead_paths(ipi_input.folder / name, ipi_input.beads) if name else []
    return [last_frame(path) for path in paths] if all(p.exists() for p in paths) else []
