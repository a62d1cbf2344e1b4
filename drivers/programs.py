"""Programs that drivers are started with: words of a command line, and where they lie."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from ..errors import MixpiError


def split_words(text: str, key: str) -> list[str]:
    """Words of a command line, quoted as in a shell.

    Parameters
    ----------
    text : str
        The command line.
    key : str
        Where it stands in the configuration, for the message.

    Returns
    -------
    list of str

    Raises
    ------
    MixpiError
        If a quote is not closed.
    """
    try:
        return shlex.split(text)
    except ValueError as error:
        raise MixpiError(f"{key}: {text!r}: {error}") from None


def own_path(name: str, folder: Path) -> str:
    """A file's path made absolute if it lies in a folder; other names as they are."""
    candidate = folder / os.path.expanduser(name)
    # not resolved: the python of a virtual environment is a link that must stay one
    return os.path.abspath(candidate) if candidate.is_file() else name


def find_program(name: str, folder: Path | None = None) -> str | None:
    """Absolute path of a program: in the folder, beside this Python, or on the PATH."""
    name = os.path.expanduser(name)
    own = own_path(name, folder) if folder else name
    if os.access(own, os.X_OK):
        name = own
    beside = Path(sys.executable).parent / name
    if os.sep not in name and beside.is_file() and os.access(beside, os.X_OK):
        return str(beside)
    found = shutil.which(name)
    # drivers run in folders of their own
    return os.path.abspath(found) if found else None


def launch_prefix(launch: str, key: str, folder: Path | None = None) -> list[str]:
    """The words that a launch prefix puts before a program, e.g. "srun --gpus 1".

    Parameters
    ----------
    launch : str
        As configured; files in it that have an ending or a path are found in the folder.
    key : str
        Where it stands in the configuration, for the message.
    folder : Path, optional
        Of the configuration.

    Returns
    -------
    list of str

    Raises
    ------
    MixpiError
        If its program is not found.
    """
    words = split_words(launch, key)
    if not words:
        return []
    program = find_program(words[0], folder)
    if program is None:
        raise MixpiError(f"launch prefix {words[0]!r} not found ({key})")
    # not a bare word: "4" and "srun" may be files too
    return [
        program,
        *(own_path(w, folder) if folder and {".", os.sep} & set(w) else w for w in words[1:]),
    ]
