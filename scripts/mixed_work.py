"""The energy that mixed forces make: measured for many ways of mixing along one trajectory.

H = K + Σ w e_expensive + (1 − w) e_cheap, of site energies, would be conserved if the blended
forces were its gradient. What it changes by is heat out of nothing. Along any trajectory a way
of mixing would change it by ∫ w (F_expensive − F_cheap)·dR + Δ Σ w (e_expensive − e_cheap),
whoever moves the atoms. To first order in the mismatch that is a random walk, because forces do
not change when time is turned round and velocities do. Dynamics under forces that depend on
positions alone keeps the volume of phase space, so that ⟨exp(−ΔH/kT)⟩ = 1 from equilibrium (as in
C. Jarzynski, Phys. Rev. Lett. 78, 2690, 1997): the walk has a drift upwards, its variance / 2kT.
So the spread of the work along one trajectory tells what each way would heat by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from mixpi.blend.blending import without_net_force
from mixpi.blend.clusters import extract_cluster
from mixpi.config import load_config
from mixpi.drivers.lammps_cluster import LammpsClusterEngine
from mixpi.drivers.symmetrix_engine import SymmetrixEngine
from mixpi.regions.following import Following
from mixpi.regions.growth import build_regions, surround
from mixpi.regions.seed_rules import FixedSeeds
from mixpi.structure import read_structure


ROOT = Path(__file__).parent.parent
#: Of the expensive forces: those of the whole cell, or of what is evaluated around all ways.
EXACT = "exact"


@dataclass(frozen=True)
class Way:
    """One way of mixing; Å, fs.

    ``cheap`` names a potential of the system; ``expensive`` is "exact", a tuple of the buffer of a
    carved cluster, or the two radii of a partial evaluation.
    """

    core: float
    blend: float
    profile: str = "linear"
    every: int = 1
    tau_in: float = 0.0
    tau_out: float = 0.0
    leave: float = 0.0
    cheap: str = ""
    expensive: str | tuple[float, ...] = EXACT

    @property
    def weights_alone(self) -> tuple:
        """What the weights depend on."""
        return (self.core, self.blend, self.profile, self.every, self.tau_in, self.tau_out,
                self.leave)  # fmt: skip

    @property
    def name(self) -> str:
        """One line."""
        parts = [f"{self.profile if self.blend else 'abrupt'} {self.core:g}/{self.blend:g}"]
        parts += ["frozen"] if self.every == 0 else []
        parts += [f"every {self.every}"] if self.every > 1 else []
        parts += [
            f"{key} {getattr(self, key):g}"
            for key in ("tau_in", "tau_out", "leave")
            if getattr(self, key)
        ]
        parts += [self.cheap] if self.cheap else []
        if self.expensive != EXACT:
            kind = "buffer" if len(self.expensive) == 1 else "partial"
            parts.append(f"{kind} {'/'.join(f'{radius:g}' for radius in self.expensive)}")
        return ", ".join(parts)


@dataclass
class Known:
    """What the potentials say of one geometry; NaN where they were not asked.

    Forces (n, 3) in eV/Å, site energies (n,) in eV; of the cheap ones by name.
    """

    positions: np.ndarray
    forces: np.ndarray
    sites: np.ndarray
    cheap_energy: dict[str, float] = field(default_factory=dict)
    cheap_forces: dict[str, np.ndarray] = field(default_factory=dict)
    cheap_sites: dict[str, np.ndarray] = field(default_factory=dict)


class System:
    """An example with its potentials, in this process.

    Parameters
    ----------
    case : str
        Folder in ``ipi_inputs``.
    cheap : mapping of str to sequence of str, optional
        Further cheap potentials: LAMMPS lines, files relative to the folder.
    around : tuple of float, optional
        Instead of the whole cell: site energies and features (Å) of partial evaluation, and the
        core and blend (Å) of the region that it is around.
    expensive : sequence of str, optional
        LAMMPS lines of a potential that stands in for the model, to have longer trajectories.
    atoms : Atoms, optional
        Others than the example's; ``info`` has the seeds.
    """

    def __init__(
        self,
        case: str,
        cheap: Mapping[str, Sequence[str]] | None = None,
        around: tuple[float, float, float, float] | None = None,
        expensive: Sequence[str] | None = None,
        atoms: Atoms | None = None,
    ) -> None:
        self.folder = folder = ROOT / "ipi_inputs" / case
        self.config = load_config(folder / "mixing.yaml")
        self.atoms = read_structure(folder / "init.extxyz") if atoms is None else atoms
        self.seeds = np.asarray(
            self.config.seed_indices if atoms is None else self.atoms.info["seeds"]
        )
        self.numbers, self.cell = self.atoms.numbers, self.atoms.cell.array
        self.masses = self.atoms.get_masses()
        section = self.config.cheap.lammps
        species = section.species
        self.engine: Any
        if expensive:
            self.engine = LammpsClusterEngine(expensive, species=species, folder=folder)
        else:
            self.engine = SymmetrixEngine(folder / self.config.expensive.mace.model)
        lines = {"": section.potential, **(cheap or {})}
        self.cheap = {
            name: LammpsClusterEngine(given, species=species, folder=folder)
            for name, given in lines.items()
        }
        self._around = around
        self._fill = None
        if not expensive:
            self._fill = self.engine.mean_features(self.numbers, self.atoms.positions, self.cell)

    def ask(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Expensive forces (n, 3) and site energies (n,); NaN where they were not asked."""
        if self._around is None:
            _, forces, _, sites = self.engine.evaluate_with_sites(
                self.numbers, positions, self.cell
            )
            return forces, sites
        sites, features, core, blend = self._around
        inside = build_regions(positions, self.cell, self.seeds, core=core, blend=blend, buffer=0.0)
        return self._part(positions, inside.weights, (sites, features), keep=True)

    def know(self, positions: np.ndarray) -> Known:
        """Ask all potentials."""
        known = Known(positions.copy(), *self.ask(positions))
        for name, engine in self.cheap.items():
            energy, mine, _, theirs = engine.evaluate_with_sites(self.numbers, positions, self.cell)
            known.cheap_energy[name] = energy
            known.cheap_forces[name], known.cheap_sites[name] = mine, theirs
        return known

    def approximate(
        self, positions: np.ndarray, weights: np.ndarray, radii: tuple[float, ...]
    ) -> np.ndarray:
        """Expensive forces (n, 3) as a run has them: of a carved cluster, or of a part."""
        if len(radii) == 2:
            return self._part(positions, weights, radii)[0]
        regions = surround(positions, self.cell, weights, buffer=radii[0])
        cluster = extract_cluster(regions, self.numbers)
        _, found, _ = self.engine.evaluate(cluster.numbers, cluster.positions(positions), self.cell)
        forces = np.full((len(weights), 3), np.nan)
        forces[cluster.indices] = found
        return forces

    def _part(
        self,
        positions: np.ndarray,
        weights: np.ndarray,
        radii: tuple[float, ...],
        *,
        keep: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Forces and site energies of a part around the atoms of positive weight."""
        sites, features = radii
        buffer = max(radii) + self.engine.cutoff + 0.5
        regions = surround(positions, self.cell, weights, buffer=buffer)
        cluster = extract_cluster(regions, self.numbers)
        _, found, energies = self.engine.partial_sites(
            cluster.numbers,
            cluster.positions(positions),
            self.cell,
            distance=regions.depths[cluster.indices],
            sites=sites,
            features=features,
            fill=self._fill,
            places=cluster.indices if keep else None,
        )
        forces = np.full((len(weights), 3), np.nan)
        every = np.full(len(weights), np.nan)
        inside = cluster.weights > 0.0
        forces[cluster.indices[inside]] = found[inside]
        every[cluster.indices] = energies
        return forces, every


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
    """

    def __init__(self, system: System, ways: Sequence[Way], first: Known, timestep: float) -> None:
        self._system, self.ways = system, list(ways)
        self.followings = {way.weights_alone: self._following(way, timestep) for way in ways}
        self._advance(0, first.positions)
        self._offsets = {name: self._offset(first, name) for name in system.cheap}
        self._before: Known | None = None
        self._pulls: list[tuple[np.ndarray, np.ndarray]] = []
        self.work = np.zeros(len(ways))

    def _following(self, way: Way, timestep: float) -> Following:
        radii = {"core": way.core, "blend": way.blend, "profile": way.profile}
        n = len(self._system.numbers)
        following = Following(
            FixedSeeds(np.isin(np.arange(n), self._system.seeds)),
            n,
            radii,
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
            offsets[numbers == number] = np.nanmedian(difference[numbers == number])
        return offsets

    def _advance(self, step: int, positions: np.ndarray) -> None:
        for following in self.followings.values():
            following.regions(step, [positions], [self._system.cell], ())

    def add(self, step: int, known: Known) -> np.ndarray:
        """Go on to an evaluation.

        Returns
        -------
        ndarray, shape (n, 3)
            What the first way adds to the cheap forces, eV/Å.
        """
        self._advance(step, known.positions)
        moved = None if self._before is None else known.positions - self._before.positions
        pulls, kept = [], {}
        for number, way in enumerate(self.ways):
            w = self.followings[way.weights_alone].weights
            key = (way.weights_alone, way.expensive)
            if way.expensive == EXACT:
                accurate = known.forces
            else:
                if key not in kept:
                    kept[key] = self._system.approximate(known.positions, w, way.expensive)
                accurate = kept[key]
            inside = np.flatnonzero(w)
            pull = w[inside, None] * (accurate - known.cheap_forces[way.cheap])[inside]
            pulls.append((inside, pull))
            if moved is not None:
                for atoms, force in (self._pulls[number], pulls[number]):
                    self.work[number] += 0.5 * float(np.sum(force * moved[atoms]))
        if not np.isfinite(self.work).all():
            raise ValueError("a way of mixing reaches where the expensive potential was not asked")
        self._before, self._pulls = known, pulls
        added = np.zeros_like(known.positions)
        inside, pull = pulls[0]
        added[inside] = pull
        return added

    def shift(self, known: Known) -> np.ndarray:
        """Σ w (e_expensive − e_cheap − offset) of each way (ways,), eV."""
        shifts = np.empty(len(self.ways))
        for number, way in enumerate(self.ways):
            w = self.followings[way.weights_alone].weights
            inside = np.flatnonzero(w)
            difference = known.sites - known.cheap_sites[way.cheap] - self._offsets[way.cheap]
            shifts[number] = w[inside] @ difference[inside]
        return shifts


@dataclass
class State:
    """Of the atoms: Å, Å per ASE's unit of time."""

    positions: np.ndarray
    velocities: np.ndarray

    @classmethod
    def load(cls, path: Path) -> State:
        with np.load(path) as found:
            return cls(found["positions"], found["velocities"])


def thermal(system: System, temperature: float, seed: int) -> State:
    """At rest in the crystal with twice the temperature: half becomes potential energy."""
    m = system.masses[:, None]
    width = np.sqrt(units.kB * 2.0 * temperature / m)
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
    each: Callable[[int, State], None] | None = None,
    bath: tuple[float, float, np.random.Generator] | None = None,
) -> None:
    """Velocity Verlet, with ``bath`` (K, fs, random numbers) Langevin dynamics.

    ``evaluate`` gets the number of the step and the positions; ``each`` is called when positions
    and velocities belong to the same time, from step 0 on.
    """
    m, dt = masses[:, None], timestep * units.fs
    forces = evaluate(0, state.positions)
    if each:
        each(0, state)
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
            each(step, state)


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

    length = {"timestep": timestep, "bath": bath}
    if knows_all:
        move(state, system.masses, by_cheap, steps=round(3000 / timestep), **length)
    works = Works(system, [way], system.know(state.positions), timestep)

    def by_both(step: int, positions: np.ndarray) -> np.ndarray:
        known = system.know(positions)
        forces = known.cheap_forces[way.cheap] + works.add(step + 1, known)
        return without_net_force(forces, system.masses)[0]

    move(
        state,
        system.masses,
        by_both,
        steps=round((1000 if knows_all else 2000) / timestep),
        **length,
    )
    centre = system.masses @ state.velocities / system.masses.sum()
    state.velocities -= centre
    return state


def run_piece(
    system: System,
    ways: Sequence[Way],
    path: Path,
    begin: Path,
    origin: Path,
    *,
    steps: int,
    timestep: float,
    remove_net_force: bool = True,
) -> None:
    """NVE by the forces of the first way, on from a state, and the heat of all; into a file.

    ``origin`` is the state that frozen weights are from.
    """
    state = State.load(begin)
    works = Works(system, ways, system.know(State.load(origin).positions), timestep)
    heats, energies, temperatures, nets, potentials = [], [], [], [], [0.0]

    def evaluate(step: int, positions: np.ndarray) -> np.ndarray:
        known = system.know(positions)
        forces = known.cheap_forces[ways[0].cheap] + works.add(step + 1, known)
        shift = works.shift(known)
        heats.append(works.work + shift)
        potentials[0] = known.cheap_energy[ways[0].cheap] + float(shift[0])
        less, net = without_net_force(forces, system.masses)
        nets.append(net)
        return less if remove_net_force else forces

    def each(step: int, now: State) -> None:
        kinetic = 0.5 * float(np.sum(system.masses[:, None] * now.velocities**2))
        energies.append(kinetic + potentials[0])
        temperatures.append(temperature_of(now, system.masses))

    move(state, system.masses, evaluate, steps=steps, timestep=timestep, each=each)
    np.savez(
        path,
        positions=state.positions,
        velocities=state.velocities,
        names=[way.name for way in ways],
        timestep=timestep,
        atoms=len(system.numbers),
        weighted=[int((works.followings[w.weights_alone].weights > 0).sum()) for w in ways],
        heats=np.array(heats),
        energies=np.array(energies),
        temperatures=np.array(temperatures),
        nets=np.array(nets),
    )
