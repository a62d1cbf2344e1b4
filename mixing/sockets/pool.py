"""A pool of drivers of one kind, as the mixing layer uses it: submit, wait, result."""

from __future__ import annotations

import contextlib
import json
import selectors
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from ipi.utils.messages import info, verbosity, warning
from ipi.utils.softexit import softexit

from ..drivers.config import DriverConfig
from ..drivers.packed import packed
from ..errors import MixpiError
from .addresses import claim, describe
from .connection import FAILURE, Request
from .load import Load
from .server import PoolError, Server


#: s between two looks at deadlines, while nothing happens.
TICK = 0.2


class PoolStopped(MixpiError):
    """i-PI has been asked to stop while the pools were working."""


class DriverPool:
    """Drivers of one kind, behind one address.

    Parameters
    ----------
    name : str
        "cheap" or "expensive", for messages.
    driver : DriverConfig
        Where they connect, how many, and how long they are waited for.
    launched_by : str, optional
        Mark of the family (:mod:`mixpi.run.guardian`) that the drivers are of; processes that it
        has not started are refused. Drivers that are external have none.

    Attributes
    ----------
    name, config
    """

    def __init__(self, name: str, driver: DriverConfig, *, launched_by: str | None = None) -> None:
        self.name, self.config = name, driver.socket
        mark = None if driver.external else launched_by
        self._server = Server(name, driver.socket, count=driver.count, launched_by=mark)
        self._lock = threading.RLock()
        self._closed = False
        self._idle_since = time.monotonic()

    @property
    def lost(self) -> int:
        """Drivers given up so far."""
        return self._server.lost

    @property
    def loads(self) -> dict[str, Load]:
        """Driver → what it has done since :meth:`forget_loads`."""
        return self._server.loads

    def forget_loads(self) -> None:
        """Let what each driver has done count from now on."""
        self._server.forget_loads()

    def fileno(self) -> int:
        """Readable when there is something to do, for selectors."""
        return self._server.fileno()

    def open(self) -> None:
        """Listen; a socket file left by a dead run is removed.

        Raises
        ------
        MixpiError
            If the address is in use.
        """
        cleared = claim(self.config)
        if cleared:
            warning(f" @mixpi: {cleared}", verbosity.low)
        try:
            self._server.open()
        except OSError as error:
            raise PoolError(f"cannot listen on {describe(self.config)}: {error}") from None
        info(f" @mixpi: {self.name} drivers may connect to {describe(self.config)}", verbosity.low)
        self._idle_since = time.monotonic()

    def submit(self, positions: np.ndarray, cell: np.ndarray, key: int, init: str = "") -> Request:
        """Hand a structure to the next free driver.

        Parameters
        ----------
        positions : ndarray, shape (n, 3)
            Bohr.
        cell : ndarray, shape (3, 3)
            i-PI's h: columns are lattice vectors, Bohr.
        key : int
            Number of the bead; drivers may use it to keep state.
        init : str
            For drivers that ask what the atoms are (:func:`init_text`).

        Returns
        -------
        request
            For :meth:`result`.
        """
        positions = np.ascontiguousarray(positions, dtype=float)
        geometry = b"".join(
            [
                np.ascontiguousarray(cell, dtype=float).tobytes(),
                np.linalg.inv(cell).tobytes(),
                np.int32(len(positions)).tobytes(),
                positions.tobytes(),
            ]
        )
        request = Request(len(positions), geometry, key, init)
        self.hand(request)
        return request

    def hand(self, request: Request) -> None:
        """Hand a request to the next free driver."""
        if not self._server.queue:
            self._idle_since = time.monotonic()  # nobody has looked since the last evaluation
        self._server.queue.append(request)

    def forget(self, request: Request) -> None:
        """Take a request back; if a driver computes it already, nobody will care."""
        request.wanted = False
        with contextlib.suppress(ValueError):
            self._server.queue.remove(request)

    def poll(self) -> None:
        """Do what can be done without waiting.

        Raises
        ------
        PoolError
            If the pool cannot deliver.
        PoolStopped
            If i-PI was asked to stop.
        """
        with self._lock:
            if self._closed or softexit.triggered:
                raise PoolStopped("i-PI is stopping")
            had_drivers = self._server.has_drivers
            self._server.poll()
            if self._server.has_drivers or had_drivers:
                self._idle_since = time.monotonic()
            elif (
                self._server.queue
                and not self._server.expects_drivers
                and time.monotonic() - self._idle_since > self.config.connect_deadline
            ):
                raise PoolError(
                    f"no {self.name} driver has connected to {describe(self.config)} within "
                    f"{self.config.connect_deadline:g} s (connect_deadline)"
                    f"{self._server.refusals()}"
                )

    def result(self, request: Request) -> tuple[float, np.ndarray]:
        """Energy (Hartree) and forces (n, 3) (Hartree/bohr) of a finished request.

        Raises
        ------
        PoolError
            If the energy or a force is NaN or infinite; who sends them may say why.
        """
        assert request.reply is not None  # it is finished
        energy, forces = request.reply.energy, request.reply.forces
        if not (np.isfinite(energy) and np.isfinite(forces).all()):
            if isinstance(why := self.told(request).get(FAILURE), str):
                raise PoolError(why)
            bad = np.flatnonzero(~np.isfinite(forces).all(axis=1))
            where = f"forces on {len(bad)} atoms, first {bad[0]}" if len(bad) else "energy"
            raise PoolError(
                f"the {self.name} driver returned NaN or infinity ({where}): atoms may be too "
                "close, the time step too long, or the model far outside its training data"
            )
        return energy, forces

    def told(self, request: Request) -> dict[str, Any]:
        """What the driver says beside energy and forces; empty if it says nothing."""
        assert request.reply is not None  # it is finished
        try:
            found = json.loads(request.reply.extras)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def close(self) -> None:
        """Send EXIT to the drivers and remove the socket."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._server.close()


def wait(
    batches: dict[DriverPool, list[Request]], *, meanwhile: Callable[[], None] | None = None
) -> dict[str, float]:
    """Serve the pools until every request is done.

    Parameters
    ----------
    batches : dict
        Pool → its requests.
    meanwhile : callable, optional
        Called again and again; what it raises ends the wait.

    Returns
    -------
    dict
        Pool name → s from the call until its last reply.

    Raises
    ------
    PoolError
        If a pool cannot deliver.
    PoolStopped
        If i-PI was asked to stop.
    """
    start = time.perf_counter()
    seconds: dict[str, float] = {}
    with selectors.DefaultSelector() as selector:
        for pool in batches:
            selector.register(pool, selectors.EVENT_READ)
        while True:
            if meanwhile is not None:
                meanwhile()
            for pool, requests in batches.items():
                if pool.name in seconds:
                    continue
                pool.poll()
                if all(request.reply is not None for request in requests):
                    seconds[pool.name] = time.perf_counter() - start
                    selector.unregister(pool)
            if len(seconds) == len(batches):
                return seconds
            selector.select(TICK)


def init_text(
    numbers: np.ndarray,
    depths: np.ndarray | None = None,
    buffer: float | None = None,
    places: np.ndarray | None = None,
    *,
    sites: bool = False,
    spread: bool = False,
) -> str:
    """What a driver that asks is told of a structure, as JSON.

    Parameters
    ----------
    numbers : ndarray of int, shape (m,)
        Atomic numbers.
    depths : ndarray, shape (m,), optional
        From each atom to the nearest of positive weight, Å, for drivers that want them; travel
        in single precision, because a membership changes at no special place.
    buffer : float, optional
        Up to which all atoms are there, Å.
    places : ndarray of int, shape (m,), optional
        Of the atoms in the whole system, so that the driver knows them again.
    sites, spread : bool
        Whether it is asked for site energies, and for the spread of a committee's forces, too.
    """
    told: dict = {"numbers": np.asarray(numbers).tolist()}
    if depths is not None:
        told |= {"depths": packed(depths, "<f4"), "buffer": buffer}
    if places is not None:
        told["places"] = packed(places, "<i4")
    if sites:
        told["sites"] = True
    if spread:
        told["spread"] = True
    return json.dumps(told, separators=(",", ":"))
