"""``mixpi run --runs``: several runs of one input, at once, with the expensive drivers of all."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ..analysis.report import report_run, write_report
from ..check.checking import check
from ..check.room import cores_here
from ..errors import MixpiError
from ..ipi.input import IpiInput, read_ipi_input
from ..output.checkpoints import RESTART, read_checkpoint
from ..run.journal import Served
from ..run.locking import LOGS, lock
from ..run.outcome import Outcome
from ..run.processes import guarded
from ..run.running import Run, say_on_stderr
from ..run.starting import unix_sockets
from ..run.stopping import Stops
from ..sockets.shared import SHARED
from ..structure import read_structure
from .folders import RunFolder, RunFolders
from .progress import ProgressOfAll
from .shared_drivers import SharedDrivers


#: Folder of the runs, beside the input.
FOLDER = "runs"
#: s between looks.
LOOK_EVERY = 0.05


@dataclass
class OneOfSeveral:
    """What became of a run.

    Attributes
    ----------
    number : int
    folder : Path
    outcome : Outcome
    report : dict
        Of :func:`mixpi.analysis.report.make_report`; empty if it has computed nothing this time.
    done, total : int
        Steps, of all.
    """

    number: int
    folder: Path
    outcome: Outcome
    report: dict = field(default_factory=dict)
    done: int = 0
    total: int = 0


@dataclass
class Several:
    """What became of several runs.

    Attributes
    ----------
    runs : list of OneOfSeveral
    served : dict of str to Served
        Shared driver → what it has done.
    restarts : dict of str to int
        Shared driver → times it was replaced.
    seconds : float
        Wall time.
    """

    runs: list[OneOfSeveral]
    served: dict[str, Served]
    restarts: dict[str, int]
    seconds: float


def sensible_at_once(ipi_input: IpiInput, count: int) -> int:
    """How many runs go on at once unless somebody says it.

    As many as there are cores for beside those of the shared drivers; two at least, because one
    alone leaves these idle while its own side computes.
    """
    config, pools = ipi_input.config, ipi_input.pools

    def cores(pool: str) -> int:
        driver = getattr(config, pool)
        return driver.count * (driver.driver.cores or 1)

    own = max(sum(cores(pool) for pool in pools if pool != SHARED), 1)
    shared = cores(SHARED) if SHARED in pools else 0
    least = 2 if shared else 1
    return min(count, max((cores_here() - shared) // own, least))


class SeveralRuns:
    """Several runs of an input, each with a seed and a folder of its own.

    Those that are finished are left as they are, those that were begun go on from their newest
    states.

    Parameters
    ----------
    path : path-like
        The i-PI input.
    count : int
        Runs.
    folder : path-like, optional
        That their folders are in; ``runs`` beside the input unless given.
    at_once : int, optional
        So many at a time; see :func:`sensible_at_once`.

    Attributes
    ----------
    notes : list of str
        What is good to know before.
    at_once : int

    Raises
    ------
    MixpiError
        If something is wrong that can be seen without starting anything.
    """

    def __init__(
        self,
        path: str | Path,
        count: int,
        *,
        folder: str | Path | None = None,
        at_once: int | None = None,
    ) -> None:
        self.ipi_input = read_ipi_input(path)
        self.folder = Path(folder).resolve() if folder else self.ipi_input.folder / FOLDER
        self._folders = RunFolders(self.ipi_input, self.folder, count)
        if at_once is not None and at_once < 1:
            raise MixpiError(f"--at-once {at_once}: at least one run at a time is needed")
        self.at_once = min(at_once or sensible_at_once(self.ipi_input, count), count)
        self._folders.look()
        self.notes = [*self._folders.notes, *check(path, drivers=False)]
        self._atoms = read_structure(
            self.ipi_input.config_path.parent / self.ipi_input.config.structure
        )
        self.logs = self.folder / LOGS
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MixpiError(f"cannot make {self.folder}: {error.strerror}") from None
        self._lock = lock(self.logs)
        self._folders.make()
        self._shares = SHARED in self.ipi_input.pools
        self._failure: str | None = None
        self._said: set[str] = set()
        #: A run looks at its folder one at a time: LAMMPS, which may look for seeds, changes there.
        self._looking = threading.Lock()

    def execute(self, *, quiet: bool = False, stops: Stops | None = None) -> Several:
        """Run all to their ends; everything that was started has ended when this returns.

        Parameters
        ----------
        quiet : bool
            No progress.
        stops : Stops, optional
            That the caller has entered, and which is then told of signals.

        Returns
        -------
        Several
        """
        start = time.perf_counter()
        runs = self._folders.runs
        finished = [run for run in runs if run.is_finished]
        left = [run for run in runs if run not in finished]
        self._progress = ProgressOfAll(len(runs), len(finished), quiet=quiet)
        shared = self._shared_drivers(left) if self._shares and left else None
        sockets = unix_sockets(self.ipi_input.config, [SHARED] if shared else [])
        with (
            self._lock,
            contextlib.nullcontext(stops) if stops else Stops() as self._stops,
            guarded(keep=[self._lock], sockets=sockets),
        ):
            ended = {run.number: self._finished(run) for run in finished}
            ended |= {one.number: one for one in self._run_all(left, shared)}
        return Several(
            [ended[run.number] for run in runs],
            shared.served if shared else {},
            shared.restarts if shared else {},
            time.perf_counter() - start,
        )

    def _shared_drivers(self, runs: list[RunFolder]) -> SharedDrivers:
        name = self.ipi_input.config_path.relative_to(self.ipi_input.folder)
        configs = {run.number: run.folder / name for run in runs}
        return SharedDrivers(self.ipi_input, self._atoms, self.logs, configs, say_on_stderr)

    def _run_all(self, runs: list[RunFolder], shared: SharedDrivers | None) -> list[OneOfSeveral]:
        try:
            with self._progress, ThreadPoolExecutor(self.at_once) as threads:
                if shared:
                    self._minding(lambda: shared.start(self._is_over))
                futures = [threads.submit(self._run_one, run) for run in runs]
                self._watch(futures, shared)
        finally:
            if shared:
                shared.stop()
        return [future.result() for future in futures]

    def _is_over(self) -> bool:
        return self._stops.signum is not None

    def _minding(self, do: Callable[[], None]) -> None:
        """Do something of which a failure ends all runs."""
        try:
            do()
        except (MixpiError, OSError) as error:
            self._failure = self._failure or str(error)
            # they are told as they are by a signal: each leaves a state to go on from
            self._stops.signum = self._stops.signum or signal.SIGTERM

    def _watch(self, futures: list[Future], shared: SharedDrivers | None) -> None:
        while not all(future.done() for future in futures):
            if shared and not self._is_over():
                self._minding(shared.look_after)
            self._progress.show()
            time.sleep(LOOK_EVERY)

    def _run_one(self, place: RunFolder) -> OneOfSeveral:
        """Run one to its end, in a thread; nothing that goes wrong in it concerns the others."""
        found = OneOfSeveral(place.number, place.folder, Outcome())
        try:
            if self._is_over():
                found.outcome.status, found.outcome.message = "interrupted", "not started"
                return self._ended(found)
            with self._looking:
                begin = place.begin()
                run = Run(
                    begin,
                    shares_drivers=self._shares,
                    checked=begin == place.input,
                    say=lambda text: self._say(place.number, text),
                )
            first, total = run.ipi_input.first_step, run.ipi_input.total_steps
            progress = self._progress.of_run(place.number, first=first, total=total)
            found.outcome = run.execute(stops=self._stops, progress=progress)
            if run.evidence.is_new(run.ipi_input.config.output.steps):
                found.report = report_run(run.ipi_input, found.outcome)
                write_report(found.report, place.folder)
        except MixpiError as error:
            found.outcome.message = found.outcome.message or str(error)
        except OSError as error:
            found.outcome.message = found.outcome.message or f"{error.strerror}: {error.filename}"
        return self._ended(found)

    def _say(self, number: int, text: str) -> None:
        """Say what users should know of a run; the same warning only of the first one."""
        if text not in self._said:
            say_on_stderr(f"run {number}: {text}")
        if text.startswith("warning: "):
            self._said.add(text)

    def _ended(self, found: OneOfSeveral) -> OneOfSeveral:
        state = read_checkpoint(found.folder / RESTART)
        found.done = state.step if state else found.report.get("steps", 0)
        found.total = self.ipi_input.total_steps
        outcome = found.outcome
        if self._failure and outcome.status == "interrupted":
            outcome.status, outcome.message, outcome.signum = "failed", self._failure, None
        return found

    def _finished(self, run: RunFolder) -> OneOfSeveral:
        outcome = Outcome("finished", "it was finished before")
        return self._ended(OneOfSeveral(run.number, run.folder, outcome))


def say_failures(several: Several) -> None:
    """Say on stderr which runs are not finished, and why; the same reason once."""
    reasons: dict[tuple[str, str], list[int]] = {}
    for one in several.runs:
        if one.outcome.status != "finished":
            reasons.setdefault((one.outcome.status, one.outcome.message), []).append(one.number)
    for (status, message), numbers in reasons.items():
        who = ", ".join(map(str, numbers))
        print(f"mixpi: run {who}: {status}: {message}", file=sys.stderr)
