"""The states of i-PI that a run has left, and the newest that it can be continued from."""

from __future__ import annotations

import glob
import hashlib
import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import MixpiError
from ..files.xml_files import parse_xml


#: What i-PI writes when it ends.
RESTART = "RESTART"


@dataclass(frozen=True)
class Checkpoint:
    """A whole state.

    Attributes
    ----------
    path : Path
    step : int
        Steps done.
    total_steps : int
        Of the whole simulation.
    """

    path: Path
    step: int
    total_steps: int

    @property
    def has_steps_left(self) -> bool:
        """Whether there is anything to continue."""
        return self.step < self.total_steps


def read_checkpoint(path: Path) -> Checkpoint | None:
    """The state in a file; None if it is none, or not whole."""
    try:
        root = parse_xml(path, "the state")
        if root.find("./system/beads") is None:  # an input has no positions in it
            return None
        step = int(root.findtext("step", "").strip())
        return Checkpoint(path, step, int(root.findtext("total_steps", "1000").strip()))
    except (MixpiError, ValueError):  # i-PI ended while it wrote it
        return None


def checkpoint_files(folder: Path, names: Iterable[str] = ()) -> list[Path]:
    """The files of a folder that may hold states of i-PI.

    Parameters
    ----------
    folder : Path
    names : iterable of str
        Files of ``<checkpoint>``, as :attr:`mixpi.ipi.input.IpiInput.checkpoint_names`.
    """
    found = [folder / RESTART]
    for name in names:
        path = folder / name
        # without overwrite='True' each has a number behind its name
        found += [path, *path.parent.glob(f"{glob.escape(path.name)}_*")]
    return [path for path in found if os.path.isfile(path)]


def way_on(state: Checkpoint, folder: Path, *, inside: bool = False) -> str:
    """The command that continues a run, for a shell.

    Parameters
    ----------
    state : Checkpoint
    folder : Path
        Where i-PI ran: names in its input are relative to that.
    inside : bool
        Whether it will be given there; else where we are.
    """

    def name(path: Path) -> str:
        try:
            return shlex.quote(os.path.relpath(path, folder if inside else None))
        except FileNotFoundError:  # nobody is in a folder that is gone
            return shlex.quote(str(path))

    path = folder / state.path.name
    run = f"mixpi run {name(path)}"
    return run if state.path.parent == folder else f"cp {name(state.path)} {name(path)} && {run}"


def newest_checkpoint(
    folder: Path,
    names: Iterable[str] = (),
    *,
    but: Sequence[Path] = (),
    up_to: int | None = None,
) -> Checkpoint | None:
    """The whole state of the highest step; None if there is none with steps left.

    Parameters
    ----------
    folder : Path
        Where i-PI ran.
    names : iterable of str
        Files of ``<checkpoint>``.
    but : sequence of Path
        Files that are not of this run.
    up_to : int, optional
        States of higher steps are another run's, too.
    """
    files = [path for path in checkpoint_files(folder, names) if path not in but]
    found = [one for path in files if (one := read_checkpoint(path))]
    found = [one for one in found if up_to is None or one.step <= up_to]
    newest = max(found, key=lambda one: one.step, default=None)
    return newest if newest and newest.has_steps_left else None


def fingerprint(path: Path) -> tuple | None:
    """What tells a file from what it was before; None without one.

    Its times do not: clocks are set, and files are touched.
    """
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            digest = hashlib.sha256()
            for begin in (0, max(0, size - 65536)):  # a state has its step at its beginning
                stream.seek(begin)
                digest.update(stream.read(65536))
            return path.stat().st_ino, size, digest.hexdigest()
    except OSError:
        return None
