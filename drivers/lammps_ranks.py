"""LAMMPS on several MPI ranks as one driver: the first talks to i-PI, the others follow it.

LAMMPS divides an evaluation among the ranks of its MPI by itself, if all of them call it with
the same structure. So the first rank tells the others what has come. Whatever goes wrong on one
rank ends all: the others would wait for it for ever.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ..errors import MixpiError
from ..extras import needs
from .client import run_driver
from .lammps_library import load_mpi


if TYPE_CHECKING:
    from .lammps_cluster import LammpsClusterEngine
    from .lammps_partial import LammpsPartialEngine


#: s; a rank that waits looks so often, once it has waited the first time without sleeping:
#: MPI itself would keep a core busy while the mixing layer and other drivers compute.
_LOOK_EVERY, _AWAKE = 2e-4, 1e-4
#: s; between what a rank says of an error and the end of all of them.
_HANDED_ON = 1.0
#: Sent in place of a number of atoms when all is done.
_DISMISSED = -1
#: Sent in place of a buffer's width with a structure that has no depths.
_NO_DEPTHS = -1.0


def ranks_started(environ: Mapping[str, str] = os.environ) -> int:
    """How many MPI ranks of this program the launcher has started, by its environment.

    It is asked before MPI is loaded, which a driver of one process does not need.
    """
    keys = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"]
    if "PMIX_RANK" in environ:
        keys.append("SLURM_STEP_NUM_TASKS")
    found = next((environ[key] for key in keys if key in environ), "1")
    return int(found) if found.isdigit() else 1


def run_ranks(
    make_engine: Callable[[], LammpsClusterEngine | LammpsPartialEngine],
    *,
    label: str = "driver",
    **options: Any,
) -> int:
    """The whole life of a driver process, be it alone or one of several MPI ranks.

    Parameters
    ----------
    make_engine : callable
        Returns the engine; called on each rank.
    label : str
        For the log.
    **options
        As for :func:`mixpi.drivers.client.run_driver`; only the first rank connects.

    Returns
    -------
    int
        Exit code.

    Raises
    ------
    MixpiError
        If there are several ranks, but mpi4py is not installed or sees another number.
    """
    if ranks_started() == 1:
        return run_driver(make_engine, label=label, **options)
    world, here = _world()
    if world.rank:
        return _follow(make_engine, world, label)
    warning = crowded(here, os.cpu_count() or here)
    if warning:
        print(f"{label}: warning: {warning}", flush=True)
    leader: list[_Leader] = []

    def make_leader() -> _Leader:
        leader.append(_Leader(make_engine(), world))
        return leader[0]

    code = 1
    try:
        code = run_driver(make_leader, label=f"{label} ({world.size} ranks)", **options)
    finally:
        # a signal may have come within an evaluation, or before the engine was there
        if code or not leader or leader[0].is_busy:
            _abort(world, code)
    leader[0].dismiss()
    return code


def crowded(ranks: int, cores: int) -> str:
    """What to say of so many ranks on one machine; empty if there is room for them."""
    if ranks <= cores:
        return ""
    return (
        f"{ranks} ranks on {cores} cores: ranks that wait keep a core busy, so this is many times "
        "slower than fewer ranks"
    )


def of_first_rank(value: float | None) -> float | None:
    """What the first rank has, on all of them; each of them calls this."""
    return _world()[0].bcast(value)


class _Leader:
    """An engine whose calls all ranks make."""

    def __init__(self, engine: LammpsClusterEngine | LammpsPartialEngine, world: Any) -> None:
        self._engine, self._world = engine, world
        self.takes_depths = getattr(engine, "takes_depths", False)
        self.is_busy = False

    def evaluate(
        self,
        numbers: np.ndarray,
        positions: np.ndarray,
        cell: np.ndarray,
        depths: np.ndarray | None = None,
        buffer: float = _NO_DEPTHS,
        places: np.ndarray | None = None,
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """As the engine itself, which does not care for the places of atoms."""
        self.is_busy = True
        numbers = np.ascontiguousarray(numbers, dtype=np.int64)
        positions = np.ascontiguousarray(positions, dtype=float)
        cell = np.ascontiguousarray(cell, dtype=float)
        # what is waited for is sent as it is waited for
        self._world.Ibcast(np.array([len(numbers)])).Wait()
        told = np.array([_NO_DEPTHS if depths is None else buffer])
        given = np.zeros(len(numbers)) if depths is None else np.ascontiguousarray(depths)
        for array in (numbers, positions, cell, told, given):
            self._world.Bcast(array)
        result = self._engine.evaluate(numbers, positions, cell, **_more(told, given))
        self.is_busy = False
        return result

    def dismiss(self) -> None:
        """Let the other ranks end."""
        self._world.Ibcast(np.array([_DISMISSED])).Wait()
        self._engine.close()


def _more(buffer: np.ndarray, depths: np.ndarray) -> dict:
    """What goes to the engine beside the structure."""
    return {} if buffer[0] == _NO_DEPTHS else {"depths": depths, "buffer": float(buffer[0])}


def _follow(
    make_engine: Callable[[], LammpsClusterEngine | LammpsPartialEngine], world: Any, label: str
) -> int:
    # what a signal means is the first rank's decision
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, signal.SIG_IGN)
    launcher = os.getppid()
    try:
        engine = make_engine()
        while True:
            count = np.zeros(1, dtype=np.int64)
            _wait(world.Ibcast(count), launcher)
            if count[0] == _DISMISSED:
                engine.close()
                return 0
            numbers = np.empty(count[0], dtype=np.int64)
            positions, cell = np.empty((count[0], 3)), np.empty((3, 3))
            told, given = np.empty(1), np.empty(count[0])
            for array in (numbers, positions, cell, told, given):
                world.Bcast(array)
            engine.evaluate(numbers, positions, cell, **_more(told, given))
    except Exception as error:
        print(f"{label}, rank {world.rank}: error: {error}", file=sys.stderr, flush=True)
        _abort(world, 1)


def _wait(request: Any, launcher: int) -> None:
    """Wait for a message without keeping a core busy."""
    end = time.monotonic() + _AWAKE
    while not request.Test():
        if time.monotonic() > end:
            time.sleep(_LOOK_EVERY)
        if os.getppid() != launcher:
            os._exit(1)  # the launcher was killed, and nobody else ends this rank


def _abort(world: Any, code: int) -> NoReturn:
    """End all ranks."""
    sys.stdout.flush()
    sys.stderr.flush()
    # the launcher hands on what a rank has said, but drops it where the order to end overtakes it
    time.sleep(_HANDED_ON)
    world.Abort(code)
    os._exit(code)  # MPICH returns where its launcher has the last word


def _world() -> tuple[Any, int]:
    """The communicator of all ranks, in the MPI that LAMMPS uses, and how many are on this host."""
    load_mpi()
    with needs("mpi", "LAMMPS on several MPI ranks", "start the driver without mpirun"):
        from mpi4py import MPI
    world = MPI.COMM_WORLD
    if world.size != ranks_started():
        raise MixpiError(
            f"the launcher has started {ranks_started()} ranks, MPI sees {world.size}: mpirun "
            "belongs to another MPI than LAMMPS; use the mpirun beside this Python"
        )
    return world, world.Split_type(MPI.COMM_TYPE_SHARED).size
