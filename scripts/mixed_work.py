"""The energy that mixed forces make: measured for many ways of mixing along one trajectory.

H = K + Σ w e_expensive + (1 − w) e_cheap, of site energies, would be conserved if the blended
forces were its gradient. What it changes by is heat out of nothing. Along any trajectory a way
of mixing would change it by ∫ w (F_expensive − F_cheap)·dR + Δ Σ w (e_expensive − e_cheap),
whoever moves the atoms. By trapezoids, and for the way that moves them, that is what velocity
Verlet changes K + V − dt² Σ F² / 8m by, exactly: the oscillation of its energy is not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import units
from mixed_system import EXACT, Known, System, Way
from mixpi.blend.blending import without_net_force
from mixpi.regions.following import Following
from mixpi.regions.seed_rules import FixedSeeds


class Works:
    """The heat that each way of mixing would have made so far.

    Parameters
    ----------
    system : System
        Who evaluates.
    ways : sequence of Way
        The first one moves the atoms.
    first : Known
        Where frozen weights are from, and the differences of site energies in the bulk.
    timestep : float
        fs between evaluations.
    memory : mapping of str to ndarray, optional
        Of weights that depend on earlier ones: :meth:`memory` of what this continues.
    """

    def __init__(
        self,
        system: System,
        ways: Sequence[Way],
        first: Known,
        timestep: float,
        memory: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self._system, self.ways = system, list(ways)
        self._followings = {way.weights_alone: self._following(way, timestep) for way in ways}
        for way in ways:
            following = self._followings[way.weights_alone]
            if way.every == 0:
                following.regions(0, [first.positions], [system.cell], ())
            elif memory and way.remembers:
                start = f"{way.name}: "
                following.restore(
                    {k.removeprefix(start): v for k, v in memory.items() if k.startswith(start)}
                )
        self._offsets = {name: self._offset(first, name) for name in system.cheap}
        self._before: Known | None = None
        self._pulls: list[tuple[np.ndarray, np.ndarray]] = []
        #: Σ w (e_expensive − e_cheap − offset) of each way, eV.
        self.shift = np.zeros(len(ways))
        self._work = np.zeros(len(ways))

    @property
    def heats(self) -> np.ndarray:
        """Of each way, eV, up to a constant, shape (ways,)."""
        return self._work + self.shift

    def weights(self, way: Way) -> np.ndarray:
        """Those of the last evaluation, shape (n,)."""
        return self._followings[way.weights_alone].weights

    def memory(self) -> dict[str, np.ndarray]:
        """All that weights depend on, to continue from; there the first evaluation is the last."""
        return {
            f"{way.name}: {key}": np.array(1) if key == "step" else value
            for way in self.ways
            if way.remembers
            for key, value in self._followings[way.weights_alone].state().items()
        }

    def _following(self, way: Way, timestep: float) -> Following:
        n = len(self._system.numbers)
        following = Following(
            FixedSeeds(np.isin(np.arange(n), self._system.seeds)),
            n,
            {"core": way.core, "blend": way.blend, "profile": way.profile},
            every=way.every,
            tau_in=way.tau_in,
            tau_out=way.tau_out,
            leave=way.leave,
        )
        following.timestep = timestep
        return following

    def _offset(self, known: Known, name: str) -> np.ndarray:
        """By how much the site energies (n,) of each species differ; median over all."""
        numbers, difference = self._system.numbers, known.sites - known.cheap_sites[name]
        offsets = np.zeros(len(numbers))
        for number in np.unique(numbers):
            offsets[numbers == number] = np.median(difference[numbers == number])
        return offsets

    def add(self, step: int, known: Known) -> np.ndarray:
        """Go on to an evaluation.

        Parameters
        ----------
        step : int
            From 1.
        known : Known
            What was found there.

        Returns
        -------
        ndarray, shape (n, 3)
            What the first way adds to the cheap forces, eV/Å.
        """
        for following in self._followings.values():
            following.regions(step, [known.positions], [self._system.cell], ())
        pulls: list[tuple[np.ndarray, np.ndarray]] = []
        for number, way in enumerate(self.ways):
            w = self.weights(way)
            inside = np.flatnonzero(w)
            accurate = known.forces
            if way.expensive != EXACT:
                accurate = self._system.approximate(known.positions, w, way.expensive)
            pull = w[inside, None] * (accurate - known.cheap_forces[way.cheap])[inside]
            pulls.append((inside, pull))
            if self._before is not None:
                moved = known.positions - self._before.positions
                for atoms, force in (self._pulls[number], pulls[number]):
                    self._work[number] += 0.5 * float(np.sum(force * moved[atoms]))
            difference = known.sites - known.cheap_sites[way.cheap] - self._offsets[way.cheap]
            self.shift[number] = w[inside] @ difference[inside]
        self._before, self._pulls = known, pulls
        added = np.zeros_like(known.positions)
        inside, pull = pulls[0]
        added[inside] = pull
        return added


@dataclass
class State:
    """Of the atoms: Å, Å per ASE's unit of time."""

    positions: np.ndarray
    velocities: np.ndarray

    @classmethod
    def load(cls, path: Path) -> State:
        with np.load(path) as found:
            return cls(found["positions"], found["velocities"])


