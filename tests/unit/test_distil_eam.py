"""EAM and ADP: their tables, what lies outside of the data, layers in LAMMPS."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from mixpi.distil.adp import AdpBasis
from mixpi.distil.basis import Written
from mixpi.distil.bsplines import clamped_knots
from mixpi.distil.eam import EamBasis
from mixpi.distil.eam_tables import Table
from mixpi.distil.lammps_engine import LammpsCalculator
from mixpi.distil.overlay import Layer, layers_line, layers_of
from mixpi.distil.repulsion import default_repulsion, with_repulsion
from mixpi.distil.sums import SumBasis
from mixpi.drivers.lammps import LammpsSetup
from mixpi.errors import MixpiError
from scipy.interpolate import BSpline


def iron(seed: int = 0, repeats: int = 2) -> Atoms:
    atoms = bulk("Fe", "bcc", a=2.85, cubic=True) * repeats
    atoms.rattle(0.08, seed=seed)
    return atoms


def test_table_is_fine_enough_for_splines():
    """What LAMMPS makes of the table, beside the splines themselves."""
    knots, step = clamped_knots(0.0, 5.0, 25), 5.0 / 1999
    splines = BSpline(knots, np.eye(28), 3)
    x = np.random.default_rng(0).uniform(0.5, 4.99, 4000)
    values, slopes = Table.of(step, splines(np.minimum(step * np.arange(2000), 5.0))).at(x)
    assert np.abs(values - splines(x)).max() < 2e-7
    assert np.abs(slopes - splines(x, 1)).max() < 3e-4 * np.abs(splines(x, 1)).max()  # near knots
    assert np.sqrt(np.mean((slopes - splines(x, 1)) ** 2)) < 1e-5


def test_table_goes_on_along_a_line():
    table = Table.of(0.1, np.linspace(0.0, 2.0, 21)[:, None] ** 2)
    values, slopes = table.at(np.array([2.0, 2.5, 3.0]))
    assert slopes[:, 0] == pytest.approx([slopes[0, 0]] * 3)
    assert values[:, 0] == pytest.approx(4.0 + slopes[0, 0] * np.array([0.0, 0.5, 1.0]))


@pytest.mark.parametrize("scale", [0.78, 1.3])
def test_densities_outside_of_the_data(scale, tmp_path):
    """Compressed beyond the end of the file's table, and thinned out: as the rows say."""
    basis = EamBasis(("Fe",), cutoff=5.0).prepared([iron(k) for k in range(3)])
    c = np.random.default_rng(1).normal(0.0, 0.3, basis.size)
    atoms = iron(7)
    atoms.set_cell(scale * atoms.cell.array, scale_atoms=True)
    rows = basis.rows(atoms)
    low, high = basis.spans[0]
    i = np.arange(len(atoms))
    d = atoms.get_all_distances(mic=True)
    assert d[i[:, None] != i].min() > 1.2
    atoms.calc = basis.calculator(basis.write(c, {}, tmp_path / "Fe"))
    assert atoms.get_potential_energy() == pytest.approx(rows.energy @ c, abs=1e-8)
    assert np.abs(atoms.get_forces().ravel() - rows.forces @ c).max() < 1e-8
    # F is straight there: half way on, it has changed by half
    embedding = rows.energy[-basis.density_intervals - 1 :]
    inside = basis.rows(iron(7)).energy[-basis.density_intervals - 1 :]
    assert np.abs(embedding - inside).max() > 0.1
    assert 0.0 < low < high
    # a fit that knows no curvature is blind to where the knots are
    line = np.linspace(low, high, basis.density_intervals + 1)
    assert embedding.sum() == pytest.approx(len(atoms), abs=1e-6)  # the constant
    assert embedding @ line != pytest.approx(inside @ line, rel=0.1)


def test_span_must_be_known():
    with pytest.raises(MixpiError, match="range of densities is not known"):
        EamBasis(("Fe",)).rows(iron())
    with pytest.raises(MixpiError, match="shortest distance is not known"):
        AdpBasis(("Fe",)).rows(iron())
    with pytest.raises(MixpiError, match="no Cr in the data"):
        EamBasis(("Cr", "Fe")).prepared([iron()])
    with pytest.raises(MixpiError, match="must not be longer than cutoff"):
        EamBasis(("Fe",), cutoff=4.0, density_cutoff=5.0)


