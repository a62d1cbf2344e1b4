"""A run seen from outside: its processes by what they do, what it left, its trajectory.

Of the package only its reader of the steps file is used, and the name of what runs as i-PI: what
it says of itself is on trial.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read
from ase.io.formats import UnknownFileTypeError
from conftest import Case, clean_environment
from mixpi.output.records import read_steps
from mixpi.run.running import ENTRY

from .campaign import VERDICTS, Result


#: In the environment of all that a watched run starts: the pid's working folder may be gone.
MARK = "CAMPAIGN_ATTEMPT"
#: s; how long processes may take to go once the launcher has ended, on a busy machine.
PATIENCE = 15.0


@dataclass(frozen=True)
class Process:
    """A line of the kernel's list."""

    pid: int
    parent: int
    argv: tuple[str, ...]
    cwd: Path | None

    def __str__(self) -> str:
        return f"{self.pid} ({shlex.join(self.argv)[:120]}, in {self.cwd})"


@dataclass
class Problems:
    """What was found wrong; of several verdicts the worst is the attempt's."""

    found: list[tuple[str, str]] = field(default_factory=list)

    def add(self, verdict: str, detail: str) -> None:
        self.found.append((verdict, detail))

    @contextlib.contextmanager
    def looked_at(self, what: str) -> Iterator[None]:
        """While files of a run are read: what cannot be read is wrong."""
        try:
            yield
        except (OSError, ValueError, KeyError, IndexError, UnknownFileTypeError) as error:
            self.add("wrong", f"{what} cannot be read: {error!r}")

    def result(self) -> Result:
        if not self.found:
            return Result("passed")
        worst = min((verdict for verdict, _ in self.found), key=VERDICTS.index)
        return Result(worst, "; ".join(f"{verdict}: {text}" for verdict, text in self.found))


