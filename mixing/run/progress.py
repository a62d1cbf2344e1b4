"""How far a run is, read from its steps file; how far a command of several stages is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from ..output.records import CONTINUED


#: s between lines where there is no terminal to draw a bar on.
SPEAK_EVERY = 15.0

#: Called with what is being done and the share (0 to 1) of it that is done.
Tell = Callable[[str, float], None]


def silent(_what: str, _share: float) -> None:
    """The ``Tell`` of those who do not want to know."""


class _WithBar:
    """Shows its bar inside a ``with`` block, if it has one."""

    _bar: RichProgress | None

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()


class Progress(_WithBar):
    """A progress bar on a terminal, a line now and then elsewhere.

    Parameters
    ----------
    steps : Path
        The steps file; one line an evaluation, the first of which is before the
        first step.
    first, total : int
        Step that it begins with, and the last one.
    quiet : bool
        Show nothing.

    Attributes
    ----------
    evaluations : int
        Force evaluations seen so far.
    """

    def __init__(self, steps: Path, *, first: int, total: int, quiet: bool = False) -> None:
        self._steps, self._start, self._total, self._quiet = steps, first, total, quiet
        self._offset = steps.stat().st_size if steps.exists() else 0
        self._identity = steps.stat().st_ino if steps.exists() else None
        self.evaluations, self._last = 0, ""
        self._spoken = time.monotonic()
        self._console = Console(stderr=True)
        self._bar = None
        if not quiet and self._console.is_terminal:
            self._bar = RichProgress(
                TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
                BarColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[regions]}"),
                console=self._console,
            )
            self._task = self._bar.add_task(
                "", completed=first, total=total, rate="starting", regions=""
            )

    def update(self) -> None:
        """Read what is new and show it."""
        self._read()
        if self._quiet or not self._last:
            return
        step, _, *counts = self._last.split()[:5]
        done, regions = int(step), "core {} blend {} buffer {}".format(*counts)
        if self._bar:
            self._bar.update(self._task, completed=done, rate=self._rate(done), regions=regions)
        elif time.monotonic() - self._spoken > SPEAK_EVERY:
            self._spoken = time.monotonic()
            line = f"step {done}/{self._total}  {self._rate(done)}  {regions}"
            print(line, file=sys.stderr, flush=True)

    def _rate(self, done: int) -> str:
        elapsed, steps = time.monotonic() - self._began, done - self._start
        return f"{steps / elapsed:.2f} steps/s" if steps > 0 and elapsed > 0 else ""

    def _read(self) -> None:
        if not self._steps.exists():
            return
        if self._steps.stat().st_ino != self._identity:
            # i-PI has begun a new file; the old one was put aside
            self._identity, self._offset = self._steps.stat().st_ino, 0
        elif self._steps.stat().st_size < self._offset:
            self._offset = 0  # what is computed again was cut off
        with self._steps.open("rb") as stream:
            stream.seek(self._offset)
            new = stream.read()
        end = new.rfind(b"\n") + 1
        self._offset += end
        # before such a mark stands what an earlier run has done
        _, mark, text = new[:end].decode(errors="replace").rpartition(CONTINUED)
        lines = text.splitlines()[1 if mark else 0 :]
        lines = [line for line in lines if not line.startswith("#")]
        if lines:
            if not self.evaluations:
                self._began = time.monotonic()
            self.evaluations += len(lines)
            self._last = lines[-1]


class StageProgress(_WithBar):
    """How far a command is that goes from stage to stage; called with (what, share).

    A bar on a terminal, a line now and then elsewhere.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        console = Console(stderr=True)
        self._quiet, self._spoken, self._bar = quiet, time.monotonic(), None
        if not quiet and console.is_terminal:
            self._bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task("starting", total=1.0)
        self._stage = ""

    def __call__(self, what: str, share: float) -> None:
        """Show what is being done, and the share (0 to 1) of it that is done."""
        if self._bar:
            stage = what.split()[0]
            if stage != self._stage:  # the time left is that of a stage
                self._stage = stage
                self._bar.reset(self._task)
            # a single evaluation does not tell how far it is
            total = 1.0 if share > 0.0 else None
            self._bar.update(self._task, description=what, completed=share, total=total)
        elif not self._quiet and time.monotonic() - self._spoken > SPEAK_EVERY:
            self._spoken = time.monotonic()
            done = f" ({share:.0%})" if share > 0.0 else ""
            print(f"{what}{done}", file=sys.stderr, flush=True)
