"""Numbers that no sane run meets: the run stops before they enter its dynamics.

A driver that returns forces of 1e30 eV/Å, atoms on top of one another, a time step that is too
long: what follows is a run whose atoms are everywhere, and whose search for neighbours takes
hours. Below the limits, warnings say early that something is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ..blend.clusters import Cluster
from ..errors import MixpiError
from ..regions.periodic import PeriodicCell
from ..regions.positions import beyond
from ..regions.search import distance_to_nearest
from .dynamics_config import LimitsConfig
from .simulation import RunningSimulation


#: What a rise of the temperature is compared with is at least this, K: relaxing atoms heat up.
COLD = 1_000.0
#: Steps between two looks at the conserved quantity, which i-PI takes long to find.
EVERY = 10
#: What helps against all of these.
WAY_OUT = (
    "If the dynamics has exploded, go on from an older state (RESTART, or a checkpoint) with a "
    "shorter time step, or look at the frames before this step for atoms that come too close. If "
    "such numbers are meant, raise 'limits: {key}' in the configuration"
)


class Limits:
    """Refuses absurd positions, velocities and forces.

    Parameters
    ----------
    config : LimitsConfig
        The limits.
    symbols : sequence of str, length n
        For messages.
    """

    def __init__(self, config: LimitsConfig, symbols: Iterable[str]) -> None:
        self._config, self._symbols = config, list(symbols)

    def require_positions(self, positions: np.ndarray, unit: float, step: str) -> None:
        """Refuse atoms that are far out of all cells.

        Parameters
        ----------
        positions : ndarray, shape (n, 3)
            In any unit.
        unit : float
            Å.
        step : str
            How messages call the step.

        Raises
        ------
        MixpiError
            Which atom, where, and what to do.
        """
        atom = beyond(positions, self._config.position / unit)
        if atom is None:
            return
        where = unit * positions[atom]
        there = ", ".join(f"{x:.4g}" for x in where)
        if not np.isfinite(where).all():
            raise MixpiError(
                f"i-PI's positions are NaN or infinite at {step} (atom {atom}, from 0, "
                f"{self._symbols[atom]}): the dynamics has exploded"
            )
        raise MixpiError(
            f"atom {atom} (from 0, {self._symbols[atom]}) is at ({there}) Å "
            f"at {step}, further out than {self._config.position:g} Å. "
            + WAY_OUT.format(key="position")
        )

    def require_temperature(self, simulation: RunningSimulation, step: str) -> None:
        """Refuse velocities of another world; those of all atoms together count.

        Raises
        ------
        MixpiError
            How hot it is, and what to do.
        """
        most = self._config.temperature
        if simulation.highest_temperature <= most or simulation.temperature <= most:
            return
        raise MixpiError(
            f"the temperature is {simulation.temperature:.3g} K at {step}, the most is "
            f"{most:g} K. " + WAY_OUT.format(key="temperature")
        )

    def require_forces(
        self,
        pool: str,
        forces: np.ndarray,
        cluster: Cluster | None,
        geometry: tuple[np.ndarray, np.ndarray],
        step: str,
    ) -> None:
        """Refuse forces beyond the limit.

        Also those of the cheap potential in the core, which move no atom: the energy estimate
        has them in it. Those on the surroundings in a cluster count for nothing.

        Parameters
        ----------
        pool : str
            Whose they are.
        forces : ndarray, shape (m, 3)
            eV/Å.
        cluster : Cluster or None
            The m atoms; None for the whole system.
        geometry : tuple of ndarray, shapes (n, 3) and (3, 3)
            Positions and lattice vectors, Å.
        step : str
            How messages call the step.

        Raises
        ------
        MixpiError
            Which atom, whose force, how close its nearest neighbour is, and what to do.
        """
        limit = self._config.force
        row = beyond(forces, limit)
        if row is not None and cluster is not None and cluster.weights[row] == 0.0:
            row = beyond(np.where(cluster.weights[:, None] > 0.0, forces, 0.0), limit)
        if row is None:
            return
        atom = row if cluster is None else int(cluster.indices[row])
        size = float(np.abs(forces[row]).max())
        raise MixpiError(
            f"the {pool} driver's force on atom {atom} (from 0, {self._symbols[atom]}"
            f"{_neighbour(atom, *geometry)}) is {size:.3g} eV/Å at {step}, the most is "
            f"{limit:g} eV/Å. " + WAY_OUT.format(key="force")
        )


def _neighbour(atom: int, positions: np.ndarray, cell: np.ndarray) -> str:
    """How far the nearest atom is, if one is near."""
    others = np.delete(positions, atom, axis=0)
    try:
        distance = distance_to_nearest(PeriodicCell(cell), positions[atom][None], others, 6.0)[0]
    except ValueError:  # a cell that is much smaller than that
        return ""
    return f", {distance:.3g} Å from the nearest atom" if np.isfinite(distance) else ""


class Monitor:
    """Says early that a run heats up, or that its conserved quantity drifts.

    Each is said once, and again when it has doubled since.

    Parameters
    ----------
    config : LimitsConfig
        From when on.
    simulation : RunningSimulation
        Of this run.
    say : callable
        What says it.
    """

    def __init__(
        self, config: LimitsConfig, simulation: RunningSimulation, say: Callable[[str], None]
    ) -> None:
        usual = max(simulation.ensemble_temperature, simulation.temperature, COLD)
        self._hot = config.warn_temperature or 5.0 * usual
        self._drift, self._simulation, self._say = config.warn_drift, simulation, say
        self._start: float | None = None

    def see(self, step: int) -> None:
        """Look at the end of a step."""
        if self._simulation.highest_temperature > self._hot:
            self._see_temperature(step, self._simulation.temperature)
        if step % EVERY == 0:
            self._see_drift(step, self._simulation.conserved)

    def _see_temperature(self, step: int, temperature: float) -> None:
        if temperature > self._hot:
            self._say(
                f"the temperature is {temperature:.4g} K at step {step}, more than "
                f"{self._hot:.4g} K: is the time step too long, or do atoms come too close? (The "
                "run stops at 'limits: temperature')"
            )
            self._hot = 2.0 * temperature

    def _see_drift(self, step: int, conserved: float) -> None:
        if self._start is None:
            self._start = conserved
        moved = (conserved - self._start) / len(self._simulation.masses)
        if abs(moved) > self._drift:
            self._say(
                f"the conserved quantity has moved by {moved:+.4g} eV per atom since this run "
                f"began, at step {step}: more than {self._drift:.4g}. Is the time step too long, "
                "or does the cheap potential fit the expensive one badly?"
            )
            self._drift = 2.0 * abs(moved)
