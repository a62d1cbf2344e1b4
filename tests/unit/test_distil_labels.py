"""Extra frames of another potential, zero or unit are found, and named for what they are."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from mixpi.distil.labels import CHECKED, check_labels
from mixpi.errors import MixpiError


NAME = Path("extra.extxyz")


def frames(count=3, *, change=lambda energy, forces, atoms: (energy, forces), calculator=EMT):
    """Copper-gold of growing size, labelled; ``change`` spoils the labels."""
    found = []
    for k in range(count):
        atoms = bulk("Cu", "fcc", a=3.7, cubic=True) * (1, 1, 1 + k % 3)
        atoms.symbols[: 1 + k % 2] = "Au"
        atoms.rattle(0.08, seed=k)
        atoms.calc = calculator()
        energy, forces = change(atoms.get_potential_energy(), atoms.get_forces(), atoms)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        found.append(atoms)
    return found


def test_own_labels_pass_also_in_single_precision():
    def single(energy, forces, atoms):
        return float(np.float32(energy)), forces.astype(np.float32).astype(float)

    assert check_labels(NAME, frames(), EMT()).energy < 1e-9
    assert check_labels(NAME, frames(change=single), EMT()).forces < 1e-5
    assert check_labels(NAME, [], EMT()).agree


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda e, f, a: (e + 0.5 * len(a), f),
            r"another zero.*add -0\.5 eV to the energy for each",
        ),
        (lambda e, f, a: (e - 0.01 * len(a), f), r"another zero.*add \+0\.01 eV"),
        (
            lambda e, f, a: (e + 3.0 * sum(a.symbols == "Au") - 2.0 * sum(a.symbols == "Cu"), f),
            r"-3 eV for each Au, \+2 eV for each Cu",
        ),
        (lambda e, f, a: (e / len(a), f), "energies are per atom: give the energy of the whole"),
        (lambda e, f, a: (e / units.Hartree, f), "energies are in Hartree"),
        (lambda e, f, a: (e * 23.0605, f), "energies are in kcal/mol"),
        (lambda e, f, a: (e, f / units.Hartree * units.Bohr), "in Hartree/bohr"),
        (lambda e, f, a: (e * 96.485, f * 96.485), "in kJ/mol/Å"),
        (lambda e, f, a: (e, -f), "sign of the gradient"),
        (lambda e, f, a: (e, 0 * f), "all their forces are 0"),
        (lambda e, f, a: (e + 5 * a.positions[1, 0], f), "no constant per atom explains it"),
        (lambda e, f, a: (e, 1.2 * f), "labelled by another potential"),
    ],
)
def test_wrong_labels_are_named(change, reason):
    with pytest.raises(MixpiError, match=r"extra: the labels of frame 0 of extra\.extxyz") as told:
        check_labels(NAME, frames(change=change), EMT())
    assert re.search(reason, str(told.value)), told.value


def test_frames_of_another_potential():
    def lennard_jones():
        return LennardJones(sigma=2.3, epsilon=0.2, rc=6.0)

    with pytest.raises(MixpiError, match="another potential: label them with the model"):
        check_labels(NAME, frames(calculator=lennard_jones), EMT())


def test_single_species_and_single_frame():
    atoms = bulk("Cu", "fcc", a=3.7, cubic=True)
    atoms.rattle(0.05, seed=1)
    atoms.calc = EMT()
    atoms.calc = SinglePointCalculator(
        atoms, energy=atoms.get_potential_energy() - 1000.0, forces=atoms.get_forces()
    )
    with pytest.raises(MixpiError, match=r"another zero.*add \+250 eV"):
        check_labels(NAME, [atoms], EMT())


def test_shift_that_the_composition_cannot_share_out():
    atoms = frames(1, change=lambda e, f, a: (e + 0.4, f))
    with pytest.raises(MixpiError, match=r"add -0\.1 eV to the energy for each atom"):
        check_labels(NAME, atoms, EMT())


@pytest.mark.parametrize("bad", [0, 2, 5])
def test_one_wrong_frame_among_good_ones(bad):
    mixed = frames(6)
    mixed[bad] = frames(6, change=lambda e, f, a: (e + len(a), f))[bad]
    with pytest.raises(MixpiError, match=rf"frame {bad} of .*\(and of 0 of 5 others"):
        check_labels(NAME, mixed, EMT())


def test_long_files_are_sampled_from_end_to_end():
    said = []
    many = frames(3) * (CHECKED // 2)
    check_labels(NAME, many, EMT(), lambda what, share: said.append(what))
    assert len(said) == CHECKED
    many[-1] = frames(3, change=lambda e, f, a: (e + 1.0, f))[-1]
    with pytest.raises(MixpiError, match=f"frame {len(many) - 1} of"):
        check_labels(NAME, many, EMT())