class Watch:
    """Starts runs of a case and knows everything that descends from them.

    As a context it ends all of it, and removes what is left at the sockets' names.

    Parameters
    ----------
    case : Case
    output : Path
        Where what the launchers print is kept, one file a start.
    """

    def __init__(self, case: Case, output: Path) -> None:
        self.case, self._output, self._started = case, output, 0
        self.launcher: subprocess.Popen | None = None
        self._tag = case.folder.as_posix()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_) -> None:
        for _ in range(20):  # until nothing starts another one
            processes = self.processes()
            if not processes:
                break
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            time.sleep(0.05)
        if self.launcher is not None:
            self.launcher.wait(10)
        for path in self.sockets():
            path.unlink() if path.is_symlink() or not path.is_dir() else path.rmdir()

    @property
    def environment(self) -> dict[str, str]:
        environment = clean_environment() | {MARK: self._tag}
        environment.pop("PYTHONPATH", None)  # the campaign's own
        return environment

    def start(self, *arguments: str) -> subprocess.Popen:
        """``mixpi`` with such arguments, in the case's folder."""
        return self.start_program([sys.executable, "-m", "mixpi.cli", *arguments])

    def start_program(self, argv: list[str], **options) -> subprocess.Popen:
        """Any program that starts ``mixpi``; options are those of ``Popen``."""
        self._started += 1
        with self.output_file.open("wb") as stream:
            options = {
                "cwd": self.case.folder,
                "env": self.environment,
                "stdin": subprocess.DEVNULL,
                "stdout": stream,
                "stderr": subprocess.STDOUT,
                "start_new_session": True,
                **options,
            }
            self.launcher = subprocess.Popen(argv, **options)
        return self.launcher

    @property
    def output_file(self) -> Path:
        return self._output.with_name(f"{self._output.name}.{self._started}")

    def output(self) -> str:
        """What the latest launcher has printed."""
        return self.output_file.read_text(errors="replace")

    def wait(self, seconds: float) -> int | None:
        """The launcher's exit code, None if it has not ended within so many seconds."""
        try:
            return self.launcher.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def processes(self) -> list[Process]:
        """All that this run has started and that has not ended."""
        # a shell that starts has a zero in the place of each "=" for a while
        mark = re.compile(
            rb"\b%b[=\0]%b(\0|$)" % tuple(map(os.fsencode, (MARK, re.escape(self._tag))))
        )
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                marked = mark.search(_environment(folder)) is not None
                cwd = _link(folder / "cwd")
                if marked or (cwd is not None and cwd.is_relative_to(self.case.folder)):
                    status = (folder / "stat").read_text().rpartition(")")[2].split()
                    if status[0] in "ZX":  # has ended, and waits for its parent
                        continue
                    argv = (folder / "cmdline").read_bytes().split(b"\0")[:-1]
                    words = tuple(os.fsdecode(word) for word in argv)
                    found.append(Process(int(folder.name), int(status[1]), words, cwd))
        return found

    def roles(self) -> dict[str, list[Process]]:
        """Who does what; "around a driver" are the shells of drivers, and guardians."""
        processes = self.processes()
        parents = {process.parent for process in processes}
        roles: dict[str, list[Process]] = {}
        for process in processes:
            folder = process.cwd.name if process.cwd else ""
            pool = next((p for p in ("cheap", "expensive") if folder.startswith(f"{p}-")), None)
            last = process.pid not in parents
            if self.launcher is not None and process.pid == self.launcher.pid:
                role = "launcher"
            elif ENTRY in process.argv:
                role = "i-PI"
            elif pool and last:
                role = f"{pool} driver"
            elif pool or any("guardian" in word for word in process.argv):
                role = "around a driver"
            else:
                role = "other"  # who looks at the input before the run
            roles.setdefault(role, []).append(process)
        return roles

    def sockets(self) -> list[Path]:
        """What is at the names of the case's sockets."""
        addresses = [self.case.config[p].get("socket", {}) for p in ("cheap", "expensive")]
        paths = [Path(f"/tmp/ipi_{s['address']}") for s in addresses if s.get("address")]
        return [path for path in paths if os.path.lexists(path)]

    def locked(self) -> bool:
        """Whether somebody holds the lock of the case's folder."""
        try:
            path = self.case.folder / "logs" / "lock"
            # it may be a pipe, which must not be waited for
            with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def left_over(self, *, sockets=True, lock=True, patience: float = PATIENCE) -> str:
        """What has not gone within a while after the launcher; "" if nothing."""

        def left() -> list[str]:
            things = [str(process) for process in self.processes()]
            things += [str(path) for path in self.sockets() if sockets]
            return things + ["the lock"] * (lock and self.locked())

        end = time.monotonic() + patience
        while (things := left()) and time.monotonic() < end:
            time.sleep(0.05)
        return ", ".join(things)

    def evaluations(self) -> int:
        """Rows of the steps file."""
        return rows(self.case.folder / "mix.steps")

    def until(self, condition: Callable[[], bool], seconds: float = 60.0, every=0.005) -> bool:
        """Wait for a condition while the launcher runs; whether it came true."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end or self.launcher.poll() is not None:
                return condition()
            time.sleep(every)
        return True

    def recommended(self) -> list[str] | None:
        """The words behind ``mixpi`` of what the launcher says to continue with."""
        found = re.findall(r"continue with: mixpi (run .+)$", self.output(), re.M)
        return shlex.split(found[-1]) if found else None


def _environment(folder: Path) -> bytes:
    """Of a process; the kernel shows none while a program takes the place of another."""
    before = None
    for _ in range(200):
        found = (folder / "environ").read_bytes()
        words = (folder / "stat").read_text().rpartition(")")[2].split()
        # memory, the end of its code (known when all is in its place), its environment
        now = [words[number] for number in (20, 24, 47, 48)]
        if found or (now == before and (now[0] == "0" or now[1] != "0")):
            break
        before = now
        time.sleep(0.005)
    return found


def _link(path: Path) -> Path | None:
    try:
        return Path(os.readlink(path).removesuffix(" (deleted)"))
    except OSError:
        return None


def rows(path: Path) -> int:
    """Whole lines of a table, without its comments; 0 without the file."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError:
        return 0
    return sum(not line.startswith(b"#") for line in lines)


def step_of(path: Path) -> int | None:
    """The step of a whole RESTART or checkpoint of i-PI's; None for anything else."""
    try:
        text = path.read_text()
        whole = text.partition("<!-- mixpi")[0].rstrip().endswith("</simulation>")
        root = ElementTree.fromstring(text) if whole else None
    except (OSError, ValueError, ElementTree.ParseError):
        return None
    if root is None or root.find(".//beads") is None:  # an input has no positions in it
        return None
    return int(root.findtext("step") or 0)


def newest_checkpoint(folder: Path) -> tuple[int, Path] | None:
    """The whole checkpoint of the highest step, as somebody would choose who looks for one."""
    found: Iterator[tuple[int, Path]] = (
        (step, path)
        for path in sorted(folder.iterdir())
        if path.is_file() and not path.name.startswith("#") and (step := step_of(path)) is not None
    )
    return max(found, default=None)


