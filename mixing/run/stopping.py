"""Signals by which people and batch systems end a command, made an orderly end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from ..errors import MixpiError
from .guardian import WARNINGS


if TYPE_CHECKING:
    from ipi.utils.softexit import Softexit


#: Those that a program which was started with them ignored goes on to ignore (``nohup``).
_OPTIONAL = [getattr(signal, name) for name in WARNINGS if hasattr(signal, name)]
#: All: Ctrl-C, the end of a batch job, a closed terminal, warnings before a time limit.
STOPS = (signal.SIGINT, signal.SIGTERM, *_OPTIONAL)


@contextlib.contextmanager
def on_stops(
    act: Callable[[signal.Signals], None], signals: Iterable[signal.Signals] = STOPS
) -> Iterator[None]:
    """Call a function for each such signal, instead of what it does otherwise."""
    before = {}
    if threading.current_thread() is not threading.main_thread():
        yield  # Python hears signals in the main thread only
        return
    for signum in signals:
        if signum in _OPTIONAL and signal.getsignal(signum) == signal.SIG_IGN:
            continue
        before[signum] = signal.signal(signum, lambda n, _frame: act(signal.Signals(n)))
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


class Stops:
    """The first of the signals that came while a ``with`` block of it was open.

    Attributes
    ----------
    signum : signal.Signals or None
    """

    def __init__(self) -> None:
        self.signum: signal.Signals | None = None
        self._within = contextlib.ExitStack()

    def __enter__(self) -> Stops:
        self._within.enter_context(on_stops(self._note))
        return self

    def __exit__(self, *_: object) -> None:
        self._within.close()

    def _note(self, signum: signal.Signals) -> None:
        self.signum = self.signum or signum


class Halted(MixpiError):
    """A signal asked to stop what can be gone on with.

    Parameters
    ----------
    signum : signal.Signals
    """

    def __init__(self, signum: signal.Signals) -> None:
        super().__init__(f"stopped by {signum.name}")
        self.signum = signum


class Interrupted(KeyboardInterrupt):
    """A signal asked a command to stop; its argument is the signal.

    A class of its own: of a plain one that comes up in code which is run from a string (importing
    does that), Python remembers that it was there, and ends by SIGINT whatever became of it.
    """


@contextlib.contextmanager
def raising(
    stop: Callable[[signal.Signals], BaseException], signals: Iterable[signal.Signals] = STOPS
) -> Iterator[None]:
    """Raise an exception for each such signal; it leaves the block whatever becomes of it there.

    It comes up wherever Python is, also in the middle of C code that puts an error of its own in
    its place (numpy's ``tofile``: a ``TypeError``), or goes on as if nothing had been.

    Parameters
    ----------
    stop : callable
        The exception for a signal.
    signals : iterable of signal.Signals
    """
    heard: list[signal.Signals] = []

    def act(signum: signal.Signals) -> None:
        heard.append(signum)
        raise stop(signum)

    with on_stops(act, signals):
        try:
            yield
        except BaseException as error:
            if not heard or isinstance(error, type(stop(heard[0]))):
                raise
            raise stop(heard[0]) from error
        if heard:
            raise stop(heard[0])


def ending_as_ctrl_c() -> contextlib.AbstractContextManager[None]:
    """Signals end a command as Ctrl-C does: what it started ends with it.

    Raises
    ------
    Interrupted
    """
    return raising(Interrupted)


def hear_once(softexit: Softexit) -> None:
    """Let i-PI, started by our entry point, take each word to stop as one and the same.

    A batch system sends SIGTERM to all processes of a job, and the launcher then does too; i-PI
    would leave at the second one without its RESTART. Its own CPU limit, which the kernel
    repeats every second, is a word to stop as well.

    Parameters
    ----------
    softexit : ipi.utils.softexit.Softexit
        That of this process.
    """
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGXCPU):
        softexit._kill[signum] = lambda *_: None
    signal.signal(signal.SIGXCPU, softexit._kill_handler)
