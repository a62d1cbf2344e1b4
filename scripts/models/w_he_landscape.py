"""Energies that a model of tungsten with helium must get right, as rows of a model card.

    python w_he_landscape.py MODEL          a trained model, in the environment of mixpi
    python w_he_landscape.py labels         the potential of the labels

With atoms relaxed but those that are held, in cells of 54 atoms, 128 for He, at the model's
lattice constant.
"""

from __future__ import annotations

import argparse

import numpy as np
import recipe_w_he_jw as recipe
from ase import Atoms
from mixpi.distil.data import relaxed_crystal
from mixpi.drivers.mace import MaceEngine
from sampling import relaxation


def relaxed(atoms: Atoms, calculator, *, held=()) -> float:
    """Energy (eV) once no force is above 0.01 eV/Å; ``held`` atoms stay."""
    end = relaxation(atoms, calculator, fmax=0.01, steps=200, fixed=held)[-1]
    return recipe.energy(end, calculator)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a MACE model, or the word labels")
    arguments = parser.parse_args()
    if arguments.model == "labels":
        calculator = recipe.LABELLER()
    else:
        calculator = MaceEngine(arguments.model).calculator

    unit = relaxed_crystal(recipe.crystal(1), calculator)
    a = recipe.LATTICE = float(unit.cell.lengths().mean())
    print(f"| lattice constant (Å) | {a:.4f} |")
    bulk_energy = recipe.energy(unit, calculator) / 2

    vacancy = relaxed(recipe.vacancy(), calculator) - 53 * bulk_energy
    print(f"| vacancy (eV) | {vacancy:.2f} |")
    surface = relaxed(recipe.surface(), calculator)
    print(
        f"| (100) surface (J/m²) | {(surface - 54 * bulk_energy) / (2 * 9 * a**2) * 16.0218:.2f} |"
    )
    rough = relaxed(recipe.rough_surface(), calculator)
    print(f"| an atom on the surface and a hole in it (eV) | {rough - surface:.2f} |")

    host = recipe.crystal(4)
    energies = [
        relaxed(recipe.with_helium(host, (site + 1.0) * a), calculator, held=[len(host)])
        for site in SITES.values()
    ]
    for name, energy in zip(list(SITES)[1:], energies[1:], strict=True):
        print(f"| He {name}, above tetrahedral (eV) | {energy - energies[0]:.3f} |")

    host = recipe.surface()
    highest = host.positions[host.positions[:, 2].argmax()]
    heights = (5.0, 2.0, 1.5, 1.2, 1.0, 0.8)
    above = [recipe.with_helium(host, np.add(highest, [0.0, 0.0, z])) for z in heights]
    far, *near = (recipe.energy(atoms, calculator) for atoms in above)
    for height, value in zip(heights[1:], near, strict=True):
        print(f"| He {height} Å above W of a surface (eV) | {value - far:.2f} |")


#: Where He is held, in lattice constants.
SITES = {
    "tetrahedral": recipe.TETRAHEDRAL,
    "half-way to the next tetrahedral": (recipe.TETRAHEDRAL + recipe.NEXT) / 2,
    "octahedral": recipe.OCTAHEDRAL,
}


if __name__ == "__main__":
    main()
