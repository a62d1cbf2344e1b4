"""The ACE basis: its rows, its symmetries, and the file that they end up in."""

import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from mixpi.distil.ace import AceBasis
from mixpi.errors import MixpiError


pytest.importorskip("ace_jax")

SILICON = AceBasis(("Si",), cutoff=5.0, correlation_order=3, max_degree=8)
CARBIDE = AceBasis(("Si", "C"), cutoff=4.0, correlation_order=3, max_degree=5)


def silicon() -> Atoms:
    atoms = bulk("Si", "diamond", a=5.43, cubic=True)
    atoms.rattle(0.1, seed=1)
    return atoms


def carbide() -> Atoms:
    """Smaller than the cutoff in every direction: an atom sees its own images."""
    cell = [[3.1, 0.0, 0.0], [0.7, 2.9, 0.0], [0.4, -0.6, 3.3]]
    scaled = [[0.02, 0.01, 0.03], [0.47, 0.52, 0.55], [0.1, 0.55, 0.48]]
    return Atoms("SiC2", cell=cell, scaled_positions=scaled, pbc=True)


SYSTEMS = pytest.mark.parametrize(
    ("basis", "atoms"), [(SILICON, silicon()), (CARBIDE, carbide())], ids=["Si", "SiC2"]
)


def coefficients(basis: AceBasis) -> np.ndarray:
    return np.random.default_rng(3).normal(size=basis.size)


def same(first, second) -> None:
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-10 * np.abs(second).max())


@SYSTEMS
def test_forces_are_the_slope_of_the_energy(basis, atoms):
    rows = basis.rows(atoms)
    assert rows.energy.dtype == rows.forces.dtype == np.float64
    assert rows.energy.shape == (basis.size,)
    assert rows.forces.shape == (3 * len(atoms), basis.size)
    step = 1e-4
    for atom, axis in [(0, 0), (1, 1), (2, 2)]:
        slopes = []
        for h in (step, 2 * step):
            energies = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[atom, axis] += sign * h
                energies.append(basis.rows(moved).energy)
            slopes.append((energies[0] - energies[1]) / (2 * h))
        slope = (4 * slopes[0] - slopes[1]) / 3
        np.testing.assert_allclose(rows.forces[3 * atom + axis], -slope, rtol=0, atol=1e-8)


@SYSTEMS
def test_rotation_translation_and_permutation(basis, atoms):
    rows = basis.rows(atoms)
    turn, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))
    order = np.random.default_rng(6).permutation(len(atoms))
    moved = atoms.copy()
    moved.translate([0.3, -1.1, 7.0])
    moved.set_cell(moved.cell @ turn.T)
    moved.positions = moved.positions @ turn.T
    moved.wrap()
    other = basis.rows(moved[order])
    same(other.energy, rows.energy)
    forces = rows.forces.reshape(-1, 3, basis.size)[order]
    same(other.forces.reshape(forces.shape), np.einsum("ab,nbp->nap", turn, forces))


@SYSTEMS
def test_supercell(basis, atoms):
    rows = basis.rows(atoms)
    large = basis.rows(make_supercell(atoms, [[1, 1, 0], [0, 2, 0], [0, 0, 1]]))
    same(large.energy, 2 * rows.energy)
    assert np.abs(rows.forces.reshape(-1, 3, basis.size).sum(0)).max() < 1e-9


@pytest.mark.full
@SYSTEMS
def test_the_file_is_the_rows_times_the_coefficients(basis, atoms, tmp_path):
    c = coefficients(basis)
    offsets = {"Si": -101.25, "C": -37.5}
    written = basis.write(c, offsets, tmp_path / "pot" / "fit", inert=["He"])
    assert written.has_offset
    assert written.files == (tmp_path / "pot" / "fit.yace",)
    elements = " ".join(sorted([*basis.species, "He"]))
    assert written.lammps == ("pair_style pace", f"pair_coeff * * fit.yace {elements}")

    # with an inert atom in the middle, which changes nothing
    found = atoms + Atoms("He", positions=[atoms.positions.mean(0)])
    found.calc = basis.calculator(written)
    rows = basis.rows(atoms)
    energy = rows.energy @ c + sum(offsets[s] for s in atoms.symbols)
    forces = np.append(rows.forces @ c, [0.0, 0.0, 0.0])
    assert found.get_potential_energy() == pytest.approx(energy, abs=1e-9 * len(atoms))
    np.testing.assert_allclose(found.get_forces().ravel(), forces, rtol=0, atol=1e-9)


@pytest.mark.full
def test_four_body_products_and_an_isolated_atom(tmp_path):
    basis = AceBasis(("Si",), cutoff=4.0, correlation_order=4, max_degree=6)
    c = coefficients(basis)
    atoms = silicon()
    rows = basis.rows(atoms)
    atoms.calc = basis.calculator(basis.write(c, {}, tmp_path / "fit"))
    assert atoms.get_potential_energy() == pytest.approx(rows.energy @ c, abs=1e-8)
    np.testing.assert_allclose(atoms.get_forces().ravel(), rows.forces @ c, rtol=0, atol=1e-8)
    lone = basis.rows(Atoms("Si", cell=[20, 20, 20], pbc=True))
    assert not lone.energy.any()
    assert not lone.forces.any()


def test_files_have_only_what_stock_lammps_reads(tmp_path):
    text = CARBIDE.write(coefficients(CARBIDE), {}, tmp_path / "fit").files[0].read_text()
    assert "radbasename: SBessel" in text
    assert "radtable" not in text
    assert "summed_neighbour_A" not in text
    assert "&id" not in text


def test_penalty_grows_with_the_degree():
    penalty = CARBIDE.penalty()
    assert penalty.shape == (CARBIDE.size, CARBIDE.size)
    assert np.array_equal(penalty, np.diag(np.diag(penalty)))
    assert np.diag(penalty).min() == 1
    assert np.diag(penalty).max() > 50


def test_unknown_species():
    with pytest.raises(MixpiError, match=r"has Ge, the potential is for Si"):
        SILICON.rows(bulk("Ge"))
    with pytest.raises(MixpiError, match="chemical symbols"):
        AceBasis(("Si", "Xx"), cutoff=5.0)
    with pytest.raises(MixpiError, match="inert must be different"):
        SILICON.write(coefficients(SILICON), {}, "fit", inert=["Si"])


@pytest.mark.parametrize("wrong", [{"cutoff": 0.0}, {"correlation_order": 0}, {"max_degree": 1}])
def test_parameters_out_of_range(wrong):
    with pytest.raises(MixpiError, match="ACE: "):
        AceBasis(("Si",), **{"cutoff": 5.0, **wrong})


def test_missing_package(monkeypatch):
    for name in [n for n in sys.modules if n.split(".")[0] == "ace_jax"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ace_jax", None)
    with pytest.raises(MixpiError, match=r"pip install 'mixpi\[ace\]'"):
        _ = AceBasis(("Si",), cutoff=5.0).size
