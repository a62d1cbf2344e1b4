"""Seconds that an evaluation costs, of both potentials, on one core, in turns."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from ..drivers.lammps import LammpsSetup
from .lammps_engine import loaded


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


def compare_cost(atoms: Atoms, expensive, cheap, *, repeats: int = 3) -> Cost:
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


def time_calculator(calculator):
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


def time_lammps(setup: LammpsSetup, *, steps: int = 40):
    """Timer of a LAMMPS potential: a step of its own dynamics, neighbour lists included."""

    def evaluate(atoms: Atoms) -> float:
        # a bad potential would lose atoms; good ones never move them so far in a step
        commands = ["timestep 0.001", "fix move all nve/limit 0.1", "run 5"]
        with loaded(atoms, setup, commands) as lmp:
            start = time.perf_counter()
            lmp.command(f"run {steps} pre no post no")
            return (time.perf_counter() - start) / steps

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

    def __exit__(self, *_) -> None:
        if self._torch:
            self._torch.set_num_threads(self._before)
