"""Weights that follow the atoms from step to step: rebuilt at times, with a memory.

Seeds at a step → target weights → hysteresis → weights, which stay until the next rebuild.
The buffer around them is that of the geometry under evaluation, at every one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .groups import Groups
from .growth import Regions, build_regions, surround, union
from .neighbourhood import Neighbourhood
from .seed_rules import SeedRule


#: Weights that fall below, or rise above, are there (Birks et al., as their code has it).
SNAP_TO_ZERO, SNAP_TO_ONE = 0.01, 0.99
#: How the parts of a state that are the seed rule's are named.
RULE = "rule."


def part_of(state: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The part of a state whose names begin with a prefix, without it."""
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }


def relax_weights(
    weights: np.ndarray, target: np.ndarray, elapsed: float, *, tau_in: float, tau_out: float
) -> np.ndarray:
    """Weights on their way to what they should be: the hysteresis in time.

    w ← w + (w_target − w) min(elapsed / τ, 1), with τ_in for weights that rise and τ_out for
    those that fall; below 0.01 while falling a weight is 0, above 0.99 while rising it is 1
    (ML-MIX, Birks et al., npj Comput. Mater. 2026, doi:10.1038/s41524-026-01982-6).

    Parameters
    ----------
    weights, target : ndarray, shape (n,)
        From 0 to 1.
    elapsed : float
        fs since the weights were what they are.
    tau_in, tau_out : float
        fs; 0 for at once.

    Returns
    -------
    ndarray, shape (n,)
    """
    rises, falls = target > weights, target < weights
    shares = [min(elapsed / tau, 1.0) if tau > 0.0 else 1.0 for tau in (tau_in, tau_out)]
    found = weights + (target - weights) * np.where(rises, *shares)
    # a share of one is the target itself, not the target up to rounding
    for moves, share in ((rises, shares[0]), (falls, shares[1])):
        if share == 1.0:
            found[moves] = target[moves]
    found[falls & (found < SNAP_TO_ZERO)] = 0.0
    found[rises & (found > SNAP_TO_ONE)] = 1.0
    return found


