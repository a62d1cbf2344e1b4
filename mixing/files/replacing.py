"""Files that are written anew as a whole: through no link, and never half."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ..errors import MixpiError
from .user_files import special_kind


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its name, then give it the name.

    What else has been linked to that name keeps its content, and a reader finds the old file
    or the new one.

    Parameters
    ----------
    path : Path
        Where it is to be.
    write : callable
        Writes the file that it is given; its name ends like that of ``path``.

    Raises
    ------
    MixpiError
        If the name is that of a device, a pipe or a socket, which it would take the place of.
    """
    if kind := special_kind(path):
        raise MixpiError(f"{path} is {kind}, not a file: give the output the name of a file")
    part = path.with_name(f".part.{path.name}")
    part.unlink(missing_ok=True)
    try:
        write(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def replace_text(path: Path, text: str) -> None:
    """As :func:`replace_file`, for a text."""
    replace_file(path, lambda part: part.write_text(text))
