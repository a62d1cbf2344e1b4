"""Names of files in a configuration: such as a file can have."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import AfterValidator


def _file_name(name: str) -> str:
    """A name that a file can have; ~ is the home folder."""
    if not name.strip() or "\n" in name or "\t" in name:
        raise ValueError("a file's name is needed, in one line and without tabs")
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in name.split("/")):
        raise ValueError(f"no file's name is longer than {LONGEST_NAME} bytes")
    if len(os.fsencode(name)) > LONGEST_PATH:
        raise ValueError(f"no path is longer than {LONGEST_PATH} bytes")
    return os.path.expanduser(name)


def _output_name(name: str) -> str:
    if os.path.basename(_file_name(name)) in ("", ".", ".."):
        raise ValueError(f"{name!r} is a folder's name, not a file's")
    return name


#: Bytes of a file's name, without its folders and with them, on all usual systems.
LONGEST_NAME, LONGEST_PATH = 255, 4095
FileName = Annotated[str, AfterValidator(_file_name)]
OutputName = Annotated[str, AfterValidator(_output_name)]