class Following:
    """The regions of a run, step by step, shared by all its beads.

    Parameters
    ----------
    seeds : SeedRule
        Fixed or classified.
    n : int
        Atoms of the system.
    radii : mapping
        ``core``, ``blend`` (Å) and ``profile`` of :func:`mixpi.build_regions`.
    every : int
        Steps between rebuilds of the weights; 0 for those of the first step throughout.
    tau_in, tau_out : float
        fs; how slowly weights rise and fall (:func:`relax_weights`).
    leave : float
        Å; outer radius of the core (:func:`mixpi.build_regions`).
    groups : Groups, optional
        Of atoms that belong together.
    made_by : mapping of str to str, optional
        Settings in words, for the state: weights that other ones have made are no start.

    Attributes
    ----------
    timestep : float
        fs of a step.
    """

    def __init__(
        self,
        seeds: SeedRule,
        n: int,
        radii: Mapping[str, Any],
        *,
        every: int = 1,
        tau_in: float = 0.0,
        tau_out: float = 0.0,
        leave: float = 0.0,
        groups: Groups | None = None,
        made_by: Mapping[str, str] | None = None,
    ) -> None:
        self._made_by = dict(made_by or {})
        self._seeds, self._n, self._radii = seeds, n, dict(radii)
        self._every, self._leave, self._groups = every, leave, groups
        self._taus = {"tau_in": tau_in, "tau_out": tau_out}
        self.timestep = 0.0
        self._step: int | None = None
        self._seed_mask = np.zeros(n, dtype=bool)
        self._weights, self._core = np.zeros(n), np.zeros(n, dtype=bool)
        #: What for, bead → what is known of the surroundings.
        self._known: dict[tuple[float | None, int], Neighbourhood] = {}

    @property
    def weights(self) -> np.ndarray:
        """Those of the last step, shape (n,)."""
        return self._weights

    @property
    def rule(self) -> SeedRule:
        """Who knows the seeds."""
        return self._seeds

    @property
    def seeds(self) -> np.ndarray:
        """Mask (n,) of the seeds of the last step."""
        return self._seed_mask

    def regions(
        self,
        step: int,
        geometries: Sequence[np.ndarray],
        cells: Sequence[np.ndarray],
        buffers: Iterable[float],
    ) -> dict[float, Regions]:
        """The regions that all beads share, at a step.

        Parameters
        ----------
        step : int
            Ascending; a step that has been seen already keeps its weights.
        geometries : sequence of ndarray, shape (n, 3)
            Å.
        cells : sequence of ndarray, shape (3, 3)
            Rows are lattice vectors, Å; one a geometry.
        buffers : iterable of float
            Å.

        Returns
        -------
        dict of float to Regions
            By their buffer.
        """
        if self._step is None or step > self._step:
            self._go_on(step, geometries, cells)
        return {buffer: self._around(geometries, cells, buffer) for buffer in buffers}

    def state(self) -> dict[str, np.ndarray]:
        """All that later steps depend on, after the last one."""
        own = {"weights": self._weights, "core": self._core, "seeds": self._seed_mask}
        own["made_by"] = np.array(json.dumps(self._made_by))
        rule = {f"{RULE}{name}": value for name, value in self._seeds.state().items()}
        return {**own, **rule, "step": np.array(-1 if self._step is None else self._step)}

    def changed_since(self, state: Mapping[str, np.ndarray]) -> dict[str, tuple[str, str]]:
        """Settings that a state was made with and that are others now: name → then, now."""
        before = json.loads(str(state.get("made_by", "{}")))
        return {
            name: (before[name], now)
            for name, now in self._made_by.items()
            if before.get(name, now) != now
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state.

        Raises
        ------
        ValueError
            If it is of another number of atoms.
        """
        found = state["weights"].shape
        if found != (self._n,):
            raise ValueError(f"the state is of {found[0]} atoms, the system has {self._n}")
        self._weights = np.array(state["weights"], dtype=float)
        self._core = np.array(state["core"], dtype=bool)
        self._seed_mask = np.array(state["seeds"], dtype=bool)
        step = int(state["step"])
        self._step = None if step < 0 else step
        self._seeds.restore(part_of(state, RULE))

    def _go_on(
        self, step: int, geometries: Sequence[np.ndarray], cells: Sequence[np.ndarray]
    ) -> None:
        first, self._step = self._step is None, step
        self._seed_mask = self._seeds.at(step, geometries, cells[0])
        if not first and (self._every == 0 or step % self._every):
            return
        target = union(
            [
                build_regions(
                    positions,
                    cell,
                    self._seed_mask,
                    **self._radii,
                    buffer=0.0,
                    leave=self._leave,
                    was_core=self._core,
                    neighbourhood=self._neighbourhood(None, bead),
                )
                for bead, (positions, cell) in enumerate(zip(geometries, cells, strict=True))
            ]
        )
        weights, core = target.weights, target.core
        if self._groups:
            weights, core = self._groups.largest(weights), self._groups.any(core)
        if not first:
            elapsed = self.timestep * self._every
            weights = relax_weights(self._weights, weights, elapsed, **self._taus)
        self._weights, self._core = weights, core

    def _around(
        self, geometries: Sequence[np.ndarray], cells: Sequence[np.ndarray], buffer: float
    ) -> Regions:
        found = union(
            [
                surround(
                    positions,
                    cell,
                    self._weights,
                    buffer=buffer,
                    neighbourhood=self._neighbourhood(buffer, bead),
                )
                for bead, (positions, cell) in enumerate(zip(geometries, cells, strict=True))
            ]
        )
        return self._groups.with_whole_buffer(found, buffer) if self._groups else found

    def _neighbourhood(self, buffer: float | None, bead: int) -> Neighbourhood:
        return self._known.setdefault((buffer, bead), Neighbourhood())
