"""Do mixed forces make vibrations grow? The modes of a vacancy in 215 silicon atoms.

python scripts/mixed_modes.py WORK [--cheap si-eam-uf3]

The stiffness that blended forces have, diag(w) K_expensive + diag(1 − w) K_cheap, is not symmetric:
squared frequencies can come in complex pairs, and of each pair one vibration grows, the other
fades, with the imaginary part of the frequency. K are central differences at the structure that
the expensive potential has at rest; they are kept in WORK. Cheap are ``si-uf3`` and another one of
``ipi_inputs/potentials``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from ase import units
from ase.optimize import FIRE
from mixed_system import ROOT, System, distilled, small_vacancy
from mixpi import build_regions


#: Å of a displacement; eV/Å at rest.
STEP, AT_REST = 0.02, 0.005
WAYS = [
    (3.0, 0.0, "linear"),
    (3.0, 3.0, "linear"),
    (3.0, 3.0, "cubic"),
    (3.0, 6.0, "linear"),
    (4.0, 4.0, "linear"),
    (3.0, 3.0, "smooth"),
    (3.0, 4.0, "smooth"),
    (4.0, 4.0, "smooth"),
]


def measure(path: Path, name: str) -> None:
    """Stiffness by the expensive and the cheap potentials, eV/Å²."""
    system = System(
        ROOT / "ipi_inputs" / "si_vacancy_md", {name: distilled(name)}, atoms=small_vacancy()
    )
    atoms = system.atoms.copy()
    atoms.calc = system.engine.calculator
    atoms.rattle(0.02, seed=1)
    FIRE(atoms, logfile=None).run(fmax=AT_REST, steps=500)
    engines = {"E": system.engine, **system.cheap}
    stiffness = {name: np.zeros((3 * len(atoms), 3 * len(atoms))) for name in engines}
    for column in range(3 * len(atoms)):
        for sign in (1.0, -1.0):
            moved = atoms.positions.copy()
            moved.ravel()[column] += sign * STEP
            for name, engine in engines.items():
                forces = engine.evaluate(system.numbers, moved, system.cell)[1]
                stiffness[name][:, column] -= sign * forces.ravel() / (2 * STEP)
    named = {f"K_{name}": values for name, values in stiffness.items()}
    np.savez(path, p=atoms.positions, cell=system.cell, seeds=system.seeds, **named)


def growth(
    weights: np.ndarray, expensive: np.ndarray, cheap: np.ndarray, mass: float
) -> np.ndarray:
    """Imaginary parts of the frequencies, 1/ps, ascending; the net force is removed."""
    w, n = np.repeat(weights, 3)[:, None], len(weights)
    still = np.kron(np.eye(n) - 1.0 / n, np.eye(3))
    squared = np.linalg.eigvals(still @ (w * expensive + (1.0 - w) * cheap) / mass)
    return np.sort(np.abs(np.sqrt(squared.astype(complex)).imag)) * 1e3 * units.fs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--cheap", default="si-eam-uf3", help="of ipi_inputs/potentials")
    given = parser.parse_args()
    path = given.work / f"stiffness.{given.cheap}.npz"
    if not path.exists():
        measure(path, given.cheap)
    found = np.load(path)
    mass = small_vacancy().get_masses()[0]
    symmetric = {k: (found[k] + found[k].T) / 2 for k in found.files if k.startswith("K_")}
    expensive = symmetric.pop("K_E")
    for name, cheap in symmetric.items():
        print(f"cheap: {name[2:] or 'si-uf3'}")
        for core, blend, profile in WAYS:
            regions = build_regions(
                found["p"], found["cell"], found["seeds"],
                core=core, blend=blend, buffer=0.0, profile=profile,
            )  # fmt: skip
            rates = growth(regions.weights, expensive, cheap, mass)
            print(
                f"  {profile} {core:g}/{blend:g}, {np.count_nonzero(regions.weights)} atoms: "
                f"fastest {rates[-1]:.3f}, then {rates[-3]:.3f} /ps"
            )


if __name__ == "__main__":
    main()
