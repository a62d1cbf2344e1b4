"""Averages in time of a value of each atom, as LAMMPS's ``fix ave/atom`` takes them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


class TimeAverage:
    """What ``fix ave/atom every repeat frequency`` averages in a run that begins at step 0.

    An average is made at each multiple of ``frequency``, of the ``repeat`` values that precede
    it ``every`` steps apart, its own step the last. With ``repeat`` 1 step 0 has one, too.

    Parameters
    ----------
    every, repeat, frequency : int
        LAMMPS's Nevery, Nrepeat, Nfreq.

    Raises
    ------
    ValueError
        If they do not fit together.
    """

    def __init__(self, every: int = 1, repeat: int = 1, frequency: int = 1) -> None:
        require_consistent(every, repeat, frequency)
        self.every, self.repeat, self.frequency = every, repeat, frequency
        self._taken = 0
        self._sums = np.zeros(0)

    def number(self, step: int) -> int | None:
        """Which value of an average is taken at a step, from 0; None if none is.

        Parameters
        ----------
        step : int
            From 0.
        """
        before = -step % self.frequency
        number = self.repeat - 1 - before // self.every
        if before % self.every or number < 0 or (step == 0 and self.repeat > 1):
            return None
        return number

    def add(self, step: int, values: np.ndarray) -> np.ndarray | None:
        """Take the values of a step for which :meth:`number` is not None.

        Parameters
        ----------
        step : int
        values : ndarray
            Always of one shape.

        Returns
        -------
        ndarray or None
            The average, where these were the last of it. An average whose first values were
            not given is none.
        """
        number = self.number(step)
        if number == 0:
            self._taken, self._sums = 0, np.zeros_like(values)
        if number is None or number != self._taken:
            return None
        self._sums = self._sums + values
        self._taken += 1
        return self._sums / self.repeat if self._taken == self.repeat else None

    def state(self) -> dict[str, np.ndarray]:
        """What the next averages depend on."""
        return {"taken": np.array(self._taken), "sums": self._sums.copy()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state that :meth:`state` gave."""
        self._taken, self._sums = int(state["taken"]), np.array(state["sums"], dtype=float)


def require_consistent(every: int, repeat: int, frequency: int) -> None:
    """Refuse what LAMMPS refuses: each positive, averages that do not overlap.

    Raises
    ------
    ValueError
        What is wrong.
    """
    if min(every, repeat, frequency) < 1:
        raise ValueError(
            f"every, repeat and frequency are 1 or more, not {every}, {repeat} and {frequency}"
        )
    if frequency % every:
        raise ValueError(f"frequency ({frequency}) must be a multiple of every ({every})")
    if every * repeat > frequency:
        raise ValueError(
            f"{repeat} values, each {every} steps apart, need {every * repeat} steps, but averages "
            f"are {frequency} steps apart (frequency): as in LAMMPS, every*repeat <= frequency"
        )
