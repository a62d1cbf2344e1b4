"""Child processes with a log each, ended with all that they have started, never left behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import uuid
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import IO

from ..errors import MixpiError
from . import guardian
from .guardian import Process


#: Whether there is a ``/proc``, and a kernel that tells children of their parent's death.
LINUX = sys.platform == "linux"
#: Bytes of a log's end that are looked at.
LOG_END = 4_000_000

#: For programs in Python, whose output is read: at once, and in UTF-8 whatever the terminal speaks.
PYTHON_OUTPUT = {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}

#: What stands above the last line of a traceback.
_FRAMES = re.compile(r"^Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)*", re.M)

#: Mark of the family that this thread guards, the innermost; several runs have a thread each.
_guarded: ContextVar[str] = ContextVar("_guarded", default="")


def describe_end(code: int | None) -> str:
    """How a process ended, as the end of a sentence about it."""
    if code is not None and code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _new_family() -> str:
    return f"{os.getpid()}-{uuid.uuid4().hex}:"


def _bare_python(*arguments: str) -> list[str]:
    # neither the environment nor the folder has a say in what it imports
    return [sys.executable, "-I", "-S", guardian.__file__, *arguments]


def dying_with_us(argv: Sequence[str], signum: signal.Signals = signal.SIGKILL) -> list[str]:
    """A command line for a program that gets a signal when the calling thread dies.

    Parameters
    ----------
    argv : sequence of str
        The program's own.
    signum : signal.Signals
        The signal.
    """
    if not LINUX:
        return list(argv)
    return _bare_python("start", str(os.getpid()), str(int(signum)), *argv)


def run_to_end(
    argv: Sequence[str],
    patience: float,
    what: str,
    *,
    env: Mapping[str, str],
    cwd: str | Path = ".",
) -> subprocess.CompletedProcess:
    """Run a program to its end, with all that it starts, but not for ever.

    Parameters
    ----------
    argv : sequence of str
        Command line.
    patience : float
        s.
    what : str
        How messages call it.
    env : mapping
        Its environment.
    cwd : path-like
        Where it runs.

    Returns
    -------
    CompletedProcess
        With what it has written, as text.

    Raises
    ------
    MixpiError
        If it has not ended by then.
    """
    with subprocess.Popen(
        dying_with_us(argv),
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            raise MixpiError(
                f"{what} has not ended within {patience:g} s: is a file damaged, or far too large?"
            ) from None
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(argv, process.returncode, out, err)


@contextlib.contextmanager
def guarded(*, keep: Iterable[IO] = (), sockets: Iterable[str | Path] = ()) -> Iterator[str]:
    """Let no :class:`Child` that this thread starts inside outlive this, whatever becomes of us.

    If this process is killed, a small process of its own ends them in order: i-PI first.

    Parameters
    ----------
    keep : iterable of open files
        Kept open until all have ended, also without us: a lock stays locked.
    sockets : iterable of path-like
        Socket files that are then removed if nobody listens on them.

    Yields
    ------
    str
        The mark of those that are started (:mod:`mixpi.run.guardian`).
    """
    family = _new_family()
    watcher = None
    if LINUX:
        # without a watcher there is still the kernel's signal to each child
        with contextlib.suppress(OSError):
            watcher = subprocess.Popen(
                _bare_python("watch", family, *map(str, sockets)),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
                pass_fds=[file.fileno() for file in keep],
            )
    before = _guarded.set(family)
    try:
        yield family
    finally:
        _guarded.reset(before)
        guardian.kill(family)
        if watcher is not None:
            assert watcher.stdin is not None
            watcher.stdin.close()
            try:
                watcher.wait(10.0)
            except subprocess.TimeoutExpired:  # somebody has stopped it
                watcher.kill()
                watcher.wait()


class Child:
    """A running program whose output goes to a file.

    It gets a session of its own, so that Ctrl-C in the terminal reaches only the
    launcher, which then stops everything in the right order. If the launcher is killed,
    it gets SIGTERM.

    Parameters
    ----------
    name : str
        For messages, e.g. "cheap-0".
    argv : sequence of str
        Command line.
    cwd : Path
        Where it runs.
    log : Path
        Its output, both streams; appended to.
    env : mapping, optional
        Environment.
    keep : iterable of open files
        That it has open too: a lock is held by what writes.

    Raises
    ------
    MixpiError
        If the system does not let it start.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        cwd: Path,
        log: Path,
        env: Mapping[str, str] | None = None,
        keep: Iterable[IO] = (),
    ) -> None:
        self.name, self.log = name, log
        self.mark = (_guarded.get() or _new_family()) + name
        try:
            held_back = guardian.warnings_held_back() if LINUX else contextlib.nullcontext()
            with log.open("ab") as stream, held_back:
                # read through a file of ours: the folder may be gone when it is asked for
                self._output = os.open(log, os.O_RDONLY)
                weakref.finalize(self, os.close, self._output)
                self._log_start = stream.seek(0, os.SEEK_END)
                self._process = subprocess.Popen(
                    dying_with_us(argv, signal.SIGTERM),
                    cwd=cwd,
                    env={**(os.environ if env is None else env), guardian.MARK: self.mark},
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=[file.fileno() for file in keep],
                )
        except OSError as error:
            raise MixpiError(
                f"cannot start {name} in {cwd}: {error.strerror} ({error.filename or argv[0]})"
            ) from None

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for a signal, None while it runs."""
        return self._process.poll()

    def output(self) -> str:
        """What this process has written so far; of very much the end."""
        end = os.fstat(self._output).st_size
        return self._read(max(self._log_start, end - LOG_END)).decode(errors="replace")

    def _read(self, begin: int) -> bytes:
        parts = []
        while part := os.pread(self._output, LOG_END, begin):
            parts.append(part)
            begin += len(part)
        return b"".join(parts)

    def tail(self, lines: int = 15) -> str:
        """The last lines that it wrote, for an error message; of a traceback its last line."""
        text = _FRAMES.sub("", self.output())
        return "\n".join(text.rstrip().splitlines()[-lines:])

    @property
    def state(self) -> str:
        """One letter of the kernel's: R, S, D, or T if it is stopped; empty if unknown."""
        found = guardian.look_at(self.pid)
        return found.state if found else ""

    def family(self) -> list[Process]:
        """It and what it has started, in whatever group or session (``mpirun``, a script)."""
        return _families([self])[self.mark]

    def signal(self, signum: signal.Signals) -> None:
        """Send a signal to it and to what it has started; wake them if they are stopped."""
        _send([self], signum)

    def ask_to_end(self, seconds: float) -> bool:
        """Send SIGTERM, again and again; whether it ended within so many seconds."""
        deadline = time.monotonic() + seconds
        while self.returncode is None and time.monotonic() < deadline:
            self.signal(signal.SIGTERM)
            self.wait(guardian.AGAIN)
        return self.returncode is not None

    def owns(self, pid: int) -> bool:
        """Whether a process is this one or one that it has started."""
        if pid == self.pid or any(one.pid == pid for one in self.family()):
            return True
        try:
            return not LINUX and pid > 0 and os.getpgid(pid) == self.pid
        except OSError:
            return False

    def wait(self, seconds: float) -> bool:
        """Whether it ended within so many seconds."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def stop_all(children: Sequence[Child], *, patience: float) -> None:
    """End children: wait for those that are about to go, then SIGTERM, then SIGKILL.

    Parameters
    ----------
    children : sequence of Child
    patience : float
        s before each escalation.
    """
    for escalation in (None, signal.SIGTERM, signal.SIGKILL):
        running = [child for child in children if child.returncode is None]
        if not running:
            break
        if escalation is not None:
            _send(running, escalation)
        deadline = time.monotonic() + patience
        for child in running:
            child.wait(max(0.0, deadline - time.monotonic()))
    _send(children, signal.SIGKILL)  # what a launch prefix may have left behind


def _families(children: Sequence[Child]) -> dict[str, list[Process]]:
    # the pid of one that has ended may be another's by now
    started = {child.mark: child.pid for child in children if child.returncode is None}
    return guardian.families([child.mark for child in children], started)


def _send(children: Sequence[Child], signum: signal.Signals) -> None:
    """Send a signal to children and all that they have started, to each once."""
    found = _families(children)
    for child in children:
        family = found[child.mark]
        guardian.send(family, signum)
        if child.returncode is None and not LINUX:
            with contextlib.suppress(OSError):
                os.killpg(child.pid, signum)
        if family and signum == signal.SIGKILL:
            guardian.kill(child.mark)
