"""Atoms in another order are noticed, atoms that move are not suspected."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from conftest import mixpi
from mixpi.analysis.order import have_changed_places


def crystal(*, tilted=False):
    atoms = bulk("Fe", "bcc", a=2.87, cubic=True) * (5, 5, 5)
    if tilted:
        atoms.set_cell(atoms.cell.array + np.array([[0, 0, 0], [2.0, 0, 0], [0, -3.0, 0]]), True)
    return atoms


def later(atoms, *, seed=1, order=None):
    found = atoms.copy() if order is None else atoms[order]
    found.rattle(0.1, seed=seed)
    found.positions += found.cell.array[0]  # another image
    return found


@pytest.mark.parametrize("tilted", [False, True])
@pytest.mark.parametrize("what", ["two", "all", "half"])
def test_another_order_is_noticed(what, tilted):
    rng = np.random.default_rng(3)
    atoms = crystal(tilted=tilted)
    order = np.arange(len(atoms))
    if what == "two":
        order[[7, 120]] = order[[120, 7]]
    elif what == "all":
        order = rng.permutation(order)
    else:
        order[:120] = rng.permutation(order[:120])
    found = have_changed_places(later(atoms, seed=2), later(atoms, order=order))
    assert found == [7, 120] if what == "two" else len(found) > 90


def test_numbers_tell_it_alone():
    atoms = crystal()
    atoms.arrays["id"] = np.arange(len(atoms)) + 1
    other = atoms.copy()
    other.arrays["id"][[3, 4]] = [5, 4]
    assert have_changed_places(atoms, other) == [3, 4]
    assert have_changed_places(atoms, atoms.copy()) == []


def test_what_moves_is_not_suspected():
    atoms = crystal()
    assert have_changed_places(atoms, later(atoms)) == []
    # a vacancy takes in a chain of atoms, each by a whole edge of the cubic cell
    row = [i for i, p in enumerate(atoms.positions) if p[1] < 0.1 and p[2] < 0.1][1:]
    chain = later(atoms)
    chain.positions[row[:-1]] += [2.87, 0, 0]
    chain.positions[row[-1]] += [1.4, 1.4, 0]
    assert have_changed_places(atoms, chain) == []
    # the two of a dumbbell have turned round
    turned = later(atoms)
    turned.positions[[0, 1]] = turned.positions[[1, 0]]
    assert have_changed_places(atoms, turned) == []


@pytest.mark.parametrize("seed", range(4))
def test_a_gas_between_rare_frames_is_not_suspected(seed):
    rng = np.random.default_rng(seed)
    frames = [Atoms("Ar500", rng.random((500, 3)) * 25, cell=[25] * 3, pbc=True) for _ in "ab"]
    assert have_changed_places(*frames) == []


@pytest.mark.full
def test_the_command_refuses_it(tmp_path):
    from ase.io import write

    frames = [later(crystal(), seed=k) for k in range(6)]
    frames[4] = frames[4][[1, *range(1, 100), 0, *range(101, len(frames[4]))]]
    frames[4].positions[0] = frames[3].positions[100]
    write(tmp_path / "md.extxyz", frames)
    done = mixpi(
        "analyse", "diffusion", "md.extxyz", "--species", "Fe", "--spacing", "10", cwd=tmp_path
    )
    assert done.returncode == 1
    assert "in the frame at 40 fs atoms 0, 100 stand where others of them stood" in done.stderr
    assert "dump_modify ... sort id" in done.stderr
