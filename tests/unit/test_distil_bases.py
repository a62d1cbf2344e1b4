"""One conformance suite that every basis passes, on several crystals."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from mixpi.distil.adp import AdpBasis
from mixpi.distil.bsplines import clamped_knots, local_splines, second_differences
from mixpi.distil.config import RepulsionConfig
from mixpi.distil.eam import EamBasis
from mixpi.distil.lammps_engine import LammpsCalculator
from mixpi.distil.repulsion import default_repulsion, with_repulsion
from mixpi.distil.snap import SnapBasis
from mixpi.distil.sums import SumBasis
from mixpi.distil.uf3 import Uf3Basis
from mixpi.drivers.lammps import LammpsSetup
from mixpi.errors import MixpiError
from scipy.interpolate import BSpline


def coefficients(basis) -> np.ndarray:
    return np.random.default_rng(7).normal(0.0, 0.1, basis.size)


class FewLayers(AdpBasis):
    """Narrowed by some fit as soon as it is prepared."""

    def prepared(self, frames):
        whole = super().prepared(frames)
        narrow = whole.narrowed(coefficients(whole), frames)
        assert narrow.size <= 6 < whole.size == 20
        return narrow


BASES = {
    "snap": lambda species: SnapBasis(species, cutoff=4.2, twojmax=4),
    "snap odd": lambda species: SnapBasis(species, cutoff=4.2, twojmax=3),
    "snap quadratic": lambda species: SnapBasis(species, cutoff=4.0, twojmax=3, quadratic=True),
    "uf3": lambda species: Uf3Basis(species, cutoff=5.2, intervals=9, start_3b=0.8),
    "uf3 long triples": lambda species: Uf3Basis(
        species, cutoff=4.8, intervals=5, cutoff_3b=4.6, start_3b=0.8, intervals_3b=3
    ),
    "eam": lambda species: EamBasis(species, cutoff=5.2, intervals=9, density_intervals=4),
    "eam short density": lambda species: EamBasis(species, cutoff=5.0, density_cutoff=3.9),
    "adp": lambda species: AdpBasis(species, cutoff=4.4, radials=3),
    "adp of few layers": lambda species: FewLayers(species, cutoff=4.4, radials=4, layers=2),
    "eam and adp": lambda species: SumBasis(
        species, (EamBasis(species, cutoff=5.0), AdpBasis(species, cutoff=4.0, radials=2))
    ),
    "eam and uf3": lambda species: SumBasis(
        species,
        (
            EamBasis(species, cutoff=5.2, intervals=9),
            Uf3Basis(species, cutoff=3.4, intervals=2, cutoff_3b=3.3, start_3b=0.8, intervals_3b=3),
        ),
    ),
}


def distorted(atoms: Atoms, seed: int) -> Atoms:
    rng = np.random.default_rng(seed)
    cell = atoms.cell.array @ (np.eye(3) + rng.normal(0, 0.05, (3, 3)))
    atoms.set_cell(cell, scale_atoms=True)
    atoms.positions += rng.normal(0, 0.12, atoms.positions.shape)
    return atoms


def silicon() -> Atoms:
    """Triclinic, and smaller than twice the cutoffs."""
    return distorted(bulk("Si", "diamond", a=5.46, cubic=True), 0)


def tungsten() -> Atoms:
    """A single atom in its primitive cell sees only images of itself."""
    return distorted(bulk("W", "bcc", a=3.19), 1)


def carbide() -> Atoms:
    atoms = distorted(bulk("Si", "diamond", a=4.6, cubic=True) * (1, 1, 2), 2)
    atoms.symbols[::2] = "C"
    return atoms


def prepared(make, atoms: Atoms):
    """A basis for these atoms, which knows what occurs in them."""
    return make(tuple(sorted(set(atoms.symbols)))).prepared([atoms])


SYSTEMS = {"silicon": silicon, "tungsten": tungsten, "carbide": carbide}
cases = pytest.mark.parametrize(
    ("basis", "atoms"),
    [
        pytest.param(prepared(make, system()), system(), id=f"{name}-{crystal}")
        for name, make in BASES.items()
        for crystal, system in SYSTEMS.items()
    ],
)


@cases
def test_forces_are_slopes_of_the_energies(basis, atoms):
    rows = basis.rows(atoms)
    assert rows.energy.shape == (basis.size,)
    assert rows.forces.shape == (3 * len(atoms), basis.size)
    h = 1e-4
    for atom, axis in ((0, 0), (len(atoms) - 1, 2)):
        moved = []
        for step in (-h, h):
            other = atoms.copy()
            other.positions[atom, axis] += step
            moved.append(basis.rows(other).energy)
        slope = (moved[0] - moved[1]) / (2 * h)
        scale = np.abs(rows.forces).max() + np.abs(rows.energy).max()
        assert np.abs(slope - rows.forces[3 * atom + axis]).max() < 1e-5 * scale


@cases
def test_file_gives_what_the_rows_give(basis, atoms, tmp_path):
    c = coefficients(basis)
    offsets = {symbol: 1.0 + k for k, symbol in enumerate(basis.species)}
    written = basis.write(c, offsets, tmp_path / "potential")
    other = atoms.copy()
    other.calc = basis.calculator(written)
    rows = basis.rows(atoms)
    expected = rows.energy @ c
    if written.has_offset:
        expected += sum(offsets[symbol] for symbol in atoms.symbols)
    assert other.get_potential_energy() == pytest.approx(expected, abs=1e-8)
    assert np.abs(other.get_forces().ravel() - rows.forces @ c).max() < 1e-8


@cases
def test_where_and_how_atoms_are_numbered_does_not_matter(basis, atoms):
    rng = np.random.default_rng(3)
    rows = basis.rows(atoms)
    scale = np.abs(rows.forces).max() + np.abs(rows.energy).max()
    # moved and wrapped
    other = atoms.copy()
    other.positions += [0.7, -1.3, 2.2]
    other.wrap()
    moved = basis.rows(other)
    assert np.abs(moved.energy - rows.energy).max() < 1e-9 * scale
    assert np.abs(moved.forces - rows.forces).max() < 1e-9 * scale
    # numbered otherwise
    order = rng.permutation(len(atoms))
    shuffled = basis.rows(atoms[order])
    forces = rows.forces.reshape(len(atoms), 3, -1)
    assert np.abs(shuffled.forces.reshape(forces.shape) - forces[order]).max() < 1e-9 * scale
    # turned
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    other = atoms.copy()
    other.set_cell(atoms.cell.array @ turn.T)
    other.positions = atoms.positions @ turn.T
    turned = basis.rows(other)
    assert np.abs(turned.energy - rows.energy).max() < 1e-9 * scale
    expected = np.einsum("ab,nbp->nap", turn, forces)
    assert np.abs(turned.forces.reshape(forces.shape) - expected).max() < 1e-9 * scale


@cases
def test_supercell_has_twice_the_energy(basis, atoms):
    one, two = basis.rows(atoms).energy, basis.rows(atoms * (1, 1, 2)).energy
    assert np.allclose(two, 2 * one, rtol=1e-9, atol=1e-9 * np.abs(one).max())


@cases
def test_forces_of_a_crystal_add_up_to_nothing(basis, atoms):
    forces = basis.rows(atoms).forces.reshape(len(atoms), 3, -1)
    assert np.abs(forces.sum(axis=0)).max() < 1e-9 * (1 + np.abs(forces).max())


def test_penalty_is_blind_to_straight_lines():
    """Curvature is what is small: coefficients on a line cost nothing but at the ends."""
    basis = Uf3Basis(("Si",), intervals=10)
    penalty = basis.penalty()
    assert penalty.shape[1] == basis.size
    line = np.zeros(basis.size)
    line[:10] = 9.0 - np.arange(10)  # falls to zero where the splines end
    bent = penalty @ line
    assert np.abs(bent).max() == pytest.approx(1.0)
    assert np.count_nonzero(np.abs(bent) > 1e-12) == 1


@pytest.mark.parametrize("make", BASES.values(), ids=BASES)
def test_unknown_species_is_refused(make, tmp_path):
    basis = make(("Si",))
    with pytest.raises(MixpiError, match=r"has Ge, the potential is for Si; add"):
        basis.rows(bulk("Ge"))
    with pytest.raises(MixpiError, match=r"different chemical symbols, got Si, Xx"):
        make(("Si", "Xx"))
    with pytest.raises(MixpiError, match=r"different chemical symbols, got none"):
        make(())
    with pytest.raises(MixpiError, match=r"species and inert must .* got Si, Si"):
        basis.write(np.ones(basis.size), {}, tmp_path / "fit", inert=["Si"])


@pytest.mark.parametrize("knots", [clamped_knots(0.5, 4.0, 6), clamped_knots(0.0, 1.0, 1)])
def test_splines_are_scipys(knots):
    x = np.linspace(knots[0], knots[-1], 57)[:-1]
    first, values, slopes = local_splines(x, knots)
    count = len(knots) - 4
    everything = BSpline(knots, np.eye(count), 3)
    for mine, expected in ((values, everything(x)), (slopes, everything.derivative()(x))):
        full = np.zeros((len(x), count))
        np.put_along_axis(full, first[:, None] + np.arange(4), mine, axis=1)
        assert np.allclose(full, expected, atol=1e-12)
    assert second_differences(4) @ [0, 1, 4, 9] == pytest.approx([2, 2])


@pytest.mark.parametrize("kind", ["snap", "uf3", "eam", "eam and uf3", "adp", "eam and adp"])
def test_inert_species_feels_only_the_repulsion(kind, tmp_path):
    host = distorted(bulk("W", "bcc", a=3.19, cubic=True) * (3, 3, 3), 4)
    basis = prepared(BASES[kind], host)
    c = coefficients(basis)
    alone = host.copy()
    repulsion = default_repulsion(2.2)
    written = basis.write(c, {"W": -1.0}, tmp_path / "W", inert=["He"])
    lines = with_repulsion(written, ["He"], repulsion)
    both = host + Atoms("He", [host.positions[3] + [1.595, 0.797, 0.0]])
    clear = both.copy()
    assert written.species == ("He", "W")  # alphabetical, as LAMMPS's types are by default
    setup = LammpsSetup(lines, None, tmp_path)
    calculator = LammpsCalculator(setup)
    plain = basis.calculator(basis.write(c, {"W": -1.0}, tmp_path / "plain"))
    alone.calc = plain
    # in the tetrahedral site nothing is felt on either side
    clear.calc = calculator
    assert np.abs(clear.get_forces()[:-1] - alone.get_forces()).max() < 1e-9
    assert np.abs(clear.get_forces()[-1]).max() == 0.0
    # 0.9 Å away: pushed apart along the line
    both.positions[-1] = host.positions[3] + [0.9, 0.0, 0.0]
    both.calc = calculator
    push = both.get_forces()[-1]
    assert push[0] > 5.0
    assert np.abs(push[1:]).max() < 1e-6 * push[0]
    # the potential without the repulsion leaves it alone entirely
    bare = both.copy()
    bare.calc = LammpsCalculator(LammpsSetup(written.lammps, written.species, tmp_path))
    assert np.abs(bare.get_forces()[-1]).max() == 0.0


def test_host_repels_at_its_own_distances(tmp_path):
    """An inert species does not take the repulsion away from the others."""
    basis = BASES["uf3"](("W",))
    written = basis.write(np.zeros(basis.size), {}, tmp_path / "W", inert=["He"])
    lines = with_repulsion(written, ["He"], default_repulsion(2.4))
    pair = Atoms("W2", [[5, 5, 5], [7.0, 5, 5]], cell=[12, 12, 12], pbc=True)
    pair.calc = LammpsCalculator(LammpsSetup(lines, written.species, tmp_path))
    assert pair.get_forces()[1, 0] > 1.0
    pair.positions[1, 0] = 5 + 2.2
    assert np.abs(pair.get_forces()).max() == 0.0


def test_dots_in_a_name_survive(tmp_path):
    for basis in (SnapBasis(("Si",), twojmax=2), BASES["uf3"](("Si",))):
        written = basis.write(np.zeros(basis.size), {}, tmp_path / "my.v2")
        assert all(path.name.startswith("my.v2.") for path in written.files)


def test_atoms_closer_than_the_splines_begin_are_refused():
    atoms = silicon()
    with pytest.raises(MixpiError, match="closer than start_3b"):
        Uf3Basis(("Si",), cutoff_3b=3.6, start_3b=2.4).rows(atoms)


def test_many_triples_are_done_in_pieces(monkeypatch):
    basis, atoms = BASES["uf3"](("C", "Si")), carbide()
    whole = basis.rows(atoms)
    monkeypatch.setattr("mixpi.distil.uf3._TRIPLES", 37)
    parts = basis.rows(atoms)
    assert np.allclose(parts.energy, whole.energy, atol=1e-12)
    assert np.allclose(parts.forces, whole.forces, atol=1e-12)


def test_repulsion_is_zero_where_the_data_are(tmp_path):
    basis = BASES["uf3"](("Si",))
    c = coefficients(basis)
    written = basis.write(c, {}, tmp_path / "Si")
    lines = with_repulsion(written, [], RepulsionConfig(inner=1.0, outer=1.6))
    atoms = silicon()
    atoms.calc = basis.calculator(written)
    other = silicon()
    other.calc = LammpsCalculator(LammpsSetup(lines, ("Si",), tmp_path))
    assert other.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    assert np.abs(other.get_forces() - atoms.get_forces()).max() < 1e-9


def test_stress_is_the_slope_of_the_energy(tmp_path):
    """The calculator that elastic constants are measured with, in a turned triclinic cell."""
    basis = BASES["uf3"](("Si",))
    atoms = silicon()
    atoms.calc = basis.calculator(basis.write(coefficients(basis), {}, tmp_path / "Si"))
    stress = atoms.get_stress(voigt=False)
    h = 1e-5
    for i, j in ((0, 0), (1, 2), (2, 0)):
        energies = []
        for step in (-h, h):
            strain = np.eye(3)
            strain[i, j] += step / 2
            strain[j, i] += step / 2
            other = atoms.copy()
            other.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            other.calc = atoms.calc
            energies.append(other.get_potential_energy())
        slope = (energies[1] - energies[0]) / (2 * h) / atoms.get_volume()
        assert slope == pytest.approx(stress[i, j], abs=1e-6)
