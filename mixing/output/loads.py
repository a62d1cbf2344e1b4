"""What each driver of a run has computed, written when the run ends."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files.replacing import replace_text
from ..sockets.load import Load


#: Beside the input; of the run that was here last.
LOADS_FILE = "mixpi.load.json"


def write_loads(folder: Path, seconds: float, loads: Mapping[str, Load]) -> None:
    """Write the loads of all drivers.

    Parameters
    ----------
    folder : Path
        Of the input.
    seconds : float
        For which they were measured.
    loads : mapping
        Driver name → what it has done.
    """
    drivers = {name: vars(load) for name, load in loads.items()}
    with contextlib.suppress(OSError):  # the disk is full: the run has its reasons without this
        replace_text(folder / LOADS_FILE, json.dumps({"seconds": seconds, "drivers": drivers}))


def forget_loads(folder: Path) -> None:
    """Remove those of an older run."""
    with contextlib.suppress(OSError):
        (folder / LOADS_FILE).unlink()


def read_loads(folder: Path) -> dict[str, Any]:
    """The loads of a run's drivers, ready for its report.

    Returns
    -------
    dict
        ``measured_s``, and ``drivers``: name → ``evaluations``, ``seconds``, and ``share`` of the
        measured time. Empty if the run has left none, or no time to measure.
    """
    try:
        found = json.loads((folder / LOADS_FILE).read_text())
        seconds, drivers = float(found["seconds"]), found["drivers"]
        if not seconds > 0.0:
            return {}
        return {
            "measured_s": seconds,
            "drivers": {
                name: {**load, "share": load["seconds"] / seconds} for name, load in drivers.items()
            },
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
