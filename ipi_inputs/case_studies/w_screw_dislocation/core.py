"""The core at rest: is it compact and stable, and which stress moves it? results/core.json.

python core.py [POTENTIAL ...]        cheap, expensive: those of mixing.yaml (default: both)

In a cell of one Burgers vector of line, with each potential alone: the easy and the hard core,
relaxed, and then the easy one under a stress that grows until it glides. What is there is not
computed again.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.optimize import FIRE
from mixpi.analysis.line import line_atoms
from mixpi.blend.external_forces import MPA
from mixpi.config import load_config
from mixpi.drivers.symmetrix_engine import SymmetrixEngine
from mixpi.regions.periodic import PeriodicCell
from scipy.spatial import Delaunay
from screw import (
    HERE,
    bounds,
    cheap_calculator,
    lattice_constant,
    oriented,
    shear_modulus,
    sheared,
    with_screw,
)


SIZE = (1, 12, 10)
#: eV/Å; steps of a relaxation.
FMAX, STEPS = 0.005, 600
#: MPa.
STRESSES = range(500, 4001, 250)


class Loaded(Calculator):
    """A potential, and opposite constant forces along x on both surfaces."""

    implemented_properties = ("energy", "forces")

    def __init__(self, calculator: Calculator, atoms: Atoms, stress: float) -> None:
        super().__init__()
        self._calculator = calculator
        z, ends = atoms.positions[:, 2], bounds(atoms)
        sides = (z > ends["upper"]).astype(float), (z < ends["lower"]).astype(float)
        total = stress * MPA * atoms.cell[0, 0] * atoms.cell[1, 1]
        self._load = total * (sides[0] / sides[0].sum() - sides[1] / sides[1].sum())

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        own = self.atoms.copy()
        own.calc = self._calculator
        forces = own.get_forces()
        forces[:, 0] += self._load
        energy = own.get_potential_energy() - self._load @ self.atoms.positions[:, 0]
        self.results = {"energy": energy, "forces": forces}


@dataclass
class Core:
    """Where the line is, and of which kind.

    Attributes
    ----------
    place : ndarray, shape (2,)
        Middle of the triangle of rows that the screw winds around, Å, along y and z.
    winding : float
        Around it, in b.
    polarity : float
        By how much more, of the two rows behind each corner, one is displaced than the other, b: 0
        for a compact core, 1/6 at most for one that is spread on three planes.
    """

    place: np.ndarray
    winding: float
    polarity: float


def find_core(atoms: Atoms, edge: float, size: tuple[int, int, int]) -> Core:
    """By the displacements of neighbouring rows along the line, as they are in maps of cores."""
    perfect = oriented(edge, size)
    b, row = np.sqrt(0.75) * edge, edge * np.sqrt(2.0 / 3.0)
    rows = perfect.positions[:, 1:]
    along = atoms.positions[:, 0] - perfect.positions[:, 0]

    def between(first: int, second: int) -> float:
        difference = (along[second] - along[first]) / b
        return float(difference - np.round(difference))

    def at(place: np.ndarray) -> int:
        return int(np.argmin(np.linalg.norm(rows - place, axis=1)))

    for triangle in Delaunay(rows).simplices:
        corners = rows[triangle]
        sides = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
        if sides.max() > 1.1 * row:
            continue
        ring = [between(triangle[k], triangle[(k + 1) % 3]) for k in range(3)]
        if abs(sum(ring)) < 0.5:
            continue
        arms = []
        for k in range(3):
            corner, others = corners[k], [corners[(k + 1) % 3], corners[(k + 2) % 3]]
            beyond = [between(triangle[k], at(2.0 * corner - other)) for other in others]
            arms.append(abs(beyond[0]) - abs(beyond[1]))
        return Core(corners.mean(axis=0), sum(ring), float(np.mean(arms)))
    raise SystemExit("no triangle of rows is wound: is the line at a surface?")


def kind_of(core: Core, edge: float, size: tuple[int, int, int]) -> str:
    """Easy where the rows around the line rise as the screw does, hard where it makes them level."""
    perfect = oriented(edge, size)
    b, row = np.sqrt(0.75) * edge, edge * np.sqrt(2.0 / 3.0)
    away = perfect.positions[:, 1:] - core.place
    near = np.flatnonzero(np.linalg.norm(away, axis=1) < 0.7 * row)
    near = near[np.argsort(np.arctan2(away[near, 1], away[near, 0]))]
    rise = np.diff(perfect.positions[[*near, near[0]], 0]) / b
    rise -= np.round(rise)
    return "easy" if rise.sum() * core.winding > 0 else "hard"


def relaxed(atoms: Atoms, calculator: Calculator, stress: float = 0.0) -> tuple[Atoms, bool]:
    """At rest, if it comes to rest."""
    made = atoms.copy()
    made.calc = Loaded(calculator, atoms, stress)
    return made, bool(FIRE(made, logfile=None).run(fmax=FMAX, steps=STEPS))


def odd_atoms(atoms: Atoms) -> int:
    """Those of the line that are not bcc."""
    z, ends = atoms.positions[:, 2], bounds(atoms)
    inside = (z > ends["from"] - 5.0) & (z < ends["to"] + 5.0)
    cell = PeriodicCell(atoms.cell.array)
    return int(line_atoms(atoms.positions, cell, 3.838, inside).sum())


def describe(atoms: Atoms, edge: float) -> dict:
    """What core there is."""
    core = find_core(atoms, edge, SIZE)
    return {
        "core": kind_of(core, edge, SIZE),
        "place_A": [round(float(x), 2) for x in core.place],
        "polarity_b": round(core.polarity, 3),
        "odd_atoms_per_b": odd_atoms(atoms) / SIZE[0],
    }


def study(calculator: Calculator) -> dict:
    """Of one potential."""
    edge = lattice_constant(calculator)
    modulus = shear_modulus(calculator, edge)
    found: dict = {"a0_A": round(edge, 4), "shear_modulus_GPa": round(modulus / MPA / 1e3, 1)}
    made: dict[str, Atoms] = {}
    for name in ("easy", "hard"):
        atoms, at_rest = relaxed(with_screw(edge, SIZE, easy=name == "easy"), calculator)
        made[name] = atoms
        found[name] = {
            "energy_eV_per_b": round(atoms.get_potential_energy() / SIZE[0], 4),
            "at_rest": at_rest,
            **describe(atoms, edge),
        }
        print(name, found[name], flush=True)
    start, atoms = found["easy"]["place_A"], made["easy"]
    found["under_stress"] = []
    for stress in STRESSES:
        before = found["under_stress"][-1]["stress_MPa"] if found["under_stress"] else 0
        atoms, at_rest = relaxed(sheared(atoms, stress - before, modulus), calculator, stress)
        place = find_core(atoms, edge, SIZE).place
        step = {"stress_MPa": stress, "at_rest": at_rest, "glided_A": round(place[0] - start[0], 2)}
        found["under_stress"].append(step)
        print(step, flush=True)
        if not at_rest or abs(step["glided_A"]) > 1.5:
            break
    return found


def main() -> None:
    config = load_config(HERE / "mixing.yaml")
    target = HERE / "results" / "core.json"
    target.parent.mkdir(exist_ok=True)
    found = json.loads(target.read_text()) if target.exists() else {}
    for name in sys.argv[1:] or ("cheap", "expensive"):
        if name == "cheap":
            words, calculator = config.cheap.lammps.potential[1], cheap_calculator()
            model = next(word for word in words.split() if "w-" in word)
        else:
            model = config.expensive.mace.model
            calculator = SymmetrixEngine(HERE.parent.parent / "models" / model).calculator
        if found.get(name, {}).get("potential") != model:
            found[name] = {"potential": model, **study(calculator)}
            target.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
