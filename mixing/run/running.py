"""``mixpi run``: start i-PI and the drivers, watch them, stop them, report."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..check.checking import check
from ..errors import MixpiError
from ..ipi.input import IpiInput, read_ipi_input
from ..sockets.addresses import claim, unix_path
from ..sockets.shared import SHARED, with_shared_drivers
from ..structure import read_structure
from .crew import LOOK_EVERY, STOPPED_LOOKS, Crew
from .guardian import FIRST, STOP_PATIENCE
from .journal import Connected, Dropped, Failed, JournalReader, Progressed, Warned
from .locking import LOGS, lock
from .outcome import Evidence, Outcome, judge
from .processes import PYTHON_OUTPUT, Child, describe_end, guarded
from .progress import Progress, ShowsProgress
from .starting import unix_sockets
from .stopping import Stops


#: What is run as i-PI.
ENTRY = "mixpi.ipi.entry"
#: Its journal, among the logs.
JOURNAL = "journal.jsonl"
#: s; how long i-PI may take to end where it has nowhere to write to.
SHORT_PATIENCE = 10.0


def say_on_stderr(text: str) -> None:
    """Tell the user."""
    print(f"mixpi: {text}", file=sys.stderr)


class Run:
    """One simulation with its processes.

    Parameters
    ----------
    path : path-like
        The i-PI input, or a RESTART of one.
    logs : str
        Folder for logs and drivers' files, beside the input.
    shares_drivers : bool
        Whether it is one of several runs whose expensive drivers are those of all: the relay
        (:mod:`mixpi.sockets.relay`) connects in their place.
    checked : bool
        Whether the input, or one that differs by its seed alone, has been checked already.
    say : callable
        Told what users should know while it runs.

    Raises
    ------
    MixpiError
        If something is wrong that can be seen without starting anything.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        logs: str = LOGS,
        shares_drivers: bool = False,
        checked: bool = False,
        say: Callable[[str], None] = say_on_stderr,
    ) -> None:
        self.ipi_input: IpiInput = read_ipi_input(path)
        self._shares_drivers, self._say = shares_drivers, say
        self.notes = [] if checked else list(check(path, drivers=False))
        self.atoms = read_structure(
            self.ipi_input.config_path.parent / self.ipi_input.config.structure
        )
        own = list(self.ipi_input.pools)
        if shares_drivers:
            config, config_path = self.ipi_input.config, self.ipi_input.config_path
            self.ipi_input = replace(
                self.ipi_input, config=with_shared_drivers(config, config_path)
            )
            own.remove(SHARED)
        self.logs = self.ipi_input.folder / logs
        self._lock = lock(self.logs)
        self.evidence = Evidence(self.ipi_input)
        self._ipi: Child | None = None
        self._crew = Crew(self.ipi_input, self.atoms, self.logs, own, say)
        self._outcome = Outcome(restarts=self._crew.restarts)
        self._failure: str | None = None
        self._looked, self._stopped = 0.0, 0

    def execute(
        self,
        *,
        quiet: bool = False,
        stops: Stops | None = None,
        progress: ShowsProgress | None = None,
    ) -> Outcome:
        """Run to the end; everything that was started has ended when this returns.

        Parameters
        ----------
        quiet : bool
            No progress bar.
        stops : Stops, optional
            That the caller has entered, and which is then told of signals.
        progress : ShowsProgress, optional
            Shows how far it is, in place of a progress bar.

        Returns
        -------
        Outcome
        """
        start = time.perf_counter()
        config = self.ipi_input.config
        self._progress: ShowsProgress = progress or Progress(
            first=self.ipi_input.first_step, total=self.ipi_input.total_steps, quiet=quiet
        )
        with self._lock, contextlib.nullcontext(stops) if stops else Stops() as self._stops:
            try:
                with guarded(keep=[self._lock], sockets=unix_sockets(config, self.ipi_input.pools)):
                    try:
                        with self._progress:
                            ipi = self._start_ipi()
                            self._crew.start(ipi, lambda: self._stops.signum is not None)
                            self._watch(ipi)
                    finally:
                        self._stop()
            except MixpiError as error:
                self._outcome.message = str(error)
            except OSError as error:  # a folder that is gone, a disk that is full
                self._outcome.message = f"{error.strerror}: {error.filename or self.logs}"
            self._judge()
        self._outcome.seconds = time.perf_counter() - start
        return self._outcome

    def _start_ipi(self) -> Child:
        log = self.logs / "i-pi.log"
        log.unlink(missing_ok=True)
        # With more threads, OpenBLAS makes i-PI's small matrix products slower.
        env = os.environ | PYTHON_OUTPUT | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        env["PYTHONUTF8"] = "1"  # files have Å in them, whatever the locale
        self._journal = JournalReader(self.logs / JOURNAL)
        # -P: what lies beside the input is no part of Python
        program = [sys.executable, "-P", "-m", ENTRY, "--journal", str(self._journal.path)]
        program += ["--shared-drivers"] * self._shares_drivers
        self._ipi = Child(
            FIRST,
            [*program, "--", self.ipi_input.path.name],
            cwd=self.ipi_input.folder,
            log=log,
            env=env,
            keep=[self._lock],
        )
        return self._ipi

    def _watch(self, ipi: Child) -> None:
        def is_over() -> bool:
            """Whether the mixing layer has given up: its reason is the better message."""
            self._listen()
            return ipi.wait(0.0) or self._failure is not None

        while ipi.returncode is None and self._stops.signum is None:
            self._listen()
            self._progress.show()
            self._crew.look_after(self._progress.last is not None, is_over)
            if time.monotonic() - self._looked > LOOK_EVERY:
                self._looked = time.monotonic()
                self._look_around(ipi)
            time.sleep(0.05)
        self._listen()
        self._progress.show()

    def _look_around(self, ipi: Child) -> None:
        if not self.evidence.folder_is_there:
            raise MixpiError(self.evidence.surroundings())
        was, self._stopped = self._stopped, self._stopped + 1 if ipi.state == "T" else 0
        if self._stopped == STOPPED_LOOKS:
            self._say(
                f"warning: i-PI (process {ipi.pid}) is stopped (SIGSTOP), and the run "
                f"with it: 'kill -CONT {ipi.pid}' lets it go on, Ctrl-C ends it"
            )
        elif was >= STOPPED_LOOKS and not self._stopped:
            self._say("i-PI goes on")

    def _listen(self) -> None:
        """Do what the mixing layer's journal asks for."""
        for event in self._journal.news():
            match event:
                case Progressed():
                    self._progress.hear(event)
                case Warned(text):
                    self._outcome.warnings.append(text)
                    self._say(f"warning: {text}")
                case Failed(reason):
                    self._failure = self._failure or reason
                case Connected() | Dropped():
                    self._crew.hear(event)

    def _stop(self) -> None:
        """i-PI first, so that it writes RESTART and says EXIT to the drivers."""
        if self._ipi is not None and self._ipi.returncode is None:
            there = self.evidence.folder_is_there
            if not self._ipi.ask_to_end(STOP_PATIENCE if there else SHORT_PATIENCE):
                self._ipi.signal(signal.SIGKILL)
                self._ipi.wait(5.0)
        if self._ipi is not None:
            self._listen()
        self._crew.stop()
        for pool in self.ipi_input.pools:
            socket = getattr(self.ipi_input.config, pool).socket
            if socket.mode == "unix" and unix_path(socket.known_address).exists():
                with contextlib.suppress(MixpiError):  # another run may have taken it already
                    claim(socket)

    def _judge(self) -> None:
        log, end = "", "i-PI was not started"
        if self._ipi:
            log = self._ipi.output()
            end = (
                f"i-PI {describe_end(self._ipi.returncode)}. Last lines of {self._ipi.log}:\n"
                f"{self._ipi.tail()}"
            )
        judge(
            self._outcome,
            self.evidence,
            signum=self._stops.signum,
            total_steps=self.ipi_input.total_steps,
            failure=self._failure,
            log=log,
            end=end,
            stories=self._crew.stories(),
        )
