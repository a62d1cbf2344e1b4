"""Energies that a model of tungsten with helium must get right, as rows of a model card.

    python w_he_landscape.py MODEL          a trained model, in the environment of mixpi
    python w_he_landscape.py labels         the labels themselves, in the environment of label.py

With atoms relaxed but those that are held, in cells of 54 atoms, 128 for He, at the model's
lattice constant.
"""

from __future__ import annotations

import argparse

import numpy as np
import recipe_w_he as recipe
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixAtoms
from ase.optimize import FIRE
from short_range import zbl


def relaxed(atoms: Atoms, calculator, *, held=()) -> float:
    """Energy (eV) once no force is above 0.01 eV/Å; ``held`` atoms stay."""
    atoms = atoms.copy()
    atoms.calc = calculator
    atoms.set_constraint(FixAtoms(list(held)))
    FIRE(atoms, logfile=None).run(fmax=0.01, steps=200)
    return float(atoms.get_potential_energy())


def lattice_constant(calculator) -> float:
    """Å."""
    scales = np.linspace(3.13, 3.25, 9)
    energies = [recipe.energy(bulk("W", "bcc", a=a, cubic=True), calculator) for a in scales]
    fit = np.polynomial.Polynomial.fit(scales, energies, 4)
    roots = fit.deriv().roots()
    return float(min(roots[np.isreal(roots)].real, key=lambda a: abs(a - 3.19)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a MACE model, or the word labels")
    arguments = parser.parse_args()
    if arguments.model == "labels":
        from label import calculator as of_recipe

        calculator = of_recipe("w_he", recipe.LABELLER)
    else:
        from mixpi.drivers.mace import MaceEngine

        calculator = MaceEngine(arguments.model).calculator

    a = recipe.LATTICE = lattice_constant(calculator)
    print(f"| lattice constant (Å) | {a:.4f} |")
    bulk_energy = recipe.energy(bulk("W", "bcc", a=a, cubic=True), calculator) / 2

    vacancy = relaxed(recipe.vacancy(), calculator) - 53 * bulk_energy
    print(f"| vacancy (eV) | {vacancy:.2f} |")
    surface = relaxed(recipe.surface(), calculator) - 54 * bulk_energy
    print(f"| (100) surface (J/m²) | {surface / (2 * 9 * a**2) * 16.0218:.2f} |")

    host = recipe.crystal(4)
    sites = {name: np.array(p) for name, p in SITES.items()}
    energies = {}
    for name, site in sites.items():
        atoms = recipe.with_helium(host, (site + 1.0) * a)
        energies[name] = relaxed(atoms, calculator, held=[len(host)])
    for name in list(sites)[1:]:
        difference = energies[name] - energies["tetrahedral"]
        print(f"| He {name}, above tetrahedral (eV) | {difference:.3f} |")

    atoms = recipe.with_helium(recipe.surface(), np.array([0.0, 0.0, 0.0]))
    top = atoms.positions[:54, 2].max()
    first = int(np.flatnonzero(atoms.positions[:54, 2] > top - 0.1)[0])
    far = None
    for height in (5.0, 2.0, 1.5, 1.2, 1.0, 0.8):
        atoms.positions[-1] = atoms.positions[first] + [0.0, 0.0, height]
        value = recipe.energy(atoms, calculator)
        far = value if far is None else far
        alone, _ = zbl(height)
        where = f"He {height} Å above W of a surface (eV; nuclei alone {alone:.1f})"
        print(f"| {where} | {value - far:.2f} |")


#: Where He is held, in lattice constants.
SITES = {
    "tetrahedral": (0.5, 0.25, 0.0),
    "half-way to the next tetrahedral": (0.625, 0.375, 0.0),
    "octahedral": (0.5, 0.5, 0.0),
}


if __name__ == "__main__":
    main()
