"""How a run goes, from i-PI's process to its launcher: one file, a line of JSON an event.

i-PI's process opens it once and writes into what it has opened, so a folder that is renamed or
removed changes nothing. What a full disk does not take is kept and written when there is room.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints


#: s between two words on how far a run is.
PROGRESS_EVERY = 0.5


@dataclass(frozen=True)
class Connected:
    """A driver has connected, and answers as drivers do; pid 0 if that is not known."""

    pool: str
    pid: int


@dataclass(frozen=True)
class Dropped:
    """A driver is not worked with any more, though it may still run."""

    pool: str
    pid: int
    reason: str


@dataclass(frozen=True)
class Warned:
    """Something is suspicious."""

    text: str


@dataclass(frozen=True)
class Failed:
    """The mixing layer has given up, and stops i-PI."""

    reason: str


@dataclass(frozen=True)
class Progressed:
    """Forces of a step were computed: the step, and the atoms of its regions."""

    step: int
    core: int
    blend: int
    buffer: int


@dataclass(frozen=True)
class Served:
    """What a driver that several runs share has done, in how many s; and s since it was asked."""

    driver: str
    evaluations: int
    seconds: float
    elapsed: float


Event = Connected | Dropped | Warned | Failed | Progressed | Served
#: An event's name in the file → what it is.
_KINDS: dict[str, type[Event]] = {
    kind.__name__.lower(): kind for kind in (Connected, Dropped, Warned, Failed, Progressed, Served)
}


class Journal:
    """Writes what a process has to say; as long as it is not open, nothing."""

    def __init__(self) -> None:
        self._file: int | None = None
        self._lock = threading.Lock()
        self._unwritten = b""
        self._progress: Progressed | None = None
        self._due = 0.0

    @property
    def is_open(self) -> bool:
        """Whether a launcher may read what is told."""
        return self._file is not None

    def open(self, path: str | Path) -> None:
        """Write into a file that the launcher has made.

        Raises
        ------
        OSError
            If it cannot be opened.
        """
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        # not when Python ends: i-PI may still write files, one of them under this number
        weakref.finalize(self, os.close, self._file).atexit = False

    def tell(self, event: Event) -> None:
        """Write an event; from any thread."""
        with self._lock:
            self._tell(event)

    def tell_progress(self, progress: Progressed) -> None:
        """Write how far the run is, unless that was done just now."""
        with self._lock:
            self._progress = progress
            if time.monotonic() >= self._due:
                self._tell_progress()

    def flush(self) -> None:
        """Write what is still to be said at the end."""
        with self._lock:
            self._tell_progress()

    def _tell_progress(self) -> None:
        self._due = time.monotonic() + PROGRESS_EVERY
        self._write()
        if self._progress is not None and not self._unwritten:  # else it would pile up
            self._tell(self._progress)
            self._progress = None

    def _tell(self, event: Event) -> None:
        if self._file is not None:
            line = json.dumps({"event": type(event).__name__.lower(), **vars(event)})
            self._unwritten += line.encode() + b"\n"
            self._write()

    def _write(self) -> None:
        if self._file is not None and self._unwritten:
            with contextlib.suppress(OSError):
                self._unwritten = self._unwritten[os.write(self._file, self._unwritten) :]


#: That of this process; open in those that our launcher has started as i-PI.
journal = Journal()


class JournalReader:
    """Makes the file of a run and reads what comes into it.

    Parameters
    ----------
    path : Path
        An older one is removed.

    Raises
    ------
    OSError
        If it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        path.touch(0o644, exist_ok=False)  # what stands here the launcher does: no one else writes
        self.path, self._position = path, 0
        # read through a file of ours: the folder may be gone when it is asked for
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)

    def news(self) -> list[Event]:
        """What was told since the last call, but for a line of which the end has not come."""
        text = b"".join(self._parts())
        text = text[: text.rfind(b"\n") + 1]
        self._position += len(text)
        found = map(read_event, text.split(b"\n"))
        return [event for event in found if event is not None]

    def _parts(self) -> Iterator[bytes]:
        begin = self._position
        while part := os.pread(self._file, 65536, begin):
            yield part
            begin += len(part)


def read_event(line: bytes) -> Event | None:
    """The event of a line; None of a line that holds none."""
    try:
        facts = json.loads(line)
        kind = _KINDS[facts.pop("event")]
        event = kind(**facts)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    hints = get_type_hints(kind)
    return event if all(type(fact) is hints[name] for name, fact in facts.items()) else None
