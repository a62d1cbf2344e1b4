"""What all mixing layers of one i-PI process share: configuration, drivers, and how they fail.

A simulation has one layer that computes all forces, or two: one for the cheap forces, one
for the correction. Their drivers are waited for together, and their failure is one.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

import numpy as np
from ipi.utils.softexit import softexit

from ..blend.levels import PARTS
from ..check.overwriting import check_plain_start
from ..config import load_config, without_quotes
from ..errors import MixpiError
from ..output.loads import forget_loads, write_loads
from ..output.run_state import read_state
from ..output.whole_checkpoints import keep_checkpoints_whole
from ..run.guardian import own_family
from ..run.journal import Failed, journal
from ..run.locking import hold_lock
from ..sockets.pool import DriverPool
from ..sockets.server import say_aloud
from ..sockets.shared import with_shared_drivers
from ..structure import read_oriented
from .simulation import keep_restarts_readable


#: Where a run that was started by hand says why it failed: i-PI's exit code is 0 anyway.
FAILURE_FILE = "mixpi.failure"

#: Of this process: layers that name one configuration share one.
_sessions: dict[Path, Session] = {}
#: Why this process has given up, if it has.
_failures: list[str] = []
#: Whether this is one of several runs that share drivers.
_shares_drivers = False


class Session:
    """The mixing of one process.

    Parameters
    ----------
    config : str
        The YAML file, relative to where i-PI runs.

    Attributes
    ----------
    config : MixingConfig
    structure : Atoms
        As i-PI turns it.
    structure_path : Path
        Its file.
    rotation : ndarray, shape (3, 3)
        Row vectors in i-PI's frame times this are those in the user's.
    pools : dict of str to DriverPool
        Open ones.
    parts : list of str
        That the layers of this process compute.
    cheap_seconds : float
        For which a layer of its own has waited for cheap forces, since somebody set it to zero.

    Raises
    ------
    MixpiError
        If the configuration is wrong, or another run is active here.
    """

    def __init__(self, config: str) -> None:
        hold_lock()  # before anything is touched
        Path(FAILURE_FILE).unlink(missing_ok=True)
        _failures.clear()
        keep_restarts_readable()
        keep_checkpoints_whole(say_aloud, lambda: self._remember() if self._remember else None)
        self.config = load_config(config)
        if _shares_drivers:
            self.config = with_shared_drivers(self.config, Path(config))
        check_plain_start(self.config, Path(config))
        self.structure_path = Path(config).parent / self.config.structure
        self.structure, self.rotation = read_oriented(self.structure_path)
        self.pools: dict[str, DriverPool] = {}
        self.parts: list[str] = []
        self.cheap_seconds = 0.0
        self._left = self._measured_from = time.perf_counter()
        self._cell: np.ndarray | None = None
        self._open = False
        #: The layer that mixes says what must be remembered.
        self._remember: Callable[[], dict[str, np.ndarray] | None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether forces have been asked for."""
        return self._open

    def open_pools(self) -> None:
        """Let the drivers of all layers connect, from the first evaluation of any of them on."""
        if self._open:
            return
        self._open = True
        for name in self.config.pools(self.parts):
            pool = DriverPool(name, getattr(self.config, name), launched_by=own_family())
            pool.open()
            softexit.register_function(pool.close)
            self.pools[name] = pool
        forget_loads(Path("."))  # not before: a run that is refused changes no file
        softexit.register_function(self._write_loads)

    def remember(self, state: Callable[[], dict[str, np.ndarray] | None]) -> None:
        """Write a state into all checkpoints: what a function returns at the time of each."""
        self._remember = state

    def remembered(self) -> dict[str, np.ndarray] | None:
        """The state in the checkpoint that this process was given; None if there is none.

        Raises
        ------
        MixpiError
            If it is damaged, or of another system.
        """
        given = Path(sys.argv[-1])
        state = read_state(given) if given.is_file() else None
        if state is None:
            return None
        if not np.array_equal(state.get("numbers", ()), self.structure.numbers):
            raise MixpiError(
                f"{given}: the state of the mixing layer, a comment at its end, is of another "
                f"system than {self.config.structure}: the atoms are not the same"
            )
        return state

    def note_time(self, pools: Iterable[str], *, first: bool) -> None:
        """An evaluation has ended; what drivers did before their ``first`` one does not count."""
        self._left = time.perf_counter()
        if first:  # it has waited for the drivers to start
            self._measured_from = self._left
            for name in pools:
                self.pools[name].forget_loads()

    def require_structure(self, cells: list, geometries: list) -> None:
        """Refuse what would give wrong forces without a word.

        Raises
        ------
        MixpiError
            If the number of atoms or the cell is not what it was.
        """
        n = len(self.structure)
        for h, positions in zip(cells, geometries, strict=True):
            if np.size(positions) != 3 * n:
                raise MixpiError(
                    f"i-PI has {np.size(positions) // 3} atoms, the structure file "
                    f"{self.config.structure} has {n}: both must describe the same atoms"
                )
            if not np.isfinite(h).all():
                raise MixpiError(
                    "i-PI's cell is NaN or infinite: a barostat cannot be used with mixed forces"
                )
            if self._cell is None:
                self._cell = np.array(h)
            if not np.allclose(h, self._cell, rtol=1e-9, atol=1e-9):
                raise MixpiError(
                    "the cell has changed during the run: mixed forces have no virial, so "
                    "barostats and cell relaxations are refused; use NVE or NVT"
                )

    def _write_loads(self) -> None:
        """Leave word of what each driver has done."""
        loads = {n: load for pool in self.pools.values() for n, load in pool.loads.items()}
        write_loads(Path("."), self._left - self._measured_from, loads)


