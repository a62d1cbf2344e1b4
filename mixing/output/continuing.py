"""Files of a run that is continued: cut back to the step of the RESTART.

What was written after the state that a run goes on from is computed again, and would
stand twice. What is cut off is kept beside the file, under i-PI's kind of name. Files that
end before that state belong to another run, or have lost their end.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import MixpiError


#: How i-PI marks a frame, in the line behind the number of atoms (xyz, extxyz) or as a title.
_IPI_FRAME = re.compile(rb"Step:\s+(\d+)")
#: How :mod:`mixpi.output.frames` does.
_OWN_FRAME = re.compile(rb"\bstep=(\d+)\b")


@dataclass(frozen=True)
class OutputFile:
    """A file that grows with the steps.

    Attributes
    ----------
    path : Path
    frames : bool
        Whether it holds frames of atoms; else rows.
    stride : int
        Steps from one to the next.
    """

    path: Path
    frames: bool
    stride: int


def require_no_gap(files: Iterable[OutputFile], step: int, state: str) -> None:
    """Refuse to go on behind the end of a file: the steps between would be missing in it.

    Parameters
    ----------
    files : iterable of OutputFile
        Those that are not there, are empty, or cannot be read are not looked at.
    step : int
        Of the state that the run goes on from.
    state : str
        Its file, for the message.

    Raises
    ------
    MixpiError
        Which file ends too early, and the ways out.
    """
    for file in files:
        steps = last_steps(file)
        if not steps:
            continue
        spacing = max(file.stride, steps[-1] - steps[-2] if len(steps) > 1 else 0)
        if step - steps[-1] >= spacing:
            raise MixpiError(
                f"{file.path} ends with step {steps[-1]}, and {state} is a state of step {step}: "
                "the steps between would be missing. Continue from an older state, or, to begin "
                "new files behind the gap, move the old ones to another folder"
            )


def last_steps(file: OutputFile) -> list[int]:
    """The last two steps in a file, or as many as there are."""
    if not os.path.isfile(file.path) or file.path.stat().st_size == 0:
        return []
    if not file.frames:
        column = step_column(file.path)
        return [] if column is None else _last_rows(file.path, column)
    return _whole_frames(file.path)[1][-2:]


def _last_rows(path: Path, column: int) -> list[int]:
    steps: deque[int] = deque(maxlen=2)
    with path.open(errors="replace") as stream:
        for line in stream:
            words = line.split()
            # the last row may have been broken off
            if line.endswith("\n") and not line.startswith("#") and len(words) > column:
                with contextlib.suppress(ValueError):
                    if not steps or int(float(words[column])) != steps[-1]:
                        steps.append(int(float(words[column])))
    return list(steps)


def cut_back(files: Iterable[OutputFile], step: int, say: Callable[[str], None]) -> None:
    """Take from files what is going to be computed again.

    Parameters
    ----------
    files : iterable of OutputFile
    step : int
        The last that stays.
    say : callable
        Told of files that cannot be cut.
    """
    for file in files:
        if file.frames:
            if file.path.stat().st_size and not holds_frames(file.path):
                say(
                    f"{file.path.name} is in a format whose frames mixpi cannot tell apart: "
                    f"those behind step {step} may stand twice in it"
                )
            else:
                cut_frames(file.path, step)
            continue
        column = step_column(file.path)
        if column is not None:
            cut_table(file.path, step, column)
        elif file.path.stat().st_size:
            say(
                f"{file.path.name} has no column 'step': rows behind step {step} may stand twice "
                "in it"
            )


def cut_table(path: Path, step: int, column: int) -> None:
    """Cut rows of numbers back to a step; comments stay.

    Parameters
    ----------
    path : Path
        Text; rows in ascending order of steps.
    step : int
        The last step that stays.
    column : int
        Which column holds the step, from 0.
    """

    def begins(line: bytes) -> bool:
        words = line.split()
        if not words or words[0].startswith(b"#"):
            return False
        try:
            return float(words[column]) > step
        except (IndexError, ValueError):
            return True  # broken off in the middle

    with path.open("rb") as stream:
        position = 0
        for line in stream:
            if begins(line) or not line.endswith(b"\n"):
                break
            position += len(line)
    _cut(path, position)


def cut_frames(path: Path, step: int) -> int | None:
    """Cut frames of atoms back to a step; a last frame that is not whole goes too.

    Parameters
    ----------
    path : Path
        xyz, extended xyz, pdb or extras of i-PI, or extended xyz of mixpi.
    step : int
        The last step that stays.

    Returns
    -------
    int or None
        The step of the last frame that is left; None if there is none.
    """
    end, steps = _whole_frames(path, step)
    if end is not None:
        _cut(path, end)
    return steps[-1] if steps else None


def _whole_frames(path: Path, last: float = math.inf) -> tuple[int | None, list[int]]:
    """Where the last whole frame up to a step ends, and the steps of all; None without frames."""
    if path.stat().st_size == 0:
        return None, []
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as text:
        mark = _IPI_FRAME if _IPI_FRAME.search(text) else _OWN_FRAME
        marks = [(found.start(), int(found[1])) for found in mark.finditer(text)]
        if not marks:
            return None, []
        above = text[: marks[0][0]].count(b"\n")  # lines of a frame over the one with its step
        begins = [_line_start(text, position, above) for position, _ in marks] + [len(text)]
        size = _lines_of_a_frame(text, begins, above)
        left = next((k for k, (_, its) in enumerate(marks) if its > last), len(marks))
        end = _behind(text, begins[left - 1], size) if left else 0
        if end is None:  # broken off in the middle
            left -= 1
            end = begins[left]
    return end, [its for _, its in marks[:left]]


def holds_frames(path: Path) -> bool:
    """Whether there are frames in a file that :func:`cut_frames` can tell apart."""
    with path.open("rb") as stream:
        begin = stream.read(1_000_000)
    return bool(_IPI_FRAME.search(begin) or _OWN_FRAME.search(begin))


def _line_start(text: mmap.mmap, position: int, above: int) -> int:
    """Where the line begins that is so many lines above a position."""
    for _ in range(above + 1):
        position = text.rfind(b"\n", 0, position)
    return position + 1


def _lines_of_a_frame(text: mmap.mmap, begins: list[int], above: int) -> int:
    """How many lines a frame has: as many as it says itself, or as the first."""
    first = text[begins[0] : begins[1]]
    atoms = first.split(maxsplit=1)[0]
    return int(atoms) + 2 if above == 1 and atoms.isdigit() else first.count(b"\n")


def _behind(text: mmap.mmap, position: int, lines: int) -> int | None:
    """Where so many whole lines end; None if there are not as many."""
    for _ in range(lines):
        position = text.find(b"\n", position) + 1
        if position == 0:
            return None
    return position


def step_column(path: Path) -> int | None:
    """In which column of a file of i-PI's or ours the step stands, from 0; None without one."""
    with path.open(errors="replace") as stream:
        for line in stream:
            if not line.startswith("#"):
                return None
            found = re.match(r"#\s*column\s+(\d+)\s*(?:-->\s*)?step\b", line)
            if found:
                return int(found[1]) - 1
    return None


def put_aside(path: Path) -> None:
    """Rename a file as i-PI does, to ``#name#0#`` or the next number that is free.

    Raises
    ------
    MixpiError
        If it is no file: a folder, a device, a pipe.
    """
    if not path.is_file() and not path.is_symlink():
        raise MixpiError(f"{path} is no regular file: it cannot be put aside. Give another name")
    path.rename(_free_name(path))


def keep_beside(path: Path) -> None:
    """Give a file a second name, that of :func:`put_aside`, before it is replaced."""
    try:
        os.link(path, _free_name(path))
    except OSError:  # a file system without such links
        put_aside(path)


def _free_name(path: Path) -> Path:
    number = 0
    while os.path.lexists(name := path.with_name(f"#{path.name}#{number}#")):
        number += 1
    return name


def _cut(path: Path, position: int) -> None:
    """Shorten a file that another stream may have open for appending."""
    if position >= path.stat().st_size:
        return
    with path.open("rb") as stream, _free_name(path).open("wb") as kept:
        stream.seek(position)
        shutil.copyfileobj(stream, kept)
    os.truncate(path, position)