def thermal(system: System, temperature: float, seed: int | Sequence[int]) -> State:
    """In the crystal's sites, with velocities of a temperature."""
    m = system.masses[:, None]
    width = np.sqrt(units.kB * temperature / m)
    velocities = width * np.random.default_rng(seed).standard_normal((len(m), 3))
    velocities -= (m * velocities).sum(axis=0) / m.sum()
    return State(system.atoms.positions.copy(), velocities)


def move(
    state: State,
    masses: np.ndarray,
    evaluate: Callable[[int, np.ndarray], np.ndarray],
    *,
    steps: int,
    timestep: float,
    each: Callable[[State], None] | None = None,
    bath: tuple[float, float, np.random.Generator] | None = None,
) -> None:
    """Velocity Verlet, with ``bath`` (K, fs, random numbers) Langevin dynamics.

    ``evaluate`` gets the number of the step and the positions; ``each`` is called when positions
    and velocities belong to the same time, from step 0 on.
    """
    m, dt = masses[:, None], timestep * units.fs
    forces = evaluate(0, state.positions)
    if each:
        each(state)
    for step in range(1, steps + 1):
        state.velocities += 0.5 * dt * forces / m
        if bath is None:
            state.positions = state.positions + dt * state.velocities
        else:
            temperature, tau, generator = bath
            keep = np.exp(-timestep / tau)
            width = np.sqrt((1.0 - keep**2) * units.kB * temperature / m)
            state.positions = state.positions + 0.5 * dt * state.velocities
            noise = generator.standard_normal(state.velocities.shape)
            state.velocities = keep * state.velocities + width * noise
            state.positions = state.positions + 0.5 * dt * state.velocities
        forces = evaluate(step, state.positions)
        state.velocities += 0.5 * dt * forces / m
        if each:
            each(state)


def temperature_of(state: State, masses: np.ndarray) -> float:
    """K, of the 3 N − 3 velocities that are free."""
    twice = float(np.sum(masses[:, None] * state.velocities**2))
    return twice / ((3 * len(masses) - 3) * units.kB)


def settle(
    system: System, way: Way, state: State, temperature: float, seed: int, timestep: float
) -> State:
    """Bring a state to equilibrium: 3 ps of the cheap potential, 1 ps of mixed forces.

    2 ps of these alone where there are several species: the cheap potential may not know one.
    """
    knows_all = len(np.unique(system.numbers)) == 1
    bath = (temperature, 100.0, np.random.default_rng([seed, 1]))
    engine = system.cheap[way.cheap]

    def by_cheap(step: int, positions: np.ndarray) -> np.ndarray:
        return engine.evaluate(system.numbers, positions, system.cell)[1]

    if knows_all:
        steps = round(3000 / timestep)
        move(state, system.masses, by_cheap, steps=steps, timestep=timestep, bath=bath)
    works = Works(system, [way], system.know(state.positions), timestep)

    def by_both(step: int, positions: np.ndarray) -> np.ndarray:
        known = system.know(positions)
        forces = known.cheap_forces[way.cheap] + works.add(step + 1, known)
        return without_net_force(forces, system.masses)[0]

    steps = round((1000 if knows_all else 2000) / timestep)
    move(state, system.masses, by_both, steps=steps, timestep=timestep, bath=bath)
    centre = system.masses @ state.velocities / system.masses.sum()
    state.velocities -= centre
    return state


def run_piece(
    system: System,
    ways: Sequence[Way],
    path: Path,
    before: Path,
    origin: Path,
    *,
    steps: int,
    timestep: float,
) -> None:
    """NVE by the forces of the first way, on from a piece or a state; heats of all, into a file.

    ``origin`` is the state that frozen weights are from.
    """
    state = State.load(before)
    with np.load(before) as found:
        memory = {key: found[key] for key in found.files if ": " in key}
    first = system.know(State.load(origin).positions)
    works = Works(system, ways, first, timestep, memory)
    heats, energies, temperatures = [], [], []
    potential = 0.0

    def evaluate(step: int, positions: np.ndarray) -> np.ndarray:
        nonlocal potential
        known = system.know(positions)
        forces = known.cheap_forces[ways[0].cheap] + works.add(step + 1, known)
        heats.append(works.heats)
        potential = known.cheap_energy[ways[0].cheap] + float(works.shift[0])
        return without_net_force(forces, system.masses)[0]

    def each(now: State) -> None:
        kinetic = 0.5 * float(np.sum(system.masses[:, None] * now.velocities**2))
        energies.append(kinetic + potential)
        temperatures.append(temperature_of(now, system.masses))

    move(state, system.masses, evaluate, steps=steps, timestep=timestep, each=each)
    np.savez(
        path,
        positions=state.positions,
        velocities=state.velocities,
        names=[way.name for way in ways],
        timestep=timestep,
        atoms=len(system.numbers),
        weighted=[int((works.weights(way) > 0.0).sum()) for way in ways],
        heats=np.array(heats),
        energies=np.array(energies),
        temperatures=np.array(temperatures),
        **works.memory(),
    )
