"""The mixing of two ASE calculators, and how it gets on with the rest of ASE."""

from __future__ import annotations

import brute_force
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms
from ase.io import read, write
from ase.mep import NEB
from ase.optimize import BFGS, FIRE
from mixpi import MixingCalculator, MixpiError


RADII = {"core": 3.0, "blend": 3.0, "buffer": 5.0}
EVERYTHING = {"core": 90.0, "blend": 0.0, "buffer": 0.0}


def lj(epsilon: float) -> LennardJones:
    return LennardJones(sigma=2.55, epsilon=epsilon, rc=4.5, smooth=True)


class ChargedLJ(LennardJones):
    """Remembers the atoms it was given; its energies are not split among the atoms."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.seen = [*getattr(self, "seen", []), atoms.copy()]


def mixing(**change) -> MixingCalculator:
    return MixingCalculator(
        **{"cheap": lj(0.2), "expensive": lj(0.3), "seeds": [5], **RADII} | change
    )


def crystal(repeat: int = 4) -> Atoms:
    atoms = bulk("Cu", cubic=True, a=3.9) * (repeat, repeat, repeat)
    atoms.rattle(0.05, seed=1)
    return atoms


def vacancy() -> Atoms:
    atoms = crystal()
    del atoms[60]
    return atoms


def slab() -> Atoms:
    atoms = fcc111("Cu", (7, 7, 4), a=3.9, vacuum=None)
    atoms.rattle(0.1, seed=2)
    atoms.info.clear()  # ASE's notes on the surface, which it cannot write
    return atoms


def molecule() -> Atoms:
    atoms = crystal(3)
    return Atoms(atoms.numbers, atoms.positions)  # no cell at all


def wire() -> Atoms:
    atoms = crystal(2) * (1, 1, 3)
    atoms.pbc = (False, False, True)
    atoms.rotate(30, (1, 2, 3), rotate_cell=True)
    return atoms


def tilted_slab() -> Atoms:
    atoms = slab()
    cell = atoms.cell.array
    cell[2] = cell[0] * 0.4 + cell[1] * 0.3 + [0.0, 0.0, 9.0]  # cuts through the slab
    atoms.set_cell(cell)
    return atoms


SYSTEMS = {
    "crystal": crystal,
    "slab": slab,
    "tilted slab": tilted_slab,
    "wire": wire,
    "molecule": molecule,
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_regions_do_not_reach_across_open_boundaries(system):
    atoms = SYSTEMS[system]()
    seeds = [0, len(atoms) - 1]  # at the borders
    atoms.calc = mixing(seeds=seeds, profile="cubic")
    atoms.get_forces()
    # all images along periodic directions, and none along the open ones
    reach = sum(RADII.values())
    cell = np.where(atoms.pbc[:, None], atoms.cell.array, 0.0)
    distance = np.full((len(atoms), len(atoms)), np.inf)
    ranges = [range(-9, 10) if periodic else [0] for periodic in atoms.pbc]
    for shift in np.stack(np.meshgrid(*ranges), -1).reshape(-1, 3):
        if np.linalg.norm(shift @ cell) < reach + 30.0:
            vectors = atoms.positions[:, None] - atoms.positions[None] + shift @ cell
            distance = np.minimum(distance, np.linalg.norm(vectors, axis=-1))
    labels = atoms.calc.results["regions"]
    core = distance[:, seeds].min(axis=1) < RADII["core"]
    core[seeds] = True
    blend = ~core & (distance[:, core].min(axis=1) < RADII["blend"])
    buffer = ~core & ~blend & (distance[:, core | blend].min(axis=1) < RADII["buffer"])
    np.testing.assert_array_equal(labels, 3 * core + 2 * blend + buffer)
    assert blend.any() and buffer.any() and not core.all()


@pytest.mark.parametrize("system", SYSTEMS)
def test_forces_are_the_blend(system):
    """A buffer of twice the cutoff makes the cluster exact."""
    atoms = SYSTEMS[system]()
    atoms.calc = mixing(buffer=9.1, remove_net_force=False)
    w = atoms.calc.get_property("forces", atoms) is not None and atoms.calc.results["weights"]
    wanted = [c.get_forces(atoms.copy()) for c in (lj(0.3), lj(0.2))]
    assert 0 < np.count_nonzero(w) < len(atoms)
    wanted = w[:, None] * wanted[0] + (1 - w[:, None]) * wanted[1]
    np.testing.assert_allclose(atoms.get_forces(), wanted, rtol=0, atol=1e-10)


def test_brute_force_agrees_with_the_periodic_case():
    atoms = crystal(2)
    atoms.calc = mixing(profile="linear")
    atoms.get_forces()
    weights = brute_force.regions(atoms.positions, atoms.cell.array, [5], **RADII, profile="linear")
    np.testing.assert_allclose(atoms.calc.results["weights"], weights[0], atol=1e-14)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("whose", ["cheap", "expensive"])
def test_limits(system, whose):
    atoms = SYSTEMS[system]()
    change = {"seeds": []} if whose == "cheap" else EVERYTHING
    alone = atoms.copy()
    alone.calc = lj(0.2 if whose == "cheap" else 0.3)
    for cheap in (lj(0.2), ChargedLJ(sigma=2.55, epsilon=0.2, rc=4.5, smooth=True)):
        atoms.calc = mixing(**change, cheap=cheap, remove_net_force=False)
        energy = alone.get_potential_energy()
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-9)
        assert atoms.get_potential_energy(force_consistent=True) == pytest.approx(energy, abs=1e-9)
        np.testing.assert_allclose(atoms.get_forces(), alone.get_forces(), atol=1e-10)


def test_everything_about_the_atoms_reaches_both_calculators():
    atoms = slab()
    n = len(atoms)
    atoms.set_initial_charges(np.linspace(-1, 1, n))
    atoms.set_initial_magnetic_moments(np.linspace(0, 2, n))
    atoms.set_tags(np.arange(n))
    atoms.new_array("mine", np.arange(3 * n).reshape(n, 3))
    atoms.info["charge"] = 2
    atoms.set_constraint(FixAtoms([0, 5]))
    cheap, expensive = (ChargedLJ(sigma=2.55, epsilon=e, rc=4.5, smooth=True) for e in (0.2, 0.3))
    atoms.calc = mixing(cheap=cheap, expensive=expensive)
    atoms.get_forces()
    cluster = np.flatnonzero(atoms.calc.results["regions"])
    assert 0 < len(cluster) < n
    for seen, part in ((cheap.seen[0], atoms), (expensive.seen[0], atoms[cluster])):
        assert seen.arrays.keys() == atoms.arrays.keys()
        for name, values in part.arrays.items():
            np.testing.assert_array_equal(seen.arrays[name], values)
        np.testing.assert_array_equal(seen.pbc, atoms.pbc)
        np.testing.assert_array_equal(seen.cell, atoms.cell)
        assert seen.info == atoms.info
        assert not seen.constraints


def test_constraints_are_applied_once_and_outside():
    atoms = crystal()
    free = mixing().get_forces(atoms)
    atoms.set_constraint(FixAtoms([5]))
    atoms.calc = mixing()
    assert not atoms.get_forces()[5].any()
    np.testing.assert_array_equal(atoms.get_forces(apply_constraint=False), free)


@pytest.mark.parametrize("system", ["crystal", "slab", "wire"])
def test_atoms_far_from_home_come_back(system):
    atoms = SYSTEMS[system]()
    forces = mixing().get_forces(atoms)
    rng = np.random.default_rng(0)
    shifts = rng.integers(-300, 300, (len(atoms), 3)) * atoms.pbc
    atoms.positions += shifts @ atoms.cell.array
    cheap = ChargedLJ(sigma=2.55, epsilon=0.2, rc=4.5, smooth=True)
    found = mixing(cheap=cheap).get_forces(atoms)
    np.testing.assert_allclose(found, forces, rtol=0, atol=1e-9)
    inside = cheap.seen[0].cell.scaled_positions(cheap.seen[0].positions)[:, atoms.pbc]
    assert inside.min() >= -1.0 and inside.max() < 2.0


def test_atoms_that_cross_a_border_stay_with_their_molecule():
    atoms = crystal(2)
    atoms.positions += [-1.0, 3.0, 0.0]
    cheap = ChargedLJ(sigma=2.55, epsilon=0.2, rc=4.5, smooth=True)
    mixing(cheap=cheap).get_forces(atoms)
    np.testing.assert_array_equal(cheap.seen[0].positions, atoms.positions)


@pytest.mark.full
@pytest.mark.parametrize("optimizer", [FIRE, BFGS])
def test_relaxation(optimizer):
    atoms = vacancy()
    seeds = np.argsort(atoms.get_distances(59, range(len(atoms)), mic=True))[:4]
    atoms.calc = mixing(seeds=seeds, fixed_regions=True)
    start = atoms.get_potential_energy()
    weights = atoms.calc.results["weights"]
    moved = atoms.positions.copy()
    assert optimizer(atoms, logfile=None).run(fmax=0.01, steps=300)
    assert np.linalg.norm(atoms.get_forces(), axis=1).max() < 0.01
    assert np.abs(atoms.positions - moved).max() > 0.05
    assert atoms.get_potential_energy() < start - 0.1
    np.testing.assert_array_equal(atoms.calc.results["weights"], weights)


@pytest.mark.full
@pytest.mark.parametrize("shared", [True, False])
def test_neb(shared):
    whole = bulk("Cu", cubic=True, a=3.9) * (3, 3, 3)
    hopping = int(np.argmin(whole.get_distances(60, [i for i in range(108) if i != 60], mic=True)))
    first = whole.copy()
    del first[60]
    last = first.copy()
    last.positions[hopping] += whole.get_distance(
        hopping + (hopping >= 60), 60, mic=True, vector=True
    )
    one = mixing(seeds=[hopping])
    one.freeze(first)
    images = [first, *(first.copy() for _ in range(1 if shared else 3)), last]
    for image in images:
        image.calc = one if shared else mixing(seeds=[hopping])
        image.calc.freeze(first)
    for end in (first, last):
        assert BFGS(end, logfile=None).run(fmax=0.05, steps=60)
    neb = NEB(images, allow_shared_calculator=shared, method="improvedtangent")
    neb.interpolate(mic=True)
    assert BFGS(neb, logfile=None).run(fmax=0.1, steps=60)
    energies = [image.get_potential_energy() for image in images]
    assert max(energies[0], energies[-1]) + 0.05 < max(energies) < energies[0] + 5.0


def test_energy_follows_the_work_of_the_forces():
    """Blended energies of the atoms, at fixed regions, against the integral of the forces."""
    atoms = crystal()
    calc = mixing(buffer=9.1, remove_net_force=False)
    calc.freeze(atoms)
    direction = np.random.default_rng(0).normal(size=atoms.positions.shape)
    energies, work, previous = [], [0.0], None
    for s in np.linspace(0.0, 0.15, 31):
        moved = atoms.copy()
        moved.positions += s * direction
        forces = calc.get_forces(moved)
        energies.append(calc.get_potential_energy(moved))
        if previous is not None:
            step = moved.positions - previous[0]
            work.append(work[-1] - 0.5 * float(np.sum((forces + previous[1]) * step)))
        previous = moved.positions, forces
    change = np.array(energies) - energies[0]
    assert np.abs(change).max() > 5.0
    np.testing.assert_allclose(change, work, atol=0.02 * np.ptp(change))


def test_without_energies_of_the_atoms_the_cluster_is_replaced():
    atoms = crystal()
    plain = {"sigma": 2.55, "rc": 4.5, "smooth": True}
    calc = mixing(expensive=ChargedLJ(epsilon=0.3, **plain))
    energy = calc.get_potential_energy(atoms)
    cluster = atoms[calc.results["regions"] > 0]
    wanted = lj(0.2).get_potential_energy(atoms) - lj(0.2).get_potential_energy(cluster)
    assert energy == pytest.approx(wanted + lj(0.3).get_potential_energy(cluster), abs=1e-9)


def test_energy_is_computed_only_when_asked_for_and_from_what_there_is():
    atoms = crystal()
    cheap, expensive = (ChargedLJ(sigma=2.55, epsilon=e, rc=4.5, smooth=True) for e in (0.2, 0.3))
    calc = mixing(cheap=cheap, expensive=expensive)
    calc.get_forces(atoms)
    assert (len(cheap.seen), len(expensive.seen)) == (1, 1)
    calc.get_potential_energy(atoms)
    assert (len(cheap.seen), len(expensive.seen)) == (2, 1)  # the cheap one, on the cluster
    calc.get_potential_energy(atoms), calc.get_forces(atoms)
    assert (len(cheap.seen), len(expensive.seen)) == (2, 1)


def test_no_number_of_another_geometry_is_left_when_a_calculator_fails():
    class Fails(LennardJones):
        def calculate(self, atoms=None, *arguments, **keywords):
            if atoms.positions[0, 0] > 50.0:
                raise RuntimeError("no convergence")
            super().calculate(atoms, *arguments, **keywords)

    atoms = molecule()
    atoms.calc = mixing(cheap=Fails(sigma=2.55, epsilon=0.2, rc=4.5), seeds=[])
    atoms.get_potential_energy()
    atoms.positions[0, 0] += 100.0
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no convergence"):
            atoms.get_potential_energy()


def test_one_calculator_may_play_both_parts():
    atoms = crystal()
    same = lj(0.2)
    calc = mixing(cheap=same, expensive=same, buffer=9.1)
    np.testing.assert_allclose(calc.get_forces(atoms), lj(0.2).get_forces(atoms), atol=1e-10)
    assert calc.get_potential_energy(atoms) == pytest.approx(lj(0.2).get_potential_energy(atoms))


def test_regions_follow_unless_they_are_kept():
    atoms = crystal()
    follow, first, frozen = mixing(), mixing(fixed_regions=True), mixing()
    frozen.freeze(atoms)
    moved = atoms.copy()
    moved.positions[5] += 2.0
    before = {}
    for calc in (follow, first, frozen):
        calc.get_forces(atoms)
        before[calc] = calc.results["weights"]
        calc.get_forces(moved)
    assert not np.array_equal(before[follow], follow.results["weights"])
    for calc in (first, frozen):
        np.testing.assert_array_equal(before[calc], calc.results["weights"])
        calc.thaw()
        calc.get_forces(moved)
        np.testing.assert_array_equal(follow.results["weights"], calc.results["weights"])
    frozen.freeze(atoms)
    with pytest.raises(MixpiError, match="frozen for 256 atoms, these are 108"):
        frozen.get_forces(crystal(3))


def test_new_parameters_count_at_once():
    atoms = crystal()
    atoms.calc = mixing()
    old = atoms.get_forces()
    atoms.calc.set(seeds=[70], core=2.0)
    np.testing.assert_array_equal(
        atoms.get_forces(), mixing(seeds=[70], core=2.0).get_forces(atoms)
    )
    assert np.abs(atoms.get_forces() - old).max() > 1e-3
    frozen = mixing()
    frozen.freeze(atoms)
    frozen.set(seeds=[70])
    np.testing.assert_array_equal(frozen.get_forces(atoms), mixing(seeds=[70]).get_forces(atoms))
    with pytest.raises(MixpiError, match="no argument 'radius'"):
        atoms.calc.set(radius=3.0)


class InfoLJ(LennardJones):
    """Forces that depend on what ASE does not look at."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results["forces"] = self.results["forces"] * (1 + atoms.info.get("field", 0.0))


