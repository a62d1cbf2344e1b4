"""Computes through the library, against the LAMMPS program on inputs of the test's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from lammps_program import computed
from mixpi.drivers.config import DriverConfig
from mixpi.drivers.lammps import LammpsSetup
from mixpi.drivers.lammps_compute import LammpsCompute, open_compute
from mixpi.drivers.lammps_compute_command import ComputeCommand
from mixpi.errors import MixpiError


SW = ("pair_style sw", "pair_coeff * * Si.sw Si")
ZERO = ("pair_style zero 12", "pair_coeff * *")
LJ = (
    "pair_style lj/cut 5.0",
    "pair_coeff 1 1 0.01 2.0",
    "pair_coeff 2 2 0.2 2.4",
    "pair_coeff 1 2 0.05 2.2",
)


def hot(atoms: Atoms, seed: int = 0, rattle: float = 0.05) -> Atoms:
    """Out of equilibrium, without one atom, and atoms any number of cells from home."""
    atoms = atoms.copy()
    rng = np.random.default_rng(seed)
    atoms.positions += rng.normal(0, rattle, atoms.positions.shape)
    del atoms[len(atoms) // 3]
    atoms.positions += rng.integers(-3, 4, (len(atoms), 3)) @ atoms.cell.array
    return atoms


def two_species() -> Atoms:
    atoms = bulk("W", cubic=True) * (4, 4, 4)
    atoms.symbols[np.random.default_rng(4).choice(len(atoms), 30, replace=False)] = "He"
    return atoms


SYSTEMS = {
    "cubic": hot(bulk("Si", cubic=True) * 3),
    "triclinic": hot(bulk("Si") * (6, 5, 5)),
    "turned": hot(bulk("W") * (7, 7, 7)),
    "two species": hot(two_species()),
}
COMPUTES = ["coord/atom cutoff 2.6", "cna/atom 3.838", "centro/atom bcc", "centro/atom 4"]


@pytest.mark.parametrize("command", COMPUTES)
@pytest.mark.parametrize("name", SYSTEMS)
def test_geometry(name, command, tmp_path):
    atoms, different = SYSTEMS[name], set()
    compute = LammpsCompute(command, atoms)
    for seed in range(2):
        moved = atoms.copy()
        moved.positions += np.random.default_rng(seed).normal(0, 0.4 * seed, (len(atoms), 3))
        found = compute.values(moved.positions, moved.cell.array)
        expected = computed(tmp_path / str(seed), moved, command)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
        different.update(found.tolist())
    # common neighbours tell bcc from nothing, and no diamond
    assert len(different) > 1 or (command.startswith("cna") and set(atoms.symbols) == {"Si"})
    assert 0 < compute.reach <= 16 and "lists neighbours to" in compute.note


@pytest.mark.parametrize("degrees", ["1 6", "2 4 6"])
def test_a_column_of_an_array(degrees, tmp_path):
    """Also of an array of a single one."""
    atoms = SYSTEMS["triclinic"]
    rest = f"degrees {degrees} nnn NULL cutoff 3.0"
    column = int(degrees[0])
    compute = LammpsCompute(f"orientorder/atom[{column}] {rest}", atoms)
    found = compute.values(atoms.positions, atoms.cell.array)
    expected = computed(tmp_path, atoms, f"orientorder/atom {rest}", column=f"[{column}]")
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert compute.reach == 3.0


def test_species_of_neighbours(tmp_path):
    atoms = SYSTEMS["two species"]
    found = LammpsCompute("coord/atom cutoff 3.0 1", atoms).values(atoms.positions, atoms.cell)
    np.testing.assert_array_equal(found, computed(tmp_path, atoms, "coord/atom cutoff 3.0 1"))
    assert 0 < found.max() < 9


@pytest.mark.parametrize(
    ("name", "potential", "command"),
    [
        ("cubic", SW, "pe/atom"),
        ("triclinic", SW, "pe/atom"),
        ("two species", LJ, "pe/atom"),
        ("cubic", SW, "stress/atom[4] NULL virial"),
        ("cubic", SW, "property/atom fx"),
    ],
)
def test_what_needs_a_potential(name, potential, command, tmp_path):
    atoms = SYSTEMS[name]
    assert ComputeCommand.read(command).needs_potential
    compute = LammpsCompute(command, atoms, setup=LammpsSetup(potential))
    style, _, column = command.partition("[")
    column, _, rest = column.partition("]")
    text, column = (f"{style}{rest}", f"[{column}]") if column else (command, "")
    found = compute.values(atoms.positions, atoms.cell.array)
    expected = computed(tmp_path, atoms, text, potential, column)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    assert compute.note == "" and found.std() > 0


def test_values_do_not_depend_on_the_past():
    """To the last bit: a run that is continued opens another LAMMPS."""
    atoms, setup = SYSTEMS["cubic"], LammpsSetup(SW)
    old = LammpsCompute("pe/atom", atoms, setup=setup)
    positions, rng = atoms.positions, np.random.default_rng(0)
    for _ in range(30):
        positions = positions + rng.normal(0, 0.3, positions.shape)
        last = old.values(positions, atoms.cell.array)
    new = LammpsCompute("pe/atom", atoms, setup=setup)
    np.testing.assert_array_equal(last, new.values(positions, atoms.cell.array))


def test_another_cell(tmp_path):
    atoms = SYSTEMS["cubic"].copy()
    compute = LammpsCompute("coord/atom cutoff 2.6", atoms)
    sheared = atoms.cell.array + np.array([[0, 0, 0], [0.7, 0, 0], [0, 0.3, 0.4]])
    atoms.set_cell(sheared, scale_atoms=True)
    found = compute.values(atoms.positions, atoms.cell.array)
    np.testing.assert_array_equal(found, computed(tmp_path, atoms, "coord/atom cutoff 2.6"))


def test_lists_grow_as_far_as_they_must(tmp_path):
    atoms = bulk("Cu", cubic=True) * 4
    far = LammpsCompute("coord/atom cutoff 11.0", atoms)
    assert far.reach >= 11.0
    np.testing.assert_array_equal(
        far.values(atoms.positions, atoms.cell.array),
        computed(tmp_path, atoms, "coord/atom cutoff 11.0", ZERO),
    )
    near = LammpsCompute("coord/atom cutoff 2.0", atoms)
    assert near.reach < far.reach


def test_displacements_count_from_the_structure():
    atoms = SYSTEMS["turned"]
    compute = LammpsCompute("displace/atom[4]", atoms)
    moved = atoms.positions + np.random.default_rng(1).normal(0, 3.0, atoms.positions.shape)
    np.testing.assert_allclose(
        compute.values(moved, atoms.cell.array),
        np.linalg.norm(moved - atoms.positions, axis=1),
        rtol=1e-9,
    )


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("coordd/atom cutoff 2.0", r"'coordd/atom cutoff 2.0': .*[Uu]n(known|recognized) compute"),
        ("coord/atom cutof 2.0", r"cannot compute 'coord/atom cutof 2.0': .*coord/atom"),
        ("coord/atom", "coord/atom"),
        ("coord/atom cutoff 40.0", "longer than pairwise cutoff; here it may be 13 Å at most"),
        ("pressure NULL virial", "has no value for each atom"),
        ("stress/atom NULL virial", r"a column is chosen by its number: 'stress/atom\[1\] ...'"),
        ("coord/atom[1] cutoff 2.0", "has no value for each atom"),
        ("displace/atom[5]", "has no value for each atom"),
        ("ke/atom", "depend on the velocities"),
        ("composition/atom[2] cutoff 4.0", "depend on earlier geometries"),
        ("ave/sphere/atom[1]", "depend on how far lists of neighbours go, beyond 1"),
        ("stress/atom[1] NULL", r"depend on the velocities .*: write '... NULL virial'"),
        ("coord/atom cutoff `ls`", "is no number, name or file"),
        ("coord/atom cutoff 2.0; shell ls", "is no number, name or file"),
        ("mliap model x", "may load code"),
        ("pod/atom a>b.gz c", "unpack the file a>b.gz"),
        ("[3] 2", "does not begin with the name of a compute"),
        ("", "does not begin with the name of a compute"),
    ],
)
def test_what_is_wrong_is_said(command, message):
    with pytest.raises(MixpiError, match=message):
        LammpsCompute(command, bulk("Si", cubic=True) * 2)


def test_where_the_potential_comes_from():
    atoms = SYSTEMS["cubic"]
    lammps = DriverConfig(lammps={"potential": list(SW)})
    cluster = DriverConfig(lammps_cluster={"potential": list(SW)})
    other = DriverConfig(external=True)

    def energies(potential, cheap):
        compute = open_compute("pe/atom", potential, cheap, Path(), atoms)
        return compute.values(atoms.positions, atoms.cell.array)

    expected = energies(None, lammps)
    for potential, cheap in ((None, cluster), (list(SW), other)):
        np.testing.assert_array_equal(energies(potential, cheap), expected)
    with pytest.raises(MixpiError, match=r"'pe/atom' needs a potential, .*'cheap: external'"):
        energies(None, other)


def test_words_of_a_command():
    """What is taken for a length, and what for none."""
    command = ComputeCommand.read("  sna/atom[12]  4.7 0.99 6 .5 1. cutoff 3 ")
    assert (command.style, command.column) == ("sna/atom", 12)
    assert command.definition == "sna/atom 4.7 0.99 6 .5 1. cutoff 3"
    assert command.lengths == [0.5, 0.99, 1.0, 3.0, 4.7] and not command.needs_potential
    for text in ("pe/atom pair", "stress/tally[1] all", "property/atom id fz"):
        assert ComputeCommand.read(text).needs_potential
    assert not ComputeCommand.read("property/atom x").needs_potential
