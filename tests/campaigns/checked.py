"""``mixpi check`` on a folder, bounded in time and memory, and what became of it.

Starting Python and importing everything takes longer than most checks. So a server process
imports it once, and each check is a fork of it; some go through the real command line.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from conftest import clean_environment

from .campaign import Result


#: s; longer is hung.
DEADLINE = 60.0
#: Bytes of address space of the check and of each program that it starts.
MEMORY = 8 * 1024**3
#: The same for a program that is started: here the threads of others forbid to fork.
LIMITED = f'ulimit -v {MEMORY // 1024}; ulimit -c 0; exec "$@"'
#: Characters of a message that somebody reads.
LONGEST_MESSAGE = 4000
#: Torch keeps a folder for what it compiles, for all runs of a user.
KEPT_BY_TORCH = "torchinductor_"
#: What a file that was run leaves behind.
MARK = "pwned"

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["mixpi.cli", "mixpi.check.checking", "mixpi.check.drivers", "ipi"])


@dataclass(frozen=True)
class Checked:
    """What a check said, and what it left."""

    code: int | None
    out: str
    err: str
    left: list[str]


def check(place: Path, *arguments: str, through: str = "fork") -> Checked:
    """Check the folder ``place/case``.

    Parameters
    ----------
    place : Path
        Of the attempt; the check has ``place/tmp`` for what is temporary.
    arguments : str
        Of ``mixpi check``.
    through : {"fork", "program"}
        A fork of a process that has imported mixpi, or the program ``mixpi``.
    """
    folder, tmp = place / "case", place / "tmp"
    tmp.mkdir()
    before = _names(folder)
    streams = place / "out", place / "err"
    if through == "program":
        code, session = _program(folder, tmp, streams, arguments)
    else:
        process = _context.Process(target=_forked, args=(folder, tmp, streams, arguments))
        process.start()
        session = process.pid
        process.join(DEADLINE)
        code = process.exitcode
    left = _processes(session, folder)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    left = [f"process {pid}" for pid in left] if code is not None else []
    left += [f"temporary {p.name}" for p in tmp.iterdir() if not p.name.startswith(KEPT_BY_TORCH)]
    left += [f"file {name}" for name in sorted(_names(folder) - before)]
    out, err = (path.read_text(errors="replace") for path in streams)
    return Checked(code, out, err, left)


def judge(checked: Checked, *, accept: bool | None, says: str = "") -> Result:
    """The verdict.

    Parameters
    ----------
    checked : Checked
        What was seen.
    accept : bool or None
        Whether the folder is in order; None if either answer can be right.
    says : str
        What the message must contain.
    """
    shown = f"{checked.code}: {(checked.err.strip() or checked.out.strip())[-600:]}"
    if checked.code is None:
        return Result("hung", shown)
    if "Traceback" in checked.out + checked.err or "Fatal Python" in checked.err:
        return Result("traceback", checked.err[-1500:])
    if checked.left:
        return Result("left over", f"{', '.join(checked.left)} ({shown})")
    if checked.code == 0 and checked.out.rstrip().endswith("all in order"):
        accepted = True
    elif checked.code == 1 and "mixpi: error: " in checked.err:
        accepted = False
    else:
        return Result("wrong", f"neither accepted nor refused: {shown}")
    if accept is not None and accept != accepted:
        return Result("wrong", f"{'accepted' if accepted else 'refused'}: {shown}")
    message = checked.err[checked.err.find("mixpi: error: ") :]
    if not accepted and (len(message) > LONGEST_MESSAGE or says not in message):
        return Result("wrong", f"the message is not what it should be ({says!r}): {shown}")
    return Result("passed")


def environment(tmp: Path) -> dict[str, str]:
    return clean_environment() | {"TMPDIR": str(tmp)}


def _limits() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _forked(folder: Path, tmp: Path, streams: tuple[Path, Path], arguments: tuple) -> None:
    import tempfile

    from mixpi.cli import main

    os.setsid()
    for number, path in enumerate(streams, 1):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(descriptor, number)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    os.environ.update(environment(tmp))
    tempfile.tempdir = str(tmp)
    os.chdir(folder)
    _limits()
    sys.exit(main(["check", *arguments]))


def _program(
    folder: Path, tmp: Path, streams: tuple[Path, Path], arguments: tuple
) -> tuple[int | None, int]:
    with streams[0].open("wb") as out, streams[1].open("wb") as err:
        process = subprocess.Popen(
            [
                "bash",
                "-c",
                LIMITED,
                "-",
                Path(sys.executable).with_name("mixpi"),
                "check",
                *arguments,
            ],
            cwd=folder,
            env=environment(tmp),
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            return process.wait(DEADLINE), process.pid
        except subprocess.TimeoutExpired:
            return None, process.pid
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()


def _processes(session: int, folder: Path) -> list[int]:
    """What runs in the session of a check, or in its folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        try:
            inside = Path(os.readlink(entry / "cwd")).is_relative_to(folder.parent)
            if (inside or os.getsid(pid) == session) and not _is_zombie(entry):
                found.append(pid)
        except OSError:  # it has ended, or is not ours
            continue
    return found


def _is_zombie(entry: Path) -> bool:
    return entry.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "Z"


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
