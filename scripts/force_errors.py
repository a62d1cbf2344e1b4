"""How far cheap potentials' forces are from the model's, by the distance from a defect.

python scripts/force_errors.py FRAMES NAME...

FRAMES are of ``defect_frames.py`` (another seed than that of the frames that were fitted to), names
are those of potentials in ``ipi_inputs/potentials``. Root mean squares of components, eV/Å.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from ase.io import read
from mixed_system import distilled
from mixpi.distil.lammps_engine import LammpsCalculator
from mixpi.drivers.lammps import LammpsSetup


#: Å from the defect, where a shell ends.
SHELLS = (3.0, 5.0, 7.0, np.inf)


def distances(atoms: Atoms) -> np.ndarray:
    """From the defect, shape (n,), Å."""
    return find_mic(atoms.positions - atoms.info["centre"], atoms.cell, atoms.pbc)[1]


def by_shell(values: np.ndarray, distance: np.ndarray) -> list[float]:
    """Root mean square of components (m, 3) in each shell, and of all within 5 Å."""
    inner = (0.0, *SHELLS[:-1])
    masks = [(low <= distance) & (distance < high) for low, high in zip(inner, SHELLS, strict=True)]
    return [float(np.sqrt(np.mean(values[mask] ** 2))) for mask in (*masks, distance < 5.0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("frames", type=Path)
    parser.add_argument("names", nargs="+")
    given = parser.parse_args()
    frames = read(given.frames, ":")
    species = sorted(set(frames[0].symbols))
    distance = np.concatenate([distances(atoms) for atoms in frames])
    accurate = np.concatenate([atoms.get_forces() for atoms in frames])
    heads = [f"to {end:g} Å" for end in SHELLS[:-1]] + ["beyond", "within 5 Å"]
    print(f"{'':24}" + "".join(f"{head:>12}" for head in heads))
    rows = {"the forces themselves": accurate}
    for name in given.names:
        cheap = LammpsCalculator(LammpsSetup(distilled(name), species))
        rows[name] = np.concatenate([cheap.get_forces(atoms) for atoms in frames]) - accurate
    for name, values in rows.items():
        print(f"{name:24}" + "".join(f"{one:12.4f}" for one in by_shell(values, distance)))


if __name__ == "__main__":
    main()
