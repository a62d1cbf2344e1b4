"""A screw dislocation in a slab of bcc tungsten: made, and put under shear.

python screw.py make B GLIDE NORMAL OUTPUT     Burgers vectors of line, cells along the other axes
python screw.py shear RELAXED MPA OUTPUT       as the stress strains it

The line and its Burgers vector a/2 [111] are along x, y = [11-2], and z = [-110] is the normal of
the free surfaces: the stress is largest on the {110} plane between them, in which the compact core
has the nearest wells, and forth and back are alike. On {112} they are not (twinning).

Along y the crystal meets itself displaced by half a Burgers vector, as a screw leaves it: the
second cell vector leans by b/2. The displacement is that of the infinite row of screws which
the cell stands for, u_x = b/2π arg sin(π (y + i z) / L), in isotropic elasticity (tungsten is
nearly so; matscipy's anisotropic solutions need atomman, and the relaxation sees to the rest).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.calculators.calculator import Calculator
from ase.io import read, write
from ase.units import GPa
from mixpi.config import load_config
from mixpi.distil.data import relaxed_crystal
from mixpi.distil.lammps_engine import LammpsCalculator
from mixpi.drivers.lammps import LammpsSetup


HERE = Path(__file__).resolve().parent
#: [111]/2, [11-2] and [-110] by the primitive vectors of bcc.
AXES = [[1, 1, 1], [-1, -1, 2], [1, -1, 0]]
#: Å, of vacuum between a surface and its image.
VACUUM = 12.0
#: Å; how thick the loaded layers at both surfaces are.
LOADED = 6.0
#: Å, between both and whose atoms may be seeds.
APART = 6.0


def cheap_calculator() -> LammpsCalculator:
    """That of the study's ``mixing.yaml``; its files are beside it or among the potentials."""
    setup = load_config(HERE / "mixing.yaml").cheap.lammps
    assert setup is not None
    return LammpsCalculator(LammpsSetup(setup.potential, setup.species or ["W"], potentials()))


def potentials() -> Path:
    """Where the potentials come from."""
    return HERE.parent.parent / "potentials"


def lattice_constant(calculator: Calculator) -> float:
    """Å, of bcc tungsten at rest."""
    crystal = relaxed_crystal(bulk("W", "bcc", a=3.18, cubic=True), calculator)
    return float(crystal.cell.lengths().mean())


def oriented(edge: float, size: tuple[int, int, int]) -> Atoms:
    """A crystal along the axes above, periodic in all directions."""
    return standing(make_supercell(bulk("W", "bcc", a=edge), AXES)).repeat(size)


def standing(atoms: Atoms) -> Atoms:
    """The same crystal with its first cell vector along x, the second in the xy plane."""
    scaled = atoms.get_scaled_positions()
    atoms.set_cell(atoms.cell.standard_form()[0])
    atoms.set_scaled_positions(scaled)
    return atoms


def shear_modulus(calculator: Calculator, edge: float, strain: float = 0.002) -> float:
    """That of the glide system, eV/Å³: for sliding along x of planes with normal z."""
    energies = []
    for gamma in (-strain, 0.0, strain):
        atoms = oriented(edge, (1, 1, 1))
        cell = atoms.cell.array.copy()
        cell[2, 0] += gamma * cell[2, 2]
        atoms.set_cell(cell, scale_atoms=True)
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
    return float((energies[0] - 2.0 * energies[1] + energies[2]) / strain**2 / atoms.get_volume())


def with_screw(edge: float, size: tuple[int, int, int], *, easy: bool = True) -> Atoms:
    """A slab with a screw in its middle, not relaxed.

    Parameters
    ----------
    edge : float
        Lattice constant, Å.
    size : tuple of int
        Burgers vectors of line, and cells along the glide and the normal.
    easy : bool
        The easy core; else the hard one, whose three inner rows of atoms are at one height.
    """
    atoms = oriented(edge, size)
    b, length = np.sqrt(0.75) * edge, atoms.cell[1, 1]
    row, layer = edge * np.sqrt(2.0 / 3.0), edge / np.sqrt(2.0)
    y, z = atoms.positions[:, 1:].T
    # a row of atoms in the middle, and the triangles that it makes with its neighbours above and
    # below: around one of them heights rise as the screw does, around the other they fall
    middle = np.array([length, atoms.cell[2, 2]]) / 2.0
    corner = atoms.positions[np.argmin(np.hypot(y - middle[0], z - middle[1])), 1:]
    for side in (1.0, -1.0):
        centre = corner + np.array([row / 2.0, side * layer / 3.0])
        made = atoms.copy()
        made.positions[:, 0] += b * winding(atoms, centre)
        if _is_hard(made, centre, row, b) != easy:
            break
    made.cell[1, 0] = b / 2.0
    made.cell[2, 2] += VACUUM
    made.positions[:, 2] += VACUUM / 2.0
    made.wrap(pbc=(True, False, False))
    return made


def winding(atoms: Atoms, centre: np.ndarray) -> np.ndarray:
    """Displacements (n,) along the line, in b, by a row of screws through ``centre`` (y, z; Å)."""
    (y, z), length = (atoms.positions[:, 1:] - centre).T, atoms.cell[1, 1]
    return np.angle(np.sin(np.pi * (y + 1j * z) / length)) / (2.0 * np.pi)


def _is_hard(atoms: Atoms, centre: np.ndarray, row: float, b: float) -> bool:
    """Whether the three rows of atoms around the line are at one height."""
    near = np.linalg.norm(atoms.positions[:, 1:] - centre, axis=1) < 0.7 * row
    phase = np.exp(2j * np.pi * atoms.positions[near, 0] / b)
    return bool(abs(phase.mean()) > 0.5)


def sheared(atoms: Atoms, stress: float, modulus: float) -> Atoms:
    """A relaxed slab with the strain that a stress makes, so that loads do not make it ring.

    Parameters
    ----------
    atoms : Atoms
    stress : float
        MPa, on the upper surface along x.
    modulus : float
        eV/Å³.
    """
    made = atoms.copy()
    z = atoms.positions[:, 2]
    made.positions[:, 0] += stress * 1e-3 * GPa / modulus * (z - z.mean())
    return made


def bounds(atoms: Atoms) -> dict[str, float]:
    """Heights, Å, that ``mixing.yaml`` needs: of the loaded layers, and where the line may be."""
    z = atoms.positions[:, 2]
    low, high = z.min() + LOADED, z.max() - LOADED
    return {"lower": low, "upper": high, "from": low + APART, "to": high - APART}


def main() -> None:
    command, *words = sys.argv[1:]
    if command == "make":
        size, target = tuple(int(word) for word in words[:3]), words[3]
        made = with_screw(lattice_constant(cheap_calculator()), size)
    elif command == "shear":
        relaxed, stress, target = read(words[0]), float(words[1]), words[2]
        calculator = cheap_calculator()
        modulus = shear_modulus(calculator, lattice_constant(calculator))
        made = sheared(relaxed, stress, modulus)
    else:
        raise SystemExit(__doc__)
    write(target, Atoms(made.numbers, made.positions, cell=made.cell, pbc=True))
    print(" ".join(f"{name}={value:.3f}" for name, value in bounds(made).items()))


if __name__ == "__main__":
    main()
