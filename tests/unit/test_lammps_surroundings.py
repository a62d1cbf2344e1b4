"""Values of some atoms, for which LAMMPS has no others than decide: those that it has with all."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.neighborlist import neighbor_list
from mixpi.drivers.lammps import LammpsSetup
from mixpi.drivers.lammps_compute import LammpsCompute
from mixpi.drivers.lammps_compute_command import SEES
from mixpi.drivers.lammps_surroundings import Surroundings
from mixpi.errors import MixpiError
from mixpi.regions.averaging import TimeAverage
from mixpi.regions.classified import ClassifiedSeeds


COMMANDS = [
    "coord/atom cutoff 3.3",
    "coord/atom[2] cutoff 3.0 1 2",
    "centro/atom {nearest}",
    "hexorder/atom[1] nnn {nearest} cutoff 3.4",
    "orientorder/atom[2] degrees 2 4 6 nnn NULL cutoff 3.3",
    "sna/atom[3] 3.3 0.99 2 0.5 0.5 1.0 1.1",
    "cna/atom {shell}",
    "cnp/atom {shell}",
]


def crystals() -> dict[str, Atoms]:
    """Of two species each, 33 to 50 Å wide."""
    sheared = make_supercell(bulk("W", cubic=True), [[12, 0, 0], [3, 11, 0], [-2, 4, 12]])
    found = {
        "bcc": bulk("W", cubic=True) * (11, 12, 16),
        "diamond, triclinic": bulk("Si") * (11, 12, 13),
        "fcc, turned": bulk("Cu") * (16, 15, 14),
        "hcp": bulk("Mg") * (12, 11, 8),
        "bcc, sheared": sheared,
    }
    # no bond is vertical: hexorder/atom would not know its angle
    diamond = found["diamond, triclinic"]
    diamond.set_cell(diamond.cell.array @ (np.eye(3) + 0.03 * np.eye(3, k=1)), scale_atoms=True)
    # left-handed
    found["bcc, sheared"].set_cell(sheared.cell.array[[1, 0, 2]])
    for atoms in found.values():
        atoms.symbols[::7] = "Zr"
    return found


#: Of an atom in each of them; of more at one distance it would be chance which are taken.
NEAREST = {"bcc": 8, "diamond, triclinic": 4, "fcc, turned": 12, "hcp": 12, "bcc, sheared": 8}
#: Å; of diamond two shells, of which cna/atom and cnp/atom keep the first 16 of their lists.
SHELL = {"bcc": 3.8, "diamond, triclinic": 4.2, "fcc, turned": 3.1, "hcp": 3.9, "bcc, sheared": 3.8}
CRYSTALS = crystals()


def chosen(name: str, atoms: Atoms) -> np.ndarray:
    """Some atoms in places of all kinds."""
    number, fractions = np.arange(len(atoms)), atoms.get_scaled_positions()
    return {
        "bcc": (fractions[:, 2] < 0.06) | (fractions[:, 2] > 0.96),
        "diamond, triclinic": (np.abs(fractions - 0.5) > 0.42).all(axis=1),
        "fcc, turned": np.isin(number, [0, 15, 1777]),
        "hcp": (fractions[:, 0] > 0.4) & (fractions[:, 0] < 0.5),
        "bcc, sheared": number == len(atoms) - 1,
    }[name]


@pytest.mark.full
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", CRYSTALS)
def test_values_are_those_among_all_to_the_last_bit(name, command):
    atoms = CRYSTALS[name]
    among, cell, rng = chosen(name, atoms), atoms.cell.array, np.random.default_rng(1)
    command = command.format(nearest=NEAREST[name], shell=SHELL[name])
    whole = LammpsCompute(command, atoms)
    some = LammpsCompute(command, atoms, among=among)
    assert some.around is not None and some.reach == whole.reach
    different = set()
    # in place distances are equal by rounding alone; far off neighbours are others
    for rattle in (0.0, 0.1, 0.5):
        moved = atoms.positions + rng.normal(0, rattle, atoms.positions.shape)
        moved += rng.integers(-3, 4, moved.shape) @ cell
        expected, found = whole.values(moved, cell), some.values(moved, cell)
        np.testing.assert_array_equal(found[among], expected[among])
        assert np.isnan(found[~among]).all()
        assert len(some.around.atoms(moved, cell)) < len(atoms)
        different.update(expected[among].tolist())
    # common neighbours do not know diamond
    assert len(different) > 1 or command == "cna/atom 4.2"


def test_all_computes_of_the_list_are_tried():
    assert {command.partition(" ")[0].partition("[")[0] for command in COMMANDS} == set(SEES)


@pytest.mark.parametrize("name", CRYSTALS)
def test_all_atoms_that_decide_are_there(name):
    atoms, rng = CRYSTALS[name], np.random.default_rng(2)
    among, cell = chosen(name, atoms), atoms.cell.array
    around, numbers = Surroundings(among, 4.0), []
    for _ in range(2):
        moved = atoms.positions + rng.normal(0, 0.2, atoms.positions.shape)
        there = around.atoms(moved, cell)
        first, second = neighbor_list("ij", Atoms(positions=moved, cell=cell, pbc=True), 4.0)
        assert np.all(np.diff(there) > 0)
        assert {*np.flatnonzero(among), *second[among[first]]} <= set(there)
        numbers.append(len(there))
    assert numbers[0] <= numbers[1] < len(atoms)


def test_atoms_that_part_take_more_room():
    """And the values do not depend on how LAMMPS came to its atoms."""
    atoms, command = CRYSTALS["bcc"], "orientorder/atom[1] degrees 1 6 nnn NULL cutoff 3.3"
    cell, rng = atoms.cell.array, np.random.default_rng(3)
    among = np.linalg.norm(atoms.positions - 12.0, axis=1) < 4.0
    old, rooms = LammpsCompute(command, atoms, among=among), []
    for spread in (0.0, 1.5, 4.0, 8.0, 50.0, 0.1):
        moved = atoms.positions + rng.normal(0, spread, atoms.positions.shape)
        found = old.values(moved, cell)
        rooms.append(len(old.around.atoms(moved, cell)))
    assert rooms[0] < rooms[2] <= rooms[-1]
    new = LammpsCompute(command, atoms, among=among).values(moved, cell)
    np.testing.assert_array_equal(found, new)


def test_another_cell():
    atoms, command = CRYSTALS["hcp"].copy(), "cna/atom 3.838"
    among = chosen("hcp", atoms)
    whole, some = LammpsCompute(command, atoms), LammpsCompute(command, atoms, among=among)
    some.values(atoms.positions, atoms.cell.array)
    atoms.set_cell(atoms.cell.array * [1.0, 1.02, 0.97], scale_atoms=True)
    x, cell = atoms.positions, atoms.cell.array
    np.testing.assert_array_equal(some.values(x, cell)[among], whole.values(x, cell)[among])


@pytest.mark.parametrize(
    ("command", "potential"),
    [
        ("displace/atom[4]", None),
        ("cluster/atom 2.9", None),
        ("centro/atom[1] 8 axes yes", None),
        ("coord/atom cutoff 3.0", ("pair_style lj/cut 5.0", "pair_coeff * * 0.01 2.5")),
    ],
)
def test_all_atoms_are_there_where_far_ones_may_decide(command, potential):
    atoms = CRYSTALS["bcc"]
    setup = None if potential is None else LammpsSetup(potential)
    whole = LammpsCompute(command, atoms, setup=setup)
    some = LammpsCompute(command, atoms, setup=setup, among=chosen("bcc", atoms))
    moved = atoms.positions + np.random.default_rng(4).normal(0, 0.2, atoms.positions.shape)
    found = some.values(moved, atoms.cell.array)
    np.testing.assert_array_equal(found, whole.values(moved, atoms.cell.array))
    assert some.around is None and "among" not in some.note


def test_seeds_of_averages_that_are_continued():
    """What others have no values for, the state does not have either; and it goes on."""
    atoms, command = CRYSTALS["bcc"], "coord/atom cutoff 3.3"
    among, cell, rng = chosen("bcc", atoms), atoms.cell.array, np.random.default_rng(5)
    steps = [atoms.positions + rng.normal(0, 0.2, atoms.positions.shape) for _ in range(5)]

    def rule(mask):
        compute = LammpsCompute(command, atoms, among=mask)
        return ClassifiedSeeds(
            compute, len(atoms), (13.2, 20.0), TimeAverage(1, 2, 2), initial=None, among=among
        )

    whole, some, later = rule(None), rule(among), rule(among)
    for step, moved in enumerate(steps):
        expected, found = whole.at(step, [moved], cell), some.at(step, [moved], cell)
        np.testing.assert_array_equal(found, expected)
        if step == 3:
            later.restore(some.state())
    np.testing.assert_array_equal(later.at(4, [moved], cell), expected)
    assert 0 < expected.sum() < among.sum()


def test_only_values_that_are_asked_for_must_be_numbers():
    """The mean over the neighbours of an atom that has none is 0 / 0."""
    slab = CRYSTALS["bcc"][CRYSTALS["bcc"].positions[:, 2] < 12.0]
    top = int(slab.positions[:, 2].argmax())
    x, cell = slab.positions.copy(), slab.cell.array
    x[top, 2] += 7.0
    for atom, said in ((0, None), (top, rf"gives nan for atom {top} \(from 0\)")):
        among = np.arange(len(slab)) == atom
        compute = LammpsCompute("cnp/atom 3.2", slab, among=among)
        assert np.isfinite(compute.values(slab.positions, cell)).sum() == 1
        if said is None:
            assert np.isfinite(compute.values(x, cell)[0])
            continue
        with pytest.raises(MixpiError, match=said):
            compute.values(x, cell)
