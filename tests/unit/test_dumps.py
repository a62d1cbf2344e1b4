"""LAMMPS's dumps: what ASE would read as something else is refused."""

from __future__ import annotations

import numpy as np
import pytest
from mixpi.analysis.dumps import is_dump
from mixpi.analysis.trajectories import Trajectory
from mixpi.analysis.zones import energies_of
from mixpi.errors import MixpiError


COLUMNS = "id element x y z vx vy vz fx fy fz"


def dump(path, *, columns=COLUMNS, steps=range(0, 600, 100), units=None, faster=1.0, order=None):
    """A few atoms of W and He at about 300 K, in any order, as LAMMPS writes them."""
    rng = np.random.default_rng(4)
    places = rng.random((8, 3)) * 9
    with path.open("w") as file:
        for step in steps:
            file.write(f"ITEM: UNITS\n{units}\n" if units else "")
            file.write(f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n8\n")
            file.write("ITEM: BOX BOUNDS pp pp pp\n" + "0 10\n" * 3)
            file.write(f"ITEM: ATOMS {columns}\n")
            moved = places + rng.normal(0, 0.1, places.shape)
            for i in rng.permutation(8) if order is None else order:
                told = {"id": i + 1, "element": "W" if i < 6 else "He", "type": 1 + (i >= 6)}
                told |= dict(zip("xyz", moved[i], strict=True))
                told |= {f"v{x}": rng.normal(0, 3.0) * faster for x in "xyz"}
                told |= {f"f{x}": rng.normal() for x in "xyz"}
                file.write(" ".join(str(told[key]) for key in columns.split()) + "\n")
    return path


def read(path, **options):
    return list(Trajectory(path, **{"spacing": 10.0, **options}).frames())


def test_atoms_are_sorted_and_elements_known(tmp_path):
    frames = read(dump(tmp_path / "md.lammpstrj"))
    assert len(frames) == 6 and is_dump(tmp_path / "md.lammpstrj")
    assert all(atoms.get_chemical_formula() == "He2W6" for _, atoms in frames)
    assert max(np.ptp([a.positions[k] for _, a in frames], axis=0).max() for k in range(8)) < 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": "element x y z"}, "no column 'id'"),
        ({"columns": "id type x y z"}, "no column 'element'"),
        ({"units": "real"}, "in LAMMPS's units 'real'"),
        ({"faster": 1e-3}, "Was it written in others"),
        ({"steps": [0, 100, 200, 400, 500]}, r"frame 3: it is of step 400, after 100 and 200"),
        ({"steps": [0, 100, 200, 100, 200]}, r"frame 3: it is of step 100"),
    ],
)
def test_what_would_be_read_as_something_else_is_refused(tmp_path, options, message):
    with pytest.raises(MixpiError, match=message):
        read(dump(tmp_path / "md.lammpstrj", **options))


def test_metal_that_says_so_is_read(tmp_path):
    assert len(read(dump(tmp_path / "md.dump", units="metal", columns="id element x y z"))) == 6


def test_a_frame_that_is_cut_within_its_last_number_is_left_out(tmp_path):
    path = dump(tmp_path / "md.lammpstrj", order=range(8))
    path.write_text(path.read_text()[:-4])
    assert len(read(path)) == 5


def test_ase_s_zero_is_no_energy(tmp_path):
    with pytest.raises(MixpiError, match="has no 'energy'"):
        energies_of(Trajectory(dump(tmp_path / "md.lammpstrj"), 10.0), "energy")


@pytest.mark.parametrize("key", ["step", "timestep", "Timestep"])
def test_steps_of_other_formats_show_what_is_missing(tmp_path, key):
    from ase.build import bulk
    from ase.io import write

    frames = []
    for step in (0, 10, 20, 40):
        atoms = bulk("W", cubic=True)
        atoms.rattle(0.01, seed=step)
        atoms.info[key] = step
        frames.append(atoms)
    write(tmp_path / "md.extxyz", frames)
    with pytest.raises(MixpiError, match="frame 3: it is of step 40, after 10 and 20"):
        read(tmp_path / "md.extxyz")