@pytest.mark.parametrize("change", ["masses", "info"])
def test_what_ase_takes_for_no_change_counts_too(change):
    def calculator() -> MixingCalculator:
        return mixing(cheap=InfoLJ(sigma=2.55, rc=4.5))

    atoms = crystal()
    atoms.calc = calculator()
    old = atoms.get_forces()
    if change == "masses":
        atoms.set_masses(np.linspace(10.0, 100.0, len(atoms)))
    else:
        atoms.info["field"] = 1.0
    new = atoms.get_forces()
    assert np.abs(new - old).max() > 1e-4
    np.testing.assert_array_equal(new, calculator().get_forces(atoms))
    assert not atoms.calc.calculation_required(atoms, ["forces"])


def test_seeds_as_a_mask():
    atoms = crystal()
    mask = np.arange(len(atoms)) == 5
    np.testing.assert_array_equal(mixing(seeds=mask).get_forces(atoms), mixing().get_forces(atoms))
    with pytest.raises(MixpiError, match="seed mask must have shape"):
        mixing(seeds=mask[:-1]).get_forces(atoms)


@pytest.mark.parametrize("name", ["a.extxyz", "a.traj", "a.json", "a.db"])
def test_results_survive_in_files(tmp_path, name):
    atoms = slab()
    atoms.calc = mixing(seeds=np.array([3, 4]), core=np.float64(3.0))
    forces, energy = atoms.get_forces(), atoms.get_potential_energy()
    write(tmp_path / name, atoms)
    again = read(tmp_path / name)
    np.testing.assert_allclose(again.get_forces(), forces, atol=1e-7)
    assert again.get_potential_energy() == pytest.approx(energy, abs=1e-6)


