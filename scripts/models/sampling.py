"""Structures for training a small MACE model, sampled with a fast and a good potential.

Two samplers, one idea: a classical potential visits many independent thermal
configurations of the perfect crystal for free; where it is known to be wrong
(under-coordinated atoms) the potential of the recipe moves the atoms itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from ase import Atoms, units
from ase.constraints import FixAtoms
from ase.data import atomic_masses
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import FIRE
from mixpi.drivers.lammps_library import open_lammps


def classical_md(
    atoms: Atoms,
    *,
    pair: list[str],
    temperature: float,
    frames: int,
    spacing: int,
    seed: int,
    stretch: float = 1.0,
    timestep: float = 2.0,
) -> Iterator[Atoms]:
    """Thermal snapshots of an orthorhombic crystal from a classical potential.

    Parameters
    ----------
    atoms : Atoms
        Start, one species, at the lattice constant that the snapshots shall have.
    pair : list of str
        LAMMPS ``pair_style``/``pair_coeff`` lines.
    temperature : float
        K.
    frames, spacing : int
        Snapshots, and steps between them.
    stretch : float
        Lattice constant wanted over that of the potential: the run is made at
        the potential's own, and positions are scaled afterwards.
    timestep : float
        fs.
    """
    lengths = atoms.cell.lengths() / stretch
    lmp = open_lammps()
    lmp.commands_list(
        [
            "units metal",
            "atom_style atomic",
            "atom_modify map array",
            f"region box block 0 {lengths[0]} 0 {lengths[1]} 0 {lengths[2]}",
            "create_box 1 box",
        ]
    )
    start = atoms.get_scaled_positions() * lengths
    lmp.create_atoms(len(atoms), None, [1] * len(atoms), start.ravel().tolist())
    lmp.commands_list(
        [
            f"mass 1 {atomic_masses[atoms.numbers[0]]}",
            *pair,
            f"timestep {timestep / 1000}",
            f"velocity all create {2 * temperature} {seed}",
            "fix move all nve",
            f"fix bath all langevin {temperature} {temperature} 0.2 {seed + 1}",
            "run 2000",
        ]
    )
    for _ in range(frames):
        lmp.command(f"run {spacing}")
        positions = np.array(lmp.gather_atoms("x", 1, 3)).reshape(-1, 3)
        yield Atoms(atoms.numbers, cell=atoms.cell, pbc=True, scaled_positions=positions / lengths)
    lmp.close()


def strained(atoms: Atoms, strain: np.ndarray) -> Atoms:
    """``atoms`` with the cell and the positions deformed by ``1 + strain``."""
    result = atoms.copy()
    result.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return result


def random_strain(rng: np.random.Generator, size: float) -> np.ndarray:
    """A symmetric (3, 3) strain with components up to ``size``."""
    e = rng.uniform(-size, size, (3, 3))
    return (e + e.T) / 2


def rattled(atoms: Atoms, rng: np.random.Generator, amplitude: float) -> Atoms:
    """``atoms`` displaced by a normal deviate of ``amplitude`` (Å) a coordinate."""
    result = atoms.copy()
    result.positions += rng.normal(0.0, amplitude, result.positions.shape)
    return result


def model_md(
    atoms: Atoms,
    calculator,
    *,
    temperature: float,
    equilibrate: int,
    frames: int,
    spacing: int,
    rng: np.random.Generator,
    timestep: float = 2.0,
) -> Iterator[Atoms]:
    """Snapshots of Langevin dynamics (``timestep`` in fs) under an ASE calculator."""
    moving = atoms.copy()
    moving.calc = calculator
    MaxwellBoltzmannDistribution(moving, temperature_K=2 * temperature, rng=rng)
    dynamics = Langevin(
        moving, timestep * units.fs, temperature_K=temperature, friction=0.02 / units.fs, rng=rng
    )
    dynamics.run(equilibrate)
    for _ in range(frames):
        dynamics.run(spacing)
        yield bare(moving)


def relaxation(
    atoms: Atoms, calculator, *, fmax: float = 0.02, steps: int = 60, fixed=()
) -> list[Atoms]:
    """The frames of a FIRE relaxation, first to last."""
    moving = atoms.copy()
    moving.calc = calculator
    moving.set_constraint(FixAtoms(list(fixed)))
    frames = [bare(moving)]
    optimizer = FIRE(moving, logfile=None)
    optimizer.attach(lambda: frames.append(bare(moving)))
    optimizer.run(fmax=fmax, steps=steps)
    return frames


def thermal(
    rng: np.random.Generator,
    sampler=None,
    *,
    crystal: Callable[[], Atoms],
    pair: Callable[[], list[str]],
    stretch: float,
    temperature: float,
    frames: int,
    size: float = 0.0,
) -> Iterator[Atoms]:
    """Thermal snapshots of a crystal from a classical potential, each strained at random.

    Parameters
    ----------
    crystal, pair : callable
        The start, and the LAMMPS lines of the potential.
    stretch, temperature, frames
        As for :func:`classical_md`.
    size : float
        Largest component of the strain.
    """
    for frame in classical_md(
        crystal(),
        pair=pair(),
        temperature=temperature,
        frames=frames,
        spacing=500,
        seed=int(rng.integers(1, 10**6)),
        stretch=stretch,
    ):
        yield strained(frame, random_strain(rng, size)) if size else frame


def cold(
    rng: np.random.Generator,
    sampler=None,
    *,
    unit: Callable[[], Atoms],
    scales: tuple[float, float, int],
    fine: int,
) -> Iterator[Atoms]:
    """The unit cell over a wide range of strains: plain, rattled, and ``fine`` small ones.

    ``scales`` are the smallest and the largest expansion, and how many there are.
    """
    cell = unit()
    for scale in np.linspace(*scales):
        yield strained(cell, scale * np.eye(3))
    for _ in range(30):
        yield rattled(strained(cell, random_strain(rng, 0.05)), rng, 0.03)
    for _ in range(fine):
        yield strained(cell, random_strain(rng, 0.01))


def relaxed_and_rattled(
    rng: np.random.Generator,
    sampler,
    *,
    start: Callable[[], Atoms],
    amplitudes: tuple[float, ...],
    rattle: float = 0.06,
    steps: int = 25,
    keep: slice = slice(None, None, 6),
) -> Iterator[Atoms]:
    """Some frames of a relaxation from a rattled start, and its end rattled again (Å)."""
    frames = relaxation(rattled(start(), rng, rattle), sampler(), steps=steps)
    yield from frames[keep]
    for amplitude in amplitudes:
        yield rattled(frames[-1], rng, amplitude)


def bare(atoms: Atoms) -> Atoms:
    """Numbers, positions and cell only."""
    return Atoms(atoms.numbers, atoms.positions.copy(), cell=atoms.cell, pbc=True)
