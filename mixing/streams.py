"""Output that cannot change what becomes of a command: closed, full, unread, ASCII only."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import select
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TextIO


#: Bytes that are written at a time: a pipe, or a terminal, that takes any takes as many.
PIECE, TERMINAL_PIECE = 256, 1
#: s; how long a run waits for a reader who has stopped reading, a pager or Ctrl-S.
PATIENCE = 2.0


class Unbreakable:
    """A text stream that takes everything, also when it has lost its other end.

    Parameters
    ----------
    stream : TextIO
        What is written to.

    Attributes
    ----------
    lost : OSError or None
        Why nothing of what was written since has arrived.
    patience : float or None
        s; how long a reader may keep us waiting, who has stopped reading (a pager, Ctrl-S), before
        what is written is dropped until it reads on; None for ever.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost: OSError | None = None
        self.patience: float | None = None
        self._stalled = False
        # a character that the terminal lacks is no reason to stop
        with contextlib.suppress(ValueError, OSError):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        self._encoder = codecs.getincrementalencoder(stream.encoding or "utf-8")("backslashreplace")

    def write(self, text: str) -> int:
        """Write a text, if that is possible."""
        with self._losing():
            if self.patience is None or not self._write_pieces(text, self.patience):
                self._stream.write(text)
        return len(text)

    def _write_pieces(self, text: str, patience: float) -> bool:
        """Write as much as is taken in time; whether that could be found out."""
        try:
            self._stream.flush()
            number, poll = self._stream.fileno(), select.poll()
            poll.register(number, select.POLLOUT)
        except (AttributeError, ValueError, OSError):  # no file, or no such call
            return False
        data = memoryview(self._encoder.encode(text))
        piece = TERMINAL_PIECE if self._stream.isatty() else PIECE
        deadline = time.monotonic() + (0.0 if self._stalled else patience)
        while data:
            self._stalled = not poll.poll(1000.0 * max(0.0, deadline - time.monotonic()))
            if self._stalled:
                break
            data = data[os.write(number, data[:piece]) :]
        return True

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts, if that is possible."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hand on what was written, if that is possible."""
        with self._losing():
            self._stream.flush()

    @contextlib.contextmanager
    def _losing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: it was closed
            self.lost = self.lost or (
                error if isinstance(error, OSError) else OSError(errno.EBADF, str(error))
            )
            # what is still in its buffer must not fail again when Python ends
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def wait_for_no_reader() -> None:
    """From here on something else is more urgent than that the output arrives."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Unbreakable):
            stream.patience = PATIENCE


@contextlib.contextmanager
def unbreakable_output() -> Iterator[Unbreakable]:
    """Make ``sys.stdout`` and ``sys.stderr`` :class:`Unbreakable`; gives the former.

    A stream that was closed from the start is one to nowhere, so that no file that is opened
    later is taken for it.
    """
    for descriptor, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, mode)  # gets the lowest number that is free: this one
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (
        Unbreakable(stream or open(os.devnull, "w"))  # noqa: SIM115 (as long as the process)
        for stream in before
    )
    output = sys.stdout
    if before[0] is None:
        output.lost = OSError(errno.EBADF, os.strerror(errno.EBADF))
    try:
        yield output
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before