def test_what_ase_asks_of_a_calculator():
    atoms = crystal()
    atoms.calc = mixing()
    assert atoms.calc.todict() == {"seeds": [5], **RADII}
    properties = atoms.get_properties(["energy", "forces"])
    np.testing.assert_array_equal(properties["forces"], atoms.get_forces())
    assert atoms.calc.get_property("energy") == atoms.get_potential_energy()
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()
    with pytest.raises(MixpiError, match="given no atoms"):
        mixing().get_potential_energy()


class EnergyOnly(Calculator):
    implemented_properties = ("energy",)


class ForcesOnly(Calculator):
    implemented_properties = ("forces",)

    def calculate(self, atoms=None, properties=("forces",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"forces": np.ones((len(atoms), 3))}


def test_forces_alone_will_do_for_forces():
    atoms = crystal()
    atoms.calc = mixing(cheap=ForcesOnly(), remove_net_force=False)
    assert (atoms.get_forces()[atoms.calc.results["weights"] == 0] == 1.0).all()
    with pytest.raises(PropertyNotImplementedError, match="the cheap calculator has no energy"):
        atoms.get_potential_energy()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"core": -1.0}, "core radius must be a number >= 0"),
        ({"core": "4"}, "core radius must be a number >= 0"),
        ({"blend": None}, "blend radius must be a number"),
        ({"buffer": np.nan}, "buffer radius"),
        ({"buffer": True}, "buffer radius"),
        ({"profile": "cosine"}, "profile must be one of"),
        ({"profile": ["linear"]}, "profile must be one of"),
        ({"seeds": [-1]}, "seed -1 is out of range: atoms are numbered from 0"),
        ({"seeds": [0.5]}, "seeds must be a flat list of integers"),
        ({"seeds": 3}, "seeds must be a flat list of integers"),
        ({"seeds": "none"}, "seeds must be a flat list of integers"),
        ({"seeds": None}, "seeds must be a flat list of integers"),
        ({"remove_net_force": "no"}, "remove_net_force must be True or False"),
        ({"fixed_regions": 1}, "fixed_regions must be True or False"),
        ({"bufer": 3.0}, "no argument 'bufer'; there are cheap, expensive, seeds, core"),
        ({"cheap": None}, "cheap must be an ASE calculator"),
        ({"cheap": "emt"}, "cheap must be an ASE calculator, got 'emt'"),
        ({"expensive": LennardJones}, "expensive must be an ASE calculator, got <class"),
        ({"expensive": Atoms("Cu")}, "got atoms; pass atoms.calc"),
        ({"expensive": EnergyOnly()}, "the expensive calculator, EnergyOnly, has no forces"),
    ],
)
def test_wrong_arguments_are_refused_at_once(change, message):
    with pytest.raises(MixpiError, match=message):
        mixing(**change)


