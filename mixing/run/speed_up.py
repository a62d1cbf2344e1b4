"""How much faster a mixed step is than an all-expensive one, measured after a run.

Both are measured in turns, by the same drivers, because absolute times on a shared machine
move by a factor of two with what else it does; the ratio of neighbours hardly does.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase.units import Bohr

from ..blend.mixer import Mixer, Plan
from ..errors import MixpiError
from ..files.user_files import special_kind
from ..ipi.cluster_text import cluster_text
from ..ipi.folding import HomeImages
from ..ipi.input import IpiInput
from ..output.frames import bead_paths, last_frame
from ..sockets.pool import DriverPool, init_text, wait
from ..sockets.server import ONE_STRUCTURE
from ..structure import read_oriented
from .locking import lock
from .processes import Child, describe_end, guarded, stop_all
from .progress import Tell, silent
from .running import unix_sockets
from .starting import start_driver
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

    Returns
    -------
    SpeedUp

    Raises
    ------
    MixpiError
        If it cannot be measured; the message says why.
    """
    config = ipi_input.config
    if not config.seed_indices:
        raise MixpiError("there are no seeds, and nothing is expensive")
    if ipi_input.part != "force":
        raise MixpiError(
            "it is not measured for a correction, whose gain depends on how seldom it is computed"
        )
    external = [pool for pool in ipi_input.pools if getattr(config, pool).external]
    if external:
        raise MixpiError(f"the {' and '.join(external)} drivers are external")
    log_file = logs / "reference.log"
    if kind := special_kind(log_file):
        raise MixpiError(f"{log_file} is {kind}, and a file of that name is to be written")
    with (
        lock(logs) as locked,
        guarded(keep=[locked], sockets=unix_sockets(ipi_input)) as family,
        log_file.open("w") as log,
        contextlib.redirect_stdout(log),  # i-PI's sockets speak of every driver
        _Drivers(ipi_input, logs, family) as drivers,
    ):
        try:
            return _take_turns(drivers, own, budget, tell)
        except MixpiError as error:
            if ONE_STRUCTURE in str(error):
                raise MixpiError(
                    "the expensive driver can compute one structure only (no NEEDINIT)"
                ) from None
            raise


def _take_turns(drivers: _Drivers, own: float, budget: float, tell: Tell) -> SpeedUp:
    tell("speed-up: starting the drivers", 0.0)
    for _ in range(WARM_UP):
        mixed = own + _seconds(drivers.mixed)
    tell("speed-up: the first all-expensive evaluation", 0.0)
    full = _seconds(drivers.all_expensive)
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
        mixed = own + float(np.mean([_seconds(drivers.mixed) for _ in range(repeats[0])]))
        full = float(np.mean([_seconds(drivers.all_expensive) for _ in range(repeats[1])]))
        found.mixed.append(mixed)
        found.all_expensive.append(full)
    return found


def _repeats(own: float, other: float) -> int:
    """How often to repeat what takes ``own`` s, beside what takes ``other`` s."""
    alike = min(round(other / own), MOST_REPEATS)
    return max(1, alike, round(SPELL / own))


def _seconds(function: Callable[[], None]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


class _Drivers:
    """A driver of each kind, from ``with`` on to its end, and the structures for them."""

    def __init__(self, ipi_input: IpiInput, logs: Path, family: str) -> None:
        self._input, self._logs, self._family = ipi_input, logs, family
        self._atoms, rotation = read_oriented(
            ipi_input.config_path.parent / ipi_input.config.structure
        )
        geometries = _last_geometries(ipi_input, rotation)
        if geometries is None:
            geometries = [self._atoms.positions]
        cell = self._atoms.cell.array
        self._geometries = HomeImages().fold(geometries, cell)
        self._h = cell.T / Bohr
        self._plan = self._make_plan(cell)
        self._pools: dict[str, DriverPool] = {}
        self._children: dict[str, Child] = {}
        self._left = contextlib.ExitStack()

    def _make_plan(self, cell: np.ndarray) -> Plan:
        config = self._input.config
        mixer = Mixer(self._atoms.numbers, config.seed_indices, **config.regions.model_dump())
        return mixer.plan(self._geometries, [cell] * len(self._geometries))

    def __enter__(self) -> _Drivers:
        with contextlib.ExitStack() as stack:
            self._stops = stack.enter_context(Stops())
            stack.callback(self._stop)
            for name in self._input.pools:
                driver = getattr(self._input.config, name)
                pool = DriverPool(name, driver, launched_by=self._family)
                pool.open()
                self._pools[name] = pool
                self._children[name] = start_driver(
                    name,
                    self._input,
                    self._atoms,
                    name=f"reference-{name}",
                    logs=self._logs,
                )
            self._left = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.close()

    def _stop(self) -> None:
        for pool in self._pools.values():
            pool.close()
        # one that is in the middle of a long evaluation does not hear
        stop_all(list(self._children.values()), patience=2.0)

    def mixed(self) -> None:
        """A mixed evaluation of the first bead."""
        self._evaluate(expensive=self._plan.cluster.indices, cheap=slice(None))

    def all_expensive(self) -> None:
        """An expensive evaluation of the whole system."""
        self._evaluate(expensive=slice(None))

    def _evaluate(self, **parts: np.ndarray | slice) -> None:
        jobs = {}
        for name, part in parts.items():
            init = self._told(part) if name == "expensive" else ""
            positions = self._geometries[0][part] / Bohr
            jobs[name] = self._pools[name].submit(positions, self._h, 0, init)
        wait({self._pools[name]: [job] for name, job in jobs.items()}, meanwhile=self._look)
        for name, job in jobs.items():
            self._pools[name].result(job)

    def _told(self, part: np.ndarray | slice) -> str:
        """What the expensive driver is told: of the whole system it evaluates the whole."""
        if isinstance(part, slice):
            return init_text(self._atoms.numbers)
        cell = self._atoms.cell.array
        config = self._input.config
        return cluster_text(
            config.expensive.driver,
            self._plan.cluster,
            self._geometries[:1],
            [cell],
            config.regions.buffer,
        )

    def _look(self) -> None:
        """End a wait that is in vain."""
        if self._stops.signum is not None:
            raise MixpiError(f"stopped by {self._stops.signum.name}")
        for name, child in self._children.items():
            lost = self._pools[name].lost > 0
            if lost:
                child.wait(1.0)  # it may be about to end, and then says more
            if child.returncode is not None:
                driver = getattr(self._input.config, name).driver
                said = driver.error_in(child.output()) or child.tail(1).strip()
                raise MixpiError(
                    f"the {name} driver {describe_end(child.returncode)}"
                    f"{': ' + said if said else ''} (log: {child.log})"
                )
            if lost:
                deadline = self._pools[name].config.reply_deadline
                raise MixpiError(
                    f"the {name} driver did not reply within {deadline:g} s (reply_deadline)"
                )


def _last_geometries(ipi_input: IpiInput, rotation: np.ndarray) -> Sequence[np.ndarray] | None:
    """Positions (n, 3) of each bead in the last frame, Å, as i-PI turns them; None without."""
    name = ipi_input.config.output.trajectory
    if not name:
        return None
    paths = bead_paths(ipi_input.folder / name, ipi_input.beads)
    if not all(path.exists() for path in paths):
        return None
    return [last_frame(path).positions @ rotation.T for path in paths]
