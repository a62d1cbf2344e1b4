"""The drivers of a run: started, watched, ended where they hang, replaced where they died."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ase import Atoms

from ..drivers.config import DriverConfig
from ..drivers.driver import Driver
from ..errors import MixpiError
from ..ipi.input import IpiInput
from ..sockets.addresses import describe, is_listening
from .guardian import Process, look_at
from .journal import Connected, Dropped
from .processes import Child, describe_end, stop_all
from .starting import start_driver


#: s; how long a driver that ended by itself may be a sign that the run is over: if it says
#: so, and if it says nothing (LAMMPS under mpirun loses its last words).
GRACE, SHORT_GRACE = 5.0, 2.0
#: s; within which ``max_restarts`` counts: a run of weeks may lose a driver now and then.
RESTART_WINDOW = 3600.0
#: s between looks at processes that may be stopped, and at the folder.
LOOK_EVERY = 1.0
#: Looks in a row that must find a process stopped: batch systems stop and wake all of a job.
STOPPED_LOOKS = 5
#: Shares of ``connect_deadline``: after which a driver that has not connected may be taken for
#: one that hangs, and for how long it must then have done nothing at all.
MAY_HANG, IDLE = 0.5, 0.25


@dataclass
class Watched:
    """A driver that was started, and what was seen of it.

    Attributes
    ----------
    child : Child
    deadline : float
        s; ``connect_deadline`` of its pool.
    started, stirred : float
        When it was started, and when it was last seen to do anything (monotonic clock, s).
    connected : bool
    ended : float or None
        When it was first seen to have ended.
    """

    child: Child
    deadline: float
    started: float
    stirred: float
    connected: bool = False
    ended: float | None = None
    ticks: int = -1
    stopped: int = 0

    def look(self, family: Sequence[Process], now: float) -> str | None:
        """Why it is not going to connect; None as long as it may.

        Parameters
        ----------
        family : sequence of Process
            It and what it has started.
        now : float
            Monotonic clock, s.
        """
        states = {one.state for one in family}
        ticks = sum(one.ticks for one in family)
        # waiting for a disk (D) is not doing nothing
        if ticks != self.ticks or states & {"R", "D"}:
            self.ticks, self.stirred = ticks, now
        self.stopped = self.stopped + 1 if states & {"T", "t"} else 0
        if self.stopped >= STOPPED_LOOKS:
            return "is stopped and has not connected"
        waited, idle = now - self.started, now - self.stirred
        if waited > self.deadline:
            return f"has not connected within {self.deadline:g} s (connect_deadline)"
        if waited > MAY_HANG * self.deadline and idle > IDLE * self.deadline:
            return f"has not connected within {waited:.0f} s, and has done nothing for {idle:.0f} s"
        return None


@dataclass
class Crew:
    """The drivers of one run.

    Parameters
    ----------
    ipi_input : IpiInput
        The run.
    atoms : Atoms
        Its structure.
    logs : Path
        Where logs and drivers' folders are.
    pools : sequence of str
        Whose drivers these are.
    say : callable
        Told what users should know.

    Attributes
    ----------
    restarts : dict
        Driver name → times it was replaced.
    """

    ipi_input: IpiInput
    atoms: Atoms
    logs: Path
    pools: Sequence[str]
    say: Callable[[str], None]
    restarts: dict[str, int] = field(default_factory=dict)
    _watched: dict[str, Watched] = field(default_factory=dict)
    _restarted: dict[str, list[float]] = field(default_factory=dict)
    #: Pools with a connection of which the server cannot tell the process (TCP).
    _unknown: set[str] = field(default_factory=set)
    _looked: float = 0.0

    def start(self, ipi: Child, stopping: Callable[[], bool]) -> None:
        """Start each driver when its socket is there: LAMMPS tries only once.

        Parameters
        ----------
        ipi : Child
            It opens the sockets.
        stopping : callable
            Whether that is in vain.

        Raises
        ------
        MixpiError
            If a socket does not come, or a driver cannot be started.
        """
        for pool in self.pools:
            driver: DriverConfig = getattr(self.ipi_input.config, pool)
            deadline = time.monotonic() + driver.socket.connect_deadline
            while not is_listening(driver.socket):
                if stopping() or ipi.returncode is not None:
                    return
                if time.monotonic() > deadline:
                    raise MixpiError(
                        f"i-PI has not asked for forces within {driver.socket.connect_deadline:g} "
                        f"s (connect_deadline). Last lines of {ipi.log}:\n{ipi.tail()}"
                    )
                time.sleep(0.02)
            if driver.external:
                where = describe(driver.socket)
                self.say(f"waiting for {pool} drivers at {where}")
                continue
            for number in range(driver.count):
                name = f"{pool}-{number}"
                (self.logs / f"{name}.log").unlink(missing_ok=True)
                self._start(pool, name)

    def _start(self, pool: str, name: str) -> None:
        child = start_driver(pool, self.ipi_input, self.atoms, name=name, logs=self.logs)
        now = time.monotonic()
        deadline = getattr(self.ipi_input.config, pool).socket.connect_deadline
        self._watched[name] = Watched(child, deadline, now, now)

    def hear(self, event: Connected | Dropped) -> None:
        """Take note of who has connected; end who was dropped."""
        if isinstance(event, Connected):
            self._note_connection(event.pool, event.pid)
            return
        for one in self._watched.values():
            if one.child.owns(event.pid):
                self._end(one.child, event.reason)

    def _note_connection(self, pool: str, pid: int) -> None:
        for name, one in self._watched.items():
            if name.rpartition("-")[0] == pool and not one.connected and one.child.owns(pid):
                one.connected = True
                return
        if not pid or look_at(pid):  # not of one that has ended already
            self._unknown.add(pool)

    def _end(self, child: Child, why: str) -> None:
        self.say(f"driver {child.name} {why}; ended")
        child.signal(signal.SIGKILL)
        child.wait(5.0)

    def look_after(self, computed: bool, over: Callable[[], bool]) -> None:
        """End drivers that do not connect; replace those that died while i-PI goes on.

        Parameters
        ----------
        computed : bool
            Whether forces have been computed in this run.
        over : callable
            Whether the run has ended, so that nothing need be replaced.

        Raises
        ------
        MixpiError
            If one cannot be replaced.
        """
        if time.monotonic() - self._looked > LOOK_EVERY:
            self._looked = time.monotonic()
            self._look_for_unconnected()
        for name in list(self._watched):
            self._replace_if_dead(name, computed, over)

    def _look_for_unconnected(self) -> None:
        for name, one in self._watched.items():
            known = name.rpartition("-")[0] not in self._unknown
            if known and not one.connected and one.child.returncode is None:
                why = one.look(one.child.family(), time.monotonic())
                if why:
                    self._end(one.child, why)

    def _replace_if_dead(self, name: str, computed: bool, over: Callable[[], bool]) -> None:
        one = self._watched[name]
        child, code = one.child, one.child.returncode
        if code is None:
            return
        normal = code == 0 or self._driver(name).ended_in_order(child.output())
        one.ended = one.ended or time.monotonic()
        grace = GRACE if normal else SHORT_GRACE if code > 0 else 0.0
        if time.monotonic() - one.ended < grace:
            return  # most likely i-PI has said EXIT and is about to end itself
        one.ended = None
        pool = name.rpartition("-")[0]
        if over():
            return
        recent = [t for t in self._restarted.get(name, []) if time.monotonic() - t < RESTART_WINDOW]
        # an error of its own before anything was computed: it will fail again
        hopeless = code > 0 and not normal and not computed
        if hopeless or len(recent) >= getattr(self.ipi_input.config, pool).max_restarts:
            count = (
                ""
                if hopeless
                else f" after {len(recent)} restarts within {RESTART_WINDOW / 60:g} minutes "
                "(max_restarts)"
            )
            raise MixpiError(f"driver {name} {describe_end(code)}{count}.\n{self._story(child)}")
        self._restarted[name] = [*recent, time.monotonic()]
        self.restarts[name] = self.restarts.get(name, 0) + 1
        child.signal(signal.SIGKILL)  # its own children, if it was only a launcher
        self.say(f"driver {name} {describe_end(code)}; starting it again")
        self._start(pool, name)

    def stop(self) -> None:
        """End all; i-PI has said EXIT to them before."""
        stop_all([one.child for one in self._watched.values()], patience=5.0)

    def stories(self) -> str:
        """Last lines of the drivers that ended badly."""
        text = ""
        for one in self._watched.values():
            child, driver = one.child, self._driver(one.child.name)
            failed = child.returncode not in (0, None, -signal.SIGTERM)
            if failed and not driver.ended_in_order(child.output()):
                text += f"\n{self._story(child)}"
        return text

    def _driver(self, name: str) -> Driver:
        return getattr(self.ipi_input.config, name.rpartition("-")[0]).driver

    def _story(self, child: Child) -> str:
        """What a driver has said last, for a message."""
        error = self._driver(child.name).error_in(child.output())
        if error:
            return f"{error}\n(whole log: {child.log})"
        return f"Last lines of {child.log}:\n{child.tail()}"
