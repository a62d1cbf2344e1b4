"""A time step that follows the fastest atom, inside i-PI's own integrator.

An atom of some 10 eV that meets another one needs steps of a thirtieth of a femtosecond, and a
thousand times as long passes before all is at rest. So each step is as long as the fastest atom
takes for a given distance, as LAMMPS's ``fix dt/reset`` has it. Where an atom turns round it is
slow for a moment, but its forces are at their largest: so a step is longer than the one before by
a few per cent at most.

The step is i-PI's own ``<timestep>``, which stands in its RESTART: a run that continues goes on
with the same steps. i-PI writes a RESTART only of motions that are exactly of its own classes, so
it is the ``step`` of the instance that is replaced.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from ipi.engine.simulation import Simulation
from ipi.utils.depend import dstrip
from ipi.utils.units import unit_to_internal

from ..errors import MixpiError
from .dynamics_config import TimeStepConfig
from .motions import parts_of


#: A step is at most this many times as long as the one before.
GROWTH = 1.05


def require_plain(motions: Iterable[tuple[str | None, list[int]]], beads: int) -> None:
    """Refuse dynamics that is not made for steps of changing length.

    Parameters
    ----------
    motions : iterable of (str or None, list of int)
        Of each part of the motion: its ensemble ("nve"), and the evaluations on each level of
        multiple time steps.
    beads : int

    Raises
    ------
    MixpiError
        What there is, and what works.
    """
    found = list(motions)
    if beads > 1:
        what = f"{beads} beads"
    elif len(found) != 1:
        what = f"{len(found)} motions"
    elif found[0][0] != "nve":
        what = f"the mode '{found[0][0]}'"
    elif found[0][1] != [1]:
        what = f"multiple time steps, <nmts> {found[0][1]}"
    else:
        return
    raise MixpiError(
        "'time_step:' of the configuration works in one <dynamics mode='nve'> of one bead without "
        f"multiple time steps, and the i-PI input has {what}: change that, or leave 'time_step:' "
        "out"
    )


def attach(simulation: Simulation, config: TimeStepConfig) -> None:
    """Let the time step of a simulation follow its fastest atom.

    Parameters
    ----------
    simulation : ipi.engine.simulation.Simulation
        Of one system, not bound yet.
    config : TimeStepConfig

    Raises
    ------
    MixpiError
        As :func:`require_plain`.
    """
    system = simulation.syslist[0]
    motions = parts_of(system.motion)
    parts = [
        (getattr(part, "enstype", None), [int(n) for n in getattr(part, "nmts", [])])
        for part in motions
    ]
    beads = getattr(getattr(system, "init", None), "nbeads", 0) or system.beads.nbeads
    require_plain(parts, int(beads))
    motions[0].step = _FollowingStep(motions[0], config).step


def is_attached(simulation: Simulation) -> bool:
    """Whether the time step of a simulation follows its atoms."""
    steps = [part.step for part in parts_of(simulation.syslist[0].motion)]
    return any(isinstance(getattr(step, "__self__", None), _FollowingStep) for step in steps)


class _FollowingStep:
    """What takes the place of a motion's step.

    Parameters
    ----------
    motion : ipi.engine.motion.Dynamics
    config : TimeStepConfig
    """

    def __init__(self, motion: Any, config: TimeStepConfig) -> None:
        self._motion, self._step, self._is_bound = motion, motion.step, False
        self._displacement = unit_to_internal("length", "angstrom", config.displacement)
        self._longest = unit_to_internal("time", "femtosecond", config.longest)

    def step(self, step: int | None = None) -> None:
        """One step of i-PI, as long as it may be."""
        if not self._is_bound:
            # i-PI takes them for constant, and would go on with those of the first step
            integrator = self._motion.integrator
            integrator._qdt_on_m.add_dependency(integrator._qdt)
            self._is_bound = True
        self._motion.dt = self._next()
        self._step(step)

    def _next(self) -> float:
        """Length of the coming step, atomic units."""
        beads = self._motion.beads
        velocities = (dstrip(beads.p) / dstrip(beads.m3)).reshape(-1, 3)
        fastest = float(np.sqrt(np.einsum("ij,ij->i", velocities, velocities).max()))
        longest = min(self._longest, GROWTH * self._motion.dt)
        return min(longest, self._displacement / fastest) if fastest > 0.0 else longest
