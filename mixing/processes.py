"""Child processes with a log each, ended by pid with their own children, never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .peers import MARK, mark


def describe_end(code: int | None) -> str:
    """How a process ended, as the end of a sentence about it."""
    if code is not None and code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


class Child:
    """A running program whose output goes to a file.

    It gets a session of its own, so that Ctrl-C in the terminal reaches only the
    launcher, which then stops everything in the right order.

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
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        cwd: Path,
        log: Path,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.log = name, log
        self._log_start = log.stat().st_size if log.exists() else 0
        self._log_read = self._log_start
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                list(argv),
                cwd=cwd,
                env={**(os.environ if env is None else env), MARK: mark()},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for a signal, None while it runs."""
        return self._process.poll()

    def output(self) -> str:
        """What this process has written so far."""
        with self.log.open("rb") as stream:
            stream.seek(self._log_start)
            return stream.read().decode(errors="replace")

    def fresh(self) -> str:
        """What it has written since the last call, in whole lines."""
        with self.log.open("rb") as stream:
            stream.seek(self._log_read)
            text = stream.read()
        text = text[: text.rfind(b"\n") + 1]
        self._log_read += len(text)
        return text.decode(errors="replace")

    def tail(self, lines: int = 15) -> str:
        """The last lines that it wrote, for an error message."""
        return "\n".join(self.output().rstrip().splitlines()[-lines:])

    def signal(self, signum: signal.Signals) -> None:
        """Send a signal to it and to what it has started itself (``srun``, ``mpirun``)."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signum)

    def owns(self, pid: int) -> bool:
        """Whether a process is this one or one that it has started (``mpirun``, a script)."""
        try:
            return pid > 0 and os.getpgid(pid) == self.pid
        except ProcessLookupError:
            return False

    def wait(self, seconds: float) -> bool:
        """Whether it ended within so many seconds."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def stop_all(children: Sequence[Child], *, patience: float = 10.0) -> None:
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
        for child in running:
            if escalation is not None:
                child.signal(escalation)
        deadline = time.monotonic() + patience
        for child in running:
            child.wait(max(0.0, deadline - time.monotonic()))
    for child in children:
        child.signal(signal.SIGKILL)  # what a launch prefix may have left behind
