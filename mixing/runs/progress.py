"""How far several runs are: a bar for each that goes on, or a line now and then."""

from __future__ import annotations

import sys
import threading
import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from ..run.journal import Progressed
from ..run.progress import SPEAK_EVERY, WithBar, speed


class ProgressOfAll(WithBar):
    """Of all runs; shown inside a ``with`` block.

    Parameters
    ----------
    runs : int
        How many there are.
    finished : int
        So many of them are done already.
    quiet : bool
        Show nothing.
    """

    def __init__(self, runs: int, finished: int, *, quiet: bool = False) -> None:
        self._runs, self._ended, self._quiet = runs, finished, quiet
        self._going: dict[int, ProgressOfOne] = {}
        self._lock = threading.Lock()
        self._steps, self._began, self._spoken = 0, 0.0, time.monotonic()
        console = Console(stderr=True)
        self.bar = None
        if not quiet and console.is_terminal:
            self.bar = RichProgress(
                TextColumn("{task.description}"),
                TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
                BarColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=console,
            )

    def of_run(self, number: int, *, first: int, total: int) -> ProgressOfOne:
        """The progress of a run that is about to start.

        Parameters
        ----------
        number : int
            Of the run.
        first, total : int
            Step that it begins with, and the last one.
        """
        return ProgressOfOne(self, number, first, total)

    def show(self) -> None:
        """Say how far all are, where there is no terminal to draw on; called now and then."""
        if self._quiet or self.bar or time.monotonic() - self._spoken < SPEAK_EVERY:
            return
        self._spoken = time.monotonic()
        with self._lock:
            going = [f"{number}: {one.step}/{one.total}" for number, one in self._going.items()]
            steps = self._steps + sum(one.done for one in self._going.values())
        if going and self._began and steps:
            rate = speed(steps, self._began)
            text = f"{self._ended} of {self._runs} runs ended; steps of run {', '.join(going)}; "
            print(text + rate, file=sys.stderr, flush=True)

    def begin(self, one: ProgressOfOne) -> None:
        """Take up a run."""
        with self._lock:
            self._going[one.number] = one

    def note_step(self) -> None:
        """Let the time count from the first step on that is heard of."""
        self._began = self._began or time.monotonic()

    def end(self, one: ProgressOfOne) -> None:
        """Let a run go."""
        with self._lock:
            self._ended += 1
            self._steps += one.done
            self._going.pop(one.number, None)


class ProgressOfOne:
    """Of one of several runs (:class:`mixpi.run.progress.ShowsProgress`).

    Attributes
    ----------
    number, total, step : int
        Of the run; its last step; the step that it is at.
    last : Progressed or None
        What was heard last.
    """

    def __init__(self, of_all: ProgressOfAll, number: int, first: int, total: int) -> None:
        self._all, self.number, self._first, self.total = of_all, number, first, total
        self.step, self._began = first, 0.0
        self.last: Progressed | None = None

    @property
    def done(self) -> int:
        """Steps since it was started."""
        return self.step - self._first

    def __enter__(self) -> Self:
        self._all.begin(self)
        if bar := self._all.bar:
            self._task = bar.add_task(
                f"run {self.number}", completed=self._first, total=self.total, rate="starting"
            )
        return self

    def __exit__(self, *_: object) -> None:
        if bar := self._all.bar:
            bar.remove_task(self._task)
        self._all.end(self)

    def hear(self, event: Progressed) -> None:
        """Take note of how far the run is."""
        if self.last is None:
            self._began = time.monotonic()
            self._all.note_step()
        self.last, self.step = event, event.step

    def show(self) -> None:
        """Show what was heard."""
        if self.last is None or not self._all.bar:
            return
        rate = speed(self.done, self._began)
        self._all.bar.update(self._task, completed=self.step, rate=rate)
