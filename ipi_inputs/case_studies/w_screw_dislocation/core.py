"""The core at rest: is it compact and stable, and which stress moves it? results/core.json.

python core.py [POTENTIAL ...]        cheap, expensive: those of mixing.yaml (default: both)

In cells of one Burgers vector of line. Energies are of a crystal without surfaces that holds two
screws of opposite sign, by each potential alone. What a stress does is seen in a slab like that of
the study, whose surfaces are always the cheap potential's. What is there is not computed again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.calculators.calculator import Calculator, all_changes
from ase.constraints import FixCartesian
from ase.optimize import FIRE
from mixpi import MixingCalculator
from mixpi.analysis.line import line_atoms
from mixpi.blend.external_forces import MPA
from mixpi.config import load_config
from mixpi.drivers.symmetrix_engine import SymmetrixEngine
from mixpi.regions.periodic import PeriodicCell
from scipy.spatial import Delaunay
from screw import (
    AXES,
    HERE,
    bounds,
    cheap_calculator,
    lattice_constant,
    oriented,
    shear_modulus,
    sheared,
    standing,
    winding,
    with_screw,
)


#: Slab: Burgers vectors of line, cells along glide and normal.
SLAB = (1, 12, 10)
#: Crystal with two screws: cells along the glide; layers along the normal, an odd number, so that
#: easy and hard cores can have the same distances to all others.
GLIDE, LAYERS = 8, 19
#: eV/Å; steps of a relaxation.
FMAX, STEPS = 0.005, 600
#: Å.
RATTLE = 0.01
#: MPa.
STRESSES = range(500, 4501, 250)


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


@dataclass(frozen=True)
class Triangle:
    """Three neighbouring rows of atoms of the perfect crystal.

    Attributes
    ----------
    corners : ndarray of int, shape (3,)
        An atom of each, counter-clockwise.
    centre : ndarray, shape (2,)
        Å, along y and z.
    rise : float
        By how much heights along the line rise around it, b: 1 or -1.
    """

    corners: np.ndarray
    centre: np.ndarray
    rise: float


def folded(heights: np.ndarray | float, b: float) -> np.ndarray:
    """Differences of heights, which are known but for multiples of b, in b."""
    return heights / b - np.round(np.asarray(heights) / b)


def triangles_of(perfect: Atoms, edge: float) -> Iterator[Triangle]:
    """All of them, in a crystal of one Burgers vector of line."""
    b, row = np.sqrt(0.75) * edge, edge * np.sqrt(2.0 / 3.0)
    places, heights = perfect.positions[:, 1:], perfect.positions[:, 0]
    for corners in Delaunay(places).simplices:
        away = places[corners] - places[corners].mean(axis=0)
        if np.linalg.norm(away, axis=1).max() < 0.6 * row:  # none at the boundary
            corners = corners[np.argsort(np.arctan2(away[:, 1], away[:, 0]))]
            rise = folded(np.roll(heights[corners], -1) - heights[corners], b).sum()
            yield Triangle(corners, places[corners].mean(axis=0), float(np.round(rise)))


@dataclass(frozen=True)
class Core:
    """Where the line is, and of which kind.

    Attributes
    ----------
    kind : str
        Easy where the rows around it rise as the screw does, hard where it makes them level.
    place : ndarray, shape (2,)
        Å, along y and z.
    polarity : float
        By how much more, of the two rows behind each corner, one is displaced than the other, b: 0
        for a compact core, 1/6 at most for one that is spread on three planes.
    """

    kind: str
    place: np.ndarray
    polarity: float


def find_core(atoms: Atoms, perfect: Atoms, edge: float) -> Core:
    """By the displacements of neighbouring rows along the line, as they are in maps of cores."""
    b = np.sqrt(0.75) * edge
    places = perfect.positions[:, 1:]
    along = atoms.positions[:, 0] - perfect.positions[:, 0]
    middle = places.mean(axis=0)

    def behind(triangle: Triangle, corner: int, other: int) -> float:
        place = 2.0 * places[corner] - places[other]
        row = int(np.argmin(np.linalg.norm(places - place, axis=1)))
        return float(abs(folded(along[row] - along[corner], b)))

    # a bad surface may have wound triangles, too
    for triangle in sorted(
        triangles_of(perfect, edge), key=lambda one: np.linalg.norm(one.centre - middle)
    ):
        winding = folded(np.roll(along[triangle.corners], -1) - along[triangle.corners], b).sum()
        if abs(winding) > 0.5:
            first, second, third = triangle.corners
            arms = [
                behind(triangle, one, other) - behind(triangle, one, another)
                for one, other, another in (
                    (first, second, third),
                    (second, third, first),
                    (third, first, second),
                )
            ]
            kind = "easy" if winding * triangle.rise > 0 else "hard"
            return Core(kind, triangle.centre, float(np.mean(arms)))
    raise SystemExit("no triangle of rows is wound: is the line at a surface?")


def with_two_screws(edge: float, *, easy: bool) -> Atoms:
    """A crystal without surfaces, and screws of both signs in it, half its height apart.

    An easy core of one sign and one of the other are a third of a layer nearer to one another
    than to their images, hard ones a third of a layer further, or the other way round: energies
    by elasticity are the same. Of hard ones the three inner rows are held level, because they
    would fall into easy ones.
    """
    glide, normal = np.array(AXES[1]), np.array(AXES[2])
    axes = [AXES[0], GLIDE * glide, (LAYERS - 1) // 2 * normal + [1, 0, 0]]
    atoms = standing(make_supercell(bulk("W", "bcc", a=edge), axes))
    b, length, height = np.sqrt(0.75) * edge, atoms.cell[1, 1], atoms.cell[2, 2]
    found = list(triangles_of(atoms, edge))
    sign = 1.0 if easy else -1.0
    low = min(
        (one for one in found if one.rise == sign),
        key=lambda one: np.linalg.norm(one.centre - [length / 2, height / 4]),
    )
    high = min(
        (one for one in found if one.rise == -sign),
        key=lambda one: np.linalg.norm(one.centre - low.centre - [0.0, height / 2]),
    )
    atoms.positions[:, 0] += b * (winding(atoms, low.centre) - winding(atoms, high.centre))
    # without mean stress: half of what the two leave between them
    atoms.positions[:, 0] += b / 2.0 * atoms.positions[:, 1] / length
    cell = atoms.cell.array.copy()
    cell[1, 0] += b / 2.0
    atoms.set_cell(cell)
    if not easy:
        atoms.set_constraint(FixCartesian([*low.corners, *high.corners], (True, False, False)))
    return atoms


def relaxed(atoms: Atoms, calculator: Calculator) -> tuple[Atoms, bool]:
    """At rest, if it comes to rest, from a start without symmetry."""
    made = atoms.copy()
    made.rattle(RATTLE, seed=1)
    made.calc = calculator
    return made, bool(FIRE(made, logfile=None).run(fmax=FMAX, steps=STEPS))


def hard_above_easy(calculator: Calculator, edge: float) -> dict:
    """The energy of a core, eV for each Burgers vector of line."""
    energies = {}
    for name in ("easy", "hard"):
        atoms, at_rest = relaxed(with_two_screws(edge, easy=name == "easy"), calculator)
        energies[name] = atoms.get_potential_energy() / 2.0 if at_rest else np.nan
    return {"hard_above_easy_eV_per_b": round(energies["hard"] - energies["easy"], 3)}


def in_slab(calculator: Calculator, edge: float, modulus: float) -> dict:
    """What becomes of both cores in the slab, and of the easy one under stress."""
    perfect, found, made = oriented(edge, SLAB), {}, {}
    for name in ("easy", "hard"):
        atoms, at_rest = relaxed(with_screw(edge, SLAB, easy=name == "easy"), calculator)
        made[name] = atoms
        found[f"made_{name}"] = {"at_rest": at_rest, **_described(atoms, perfect, edge)}
        print(name, found[f"made_{name}"], flush=True)
    atoms, start = made["easy"], found["made_easy"]["place_A"]
    stress, found["under_stress"] = 0, []
    for further in STRESSES:
        atoms = sheared(atoms, further - stress, modulus)
        stress = further
        atoms, at_rest = relaxed(atoms, Loaded(calculator, atoms, stress))
        core = _described(atoms, perfect, edge)
        found["under_stress"].append({"MPa": stress, "at_rest": at_rest, **core})
        print(found["under_stress"][-1], flush=True)
        if not at_rest or np.linalg.norm(np.subtract(core["place_A"], start)) > 2.0:
            break
    return found


def _described(atoms: Atoms, perfect: Atoms, edge: float) -> dict:
    core = find_core(atoms, perfect, edge)
    z, ends = atoms.positions[:, 2], bounds(atoms)
    inside = (z > ends["from"]) & (z < ends["to"])
    odd = line_atoms(atoms.positions, PeriodicCell(atoms.cell.array), 3.838, inside)
    return {
        "core": core.kind,
        "place_A": [round(float(x), 1) for x in core.place],
        "polarity_b": round(core.polarity, 3) + 0.0,
        "not_bcc_per_b": int(odd.sum()),
    }


def all_but_the_surfaces(cheap: Calculator, expensive: Calculator, edge: float) -> Calculator:
    """The expensive potential in the slab, as the reference of the study has it."""
    atoms = with_screw(edge, SLAB)
    z, ends = atoms.positions[:, 2], bounds(atoms)
    seeds = np.flatnonzero((z > ends["from"]) & (z < ends["to"]))
    radii = load_config(HERE / "mixing.yaml").regions.radii
    return MixingCalculator(
        cheap=cheap, expensive=expensive, seeds=seeds, fixed_regions=True, **radii
    )


def main() -> None:
    config = load_config(HERE / "mixing.yaml")
    target = HERE / "results" / "core.json"
    target.parent.mkdir(exist_ok=True)
    found = json.loads(target.read_text()) if target.exists() else {}
    cheap = cheap_calculator()
    edge = lattice_constant(cheap)
    modulus = shear_modulus(cheap, edge)
    for name in sys.argv[1:] or ("cheap", "expensive"):
        alone = in_the_slab = cheap
        used = " ".join(sorted({w for line in config.cheap.lammps.potential
                                for w in line.split() if w.startswith("w-")}))  # fmt: skip
        if name == "expensive":
            used = config.expensive.mace.model
            alone = SymmetrixEngine(HERE.parent.parent / "models" / used).calculator
            in_the_slab = all_but_the_surfaces(cheap, alone, edge)
        if found.get(name, {}).get("potential") != used:
            found[name] = {
                "potential": used,
                "a0_A": round(lattice_constant(alone), 4),
                "shear_modulus_GPa": round(shear_modulus(alone, edge) / MPA / 1e3, 1),
                **hard_above_easy(alone, edge),
                **in_slab(in_the_slab, edge, modulus),
            }
            target.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
