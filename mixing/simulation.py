"""What the mixing layer may know of the i-PI simulation that it computes forces for.

i-PI hands a PES positions and a cell, nothing else. The rest (which step this is, which
atoms, their masses and momenta, where the outputs go) stands in its ``Simulation`` object,
which registers itself for an orderly exit and is found there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ipi.engine import outputs as ipi_outputs
from ipi.engine.outputs import CheckpointOutput, PropertyOutput, TrajectoryOutput
from ipi.engine.simulation import Simulation
from ipi.utils.messages import get_identification_info
from ipi.utils.softexit import softexit
from ipi.utils.units import unit_to_user


@dataclass(frozen=True)
class OutputFile:
    """A file that i-PI writes.

    Attributes
    ----------
    path : Path
        As i-PI opened it.
    kind : {"properties", "trajectory"}
        Rows, or frames of atoms.
    """

    path: Path
    kind: str


class RunningSimulation:
    """The simulation that i-PI runs in this process.

    Parameters
    ----------
    simulation : ipi.engine.simulation.Simulation
        With one system.

    Attributes
    ----------
    first_step : int
        The step that this process begins with: 0, or that of a RESTART.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._system = simulation.syslist[0]
        self._start: list[np.ndarray] | None = None
        # before the first step, while it writes the start, i-PI counts from -1
        self.first_step = max(int(simulation.step), 0)

    @property
    def symbols(self) -> list[str]:
        """Chemical symbols in i-PI's order."""
        return [str(name) for name in self._system.beads.names]

    @property
    def masses(self) -> np.ndarray:
        """Masses (n,), Dalton."""
        return unit_to_user("mass", "dalton", np.array(self._system.beads.m))

    def step_of(self, geometries: Sequence[np.ndarray]) -> int:
        """The step that geometries under evaluation belong to: the one they are on the way to.

        The first ones are the start; a continued run evaluates that step once more.
        """
        if self._start is None:
            self._start = [np.array(positions) for positions in geometries]
            self._at_start = True
        elif self._at_start:
            self._at_start = all(map(np.array_equal, geometries, self._start))
        return self.first_step if self._at_start else int(self._simulation.step) + 1

    @property
    def step(self) -> int:
        """Steps done, while i-PI writes its output."""
        return int(self._simulation.step) + 1

    @property
    def time(self) -> float:
        """Time at the end of the last whole step, fs."""
        return float(unit_to_user("time", "femtosecond", float(self._system.ensemble.time)))

    def velocities(self, beads: int) -> list[np.ndarray] | None:
        """Velocities (n, 3) of each bead, Å/fs; None if there are not as many beads."""
        system = self._system.beads
        if system.nbeads != beads:
            return None
        unit = unit_to_user("length", "angstrom", 1.0) / unit_to_user("time", "femtosecond", 1.0)
        masses = np.array(system.m)[:, None]
        return [unit * np.array(p).reshape(-1, 3) / masses for p in system.p]

    def after_each_step(self, function: Callable[[], None]) -> None:
        """Call a function when i-PI writes its own output: at the end of a step."""
        self._simulation.outputs.append(_AsOutput(function))

    def files(self) -> list[OutputFile]:
        """The files of rows and frames that i-PI appends to."""
        found = []
        for output in self._simulation.outputs:
            if isinstance(output, CheckpointOutput):
                continue
            streams = output.out if isinstance(output.out, list) else [output.out]
            kind = {PropertyOutput: "properties", TrajectoryOutput: "trajectory"}.get(type(output))
            found += [OutputFile(Path(s.name), kind) for s in streams if s is not None and kind]
        return found


class _AsOutput:
    """What i-PI calls at the end of a step, between its own outputs."""

    def __init__(self, function: Callable[[], None]) -> None:
        self.write = function

    def active(self) -> bool:
        return True


def running_simulation() -> RunningSimulation | None:
    """The simulation of this process; None where a PES is used without one."""
    for function, *_ in softexit.flist:
        owner = getattr(function, "__self__", None)
        if isinstance(owner, Simulation) and len(owner.syslist) == 1:
            return RunningSimulation(owner)
    return None


def keep_restarts_readable() -> None:
    """Let i-PI write checkpoints that it can read in a folder with ``--`` in its name.

    It puts the working folder into a comment, where XML does not allow that.
    """
    ipi_outputs.get_identification_info = lambda: re.sub("-(?=-)", "- ", get_identification_info())