def share_drivers() -> None:
    """Take part in several runs of one case, whose expensive drivers are those of all."""
    global _shares_drivers
    _shares_drivers = True


def join(config: str, part: str) -> Session:
    """The session of a layer: that of the others that name the same configuration.

    Parameters
    ----------
    config : str
        The YAML file, relative to where i-PI runs; i-PI leaves quotes on it.
    part : str
        What the layer computes.

    Raises
    ------
    MixpiError
        If there is no such part, drivers for it are not configured, or as :class:`Session`.
    """
    config, part = without_quotes(config), without_quotes(part)
    if part not in PARTS:
        raise MixpiError(f"a mixing layer has no part '{part}': it is one of {', '.join(PARTS)}")
    session = _sessions.get(Path(config).absolute())
    # in one simulation each part is there once
    if session is None or session.is_open or part in session.parts:
        session = _sessions[Path(config).absolute()] = Session(config)
    session.config.require_pools(session.config.pools([part]))
    session.parts.append(part)
    return session


def has_failed() -> bool:
    """Whether this process has given up."""
    return bool(_failures)


def fail(message: str) -> None:
    """Stop i-PI so that it writes RESTART, and leave word of the reason."""
    _failures.append(message)
    if journal.is_open:
        journal.tell(Failed(message))
    else:
        with contextlib.suppress(OSError):  # the disk is full, or the folder gone: go on to stop
            Path(FAILURE_FILE).write_text(message + "\n")
    print(f"\n !MIXPI! {message}\n", flush=True)
    atexit.register(_finish)
    softexit.trigger(status="bad", message=f"mixpi: {message}")


def leave() -> NoReturn:
    """Get out of a force evaluation because another thread is stopping i-PI."""
    while softexit.exiting:
        time.sleep(0.01)
    time.sleep(1.0)  # i-PI's own exit takes the whole process with it
    atexit.register(_finish)
    raise SystemExit


def _finish() -> None:
    """Write RESTART if the stop came inside i-PI's output section, where it could not."""
    softexit.cleanup("restartable")
    sys.stdout.flush()
