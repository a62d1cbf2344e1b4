"""Forces against the gradient of the energy and the plain style, by a program of one's own."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from conftest import ROOT
from mixpi.drivers import lammps
from mixpi.drivers.lammps import LammpsSetup
from mixpi.drivers.lammps_gradient import (
    TOLERANCE,
    Consistency,
    compare_forces,
    piece_of,
    plain_arguments,
    plain_lines,
)
from mixpi.errors import MixpiError


POTENTIALS = ROOT / "ipi_inputs" / "potentials"
SW = ["pair_style sw", "pair_coeff * * Si.sw Si"]
UF3 = ["pair_style uf3 3", "pair_coeff * * si-uf3.uf3 Si"]


def compare(potential, arguments="", folder=POTENTIALS, **options) -> Consistency:
    atoms = bulk("Si", cubic=True)
    atoms.set_cell(atoms.cell.array @ [[1, 0, 0], [0.05, 1, 0], [0, -0.02, 1.03]], scale_atoms=True)
    atoms.rattle(0.15, seed=3)
    return compare_forces(
        LammpsSetup(potential, ["Si"], folder),
        atoms,
        lambda flags: lammps.command(arguments=flags),
        arguments,
        environment=lammps.environment(),
        **options,
    )


def crooked_table(folder, error: float) -> list[str]:
    """A pair table whose forces are its energies' gradient but for a share."""
    r = np.linspace(1.0, 4.0, 2000)
    energy, force = 0.3 * (r - 4) ** 4, 1.2 * (4 - r) ** 3 * (1 + error)
    rows = [f"{k} {r[k - 1]:.15g} {energy[k - 1]:.15g} {force[k - 1]:.15g}" for k in range(1, 2001)]
    (folder / "pair.table").write_text("\n".join(["PAIR", "N 2000 R 1.0 4.0", "", *rows, ""]))
    return ["pair_style table spline 2000", "pair_coeff * * pair.table PAIR 4.0"]


@pytest.mark.parametrize("potential", [SW, UF3], ids=["sw", "uf3"])
def test_plain_styles_are_consistent(potential):
    found = compare(potential)
    assert found.largest > 1.0 and found.components == 12
    assert found.gradient < TOLERANCE / 10 and found.plain is None and not found.fault


def test_an_accelerated_style_is_compared_with_the_plain_one():
    found = compare(SW, "-sf omp -pk omp 1")
    assert found.plain is not None and found.plain < 1e-10 and not found.fault


def test_an_inconsistent_potential_is_seen(tmp_path):
    assert not compare(crooked_table(tmp_path, 0.0), folder=tmp_path).fault
    found = compare(crooked_table(tmp_path, 1e-4), folder=tmp_path, probes=8)
    assert found.gradient == pytest.approx(1e-4 * found.largest, rel=0.05)
    assert "from the gradient of the energy" in found.fault


def test_faults_in_words():
    good = Consistency(1e-7, 1e-9, 2.0, 12)
    assert not good.fault
    assert "from those of the plain style" in Consistency(1e-7, 4e-5, 2.0, 12).fault
    both = Consistency(4e-5, 4e-5, 2.0, 12).fault
    assert "4.0e-05 eV/Å from the gradient" in both and "from the plain style" in both
    assert Consistency(np.nan, None, 2.0, 12).fault and Consistency(1e-7, np.nan, 2.0, 12).fault


def test_what_is_plain():
    assert plain_arguments("-k on t 4 -sf kk -pk kokkos neigh half -nb") == "-nb"
    assert plain_arguments("--suffix hybrid kk opt -nocite") == "-nocite"
    assert plain_arguments("") == ""
    lines = ["package omp 2", "suffix omp", "pair_style hybrid/overlay uf3/kk 3 zbl/omp 1 2"]
    lines += ["pair_coeff * * uf3/kk a.uf3 Si", "pair_style uf3/kk/device 3", "mass 1 28"]
    assert plain_lines(lines) == [
        "pair_style hybrid/overlay uf3 3 zbl 1 2",
        "pair_coeff * * uf3 a.uf3 Si",
        "pair_style uf3 3",
        "mass 1 28",
    ]


def test_what_lammps_says_is_told():
    with pytest.raises(MixpiError, match=r"(?s)LAMMPS cannot compute.*KOKKOS"):
        compare(SW, "-k on t 2 -sf kk")
    with pytest.raises(MixpiError, match="did not print the energies"):
        compare(SW, "-screen none")


def test_one_atom(tmp_path):
    atoms = Atoms("Si", cell=[9, 9, 9])
    found = compare_forces(
        LammpsSetup(SW, None, POTENTIALS),
        atoms,
        lambda flags: lammps.command(arguments=flags),
        environment=lammps.environment(),
    )
    assert found.largest == found.gradient == 0.0


def test_a_piece_is_small_and_holds_the_rarest_species():
    atoms = bulk("Si", cubic=True) * (4, 4, 4)
    atoms.symbols[77] = "Ge"
    before = atoms.positions.copy()
    piece = piece_of(atoms)
    assert len(piece) == 64 and "Ge" in piece.symbols
    assert piece.get_all_distances(mic=True)[np.triu_indices(64, 1)].min() > 2.0
    np.testing.assert_array_equal(atoms.positions, before)
    small = piece_of(bulk("Si", cubic=True))
    np.testing.assert_allclose(small.cell.array, bulk("Si", cubic=True).cell.array)


@pytest.mark.full
@pytest.mark.parametrize("error", [0.0, 1e-3])
def test_check_warns_of_forces_that_are_no_gradient(make_case, tmp_path, error):
    lines = crooked_table(tmp_path, error)
    cheap = {"lammps": {"potential": [line.replace("pair.table", str(tmp_path / "pair.table"))
                                      for line in lines]}}  # fmt: skip
    done = make_case(cheap=cheap).mixpi("check", "input.xml")
    assert done.returncode == 0, done.stderr
    said = "warning: cheap: on a small piece of this system the forces are off by"
    assert (said in done.stdout) == bool(error)
