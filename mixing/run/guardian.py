"""No process outlives its launcher: who belongs to it, and what ends them when it is killed.

This file is also run as a script, by a bare Python, beside and in front of every program that
is started: it imports nothing but a little of the standard library, and so takes milliseconds.

Three things hold, on Linux (elsewhere nothing of this file is used):

- A program is started through :func:`start`, which asks the kernel to send it a signal when
  its launcher dies, and makes it deaf to the signals by which batch systems warn: the launcher
  gets them too, and decides.
- It carries a mark in its environment, which what it starts inherits, in whatever group,
  session or parentage that ends up (``mpirun`` gives each rank a group of its own).
- :func:`watch` is a process with the read end of a pipe; the launcher has the other. When the
  launcher is gone, it ends in order whatever still carries the mark, and itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple


#: Variable of the environment by which those who belong to a launcher are known: its pid, a
#: secret, ``:``, and the member's name. What is before the name is the family's own mark.
MARK = "MIXPI_RUN"
#: The member of a family that is ended first: i-PI writes RESTART and dismisses the drivers.
FIRST = "i-pi"
#: s; how long i-PI may take to write RESTART after SIGTERM.
STOP_PATIENCE = 60.0
#: s until it is told again. Python hears signals in its main thread, which may be asleep in a lock;
#: the kernel wakes the thread that it delivers to, and in a process that was stopped that is any.
AGAIN = 1.0
#: s; how long drivers may take to end after i-PI has said EXIT, and again after SIGTERM.
PATIENCE = 3.0
#: s; for how long who belongs to a launcher is looked for and killed.
KILLING = 2.0
#: s; how long a program may take to come into the place of another, on a busy machine.
EXEC_PATIENCE = 1.0
#: What people and batch systems send to everything in reach; the launcher decides.
WARNINGS = ("SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGALRM")
#: ``prctl``'s number for "a signal when the parent dies".
_PR_SET_PDEATHSIG = 1


class Process(NamedTuple):
    """What the kernel says of a process: CPU time that it has used, and when it was started."""

    pid: int
    parent: int
    state: str
    ticks: int
    started: int


def look_at(pid: int) -> Process | None:
    """A process that has not ended; None without one, or without ``/proc``."""
    found = _entry(pid)
    return found if found and found.state not in "ZX" else None


def _entry(pid: int) -> Process | None:
    """What the kernel says of a process, also of one that has just ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # the name, in brackets, may hold anything
            words = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    ticks = int(words[11]) + int(words[12])
    return Process(pid, int(words[1]), words[0].decode(), ticks, int(words[19]))


def ancestors(pid: int) -> list[int]:
    """Parent, parent's parent, … of a process, as far as ``/proc`` tells."""
    found: list[int] = []
    while (one := _entry(pid)) and one.parent not in (0, *found):
        pid = one.parent
        found.append(pid)
    return found


def mark_of(pid: int) -> str:
    """The mark in a process's environment; empty without one, or if it is not ours to see."""
    entries = b"\0" + _environment(pid)
    for sign in b"=", b"\0":  # a shell that starts has a zero in the place of each "=" for a while
        _, name, rest = entries.partition(b"\0" + MARK.encode() + sign)
        if name:
            return rest.partition(b"\0")[0].decode(errors="replace")
    return ""


def _environment(pid: int) -> bytes:
    """What ``/proc`` tells of an environment; of one that is being exchanged, the next one.

    While a program takes the place of another, the kernel shows none, on a busy machine for long.
    """
    deadline, before = time.monotonic() + EXEC_PATIENCE, None
    try:
        while True:
            with open(f"/proc/{pid}/environ", "rb") as file:
                found = file.read()
            with open(f"/proc/{pid}/stat", "rb") as file:
                # memory, the end of its code (set when all is in its place), its environment
                words = file.read().rpartition(b")")[2].split()
            now = words[20], words[24], words[47], words[48]
            # twice the same: a program that is the kernel's, has ended, or has no environment
            whole = now[0] == b"0" or now[1] != b"0"
            if found or time.monotonic() > deadline or (whole and now == before):
                return found
            before = now
            time.sleep(0.001)
    except (OSError, IndexError):
        return b""


def belongs_to(pid: int, family: str) -> bool:
    """Whether a process descends from the launcher of a family, or carries its mark.

    The latter where its parent is another: under ``srun``, or of a script that has ended.
    """
    launcher = int(family.partition("-")[0])
    return launcher in (pid, *ancestors(pid)) or mark_of(pid).startswith(family)


def own_family() -> str | None:
    """The family of the launcher that has started this process; None if none has.

    A variable that has come from further away (a shell inside of another run) is none.
    """
    family, colon, _ = os.environ.get(MARK, "").partition(":")
    launcher = family.partition("-")[0]
    started = launcher.isdecimal() and int(launcher) in ancestors(os.getpid())
    return family + colon if started else None