def nan_positions() -> Atoms:
    atoms = crystal(2)
    atoms.positions[3] = np.nan
    return atoms


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (lambda: Atoms("Cu4", np.eye(4, 3) * 9), "seed 5 is out of range: the structure has 4"),
        (lambda: Atoms(), "without atoms"),
        (lambda: Atoms("Cu9", np.eye(9, 3) * 9, pbc=True), "are zero or lie in one plane"),
        (lambda: Atoms("Cu9", np.eye(9, 3) * 9, cell=[9, 9, 0], pbc=(0, 0, 1)), "are zero or"),
        (lambda: Atoms("Cu9", np.eye(9, 3) * 9, cell=np.ones((3, 3)), pbc=(1, 1, 0)), "one plane"),
        (nan_positions, "NaN or infinite positions"),
    ],
)
def test_wrong_atoms_are_refused(atoms, message):
    with pytest.raises(MixpiError, match=message):
        mixing().get_forces(atoms())


class Broken(ForcesOnly):
    def calculate(self, atoms=None, properties=("forces",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results["forces"][0] = np.nan


class Short(ForcesOnly):
    def calculate(self, atoms=None, properties=("forces",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results["forces"] = self.results["forces"][:1]


@pytest.mark.parametrize("which", ["cheap", "expensive"])
@pytest.mark.parametrize(
    ("calculator", "message"),
    [(Broken, "returned NaN or infinite forces"), (Short, "forces of shape \\(1, 3\\)")],
)
def test_nonsense_from_a_calculator_is_refused(which, calculator, message):
    with pytest.raises(MixpiError, match=f"the {which} calculator {message}|{message}"):
        mixing(**{which: calculator()}).get_forces(crystal())
