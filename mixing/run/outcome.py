"""What became of a run: judged by what it has left and said, not by exit codes or clocks."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from dataclasses import dataclass, field
from pathlib import Path

from ..ipi.input import IpiInput
from ..output.checkpoints import (
    RESTART,
    Checkpoint,
    checkpoint_files,
    fingerprint,
    newest_checkpoint,
    read_checkpoint,
)


#: Bytes whose writing shows that there is room.
PROBE = 65536


@dataclass
class Outcome:
    """How a run ended.

    Attributes
    ----------
    status : {"finished", "stopped", "interrupted", "failed"}
        All steps done; ended early as the user has asked i-PI to (an EXIT file, total_time);
        ended by a signal to the launcher or to i-PI; failed.
    message : str
        Why, if not finished.
    restarts : dict
        Driver name → times it was replaced.
    warnings : list of str
        What the mixing layer found suspicious.
    signum : int or None
        The signal, if interrupted.
    seconds : float
        Wall time.
    """

    status: str = "failed"
    message: str = ""
    restarts: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    signum: int | None = None
    seconds: float = 0.0


class Evidence:
    """The files of a run, compared with what they were before it.

    Parameters
    ----------
    ipi_input : IpiInput
        The run, before it is started.
    """

    def __init__(self, ipi_input: IpiInput) -> None:
        self._input, self.folder = ipi_input, ipi_input.folder
        self._checkpoints = ipi_input.checkpoint_names
        stat = self.folder.stat()
        self._identity = stat.st_dev, stat.st_ino
        files = [self.folder / ipi_input.config.output.steps, self.folder / RESTART]
        self._before = {
            path: fingerprint(path)
            for path in [*files, *checkpoint_files(self.folder, self._checkpoints)]
        }

    def is_new(self, name: str) -> bool:
        """Whether a file beside the input was written by this run."""
        return self._is_new(self.folder / name)

    def _is_new(self, path: Path) -> bool:
        found = fingerprint(path)
        return found is not None and found != self._before.get(path)

    @property
    def restart(self) -> Checkpoint | None:
        """The RESTART of this run, if it is whole."""
        return read_checkpoint(self.folder / RESTART) if self.is_new(RESTART) else None

    def steps_done(self) -> int:
        """Steps according to the RESTART of this run; i-PI's log may be quiet."""
        found = self.restart
        return found.step if found else 0

    def newest_checkpoint(self) -> Checkpoint | None:
        """What the run can be continued from: a whole state of it, with steps left."""
        # what was there before is another run's, but for what this one has begun with
        foreign = [
            path
            for path in self._before
            if not self._is_new(path) and path.resolve() != self._input.path.resolve()
        ]
        return newest_checkpoint(self.folder, self._checkpoints, but=foreign)

    @property
    def folder_is_there(self) -> bool:
        """Whether the folder is still where it was."""
        try:
            stat = self.folder.stat()
        except OSError:
            return False
        return (stat.st_dev, stat.st_ino) == self._identity

    def surroundings(self) -> str | None:
        """Why nobody could have gone on writing here; None if it was not that."""
        if not self.folder_is_there:
            return f"{self.folder} was removed or renamed while the run went on"
        path = self.folder / f".mixpi-probe-{os.getpid()}"
        try:
            with path.open("wb") as stream:
                stream.write(bytes(PROBE))
        except OSError as error:
            return f"nothing can be written into {self.folder} any more: {error.strerror}"
        finally:
            with contextlib.suppress(OSError):
                path.unlink()
        return None


def asked_to_stop(log: str) -> tuple[str, str] | None:
    """Status and reason where i-PI ended early though nothing failed (it may call it a success).

    Parameters
    ----------
    log : str
        i-PI's. These lines stand in it whatever its verbosity.
    """
    if re.search(r"@SOFTEXIT:\s+EXIT file", log):
        return "stopped", "a file EXIT asked i-PI to stop; remove it before the run is continued"
    if re.search(r"@SOFTEXIT:\s+Maximum wallclock time elapsed", log):
        return "stopped", "i-PI reached its <total_time>"
    if re.search(r"@SOFTEXIT:\s+Kill signal", log):
        return "interrupted", "i-PI was told to stop by a signal from outside"
    return None


def judge(
    outcome: Outcome,
    evidence: Evidence,
    *,
    signum: signal.Signals | None,
    total_steps: int,
    failure: str | None,
    log: str,
    end: str,
    stories: str,
) -> None:
    """Fill in status, message and signal of an outcome that nobody else has explained.

    Parameters
    ----------
    outcome : Outcome
    evidence : Evidence
    signum : signal.Signals or None
        That ended the launcher's watch.
    total_steps : int
        Asked for.
    failure : str or None
        Why the mixing layer has given up.
    log : str
        i-PI's.
    end : str
        How i-PI ended, in words, with the last lines of its log.
    stories : str
        What drivers that ended badly have said.
    """
    if outcome.message:
        return
    asked = asked_to_stop(log)
    if evidence.steps_done() >= total_steps and not failure:
        outcome.status = "finished"
    elif signum:
        outcome.status, outcome.signum = "interrupted", signum
        outcome.message = f"stopped by {signum.name}"
    elif failure:
        outcome.message = failure + stories
    elif asked:
        outcome.status, outcome.message = asked
        if outcome.status == "stopped" and not evidence.restart:
            outcome.status = "failed"
            outcome.message += ". But there is no whole RESTART of this run, so its steps are lost"
        if outcome.status == "interrupted":
            outcome.signum = signal.SIGTERM
    elif "I-PI reports success" in log:
        outcome.status = "finished"  # as it sees it, without all steps
    else:
        outcome.message = end
    if outcome.status == "failed" and (reason := evidence.surroundings()):
        outcome.message = f"{reason}.\n{outcome.message}"
