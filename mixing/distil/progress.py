"""How far a distillation is, on stderr."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


#: Seconds between lines where there is no terminal to draw a bar on.
SPEAK_EVERY = 15.0


class DistilProgress:
    """A bar for each stage on a terminal, a line now and then elsewhere.

    Called as ``progress(what, done, total)``.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet, self._tasks, self._spoken = quiet, {}, 0.0
        self._console = Console(stderr=True)
        self._bar = None
        if not quiet and self._console.is_terminal:
            self._bar = RichProgress(
                TextColumn("{task.description:<12}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=self._console,
            )

    def __enter__(self) -> DistilProgress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show it."""
        if self._bar:
            if what not in self._tasks:
                self._tasks[what] = self._bar.add_task(what, total=total)
            self._bar.update(self._tasks[what], completed=done)
        elif not self._quiet and (done == total or time.monotonic() - self._spoken > SPEAK_EVERY):
            self._spoken = time.monotonic()
            self._console.print(f"{what} {done}/{total}", highlight=False)
