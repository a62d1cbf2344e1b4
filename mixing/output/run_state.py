"""What the mixing layer must remember, inside i-PI's own states: RESTART and checkpoints.

It stands in a comment behind the simulation, which i-PI does not read. So it is always that of
the state in the same file, at whatever stride states are written, and copied and renamed with
it.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import textwrap
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import MixpiError


_COMMENT = "<!-- mixpi: state of the mixing layer\n{}\n-->\n"
_FOUND = re.compile(r"<!-- mixpi: state of the mixing layer\n([A-Za-z0-9+/=\s]*)-->")
#: Characters of a line.
LINE = 120


def append_state(path: Path, state: Mapping[str, np.ndarray]) -> None:
    """Write a state behind a checkpoint of i-PI.

    Parameters
    ----------
    path : Path
        XML.
    state : mapping of str to ndarray
        No objects among the arrays.
    """
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **state)
    text = base64.b64encode(packed.getvalue()).decode()
    with path.open("a") as stream:
        stream.write(_COMMENT.format("\n".join(textwrap.wrap(text, LINE))))


def read_state(path: Path) -> dict[str, np.ndarray] | None:
    """The state in a checkpoint; None if there is none.

    Parameters
    ----------
    path : Path
        An input of i-PI, or a checkpoint.

    Raises
    ------
    MixpiError
        If it is damaged.
    """
    found = _FOUND.search(path.read_text(errors="replace"))
    if not found:
        return None
    try:
        packed = io.BytesIO(base64.b64decode("".join(found[1].split()), validate=True))
        with np.load(packed, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (binascii.Error, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise MixpiError(
            f"{path}: the state of the mixing layer, a comment at its end, is damaged ({error}). "
            "Continue from another checkpoint, or delete the comment to let regions and energy "
            "estimate start anew"
        ) from None