def families(
    marks: Iterable[str], started: Mapping[str, int] | None = None
) -> dict[str, list[Process]]:
    """Who carries each mark, or descends from one who does.

    Parameters
    ----------
    marks : iterable of str
        Of members; one that ends with ``:`` is that of a whole family.
    started : mapping, optional
        Mark → pid of a child of ours that should carry it; its command may have cleared its
        environment.

    Returns
    -------
    dict
        Mark → living processes, without this one; all empty where there is no ``/proc``.
    """
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        pids = []
    living = {one.pid: one for pid in pids if (one := look_at(pid)) and pid != os.getpid()}
    # those who belong to us are younger; looking into a process that is stuck can take for ever
    us = look_at(os.getpid())
    younger = [one for one in living.values() if us and one.started >= us.started]
    carried = {one.pid: mark_of(one.pid) for one in younger}
    found: dict[str, list[Process]] = {}
    for mark in marks:
        whole = mark.endswith(":")
        own = {p for p, m in carried.items() if m == mark or (whole and m.startswith(mark))}
        own |= {pid for pid in [(started or {}).get(mark)] if pid in living}
        found[mark] = [one for one in living.values() if _descends(one, own, living)]
    return found


def _descends(one: Process, own: set[int], living: dict[int, Process]) -> bool:
    seen: set[int] = set()
    while one.pid not in own:
        seen.add(one.pid)
        if one.parent not in living or one.parent in seen:
            return False
        one = living[one.parent]
    return True


def send(processes: Iterable[Process], signum: int) -> None:
    """Signal processes; one that was stopped is let go on, so that it hears."""
    for one in processes:
        with contextlib.suppress(OSError):
            os.kill(one.pid, signum)
            if signum != signal.SIGKILL:
                os.kill(one.pid, signal.SIGCONT)


def kill(mark: str) -> None:
    """Kill whoever carries a mark, also what is started meanwhile."""
    deadline = time.monotonic() + KILLING
    while (left := families([mark])[mark]) and time.monotonic() < deadline:
        send(left, signal.SIGKILL)
        time.sleep(0.02)


def end_in_order(family: str) -> None:
    """End a family without its launcher: i-PI first, then the drivers; bounded in time.

    Parameters
    ----------
    family : str
        The mark of all, which ends with ``:``.
    """
    first = family + FIRST
    deadline = time.monotonic() + STOP_PATIENCE
    while (left := families([first])[first]) and time.monotonic() < deadline:
        send(left, signal.SIGTERM)
        _wait_for_end(first, AGAIN)
    kill(first)
    if _wait_for_end(family, PATIENCE):
        return
    send(families([family])[family], signal.SIGTERM)
    _wait_for_end(family, PATIENCE)
    kill(family)


def _wait_for_end(mark: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while families([mark])[mark]:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def watch(family: str, sockets: Sequence[str]) -> None:
    """Wait until the launcher is gone; end what it has left, and remove its sockets."""
    for signum in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
        with contextlib.suppress(OSError):
            signal.signal(signum, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    end_in_order(family)
    for path in _left_behind(sockets):
        with contextlib.suppress(OSError):
            os.unlink(path)


def bound_sockets() -> set[bytes] | None:
    """Names of all unix sockets that somebody has open; None if the kernel does not tell."""
    try:
        with open("/proc/net/unix", "rb") as table:
            # any user may have given a socket a name that is no text, or that ends like another
            rows = [line.rstrip(b"\n").split(maxsplit=7) for line in table]
    except OSError:
        return None
    return {row[7] for row in rows if len(row) == 8}


def _left_behind(paths: Sequence[str]) -> Iterator[str]:
    """Those of some paths that are sockets on which nobody listens."""
    bound = bound_sockets()
    if bound is None:
        return
    for path in paths:
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.lstat(path).st_mode) and os.fsencode(path) not in bound:
                yield path


def _numbers(names: Iterable[str]) -> list[signal.Signals]:
    return [getattr(signal, name) for name in names]


@contextlib.contextmanager
def warnings_held_back() -> Iterator[None]:
    """Let a program that is started through :func:`start` get no warning before it is deaf."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _numbers(WARNINGS))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start(parent: int, signum: int, argv: Sequence[str]) -> None:
    """Become a program that gets a signal when its parent dies, and is deaf to warnings.

    Parameters
    ----------
    parent : int
        The launcher's pid: it may have died before this is reached.
    signum : int
        The signal.
    argv : sequence of str
        The program's command line.
    """
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(128 + signum)
    for signum in _numbers(WARNINGS):
        signal.signal(signum, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _numbers(WARNINGS))  # see warnings_held_back()
    for signum in _numbers(("SIGPIPE", "SIGXFSZ")):  # Python ignores them: inherited, too
        signal.signal(signum, signal.SIG_DFL)
    try:
        os.execvp(argv[0], list(argv))
    except OSError as error:
        sys.exit(f"cannot start {argv[0]}: {error.strerror}")


if __name__ == "__main__":
    if sys.argv[1] == "watch":
        watch(sys.argv[2], sys.argv[3:])
    else:
        start(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
