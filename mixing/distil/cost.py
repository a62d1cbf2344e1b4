"""Seconds that an evaluation costs, of both potentials, on one core, in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from ..drivers.lammps import LammpsSetup
from .basis import Basis
from .lammps_engine import loaded
from .measuring import Candidate


#: Evaluates a structure once; the seconds it took.
Timer = Callable[[Atoms], float]


@dataclass(frozen=True)
class Cost:
    """Microseconds per atom and evaluation.

    Attributes
    ----------
    expensive, cheap : float
        Medians.
    atoms : int
        Of the structure that was timed.
    ratio : float
        Median of the ratios of neighbouring measurements.
    """

    expensive: float
    cheap: float
    atoms: int
    ratio: float


def compare_cost(atoms: Atoms, expensive: Timer, cheap: Timer, *, repeats: int = 3) -> Cost:
    """Time both potentials on one structure, alternately, torch with one thread.

    Parameters
    ----------
    atoms : Atoms
        Large enough for the result to be proportional to the number of atoms.
    expensive, cheap : callable
        Evaluate ``atoms`` once and return the seconds it took.
    """
    with _one_thread():
        for warm_up in (expensive, expensive, cheap):
            warm_up(atoms)
        times = np.array([(expensive(atoms), cheap(atoms)) for _ in range(repeats)])
    scale = 1e6 / len(atoms)
    return Cost(
        float(np.median(times[:, 0])) * scale,
        float(np.median(times[:, 1])) * scale,
        len(atoms),
        float(np.median(times[:, 0] / times[:, 1])),
    )


def compare_costs(atoms: Atoms, timers: Sequence[Timer], *, repeats: int = 3) -> list[float]:
    """Time several potentials on one structure, in turns, torch with one thread.

    Parameters
    ----------
    atoms : Atoms
        Large enough for the result to be proportional to the number of atoms.
    timers : sequence of callable
        Evaluate ``atoms`` once and return the seconds it took.

    Returns
    -------
    list of float
        Medians, µs an atom.
    """
    with _one_thread():
        for timer in timers:
            timer(atoms)
        times = np.array([[timer(atoms) for timer in timers] for _ in range(repeats)])
    return [float(t) for t in np.median(times, axis=0) * 1e6 / len(atoms)]


def large_enough(frame: Atoms, fewest: int) -> Atoms:
    """A frame repeated until it has at least so many atoms."""
    atoms, axis = frame.copy(), 0
    while len(atoms) < fewest:
        atoms = atoms * [2 if k == axis % 3 else 1 for k in range(3)]
        axis += 1
    return atoms


def timer_of(candidate: Candidate, basis: Basis) -> Timer:
    """Timer of a written potential: in LAMMPS, if that knows its style."""
    if candidate.in_lammps:
        return time_lammps(candidate.setup)
    return time_calculator(basis.calculator(candidate.written))


def time_calculator(calculator: Calculator) -> Timer:
    """Timer of an ASE calculator, for :func:`compare_cost`."""

    def evaluate(atoms: Atoms) -> float:
        fresh = atoms.copy()
        fresh.calc = calculator
        if hasattr(calculator, "reset"):  # or it would hand out what it has
            calculator.reset()
        start = time.perf_counter()
        fresh.get_forces()
        return time.perf_counter() - start

    return evaluate


def time_lammps(setup: LammpsSetup, *, steps: int = 40) -> Timer:
    """Timer of a LAMMPS potential: a step of its own dynamics, neighbour lists included.

    What counts is processor time, which other programs on the machine disturb little.
    """

    def evaluate(atoms: Atoms) -> float:
        # a bad potential would lose atoms; good ones never move them so far in a step
        commands = ["timestep 0.001", "fix move all nve/limit 0.1", "run 5"]
        with loaded(atoms, setup, commands) as lmp:
            start = time.process_time()
            lmp.command(f"run {steps} pre no post no")
            return (time.process_time() - start) / steps

    return evaluate


class _one_thread:
    """Torch on one thread inside the block, if torch is there at all."""

    def __enter__(self) -> None:
        try:
            import torch
        except ImportError:
            self._torch = None
            return
        self._torch, self._before = torch, torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        if self._torch:
            self._torch.set_num_threads(self._before)
