"""The files of a run as its mixing layer keeps them: rows, frames, and where they go on.

i-PI's files and ours are to be those of one run: what stands behind the step that a run
continues from is cut off, and what belongs to another run is put aside.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np

from ..output.checkpoints import RESTART
from ..output.continuing import OutputFile, cut_back, put_aside, require_no_gap
from ..output.frames import Evaluated, Frames, bead_paths
from ..output.records import WAITS, WAITS_FOR_CORRECTION, StepRecord, StepsFile
from ..run.journal import Progressed, journal
from ..sockets.server import say_aloud
from .ending import End
from .limits import Monitor
from .session import Session, fail
from .simulation import RunningSimulation


#: eV; by how much energies of the same geometry may differ when it is computed again.
SAME_ENERGY = 1e-3


class RunFiles:
    """What a layer that mixes writes.

    Parameters
    ----------
    session : Session
        Its configuration and structure.
    simulation : RunningSimulation or None
        i-PI's; None where the layer is used without one.
    beads : int
        Geometries of each evaluation.
    part : str
        What the layer computes.
    probes : bool
        Whether it looks at atoms outside the region.
    load : ndarray, shape (3,), optional
        Size of the constant forces of the simulation, for the frames, eV/Å.
    others : bool
        Whether further forces act, for the frames.

    Attributes
    ----------
    steps : StepsFile
    waits : list of str
        Pools that a row has a column for.

    Raises
    ------
    MixpiError
        If the files do not reach to the step that the run continues from.
    """

    def __init__(
        self,
        session: Session,
        simulation: RunningSimulation | None,
        *,
        beads: int,
        part: str,
        probes: bool = False,
        load: np.ndarray | None = None,
        others: bool = False,
    ) -> None:
        self._config, self._simulation, self._beads = session.config, simulation, beads
        self._evaluated: Evaluated | None = None
        self._end: End | None = None
        output = session.config.output
        first_step = simulation.first_step if simulation else 0
        if simulation:
            self._meet(simulation)
            monitor = Monitor(session.config.limits, simulation, say_aloud)
            simulation.after_each_step(
                partial(self._after_step, simulation, monitor), str(output.trajectory)
            )
            simulation.tell_of_lost_output(fail)
            if end := session.config.end:
                symbols = session.structure.get_chemical_symbols()
                self._end = End(end, simulation, symbols, session.rotation)
        waits = WAITS if part == "force" else WAITS_FOR_CORRECTION
        self.waits = list(waits)
        self.steps = StepsFile(
            output.steps, beads=beads, waits=waits, first_step=first_step, probes=probes
        )
        self._frames = Frames(
            output,
            session.structure,
            session.rotation,
            beads=beads,
            first_step=first_step,
            load=load,
            others=others,
        )
        if self._frames.wants_velocities and simulation and not simulation.velocities(beads):
            say_aloud(
                f"{output.trajectory} will hold no velocities: the forces are computed on a "
                "contracted ring polymer (nbeads='...' of <force>), whose beads have none"
            )

    def add(self, record: StepRecord, evaluated: Evaluated, *, first: bool) -> None:
        """Keep an evaluation: its row now, its frame at the end of the step.

        Parameters
        ----------
        record : StepRecord
            The row.
        evaluated : Evaluated
            For the frame.
        first : bool
            Whether it is the first of this process: a continued run has its row already, and
            i-PI has begun with its output.
        """
        self._evaluated = evaluated
        if first and self.steps.last.get("step") == record.step:
            self._compare_with_last(record)
        else:
            self.steps.add(record)
        journal.tell_progress(Progressed(record.step, record.core, record.blend, record.buffer))
        if first or self._simulation is None:
            self._write_frame(record.step)

    def _meet(self, simulation: RunningSimulation) -> None:
        """Let i-PI's files and ours be those of one run, this one."""
        step, given = simulation.first_step, sys.argv[1:]
        if step:
            output = self._config.output
            ours = [OutputFile(Path(output.steps), frames=False, stride=1)]
            paths = bead_paths(output.trajectory, self._beads) if output.trajectory else []
            ours += [OutputFile(path, frames=True, stride=output.stride) for path in paths]
            theirs = simulation.files()
            require_no_gap([*ours, *theirs], step, given[-1] if given else RESTART)
            cut_back(theirs, step, say_aloud)
        if Path(RESTART).exists() and RESTART not in given:
            put_aside(Path(RESTART))  # of an older run, which this one must not go on from

    def _compare_with_last(self, record: StepRecord) -> None:
        """Say where the files of a run and what continues it do not belong together."""
        last, output = self.steps.last, self._config.output.steps
        counts = record.core, record.blend, record.buffer
        before = tuple(int(last[name]) for name in ("core", "blend", "buffer"))
        if counts != before:
            say_aloud(
                f"at the step that this run continues from, core, blend and buffer had {before} "
                f"atoms and now have {counts}: seeds or radii have changed, or the RESTART is "
                "not of this run. The parts are not one simulation"
            )
        difference = record.potential - last["potential"]
        if abs(difference) > SAME_ENERGY + 1e-6 * abs(record.potential):
            say_aloud(
                f"at the step that this run continues from, {output} has an energy estimate of "
                f"{last['potential']:.6g} eV, now it is {record.potential:.6g} eV: the RESTART is "
                "not of this run, or the cheap potential has changed. The parts are not one "
                "simulation"
            )

    def _write_frame(self, step: int) -> None:
        """Write the frame of a step that has ended, if it has one."""
        # a motion that needs no forces, as replay, may have left the geometry behind
        found = self._evaluated
        if found is None or found.step != step or not self._frames.wants(step):
            return
        simulation = self._simulation
        velocities: list[np.ndarray] | None = None
        if simulation and self._frames.wants_velocities:
            velocities = simulation.velocities(len(found.geometries))
        time = simulation.time if simulation else None
        masses = simulation.masses if simulation else None
        self._frames.write(found, time=time, velocities=velocities, masses=masses)

    def _after_step(self, simulation: RunningSimulation, monitor: Monitor) -> None:
        step = simulation.step
        if step == simulation.first_step:
            return  # i-PI was still looking who writes at the start: the first evaluation does
        monitor.see(step)
        self._write_frame(step)
        if self._end:
            self._end.see()
