"""How far a run is, as its journal says; how far a command of several stages is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from .journal import Progressed


#: s between lines where there is no terminal to draw a bar on.
SPEAK_EVERY = 15.0

#: Called with what is being done and the share (0 to 1) of it that is done.
Tell = Callable[[str, float], None]


def silent(_what: str, _share: float) -> None:
    """The ``Tell`` of those who do not want to know."""


class ShowsProgress(Protocol):
    """Who shows how far a run is, inside a ``with`` block."""

    @property
    def last(self) -> Progressed | None:
        """What was heard last; None before the first evaluation."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def hear(self, event: Progressed) -> None:
        """Take note of how far the run is."""
        ...

    def show(self) -> None:
        """Show what was heard."""
        ...


class WithBar:
    """Shows its bar inside a ``with`` block, if it has one."""

    bar: RichProgress | None

    def __enter__(self) -> Self:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()


class Progress(WithBar):
    """A progress bar on a terminal, a line now and then elsewhere.

    Parameters
    ----------
    first, total : int
        Step that it begins with, and the last one.
    quiet : bool
        Show nothing.

    Attributes
    ----------
    last : Progressed or None
        What was heard last; None before the first evaluation.
    """

    def __init__(self, *, first: int, total: int, quiet: bool = False) -> None:
        self._start, self._total, self._quiet = first, total, quiet
        self.last: Progressed | None = None
        self._spoken = self._began = time.monotonic()
        self._console = Console(stderr=True)
        self.bar = None
        if not quiet and self._console.is_terminal:
            self.bar = RichProgress(
                TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
                BarColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[regions]}"),
                console=self._console,
            )
            self._task = self.bar.add_task(
                "", completed=first, total=total, rate="starting", regions=""
            )

    def hear(self, event: Progressed) -> None:
        """Take note of how far the run is."""
        if self.last is None:
            self._began = time.monotonic()
        self.last = event

    def show(self) -> None:
        """Show what was heard."""
        if self._quiet or self.last is None:
            return
        last = self.last
        done, regions = last.step, f"core {last.core} blend {last.blend} buffer {last.buffer}"
        if self.bar:
            self.bar.update(self._task, completed=done, rate=self._rate(done), regions=regions)
        elif time.monotonic() - self._spoken > SPEAK_EVERY:
            self._spoken = time.monotonic()
            line = f"step {done}/{self._total}  {self._rate(done)}  {regions}"
            print(line, file=sys.stderr, flush=True)

    def _rate(self, done: int) -> str:
        return speed(done - self._start, self._began)


def speed(steps: int, since: float) -> str:
    """Steps a second since a time of the monotonic clock, for people; empty before the first."""
    elapsed = time.monotonic() - since
    return f"{steps / elapsed:.2f} steps/s" if steps > 0 and elapsed > 0 else ""


class StageProgress(WithBar):
    """How far a command is that goes from stage to stage; called with (what, share).

    A bar on a terminal, a line now and then elsewhere.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        console = Console(stderr=True)
        self._quiet, self._spoken, self.bar = quiet, time.monotonic(), None
        if not quiet and console.is_terminal:
            self.bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self._task = self.bar.add_task("starting", total=1.0)
        self._stage = ""

    def __call__(self, what: str, share: float) -> None:
        """Show what is being done, and the share (0 to 1) of it that is done."""
        if self.bar:
            stage = what.split()[0]
            if stage != self._stage:  # the time left is that of a stage
                self._stage = stage
                self.bar.reset(self._task)
            # a single evaluation does not tell how far it is
            total = 1.0 if share > 0.0 else None
            self.bar.update(self._task, description=what, completed=share, total=total)
        elif not self._quiet and time.monotonic() - self._spoken > SPEAK_EVERY:
            self._spoken = time.monotonic()
            done = f" ({share:.0%})" if share > 0.0 else ""
            print(f"{what}{done}", file=sys.stderr, flush=True)
