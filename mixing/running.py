"""``mixpi run``: start i-PI and the drivers, watch them, stop them, report."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from .addresses import claim, describe, is_listening, unix_path
from .checking import check
from .commands import start_driver
from .config import POOLS, DriverConfig
from .drivers import lammps
from .errors import MixpiError
from .ipi_input import IpiInput, read_ipi_input
from .ipi_pes import FAILURE_FILE
from .processes import Child, describe_end, stop_all
from .progress import Progress
from .server import HUNG, WARNING
from .structure import read_structure


#: s; how long a driver that ended by itself may be a sign that the run is over: if it says
#: so, and if it says nothing (LAMMPS under mpirun loses its last words).
GRACE, SHORT_GRACE = 5.0, 2.0
#: s; how long i-PI may take to write RESTART after SIGTERM.
STOP_PATIENCE = 60.0


@dataclass
class Outcome:
    """How a run ended.

    Attributes
    ----------
    status : {"finished", "stopped", "interrupted", "failed"}
        All steps done; ended early by i-PI (an EXIT file, total_time); ended by a
        signal to the launcher; failed.
    message : str
        Why, if not finished.
    restarts : dict
        Driver name → times it was replaced.
    warnings : list of str
        What the mixing layer found suspicious.
    signum : int or None
        The signal, if interrupted.
    seconds : float
        Wall time.
    """

    status: str = "failed"
    message: str = ""
    restarts: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    signum: int | None = None
    seconds: float = 0.0


def lock(logs: Path) -> TextIO:
    """Take a run's folder of logs for one process: until the file is closed.

    Raises
    ------
    MixpiError
        If it cannot be written to, or another process has it.
    """
    try:
        logs.mkdir(exist_ok=True)
        stream = (logs / "lock").open("w")
    except OSError as error:
        raise MixpiError(
            f"cannot write into {logs} ({error.strerror}): run in a folder of your own"
        ) from None
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        stream.close()
        raise MixpiError(
            f"another 'mixpi run' is active in {logs.parent}: wait for it, or copy the input to a "
            "folder of its own"
        ) from None
    return stream


class Run:
    """One simulation with its processes.

    Parameters
    ----------
    path : path-like
        The i-PI input, or a RESTART of one.
    logs : str
        Folder for logs and drivers' files, beside the input.

    Raises
    ------
    MixpiError
        If something is wrong that can be seen without starting anything.
    """

    def __init__(self, path: str | Path, *, logs: str = "logs") -> None:
        self.ipi_input: IpiInput = read_ipi_input(path)
        self.notes = list(check(path, drivers=False))
        self.atoms = read_structure(
            self.ipi_input.config_path.parent / self.ipi_input.config.structure
        )
        self.logs = self.ipi_input.folder / logs
        self._lock = lock(self.logs)
        self._ipi: Child | None = None
        self._drivers: dict[str, Child] = {}
        self._ended: dict[str, float] = {}
        self._outcome = Outcome()
        self._signum: int | None = None
        self._started = time.time()

    def execute(self, *, quiet: bool = False) -> Outcome:
        """Run to the end; everything that was started has ended when this returns.

        Parameters
        ----------
        quiet : bool
            No progress bar.

        Returns
        -------
        Outcome
        """
        # SIGHUP: the terminal was closed
        stops = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        handlers = {signum: signal.signal(signum, self._interrupt) for signum in stops}
        start = time.perf_counter()
        config = self.ipi_input.config
        progress = Progress(
            self.ipi_input.folder / config.output.steps,
            first=self.ipi_input.first_step,
            total=self.ipi_input.total_steps,
            quiet=quiet,
        )
        try:
            with progress:
                self._start_ipi()
                self._start_drivers()
                self._watch(progress)
        except MixpiError as error:
            self._outcome.message = str(error)
        finally:
            self._stop()
            self._lock.close()
            for signum, handler in handlers.items():
                signal.signal(signum, handler)
        self._judge()
        self._outcome.seconds = time.perf_counter() - start
        return self._outcome

    def _interrupt(self, signum: int, _frame) -> None:
        self._signum = signum

    def _start_ipi(self) -> None:
        program = lammps.find_program("i-pi")
        if program is None:
            raise MixpiError("the program i-pi is not found: pip install ipi")
        log = self.logs / "i-pi.log"
        log.unlink(missing_ok=True)
        # With more threads, OpenBLAS makes i-PI's small matrix products slower.
        env = dict(os.environ, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", PYTHONUNBUFFERED="1")
        # what an earlier run left must not be taken for this one's
        (self.ipi_input.folder / FAILURE_FILE).unlink(missing_ok=True)
        self._started = time.time()
        self._ipi = Child(
            "i-pi",
            [sys.executable, program, self.ipi_input.path.name],
            cwd=self.ipi_input.folder,
            log=log,
            env=env,
        )

    def _start_drivers(self) -> None:
        """Start each driver when its socket is there: LAMMPS tries only once."""
        for pool in self.ipi_input.config.pools:
            driver: DriverConfig = getattr(self.ipi_input.config, pool)
            deadline = time.monotonic() + driver.socket.connect_deadline
            while not is_listening(driver.socket):
                if self._signum or self._ipi.returncode is not None:
                    return
                if time.monotonic() > deadline:
                    raise MixpiError(
                        f"i-PI has not asked for forces within {driver.socket.connect_deadline:g} "
                        f"s (connect_deadline). Last lines of {self._ipi.log}:\n{self._ipi.tail()}"
                    )
                time.sleep(0.02)
            if driver.external:
                where = describe(driver.socket)
                print(f"mixpi: waiting for {pool} drivers at {where}", file=sys.stderr)
                continue
            for number in range(driver.count):
                name = f"{pool}-{number}"
                (self.logs / f"{name}.log").unlink(missing_ok=True)
                self._start_driver(pool, name)

    def _start_driver(self, pool: str, name: str) -> None:
        self._drivers[name] = start_driver(
            pool, self.ipi_input, self.atoms, name=name, logs=self.logs
        )

    def _watch(self, progress: Progress) -> None:
        while self._ipi.returncode is None and self._signum is None:
            progress.update()
            self._listen()
            for name in list(self._drivers):
                self._look_after(name, progress.evaluations)
            time.sleep(0.05)
        progress.update()
        self._listen()

    def _listen(self) -> None:
        """Do what the mixing layer says in i-PI's log: repeat warnings, end hung drivers."""
        text = self._ipi.fresh()
        for warning in re.findall(rf"^ {re.escape(WARNING)} (.+)$", text, re.M):
            self._outcome.warnings.append(warning)
            print(f"mixpi: warning: {warning}", file=sys.stderr)
        for pid in re.findall(HUNG.format(pid=r"(\d+)"), text):
            for child in self._drivers.values():
                if child.owns(int(pid)):
                    print(f"mixpi: driver {child.name} does not reply; ended", file=sys.stderr)
                    child.signal(signal.SIGKILL)
                    child.wait(5.0)

    def _look_after(self, name: str, evaluations: int) -> None:
        """Replace a driver that died while i-PI goes on."""
        child = self._drivers[name]
        code = child.returncode
        if code is None:
            return
        normal = code == 0 or lammps.NORMAL_END in child.output()
        ended = self._ended.setdefault(name, time.monotonic())
        grace = GRACE if normal else SHORT_GRACE if code > 0 else 0.0
        if time.monotonic() - ended < grace:
            return  # most likely i-PI has said EXIT and is about to end itself
        self._ended.pop(name)
        pool = name.rsplit("-", 1)[0]
        if self._ipi.wait(0.0) or (self.ipi_input.folder / FAILURE_FILE).exists():
            return  # the mixing layer has given up, and its reason is the better message
        used = self._outcome.restarts.get(name, 0)
        limit = getattr(self.ipi_input.config, pool).max_restarts
        # an error of its own before anything was computed: it will fail again
        hopeless = code > 0 and not normal and evaluations == 0
        if hopeless or used >= limit:
            count = "" if hopeless else f" after {used} restarts (max_restarts)"
            raise MixpiError(f"driver {name} {describe_end(code)}{count}.\n{self._story(child)}")
        self._outcome.restarts[name] = used + 1
        child.signal(signal.SIGKILL)  # its own children, if it was only a launcher
        print(f"mixpi: driver {name} {describe_end(code)}; starting it again", file=sys.stderr)
        self._start_driver(pool, name)

    def _story(self, child: Child) -> str:
        error = lammps.error_in(child.output())
        if error:
            return f"LAMMPS says:\n{error}\n(whole log: {child.log})"
        return f"Last lines of {child.log}:\n{child.tail()}"

    def _stop(self) -> None:
        """i-PI first, so that it writes RESTART and says EXIT to the drivers."""
        if self._ipi is not None and self._ipi.returncode is None:
            self._ipi.signal(signal.SIGTERM)
            if not self._ipi.wait(STOP_PATIENCE):
                self._ipi.signal(signal.SIGKILL)
                self._ipi.wait(5.0)
        stop_all(list(self._drivers.values()), patience=5.0)
        for pool in POOLS:
            socket = getattr(self.ipi_input.config, pool).socket
            if socket.mode == "unix" and unix_path(socket.address).exists():
                with contextlib.suppress(MixpiError):  # another run may have taken it already
                    claim(socket)

    def _judge(self) -> None:
        outcome, folder = self._outcome, self.ipi_input.folder
        failure = folder / FAILURE_FILE
        log = self._ipi.output() if self._ipi else ""
        if outcome.message:
            return
        if self._signum:
            outcome.status, outcome.signum = "interrupted", self._signum
            outcome.message = f"stopped by {signal.Signals(self._signum).name}"
        elif failure.exists():
            outcome.message = failure.read_text().strip()
            outcome.message += self._driver_stories()
        elif self._steps_done() >= self.ipi_input.total_steps:
            outcome.status = "finished"
        elif reason := self._asked_to_stop(log):
            outcome.status, outcome.message = "stopped", reason
        elif "I-PI reports success" in log:
            outcome.status = "finished"  # as it sees it, without all steps
        else:
            outcome.message = (
                f"i-PI {describe_end(self._ipi.returncode)}. Last lines of {self._ipi.log}:\n"
                f"{self._ipi.tail()}"
            )

    def is_new(self, name: str) -> bool:
        """Whether a file beside the input was written by this run."""
        path = self.ipi_input.folder / name
        return path.exists() and path.stat().st_mtime >= self._started - 1.0

    def _steps_done(self) -> int:
        """Steps according to the RESTART of this run; i-PI's log may be quiet."""
        if not self.is_new("RESTART"):
            return 0
        try:
            step = ElementTree.parse(self.ipi_input.folder / "RESTART").findtext("step")
        except ElementTree.ParseError:  # i-PI ended while it wrote it
            return 0
        return int(step or 0)

    def _asked_to_stop(self, log: str) -> str | None:
        """Why i-PI ended early though nothing failed (it may call even that a success)."""
        if (self.ipi_input.folder / "EXIT").exists():
            return "a file EXIT asked i-PI to stop; remove it before the run is continued"
        if "Maximum wallclock time elapsed" in log:
            return "i-PI reached its <total_time>"
        if "SOFTEXIT:   Kill signal" in log:
            return "i-PI was told to stop by a signal"
        return None

    def _driver_stories(self) -> str:
        """Last lines of the drivers that ended badly."""
        stories = ""
        for child in self._drivers.values():
            failed = child.returncode not in (0, None, -signal.SIGTERM)
            if failed and lammps.NORMAL_END not in child.output():
                stories += f"\n{self._story(child)}"
        return stories
