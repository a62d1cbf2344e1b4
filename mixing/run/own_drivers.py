"""Drivers that are started without i-PI: to time them, or to walk along a path with them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree

from ..errors import MixpiError
from ..sockets.pool import DriverPool, wait
from .processes import Child, describe_end, stop_all
from .starting import Configured, start_driver
from .stopping import Halted, Stops


class Job(NamedTuple):
    """A structure for a driver.

    Attributes
    ----------
    positions : ndarray, shape (m, 3)
        Å.
    told : str
        INIT text, for drivers that ask.
    """

    positions: np.ndarray
    told: str


class Result(NamedTuple):
    """What a driver has computed.

    Attributes
    ----------
    energy : float
        eV.
    forces : ndarray, shape (m, 3)
        eV/Å.
    said : dict
        What it says beside.
    """

    energy: float
    forces: np.ndarray
    said: dict


class OwnDrivers:
    """Drivers of some pools, from ``with`` on to its end.

    They are ended by whoever guards the family (:func:`mixpi.run.processes.guarded`) if this
    process dies.

    Parameters
    ----------
    configured : Configured
        Says what they are.
    pools : iterable of str
        Which are started, at their configured addresses.
    atoms : Atoms
        The whole system; its cell is that of all structures.
    logs : Path
        Where logs and drivers' folders are.
    family : str
        Mark of the drivers.
    name : str
        How their logs are called, before the pool.
    count : mapping of str to int, optional
        Pool → drivers of it; one each unless given.
    stops : Stops, optional
        Signals that are heard already; they are by this, otherwise.
    """

    def __init__(
        self,
        configured: Configured,
        pools: Iterable[str],
        atoms: Atoms,
        *,
        logs: Path,
        family: str,
        name: str,
        count: Mapping[str, int] | None = None,
        stops: Stops | None = None,
    ) -> None:
        self._given = stops
        self._configured, self._wanted, self._atoms = configured, tuple(pools), atoms
        self._logs, self._family, self._name = logs, family, name
        self._count = dict(count or {})
        self._h = atoms.cell.array.T / Bohr
        self._pools: dict[str, DriverPool] = {}
        self._children: dict[str, list[Child]] = {}
        self._left = contextlib.ExitStack()

    def __enter__(self) -> OwnDrivers:
        with contextlib.ExitStack() as stack:
            self._stops = self._given or stack.enter_context(Stops())
            stack.callback(self._stop)
            for pool in self._wanted:
                configured = getattr(self._configured.config, pool)
                self._pools[pool] = DriverPool(pool, configured, launched_by=self._family)
                self._pools[pool].open()
                numbers = range(self._count.get(pool, 1))
                self._children[pool] = [self._start(pool, number) for number in numbers]
            self._left = stack.pop_all()
        return self

    def _start(self, pool: str, number: int) -> Child:
        several = self._count.get(pool, 1) > 1
        name = f"{self._name}-{pool}" + (f"-{number}" if several else "")
        return start_driver(pool, self._configured, self._atoms, name=name, logs=self._logs)

    def __exit__(self, *_: object) -> None:
        self._left.close()

    def _stop(self) -> None:
        for pool in self._pools.values():
            pool.close()
        # one that is in the middle of a long evaluation does not hear
        children = [child for several in self._children.values() for child in several]
        stop_all(children, patience=2.0)

    def evaluate(self, jobs: Mapping[str, Sequence[Job]]) -> dict[str, list[Result]]:
        """Let all pools compute at the same time.

        Parameters
        ----------
        jobs : mapping of str to sequence of Job
            Pool → structures, the pools that take longest first.

        Returns
        -------
        dict of str to list of Result
            In the same order.

        Raises
        ------
        MixpiError
            If a driver ends, hangs or returns nonsense, or the user wants to stop.
        """
        requests = {
            pool: [
                self._pools[pool].submit(job.positions / Bohr, self._h, number, job.told)
                for number, job in enumerate(several)
            ]
            for pool, several in jobs.items()
        }
        wait(
            {self._pools[pool]: several for pool, several in requests.items()}, meanwhile=self.look
        )
        found: dict[str, list[Result]] = {}
        for pool, several in requests.items():
            own, unit = self._pools[pool], Hartree / Bohr
            found[pool] = []
            for request in several:
                energy, forces = own.result(request)
                found[pool].append(Result(energy * Hartree, forces * unit, own.told(request)))
        return found

    def look(self) -> None:
        """End what is in vain.

        Raises
        ------
        Halted
            If the user wants to stop.
        MixpiError
            If a driver has ended or hangs.
        """
        if self._stops.signum is not None:
            raise Halted(self._stops.signum)
        for pool, children in self._children.items():
            lost = self._pools[pool].lost > 0
            for child in children:
                if lost:
                    child.wait(1.0)  # it may be about to end, and then says more
                if child.returncode is not None:
                    self._tell(pool, child)
            if lost:
                deadline = self._pools[pool].config.reply_deadline
                raise MixpiError(
                    f"the {pool} driver did not reply within {deadline:g} s (reply_deadline)"
                )

    def _tell(self, pool: str, child: Child) -> None:
        driver = getattr(self._configured.config, pool).driver
        said = driver.error_in(child.output()) or child.tail(1).strip()
        raise MixpiError(
            f"the {pool} driver {describe_end(child.returncode)}"
            f"{': ' + said if said else ''} (log: {child.log})"
        )
