"""LAMMPS computes the cell that was meant: forces against ASE's own Lennard-Jones."""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path
from socket import AF_UNIX, socket

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.calculators.socketio import IPIProtocol
from mixpi.distil.lammps_engine import LammpsCalculator
from mixpi.drivers import lammps
from mixpi.drivers.lammps import LammpsSetup
from mixpi.drivers.lammps_data import lammps_frame, write_data
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation


SETUP = LammpsSetup(["pair_style lj/cut 5.0", "pair_coeff 1 1 0.5 2.3"])


def copper(repeat=(2, 2, 2), *, tilts=(0.0, 0.0, 0.0)) -> Atoms:
    """Rattled atoms in a cell with the tilts xy, xz, yz (Å); no two faces alike."""
    atoms = bulk("Cu", a=3.7, cubic=True) * repeat
    cell = atoms.cell.array * np.array([[1.0], [1.01], [0.98]])
    cell[1, 0], cell[2, 0], cell[2, 1] = tilts
    atoms.set_cell(cell, scale_atoms=True)
    atoms.rattle(0.1, seed=5)
    return atoms


def turned(atoms: Atoms) -> Atoms:
    rotation = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    atoms.set_cell(atoms.cell.array @ rotation, scale_atoms=True)
    return atoms


def exchanged(atoms: Atoms) -> Atoms:
    """Left-handed."""
    atoms.set_cell(atoms.cell.array[[1, 0, 2]])
    return atoms


def flipped(atoms: Atoms) -> Atoms:
    """Right-handed, lower triangular, two diagonal elements negative."""
    atoms.set_cell(atoms.cell.array * np.array([[1.0], [-1.0], [-1.0]]))
    return atoms


def scattered(atoms: Atoms) -> Atoms:
    """Each atom in a cell of its own, far away."""
    images = np.random.default_rng(2).integers(-2000, 2000, (len(atoms), 3))
    atoms.positions += images @ atoms.cell.array
    return atoms


CELLS = {
    "no tilt": lambda: copper(),
    "1e-6": lambda: copper(tilts=(1e-6, -1e-6, 1e-6)),
    "0.0015": lambda: copper(tilts=(0.0015, 0.0, 0.0)),
    "-0.0015": lambda: copper(tilts=(0.0, -0.0015, 0.0014)),
    "0.1": lambda: copper(tilts=(0.1, -0.1, 0.1)),
    "more than a length": lambda: copper(tilts=(9.3, -8.1, 15.0)),
    "100 Å": lambda: copper((1, 2, 27), tilts=(1e-4, 0.0, 0.0012)),
    "100 Å, 0.01 along it": lambda: copper((1, 2, 27), tilts=(0.0, 0.01, 0.0)),
    "turned": lambda: turned(copper(tilts=(0.0015, 0.3, -0.2))),
    "left-handed": lambda: exchanged(copper(tilts=(0.0015, 0.3, -0.2))),
    "left-handed, turned": lambda: turned(exchanged(copper(tilts=(0.0015, 1e-4, 0.2)))),
    "flipped": lambda: flipped(copper(tilts=(0.0015, 0.3, -0.2))),
    "far outside": lambda: scattered(copper(tilts=(0.0015, -4.0, 0.2))),
    "far outside, turned": lambda: scattered(turned(copper(tilts=(0.0015, -4.0, 0.2)))),
}


@pytest.fixture(params=CELLS, ids=str)
def atoms(request) -> Atoms:
    return CELLS[request.param]()


def lennard_jones(atoms: Atoms) -> Atoms:
    copy = atoms.copy()
    copy.calc = LennardJones(sigma=2.3, epsilon=0.5, rc=5.0)
    return copy


def test_forces_and_stress_in_this_process(atoms):
    wanted = lennard_jones(atoms)
    atoms.calc = LammpsCalculator(SETUP)
    assert np.abs(wanted.get_forces()).max() > 0.5
    assert_allclose(atoms.get_forces(), wanted.get_forces(), atol=1e-8)
    # LAMMPS's bar is that of its units metal
    assert_allclose(atoms.get_stress(), wanted.get_stress(), atol=2e-6)


def test_forces_as_a_driver(atoms, tmp_path):
    """Through the socket, where i-PI's cell replaces that of the data file."""
    box, rotation = lammps_frame(atoms.cell)
    moved = Atoms(atoms.symbols, atoms.positions @ rotation, cell=box, pbc=True)
    if np.abs(moved.get_scaled_positions(wrap=False)).max() > 2:
        moved.wrap()  # as mixpi does before it sends
    address = f"mixpi-test-{uuid.uuid4().hex[:10]}"
    SETUP.write(moved, tmp_path, lammps.serving(address=address))
    path = Path(f"/tmp/ipi_{address}")
    with socket(AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(30)
        process = subprocess.Popen(
            lammps.command(), cwd=tmp_path, env=lammps.environment(), stdout=subprocess.DEVNULL
        )
        try:
            connection, _ = listener.accept()
            with connection:
                protocol = IPIProtocol(connection)
                forces = protocol.calculate(moved.positions, box)["forces"]
                protocol.end()
        finally:
            process.kill()
            process.wait()
            path.unlink()
    # LAMMPS's bohr and hartree are older than ASE's
    assert_allclose(forces, lennard_jones(moved).get_forces(), atol=2e-6)


def test_data_files_hold_every_digit(atoms, tmp_path):
    box, rotation = lammps_frame(atoms.cell)
    assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(rotation) > 0 and (np.diag(box) > 0).all()
    write_data(tmp_path / "data", atoms, ["Cu"])
    lines = [line.split() for line in (tmp_path / "data").read_text().splitlines()]
    lengths = [float(words[1]) for words in lines if words[3:] and words[3].endswith("hi")]
    tilts = [[float(w) for w in words[:3]] for words in lines if words[3:] == ["xy", "xz", "yz"]]
    assert lengths == np.diag(box).tolist()
    assert tilts == ([[box[1, 0], box[2, 0], box[2, 1]]] if np.tril(box, -1).any() else [])
    x = np.array([[float(w) for w in words[2:]] for words in lines if len(words) == 5])
    images = (x - atoms.positions @ rotation) @ np.linalg.inv(box)
    assert_allclose(images, np.round(images), atol=1e-10)
    fractions = x @ np.linalg.inv(box)
    assert fractions.min() > -1e-9 and fractions.max() < 1 + 1e-9


def test_a_cell_of_ipi_is_taken_as_it_is():
    cell = copper(tilts=(1.5e-3, -7.0, 1e-9)).cell.array
    box, rotation = lammps_frame(cell)
    assert (box == cell).all() and (rotation == np.eye(3)).all()


def test_rounding_is_no_tilt():
    """A rectangular box keeps LAMMPS on its faster path also after a rotation."""
    box, _ = lammps_frame(turned(copper()).cell)
    assert (box == np.diag(np.diag(box))).all()
