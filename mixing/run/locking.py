"""One run in a folder at a time: the second would rename the files of the first."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import TextIO

from ..errors import MixpiError
from ..files.user_files import special_kind
from .guardian import own_family


#: The folder, beside the input, that holds the lock, and what drivers say.
LOGS = "logs"

#: Locks that this process holds until it ends.
_held: dict[Path, TextIO] = {}


def lock(logs: Path) -> TextIO:
    """Take a run's folder of logs for one process: until the file is closed.

    Whoever inherits the open file, as i-PI does, holds the lock as well.

    Raises
    ------
    MixpiError
        If it cannot be written to, or another process has it.
    """
    path = logs / "lock"
    if kind := special_kind(path):
        raise MixpiError(f"{path} is {kind}, no file that could be locked: remove it")
    try:
        logs.mkdir(exist_ok=True)
        stream = path.open("a")
    except OSError as error:
        raise MixpiError(
            f"cannot write into {logs} ({error.strerror}): run in a folder of your own"
        ) from None
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        stream.close()
        raise MixpiError(
            f"another run is active in {logs.parent}, or one that was killed is still ending: "
            "wait for it, or copy the input to a folder of its own"
        ) from None
    return stream


def hold_lock() -> None:
    """Let i-PI, started by hand in this folder, have the lock until it ends.

    One that ``mixpi run`` has started has the launcher's.

    Raises
    ------
    MixpiError
        If another process has it.
    """
    logs = Path(LOGS).absolute()
    if own_family() is None and logs not in _held:
        _held[logs] = lock(logs)
