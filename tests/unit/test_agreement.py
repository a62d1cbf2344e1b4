"""Two descriptions of a system: what counts as one, and what a message says of the difference."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.units import Bohr
from conftest import silicon
from mixpi import MixpiError
from mixpi.ipi.agreement import require_same_system


def alloy():
    atoms = silicon()
    atoms.numbers[[3, 9]] = 2
    return atoms


def compare(expected, found, **other):
    arguments = {
        "symbols": list(found.symbols),
        "positions": found.positions,
        "cell": found.cell.array,
        **other,
    }
    require_same_system(expected=expected, expected_name="a.xyz", found_name="b.xyz", **arguments)


def test_lattice_vectors_and_rounding_do_not_count():
    expected, found = alloy(), alloy()
    found.positions[5] += 3 * found.cell[0] - 2 * found.cell[2]
    found.positions = found.positions.round(3)
    compare(expected, found)


def test_a_restart_is_compared_by_species_and_cell_only():
    expected, found = alloy(), alloy()
    found.rattle(0.5, seed=1)
    compare(expected, found, positions=None)
    found.set_cell(found.cell * 1.001)
    with pytest.raises(MixpiError, match="different cells"):
        compare(expected, found, positions=None)


def test_a_path_is_compared_loosely():
    expected, found = alloy(), alloy()
    found.rattle(0.05, seed=1)
    compare(expected, found, tolerance=0.5)
    with pytest.raises(MixpiError, match="different positions"):
        compare(expected, found)


def moved(atoms):
    atoms.positions[17, 2] += 0.01


def shifted(atoms):
    atoms.positions += [0.3, 0.0, 0.0]


def bohr(atoms):
    atoms.set_cell(atoms.cell / Bohr, scale_atoms=True)


def positions_in_bohr(atoms):
    atoms.positions /= Bohr


def positions_for_bohr(atoms):
    atoms.positions *= Bohr


def swapped(atoms):
    atoms.numbers[[3, 4]] = atoms.numbers[[4, 3]]


def substituted(atoms):
    atoms.numbers[6] = 32


def stretched(atoms):
    atoms.set_cell(atoms.cell.array * [1, 1, 1.01])


def turned(atoms):
    atoms.rotate(20, "z", rotate_cell=True)


def exploded(atoms):
    atoms.positions[3, 1] = np.nan


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (moved, r"atom 17 \(from 0, Si\) .* \(1 of 64 atoms differ\)"),
        (shifted, r"All atoms are shifted by \(0.3000, 0.0000, 0.0000\)"),
        (bohr, "different cells.* 1.8897: lengths in bohr were taken for Å"),
        (positions_in_bohr, "different positions.* 1.8897: lengths in bohr were taken for Å"),
        (positions_for_bohr, "0.5292: lengths in Å were taken for bohr"),
        (swapped, "atom 3 .* is He in the one and Si in the other.* species are swapped"),
        (substituted, "atom 6 .* is Si in the one and Ge in the other .Si3HeSi5HeSi54 against"),
        (stretched, "vector c .* The positions agree, so the cell alone was overridden"),
        (turned, "different cells.* differ by a rotation only"),
        (exploded, "NaN or infinite"),
    ],
)
def test_difference_is_named(spoil, message):
    expected, found = alloy(), alloy()
    spoil(found)
    with pytest.raises(MixpiError, match=message) as error:
        compare(expected, found)
    assert "a.xyz and b.xyz" in str(error.value)


def test_another_order_is_recognised():
    """Also across the border, where the same atom has other coordinates."""
    expected = alloy()
    order = np.random.default_rng(2).permutation(64)
    found = expected[order]
    found.positions += found.cell[1]
    with pytest.raises(MixpiError, match="same atoms in another order"):
        compare(expected, found)
    first = int(np.flatnonzero(order != np.arange(64))[0])
    pure, shuffled = silicon(), silicon()[order]
    with pytest.raises(MixpiError, match=f"atom {first} there is atom {order[first]} here.*seeds"):
        compare(pure, shuffled)


def test_a_skewed_cell_is_folded():
    expected = bulk("Si", "diamond", a=5.43) * (3, 3, 3)
    standard, _ = expected.cell.standard_form()
    expected.set_cell(standard, scale_atoms=True)
    found = expected.copy()
    found.positions += np.random.default_rng(0).integers(-3, 4, (len(found), 3)) @ found.cell.array
    compare(expected, found)


def test_other_number_of_atoms():
    with pytest.raises(MixpiError, match=r"a.xyz has 64 atoms, b.xyz has 63"):
        compare(silicon(), silicon()[:-1])
