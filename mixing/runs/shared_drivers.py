"""The drivers that several runs share, as their launcher keeps them: the relay and its crew."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ase import Atoms

from ..errors import MixpiError
from ..ipi.input import IpiInput
from ..run.crew import Crew
from ..run.journal import Connected, Dropped, Failed, JournalReader, Served, Warned
from ..run.processes import PYTHON_OUTPUT, Child, describe_end
from ..sockets.addresses import claim, unix_path
from ..sockets.server import MAX_ATTEMPTS
from ..sockets.shared import SHARED


#: s; how long the relay may take to dismiss the drivers.
PATIENCE = 5.0


class SharedDrivers:
    """The expensive drivers of several runs.

    Parameters
    ----------
    ipi_input : IpiInput
        That the runs are of.
    atoms : Atoms
        Its structure.
    logs : Path
        Where logs and drivers' folders are.
    runs : mapping of int to Path
        Number of a run → its configuration.
    say : callable
        Told what users should know.

    Attributes
    ----------
    served : dict of str to Served
        What each driver has done.
    """

    def __init__(
        self,
        ipi_input: IpiInput,
        atoms: Atoms,
        logs: Path,
        runs: Mapping[int, Path],
        say: Callable[[str], None],
    ) -> None:
        self._input, self._logs, self._runs, self._say = ipi_input, logs, dict(runs), say
        driver = getattr(ipi_input.config, SHARED)
        # each run may have as many replaced as if they were its own; and one that has a structure
        # that kills them must not end the others
        allowed = driver.max_restarts and driver.max_restarts * len(runs) + MAX_ATTEMPTS
        patient = driver.model_copy(update={"max_restarts": allowed})
        config = ipi_input.config.model_copy(update={SHARED: patient})
        self._crew = Crew(replace(ipi_input, config=config), atoms, logs, (SHARED,), say)
        self.served: dict[str, Served] = {}
        self._relay: Child | None = None

    @property
    def restarts(self) -> dict[str, int]:
        """Driver → times it was replaced."""
        return self._crew.restarts

    def start(self, stopping: Callable[[], bool]) -> None:
        """Start the relay, and the drivers once it listens.

        Parameters
        ----------
        stopping : callable
            Whether that is in vain.

        Raises
        ------
        MixpiError
            If a program or a file is missing.
        """
        log = self._logs / "relay.log"
        log.unlink(missing_ok=True)
        self._journal = JournalReader(self._logs / "relay.jsonl")
        words = ["--journal", str(self._journal.path), str(self._input.config_path)]
        words += [f"{number}={path}" for number, path in self._runs.items()]
        env = os.environ | PYTHON_OUTPUT | {"PYTHONUTF8": "1", "OMP_NUM_THREADS": "1"}
        # -P: what lies where it is started is no part of Python
        program = [sys.executable, "-P", "-m", "mixpi.runs.relaying"]
        self._relay = Child("relay", [*program, *words], cwd=self._logs, log=log, env=env)
        self._crew.start(self._relay, stopping)

    def look_after(self) -> None:
        """Replace drivers that died or hang.

        Raises
        ------
        MixpiError
            If there is no way to go on.
        """
        assert self._relay is not None  # it was started
        self._listen()
        if self._relay.returncode is not None:
            raise MixpiError(
                f"the relay of the shared drivers {describe_end(self._relay.returncode)}. Last "
                f"lines of {self._relay.log}:\n{self._relay.tail()}"
            )
        self._crew.look_after(bool(self.served), lambda: False)

    def stop(self) -> None:
        """End all; the relay says EXIT to the drivers."""
        if self._relay is not None:
            self._relay.ask_to_end(PATIENCE)
            with contextlib.suppress(MixpiError):
                self._listen()
        self._crew.stop()
        socket = getattr(self._input.config, SHARED).socket
        if socket.mode == "unix" and unix_path(socket.known_address).exists():
            with contextlib.suppress(MixpiError):  # another run may have taken it already
                claim(socket)

    def _listen(self) -> None:
        """Do what the relay's journal asks for."""
        for event in self._journal.news():
            match event:
                case Served():
                    self.served[event.driver] = event
                case Warned(text):
                    self._say(f"warning: {text}")
                case Failed(reason):
                    raise MixpiError(reason + self._crew.stories())
                case Connected() | Dropped():
                    self._crew.hear(event)
