"""How cheap potentials do at a {100} surface of tungsten, beside the model they are made for.

python scripts/surface_layers.py MODEL FRAMES REPORT.json ...

FRAMES are from scripts/surface_frames.py with that model, reports from ``mixpi distil``. Printed
are changes of the first two spacings of layers at 0 K, the energy of the surface, and the force
errors on the first, second and inner layers of the frames.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.io import read
from ase.optimize import FIRE
from ase.units import J, m
from mixpi.distil.lammps_engine import LammpsCalculator
from mixpi.drivers.symmetrix_engine import SymmetrixEngine
from surface_frames import LAYERS, slab


def relaxation(calculator, lattice: float) -> tuple[np.ndarray, float]:
    """Relative changes of the spacings, outermost first, and the energy of the surface, J/m²."""
    cells = 2
    atoms = slab(cells, lattice, vacuum=15.0)
    crystal = bulk("W", "bcc", a=lattice, cubic=True) * (4, 4, 4)
    atoms.calc = crystal.calc = calculator
    FIRE(atoms, logfile=None).run(fmax=0.02, steps=300)
    heights = np.sort(atoms.positions[:, 2]).reshape(LAYERS, -1).mean(axis=1)
    each = crystal.get_potential_energy() / len(crystal)
    energy = (atoms.get_potential_energy() - each * len(atoms)) / 2 / (cells * lattice) ** 2
    return np.diff(heights)[::-1] / (lattice / 2) - 1.0, energy / (J / m**2)


def errors(calculator, frames: list[Atoms]) -> list[float]:
    """rms of the force error, eV/Å, on both first layers, both second ones, and the inner ones."""
    found: list[list[np.ndarray]] = [[], [], []]
    for frame in frames:
        own = frame.copy()
        own.calc = calculator
        off = own.get_forces() - frame.get_forces()
        layer = np.argsort(np.argsort(frame.positions[:, 2])) * LAYERS // len(frame)
        layer = np.minimum(layer, LAYERS - 1 - layer)
        for kind, chosen in enumerate((layer == 0, layer == 1, layer > 2)):
            found[kind].append(off[chosen])
    return [float(np.sqrt(np.mean(np.concatenate(one) ** 2))) for one in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("frames", type=Path)
    parser.add_argument("reports", type=Path, nargs="+")
    arguments = parser.parse_args()
    frames = read(arguments.frames, "::4")
    print("| | first / second spacing | J/m² | force error (eV/Å) |\n|---|---|---|---|")
    lattice = json.loads(arguments.reports[0].read_text())["constrained"]["lattice"]["a0"]
    for name, calculator in [
        (arguments.model.stem, SymmetrixEngine(arguments.model).calculator),
        *((path.stem, LammpsCalculator.reported(path)) for path in arguments.reports),
    ]:
        spacings, energy = relaxation(calculator, lattice)
        off = ", ".join(f"{error:.2f}" for error in errors(calculator, frames))
        first, second = (f"{100 * change:+.1f}" for change in spacings[:2])
        print(f"| {name} | {first} / {second} % | {energy:.2f} | {off} |", flush=True)


if __name__ == "__main__":
    main()