@dataclass(frozen=True)
class Trajectory:
    """All that a run wrote: steps by file, and what must be the same in two runs."""

    steps: Mapping[str, list[int]]
    positions: np.ndarray
    potential: np.ndarray

    def difference(self, other: Trajectory, tolerance: float) -> str:
        """How it differs from an undisturbed one; "" if it does not.

        Parameters
        ----------
        other : Trajectory
        tolerance : float
            Å for positions (print precision), and ten times that in eV for the energy estimate.
        """
        for name, wanted in other.steps.items():
            if (found := self.steps.get(name)) != wanted:
                return f"{name} has steps {_short(found)}, not {_short(wanted)}"
        away = float(np.abs(self.positions - other.positions).max())
        if not away <= tolerance:
            return f"positions differ by up to {away:.2g} Å"
        away = float(np.abs(self.potential - other.potential).max())
        if not away <= 10 * tolerance:
            return f"the energy estimate differs by up to {away:.2g} eV"
        return ""


def _short(steps: list[int] | None) -> str:
    if not steps:
        return "none"
    jumps = [b for a, b in itertools.pairwise(steps) if b != a + (steps[1] - steps[0])]
    return f"{steps[0]} to {steps[-1]} ({len(steps)})" + (f", odd at {jumps[:5]}" if jumps else "")


def trajectory(folder: Path) -> Trajectory:
    """Read what a run has written into a folder.

    Raises
    ------
    OSError, ValueError
        If a file is missing, or cannot be read.
    """
    steps = read_steps(folder / "mix.steps")
    empty = not rows(folder / "md.out")
    table = np.zeros((0, 1)) if empty else np.loadtxt(folder / "md.out", ndmin=2)
    found = {
        "mix.steps": [int(step) for step in steps["step"]],
        "mix.steps (evaluations)": [int(number) for number in steps["evaluation"]],
        "md.out": [int(step) for step in table[:, 0]],
    }
    positions = []
    for path in sorted(folder.glob("md.pos_*.extxyz")):
        frames = _frames(path)
        comments = [frame.info["ipi_comment"] for frame in frames]
        found[path.name] = [int(text.split("Step:")[1].split()[0]) for text in comments]
        positions.append([frame.positions for frame in frames])
    for path in sorted(folder.glob("mix*.extxyz")):
        found[path.name] = [frame.info["step"] for frame in _frames(path)]
    return Trajectory(found, np.array(positions), np.asarray(steps["potential"]))


def go_on(problems: Problems, watch: Watch, words: list[str], deadline: float) -> bool:
    """Continue a run that has ended, with ``mixpi`` and such words; whether it finished."""
    watch.start(*words, "--no-reference", "--quiet")
    code, again = watch.wait(deadline), f"mixpi {shlex.join(words)}"
    if code is None:
        problems.add("hung", f"{again} has not ended {deadline:g} s later")
    elif code:
        problems.add("wrong", f"{again} ended with {code}: {watch.output()[-500:]}")
    if left := watch.left_over():
        problems.add("left over", f"after {again}: {left}")
    return code == 0


_lock = threading.Lock()
_known: dict[tuple[str, Path], Trajectory] = {}


def undisturbed(name: str, make: Callable[[Path, str], Case], parent: Path) -> Trajectory:
    """The trajectory of a case that nobody disturbs; it is computed once.

    Parameters
    ----------
    name : str
        Cases of the same name are the same.
    make : callable
        Makes the case: parent folder, name of its own folder.
    parent : Path
        Where.
    """
    with _lock:
        if (name, parent) not in _known:
            case = make(parent, f"undisturbed-{len(_known)}")
            output = case.folder.with_name(f"{case.folder.name}.output")
            with Watch(case, output) as watch:
                watch.start("run", "input.xml", "--no-reference", "--quiet")
                code = watch.wait(120.0)
                assert code == 0, f"the undisturbed run ended with {code}: {watch.output()}"
            found = _known[name, parent] = trajectory(case.folder)
            steps = found.steps["mix.steps"]
            assert len(steps) > 10 and steps == list(range(len(steps))), steps
        return _known[name, parent]


def _frames(path: Path) -> list[Atoms]:
    return read(path, ":") if path.stat().st_size else []