@pytest.mark.parametrize("inert", [[], ["He"]])
@pytest.mark.parametrize("signs", [(1,), (-1,), (1, -1, -1), (1, 1, 1, -1, -1)])
def test_layers_of_any_sign_beside_eam_and_repulsion(signs, inert, tmp_path):
    """LAMMPS (2025) fails on three neighbour lists with one cutoff; so theirs differ."""
    atoms = iron()
    basis = SumBasis(("Fe",), (EamBasis(("Fe",)), AdpBasis(("Fe",), radials=5))).prepared([atoms])
    c = np.random.default_rng(2).normal(0.0, 0.01, basis.size)
    diagonal = np.zeros((5, 5))
    diagonal[range(len(signs)), range(len(signs))] = signs
    upper = 0.02 * diagonal[np.triu_indices(5)]
    c[-30:] = np.concatenate([upper, upper])
    written = basis.write(c, {}, tmp_path / "Fe", inert=inert)
    assert len(written.files) == 1 + len(signs)
    lines = with_repulsion(written, inert, default_repulsion(1.5))  # nobody is so close
    rows = basis.rows(atoms)
    for these in (written.lammps, lines):
        atoms.calc = LammpsCalculator(LammpsSetup(these, written.species, tmp_path))
        assert np.abs(atoms.get_forces().ravel() - rows.forces @ c).max() < 1e-8
        assert atoms.get_potential_energy() == pytest.approx(rows.energy @ c, abs=1e-8)
    # the negative ones are subtracted from the stress, too
    stress, h = atoms.get_stress(voigt=False), 1e-5
    energies = []
    for step in (-h, h):
        other = atoms.copy()
        strain = np.diag([1 + step, 1.0, 1.0])
        other.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        energies.append(basis.rows(other).energy @ c)
    slope = (energies[1] - energies[0]) / (2 * h) / atoms.get_volume()
    assert stress[0, 0] == pytest.approx(slope, abs=1e-6)


def test_narrowed_basis_keeps_what_is_strong():
    """Of a fit that has two strong layers, those two are left and give its forces."""
    atoms = iron()
    whole = AdpBasis(("Fe",), cutoff=4.2, radials=4, layers=2).prepared([atoms])
    rng = np.random.default_rng(3)
    strong, weak = rng.normal(size=(2, 4)), 1e-3 * rng.normal(size=4)
    matrix = np.outer(strong[0], strong[0]) - np.outer(strong[1], strong[1]) + np.outer(weak, weak)
    c = np.tile(matrix[np.triu_indices(4)], 2)
    narrow = whole.narrowed(c, [atoms])
    assert narrow.size == 6
    assert narrow.narrowed(np.ones(6), [atoms]) is narrow
    assert AdpBasis(("Fe",), radials=2).narrowed(np.ones(6), [atoms]).size == 6
    rows, target = narrow.rows(atoms).forces, whole.rows(atoms).forces @ c
    best = np.linalg.lstsq(rows, target, rcond=None)[0]
    assert np.linalg.norm(rows @ best - target) < 1e-4 * np.linalg.norm(target)


@pytest.mark.parametrize(
    ("line", "layers"),
    [
        ("pair_style uf3 3", [Layer(("uf3", "3"))]),
        ("pair_style hybrid/overlay eam/alloy uf3 3", [Layer(("eam/alloy",)), Layer(("uf3", "3"))]),
        (
            "pair_style hybrid/scaled 1 eam/alloy -1 adp 0.5 uf3 3",
            [Layer(("eam/alloy",)), Layer(("adp",), -1.0), Layer(("uf3", "3"), 0.5)],
        ),
    ],
)
def test_layers_are_read_as_they_are_written(line, layers):
    named = [f"pair_coeff * * {layer.style[0]} file" for layer in layers]
    single = len(layers) == 1
    lines = (line, *(["pair_coeff * * file"] if single else named))
    assert layers_of(lines) == (layers, named)
    assert single or layers_line(layers) == line


def test_repulsion_lies_over_every_layer():
    written = Written(
        (), ("pair_style hybrid/scaled 1 adp -1 adp", "pair_coeff * * adp 1 a Fe",
             "pair_coeff * * adp 2 b Fe"), ("Fe",), has_offset=False,
    )  # fmt: skip
    lines = with_repulsion(written, [], default_repulsion(2.0))
    assert lines == (
        "pair_style hybrid/scaled 1 adp -1 adp 1 zbl 1.08 1.8",
        "pair_coeff * * adp 1 a Fe",
        "pair_coeff * * adp 2 b Fe",
        "pair_coeff 1 1 zbl 26 26",
    )
