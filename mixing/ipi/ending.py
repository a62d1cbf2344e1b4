"""The end of a run that comes before all its steps are done: a time, or where an atom is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..regions.expression import Condition
from .dynamics_config import EndConfig
from .simulation import RunningSimulation


#: Relative; times that i-PI adds up step by step may be less by so much.
ROUNDING = 1e-9


class End:
    """Lets a run end.

    Parameters
    ----------
    config : EndConfig
        When.
    simulation : RunningSimulation
    symbols : sequence of str, length n
        Chemical symbols.
    rotation : ndarray, shape (3, 3)
        Row vectors in i-PI's frame times this are those in the user's.
    """

    def __init__(
        self,
        config: EndConfig,
        simulation: RunningSimulation,
        symbols: Sequence[str],
        rotation: np.ndarray,
    ) -> None:
        self._time, self._simulation = config.time, simulation
        self._symbols, self._rotation = list(symbols), rotation
        self._condition = Condition(config.where) if config.where is not None else None

    def see(self) -> None:
        """Look at the end of a step whether it was the last one."""
        if self._time is not None and self._simulation.time >= self._time * (1.0 - ROUNDING):
            self._simulation.end(f"'end: time', {self._time:g} fs, is reached")
        elif self._condition is not None:
            there = self._simulation.centroids @ self._rotation
            atoms = np.flatnonzero(self._condition.holds(there, self._symbols))
            if len(atoms):
                where = ", ".join(f"{x:.2f}" for x in there[atoms[0]])
                self._simulation.end(
                    f"atom {atoms[0]} (from 0, {self._symbols[atoms[0]]}) at ({where}) Å meets "
                    f"'end: where', {self._condition.text}"
                )
