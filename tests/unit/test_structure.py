"""Structure files: any cell, LAMMPS data files, and messages for what cannot be read."""

from __future__ import annotations

import os

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read, write
from conftest import silicon
from ipi.utils.io.backends.io_ase import read_ase
from mixpi import MixpiError
from mixpi.structure import read_frames, read_oriented, read_structure


@pytest.mark.parametrize("seed", range(4))
def test_orientation_is_i_pi_s_and_can_be_undone(tmp_path, seed):
    path = tmp_path / "a.extxyz"
    rng = np.random.default_rng(seed)
    cell = rng.normal(size=(3, 3)) * 4 if seed else np.diag([-9.0, -8.0, 7.0])
    atoms = silicon(1)
    atoms.set_cell(cell * np.sign(np.linalg.det(cell)))
    atoms.write(path)
    file = read(path)
    turned, rotation = read_oriented(path)
    np.testing.assert_allclose(turned.cell.array @ rotation, file.cell.array, atol=1e-12)
    np.testing.assert_allclose(turned.positions @ rotation, file.positions, atol=1e-12)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    with path.open() as stream:
        _, ipi_cell, ipi_positions, _, _ = read_ase(stream)
    np.testing.assert_allclose(turned.cell.array, ipi_cell.T, atol=1e-9)
    np.testing.assert_allclose(turned.positions.ravel(), ipi_positions, atol=1e-9)


def test_nothing_is_turned_without_need(tmp_path):
    atoms = silicon(1)
    atoms.write(tmp_path / "a.extxyz")
    found, rotation = read_oriented(tmp_path / "a.extxyz")
    np.testing.assert_array_equal(rotation, np.eye(3))
    np.testing.assert_allclose(found.positions, atoms.positions, atol=1e-7)


def test_lammps_data(tmp_path):
    atoms = bulk("SiC", "zincblende", a=4.36, cubic=True)
    write(tmp_path / "data.sic", atoms, format="lammps-data", masses=True)
    found = read_structure(tmp_path / "data.sic")
    assert list(found.symbols) == list(atoms.symbols)
    np.testing.assert_allclose(found.positions, atoms.positions, atol=1e-6)
    np.testing.assert_allclose(found.cell.array, atoms.cell.array, atol=1e-6)


def test_lammps_data_without_species(tmp_path):
    write(tmp_path / "a.lmp", silicon(1), format="lammps-data", masses=False)
    with pytest.raises(MixpiError, match=r"without 'Masses'.*Z_of_type"):
        read_structure(tmp_path / "a.lmp")


def test_lammps_data_in_other_units(tmp_path):
    path = tmp_path / "a.lmp"
    write(path, silicon(1), format="lammps-data", masses=True)
    path.write_text(path.read_text().replace("28.085", "3.5"))
    with pytest.raises(MixpiError, match=r"a mass of 3\.5 is that of no element"):
        read_structure(path)


def test_only_two_frames_are_read(tmp_path):
    write(tmp_path / "a.extxyz", [silicon(1)] * 5)
    assert len(read_frames(tmp_path / "a.extxyz")) == 2
    assert len(read_frames(tmp_path / "a.extxyz")[0]) == 8


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.extxyz", b"", "is empty"),
        ("binary.extxyz", os.urandom(2000), "cannot read"),
        ("no_ending", b"hello\n\nworld\n", r"cannot read .*UnknownFileTypeError.*ending"),
        ("half.extxyz", b"8\nLattice='5 0 0 0 5 0 0 0 5'\nSi 0 0 0\n", "cannot read"),
    ],
)
def test_unreadable_file_is_explained(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MixpiError, match=message) as error:
        read_structure(tmp_path / name)
    assert name in str(error.value) and not str(error.value).rstrip().endswith(":")


def test_folder_for_a_file(tmp_path):
    with pytest.raises(MixpiError, match="is a folder"):
        read_structure(tmp_path)
