"""Checkpoints of i-PI that are whole at any moment.

i-PI empties a checkpoint, or RESTART, and then writes it anew: a run that is killed in between
leaves nothing to continue from. Here each is written beside its name and takes the place of the
old one once it is on the disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from ipi.engine.outputs import CheckpointOutput

from ..files.replacing import replace_file
from ..files.working_folder import working_folder
from .checkpoint_text import write_numbers_at_once
from .continuing import keep_beside
from .run_state import append_state


State = Mapping[str, np.ndarray] | None

_ipi_write, _ipi_store = CheckpointOutput.write, CheckpointOutput.store


def keep_checkpoints_whole(say: Callable[[str], None], state: Callable[[], State]) -> None:
    """Let i-PI write all checkpoints and RESTARTs of this process beside their names first.

    A disk that is full, or a folder that is gone, then costs the new checkpoint, not the old
    one, and does not end the run.

    Parameters
    ----------
    say : callable
        Told what could not be written.
    state : callable
        What the mixing layer must remember, now; it is written with the state of i-PI that is
        taken at the same moment.
    """

    def store(self: CheckpointOutput) -> None:
        _ipi_store(self)
        self.mixpi_state = state()

    def write(self: CheckpointOutput, store: bool = True) -> None:
        if not self.active():
            return
        name, overwrite, continued = self.filename, self.overwrite, self._continued
        target = Path(name if overwrite else f"{name}_{self.step}")

        def write_part(part: Path) -> None:
            self.filename, self.overwrite, self._continued = str(part), True, True
            _ipi_write(self, store)
            if remembered := getattr(self, "mixpi_state", None):
                append_state(part, remembered)
            _to_disk(part)
            if not (overwrite and continued) and target.is_file():
                keep_beside(target)  # of an older run, or what this one continues

        try:
            with working_folder:
                replace_file(target, write_part)
            continued = True
        except OSError as error:
            say(
                f"{target.name} could not be written ({error.strerror or error}): what is there "
                "is older"
            )
        finally:
            self.filename, self.overwrite, self._continued = name, overwrite, continued

    CheckpointOutput.write, CheckpointOutput.store = write, store
    write_numbers_at_once()


def _to_disk(path: Path) -> None:
    """Wait until a file is on the disk, also for a power failure."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
