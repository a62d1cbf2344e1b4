"""The files that go in and out: i-PI inputs, LAMMPS inputs, steps, frames, reports."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io.lammpsdata import read_lammps_data
from conftest import TERSOFF, silicon
from mixpi.drivers import lammps
from mixpi.drivers.lammps import LammpsSetup
from mixpi.errors import MixpiError
from mixpi.ipi.input import read_ipi_input
from mixpi.ipi.view import ask_ipi
from mixpi.run.running import Run
from mixpi.structure import read_structure


def test_ipi_input(make_case):
    case = make_case(steps=7, beads=4)
    found = read_ipi_input(case.input)
    assert (found.total_steps, found.first_step, found.beads, found.batch_size) == (7, 0, 4, 4)
    assert found.barostat is None and found.systems == 1
    assert found.properties_files == [case.folder / "md.out"]


def strange_cell() -> Atoms:
    atoms = bulk("NaCl", "rocksalt", a=5.6) * (3, 2, 2)
    atoms.rattle(0.1, seed=1)
    atoms.positions += 20.0
    return atoms


@pytest.mark.parametrize("make", [silicon, strange_cell], ids=["cubic", "rocksalt, rotated"])
def test_lammps_data_is_the_structure(tmp_path, make):
    make().write(tmp_path / "a.extxyz")
    atoms = read_structure(tmp_path / "a.extxyz")
    assert np.allclose(np.triu(atoms.cell.array, 1), 0, atol=1e-9)
    before = make().get_all_distances(mic=True)
    np.testing.assert_allclose(atoms.get_all_distances(mic=True), before, atol=1e-6)

    LammpsSetup(["pair_style zero 4.0", "pair_coeff * *"]).write(
        atoms, tmp_path / "lmp", lammps.serving(address="here")
    )
    text = (tmp_path / "lmp" / "lammps.in").read_text()
    assert "fix ipi all ipi here 1 unix" in text and "box tilt large" in text
    types = sorted(set(atoms.symbols))
    z = {k + 1: Atoms(s).numbers[0] for k, s in enumerate(types)}
    data = read_lammps_data(
        tmp_path / "lmp" / "lammps.data", Z_of_type=z, atom_style="atomic", sort_by_id=True
    )
    assert list(data.symbols) == list(atoms.symbols), "ids must be in i-PI's order"
    np.testing.assert_allclose(data.cell, atoms.cell, atol=1e-6)
    shift = (data.positions - atoms.positions) @ np.linalg.inv(atoms.cell)
    np.testing.assert_allclose(shift, np.round(shift), atol=1e-6)
    masses = dict(zip(atoms.symbols, atoms.get_masses(), strict=True))
    for k, symbol in enumerate(types, 1):
        assert f"mass {k} {masses[symbol]:.8g}" in text


@pytest.mark.slow
def test_folders_with_odd_names(make_case, tiny_model):
    """Characters that shells and LAMMPS take for something else, through all of a run."""
    potential = next(f for f in lammps.potential_folders()) / "Si.tersoff.modc"
    case = make_case(
        folder="ü #1 $x 'q' \"d\" & * %s (a)",
        cheap={"lammps": {"potential": [TERSOFF[0], "pair_coeff * * 'my potential' Si"]}},
        expensive={"mace": {"model": "my 'tiny'.model", "threads": 1}},
        steps=2,
    )
    shutil.copy(potential, case.folder / "my potential")
    shutil.copy(tiny_model, case.folder / "my 'tiny'.model")
    done = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    done = case.mixpi("check", "input.xml")
    assert done.returncode == 0, done.stderr


def test_own_lammps_keeps_its_own_mpi():
    assert str(Path(sys.prefix) / "lib") in lammps.environment().get("LD_LIBRARY_PATH", "")
    own = lammps.environment("/opt/lammps/bin/lmp").get("LD_LIBRARY_PATH", "")
    assert own == os.environ.get("LD_LIBRARY_PATH", "")


def test_lammps_command_line():
    argv = lammps.command(launch="env A=1", arguments="-k on g 1 -sf kk")
    assert argv[0].endswith("/env") and argv[1] == "A=1" and argv[2].endswith("lmp")
    assert " ".join(argv).index("-k on g 1 -sf kk") < " ".join(argv).index("-in lammps.in")


def test_lammps_error_text():
    error = "ERROR: Unrecognized pair style 'x' (src/force.cpp:275)\nLast command: pair_style x"
    assert lammps.error_in(f"LAMMPS\n{error}\n") == error
    assert lammps.error_in("ERROR on proc 0: Got EXIT message from i-PI. Now leaving!") is None
    assert lammps.error_in("all went well") is None


def test_a_folder_whose_name_is_no_text(make_case):
    case = make_case()
    odd = case.folder.with_name(os.fsdecode(b"not \xff UTF-8"))
    case.folder.rename(odd)
    assert read_ipi_input(odd / "input.xml").config.cheap.socket.address


@pytest.mark.full
def test_what_i_pi_says_is_read_whatever_the_terminal_speaks(make_case, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "utf-16")
    case = make_case()
    assert ask_ipi(case.input).positions.size


@pytest.mark.full
@pytest.mark.parametrize("name", ["logs/lock", "RESTART", "mix.steps", "mixpi.report.json"])
def test_a_pipe_where_a_run_writes_is_named(make_case, name):
    """Opening it would wait for ever."""
    case = make_case()
    (case.folder / "logs").mkdir()
    os.mkfifo(case.folder / name)
    with pytest.raises(MixpiError, match=r"a pipe \(FIFO\)"):
        Run(case.input)
