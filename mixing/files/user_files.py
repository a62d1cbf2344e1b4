"""Files that others gave: opened only if they are what they should be.

A name may lead to a folder, a pipe that nobody writes to, a device without end, or
gigabytes of zeros; reading any of them would hang, fill the memory, or end in Python's words.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from ..errors import MixpiError


#: What is neither a file nor a folder, in words.
_SPECIAL = {
    stat.S_IFIFO: "a pipe (FIFO)",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
MiB = 1024**2


def special_kind(path: str | bytes | os.PathLike) -> str | None:
    """What a path is if it is neither a file nor a folder nor missing, in words."""
    try:
        return _SPECIAL.get(stat.S_IFMT(os.stat(path).st_mode))
    except (OSError, ValueError):
        return None


def require_file(path: Path, what: str, *, largest: int | None = None) -> int:
    """Refuse a path that leads to no ordinary, readable file.

    Parameters
    ----------
    path : Path
        Where it should be.
    what : str
        How messages call it, e.g. "structure".
    largest : int, optional
        Bytes; more are refused.

    Returns
    -------
    int
        Its size in bytes.

    Raises
    ------
    MixpiError
        If it is missing, a folder, a pipe, a device, too large, or not to be read.
    """
    with open_file(path, what, largest=largest) as stream:
        return os.fstat(stream.fileno()).st_size


def open_file(path: Path, what: str, *, largest: int | None = None) -> BinaryIO:
    """Open an ordinary file for reading; parameters and errors as :func:`require_file`."""
    try:
        if special := special_kind(path):
            raise MixpiError(f"cannot read {what} {path}: it is {special}, no ordinary file")
        # between the look and the opening it may have become a pipe, which must not block
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise MixpiError(f"cannot read {what} {path}: it does not exist") from None
    except IsADirectoryError:
        raise MixpiError(f"cannot read {what} {path}: it is a folder, no file") from None
    except OSError as error:
        raise MixpiError(f"cannot read {what} {_short(path)}: {error.strerror}") from None
    except ValueError as error:  # NUL, or what no file system can spell
        raise MixpiError(f"cannot read {what} {str(path)!r}: {error}") from None
    status = os.fstat(descriptor)
    reason = None
    if stat.S_ISDIR(status.st_mode):
        reason = "it is a folder, no file"
    elif not stat.S_ISREG(status.st_mode):
        reason = "it is a pipe or a device, no ordinary file"
    elif largest is not None and status.st_size > largest:
        reason = (
            f"it has {status.st_size / MiB:,.0f} MiB, more than the {largest / MiB:,.0f} MiB that "
            "such a file can sensibly have: is it another file?"
        )
    if reason:
        os.close(descriptor)
        raise MixpiError(f"cannot read {what} {path}: {reason}")
    return os.fdopen(descriptor, "rb")


def read_text(path: Path, what: str, *, largest: int) -> str:
    """The text of a file in UTF-8.

    Raises
    ------
    MixpiError
        As :func:`require_file`, or if it is no text in UTF-8.
    """
    with open_file(path, what, largest=largest) as stream:
        content = stream.read(largest)  # the kernel's own files say that they are empty
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MixpiError(f"{path} is not a text file in UTF-8: {error}") from None


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 200 else f"{text[:100]}...{text[-60:]}"
