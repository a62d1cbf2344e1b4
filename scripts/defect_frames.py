"""Write frames of a hot defect with a MACE model's energies and forces.

python scripts/defect_frames.py fe-dumbbell MODEL CHEAP.json OUTPUT
python scripts/defect_frames.py si-vacancy MODEL CHEAP.json OUTPUT [--seed 2]

Extra data for ``mixpi distil``: a potential that is fitted to the crystal alone knows no defect.
CHEAP.json is the report of one, which relaxes the structure first. Then Langevin dynamics of the
model, 2 fs a step. ``centre`` of a frame is where the defect was made, Å.

- Dumbbells in iron, 129 atoms: <110> at 1,100 K, and <111> and <100> at 600 K, which turn to it. A
  potential that knows the <110> alone may like another one better. <111> pushes its neighbours
  together, closer than what the small models have seen.
- A vacancy in 215 silicon atoms at 400 K.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.md.langevin import Langevin
from ase.optimize import FIRE
from make_interstitial import dumbbell_in_iron
from mixed_system import small_vacancy
from mixpi.distil.lammps_engine import LammpsCalculator
from mixpi.drivers.symmetrix_engine import SymmetrixEngine


TIMESTEP = 2.0  # fs


@dataclass(frozen=True)
class Frames:
    """Frames of one trajectory: K, and numbers of steps."""

    make: Callable[[], Atoms]
    temperature: float
    before: int
    between: int
    number: int


def dumbbell(axis: tuple[int, int, int]) -> Atoms:
    """129 iron atoms."""
    atoms, seeds = dumbbell_in_iron(4, axis)
    atoms.info = {"centre": atoms.positions[seeds].mean(axis=0)}
    return atoms


def vacancy() -> Atoms:
    """215 silicon atoms; the missing one was at the origin."""
    atoms = small_vacancy()
    atoms.info = {"centre": np.zeros(3)}
    return atoms


SETS = {
    "fe-dumbbell": (
        Frames(partial(dumbbell, (1, 1, 0)), 1100.0, 150, 30, 12),
        Frames(partial(dumbbell, (1, 1, 1)), 600.0, 5, 15, 6),
        Frames(partial(dumbbell, (1, 0, 0)), 600.0, 5, 15, 4),
    ),
    "si-vacancy": (Frames(vacancy, 400.0, 400, 50, 25),),
}


def frames(kind: str, model: Path, cheap: LammpsCalculator, seed: int) -> Iterator[Atoms]:
    """All trajectories, one after another."""
    rng = np.random.default_rng(seed)
    for wanted in SETS[kind]:
        atoms = wanted.make()
        atoms.calc = cheap
        FIRE(atoms, logfile=None).run(fmax=0.05, steps=100)
        atoms.calc = SymmetrixEngine(model).calculator
        yield from hot(atoms, wanted, rng)


def hot(atoms: Atoms, wanted: Frames, rng: np.random.Generator) -> Iterator[Atoms]:
    """Frames with energies and forces, from Langevin dynamics that begins here."""
    # half of the kinetic energy goes into the bonds
    width = np.sqrt(2 * wanted.temperature * units.kB * atoms.get_masses())
    atoms.set_momenta(rng.normal(size=(len(atoms), 3)) * width[:, None])
    moving = Langevin(
        atoms,
        TIMESTEP * units.fs,
        temperature_K=wanted.temperature,
        friction=0.01 / units.fs,
        rng=rng,
        fixcm=False,
    )
    moving.run(wanted.before)
    for _ in range(wanted.number):
        frame = atoms.copy()
        frame.set_momenta(None)
        frame.calc = SinglePointCalculator(
            frame, energy=atoms.get_potential_energy(), forces=atoms.get_forces()
        )
        yield frame
        moving.run(wanted.between)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=SETS)
    parser.add_argument("model", type=Path)
    parser.add_argument("cheap", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=1, help="of velocities and noise")
    given = parser.parse_args()
    cheap = LammpsCalculator.reported(given.cheap)
    found = list(frames(given.kind, given.model, cheap, given.seed))
    write(given.output, found, columns=["symbols", "positions", "forces"])


if __name__ == "__main__":
    main()
