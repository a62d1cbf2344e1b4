"""Write frames of hot dumbbells in iron with a MACE model's energies and forces.

python scripts/dumbbell_frames.py MODEL CHEAP.json OUTPUT

CHEAP.json is the report of a distilled potential, which relaxes the dumbbells first: <111> pushes
its neighbours together, closer than what the small models have seen.

Extra data for ``mixpi distil``: a potential that is fitted to the crystal alone knows no
dumbbell, and one that knows the <110> alone may like another one better. Langevin dynamics in
129 atoms, 2 fs a step: <110> at 1,100 K, and <111> and <100> at 600 K, which turn to it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.md.langevin import Langevin
from ase.optimize import FIRE
from make_interstitial import Expensive, dumbbell_in_iron
from mixpi.distil.lammps_engine import LammpsCalculator
from mixpi.drivers.lammps import LammpsSetup


CELLS, TIMESTEP = 4, 2.0  # fs
#: Axis, K, steps before the first frame, steps between frames, frames.
SETS = (
    ((1, 1, 0), 1100.0, 150, 30, 12),
    ((1, 1, 1), 600.0, 5, 15, 6),
    ((1, 0, 0), 600.0, 5, 15, 4),
)


def frames(model: Path, cheap: LammpsCalculator) -> Iterator[Atoms]:
    """All sets, one after another."""
    rng = np.random.default_rng(1)
    for axis, temperature, before, between, number in SETS:
        atoms, _ = dumbbell_in_iron(CELLS, axis)
        atoms.calc = cheap
        FIRE(atoms, logfile=None).run(fmax=0.05, steps=100)
        atoms.calc = Expensive(model)
        # half of the kinetic energy goes into the bonds
        width = np.sqrt(2 * temperature * units.kB * atoms.get_masses())
        atoms.set_momenta(rng.normal(size=(len(atoms), 3)) * width[:, None])
        moving = Langevin(
            atoms,
            TIMESTEP * units.fs,
            temperature_K=temperature,
            friction=0.01 / units.fs,
            rng=rng,
            fixcm=False,
        )
        moving.run(before)
        for _ in range(number):
            frame = atoms.copy()
            frame.set_momenta(None)
            frame.calc = SinglePointCalculator(
                frame, energy=atoms.get_potential_energy(), forces=atoms.get_forces()
            )
            yield frame
            moving.run(between)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("cheap", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    report = json.loads(arguments.cheap.read_text())
    setup = LammpsSetup(report["lammps"], report["species"], arguments.cheap.parent)
    found = list(frames(arguments.model, LammpsCalculator(setup)))
    write(arguments.output, found, columns=["symbols", "positions", "forces"])


if __name__ == "__main__":
    main()
