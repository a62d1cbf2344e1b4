"""Large systems for ``energy_flux.py``: LAMMPS moves the atoms, with neighbours that it keeps.

Its ``fix external`` adds what the first way of mixing adds to the cheap forces.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ase import units
from mixed_work import Known, State, System, Way, Works
from mixpi.drivers.lammps import LammpsSetup
from mixpi.drivers.lammps_library import loaded


#: Steps between samples of the energy.
STRIDE = 10
#: Å per ps in ASE's unit of velocity.
PER_PS = 1e3 * units.fs
COMMANDS = (
    "compute sites all pe/atom",
    "compute total all reduce sum c_sites",
    "thermo_style custom step pe ke c_total",
    f"thermo {STRIDE}",
    "fix move all nve",
    "run 0 post no",
)


class Moving:
    """LAMMPS with the atoms of a system, pulled by the first of some ways of mixing."""

    def __init__(self, system: System, lmp: Any, state: State, timestep: float) -> None:
        self.system, self.lmp = system, lmp
        self._lengths = system.cell.diagonal()
        if np.abs(system.cell - np.diag(self._lengths)).max() > 1e-9:
            raise ValueError("only for orthorhombic cells")
        self._unwrapped = state.positions.copy()
        self.works: Works | None = None
        self.known: Known | None = None
        lmp.scatter_atoms("x", 1, 3, doubles(state.positions))
        lmp.scatter_atoms("v", 1, 3, doubles(PER_PS * state.velocities))
        lmp.command(f"timestep {1e-3 * timestep}")

    def follow(self, works: Works) -> None:
        """Mix from now on."""
        self.works = works
        self.lmp.command("fix mix all external pf/callback 1 1")
        self.lmp.set_fix_external_callback("mix", self._pull, self)

    def run(self, steps: int) -> Iterator[None]:
        """Go on, and stop every STRIDE steps; at the start, too."""
        self.lmp.command("run 0 post no")
        yield
        for _ in range(steps // STRIDE):
            self.lmp.command(f"run {STRIDE} pre no post no")
            yield

    def state(self) -> State:
        velocities = np.array(self.lmp.gather_atoms("v", 1, 3)).reshape(-1, 3)
        return State(self._place(), velocities / PER_PS)

    def sites(self) -> np.ndarray:
        """Cheap site energies, at a stop."""
        return np.array(self.lmp.gather("c_sites", 1, 1))

    def _place(self) -> np.ndarray:
        """Positions that go on across the cell's faces."""
        x = np.array(self.lmp.gather_atoms("x", 1, 3)).reshape(-1, 3)
        return self._unwrap(x)

    def _unwrap(self, x: np.ndarray) -> np.ndarray:
        moved = x - self._unwrapped
        self._unwrapped = self._unwrapped + moved - self._lengths * np.round(moved / self._lengths)
        return self._unwrapped

    @staticmethod
    def _pull(
        moving: Moving, step: int, count: int, tags: np.ndarray, x: np.ndarray, f: np.ndarray
    ) -> None:
        order = tags - 1
        mine, pairs = np.empty((count, 3)), np.empty((count, 3))
        mine[order] = x
        pairs[order] = moving.lmp.numpy.extract_atom("f")[:count]
        positions = moving._unwrap(mine)
        forces, sites = moving.system.ask(positions)
        moving.known = Known(positions, forces, sites, {}, {"": pairs}, {})
        assert moving.works is not None
        added = moving.works.add(step + 1, moving.known)
        masses = moving.system.masses
        added -= np.outer(masses / masses.sum(), added.sum(axis=0))
        f[:] = added[order]


def doubles(values: np.ndarray) -> Any:
    """As LAMMPS's library takes them."""
    return (ctypes.c_double * values.size)(*values.ravel())


@contextmanager
def moving(system: System, state: State, timestep: float) -> Iterator[Moving]:
    """LAMMPS with the atoms of a system."""
    section = system.config.cheap.lammps
    setup = LammpsSetup(section.potential, section.species, system.folder)
    with loaded(system.atoms, setup, COMMANDS) as lmp:
        yield Moving(system, lmp, state, timestep)


def settle_large(
    system: System, way: Way, state: State, temperature: float, seed: int, timestep: float
) -> State:
    """3 ps of the cheap potential and 1 ps of mixed forces, with LAMMPS's Langevin thermostat."""
    with moving(system, state, timestep) as md:
        bath = f"fix bath all langevin {temperature} {temperature} 0.1 {seed + 1} zero yes"
        md.lmp.command(bath)
        md.lmp.command(f"run {round(3000 / timestep)} post no")
        md.follow(Works(system, [way], system.know(md.state().positions), timestep))
        md.lmp.command(f"run {round(1000 / timestep)} post no")
        state = md.state()
    state.velocities -= system.masses @ state.velocities / system.masses.sum()
    return state


def run_large(
    system: System,
    ways: Sequence[Way],
    path: Path,
    begin: Path,
    origin: Path,
    *,
    steps: int,
    timestep: float,
) -> None:
    """As :func:`mixed_work.run_piece`, with a sample every STRIDE steps."""
    state = State.load(begin)
    works = Works(system, ways, system.know(State.load(origin).positions), timestep)
    heats, energies, temperatures = [], [], []
    free = 3 * len(system.numbers) - 3
    with moving(system, state, timestep) as md:
        md.follow(works)
        for _ in md.run(steps):
            assert md.known is not None
            md.known.cheap_sites[""] = md.sites()
            shift = works.shift(md.known)
            kinetic = md.lmp.get_thermo("ke")
            heats.append(works.work + shift)
            energies.append(kinetic + md.lmp.get_thermo("pe") + shift[0])
            temperatures.append(2.0 * kinetic / (free * units.kB))
        last = md.state()
    np.savez(
        path,
        positions=last.positions,
        velocities=last.velocities,
        names=[way.name for way in ways],
        timestep=STRIDE * timestep,
        atoms=len(system.numbers),
        weighted=[int((works.followings[w.weights_alone].weights > 0).sum()) for w in ways],
        heats=np.array(heats),
        energies=np.array(energies),
        temperatures=np.array(temperatures),
        nets=np.zeros((len(heats), 3)),
    )
