"""Sites that LAMMPS computes alone: what they exert is what the whole system says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from conftest import ROOT, clean_environment
from driver_server import listening
from mixpi import build_regions
from mixpi.drivers import lammps_sites
from mixpi.drivers.lammps import potential_folders
from mixpi.drivers.lammps_cluster import LammpsClusterEngine
from mixpi.drivers.lammps_cluster_driver import LammpsClusterDriver
from mixpi.drivers.lammps_partial import LammpsPartialEngine
from mixpi.drivers.packed import packed
from mixpi.errors import MixpiError
from mixpi.regions.periodic import PeriodicCell
from mixpi.regions.search import distance_to_nearest
from numpy.testing import assert_allclose
from pydantic import ValidationError


pytest.importorskip("lammps")

POTENTIALS = ROOT / "ipi_inputs" / "potentials"
FAST = ["pair_style snap", "pair_coeff * * si-snap-fast.snapcoeff si-snap-fast.snapparam Si"]
OVER_ZBL = [
    "pair_style hybrid/overlay snap zbl 1.153 1.922",
    "pair_coeff * * snap si-snap-fast.snapcoeff si-snap-fast.snapparam Si",
    "pair_coeff 1 1 zbl 14 14",
]
#: What ships with LAMMPS: elements, lines.
SHIPPED = {
    "quadratic snap": (["Si"], ["include Si_Zuo_JPCA2020.quadratic.snap"]),
    "snap of two elements, zbl": (["W", "Be"], ["include WBe_Wood_PRB2019.snap"]),
    "mliap": (
        ["Ta"],
        [
            "pair_style mliap model linear Ta06A.mliap.model descriptor sna Ta06A.mliap.descriptor",
            "pair_coeff * * Ta",
        ],
    ),
    "pod": (["Ta"], ["pair_style pod", "pair_coeff * * Ta_param.pod Ta_coeff.pod Ta"]),
}


def engine(potential, species=None, **options) -> LammpsClusterEngine:
    return LammpsClusterEngine(potential, species=species, folder=POTENTIALS, **options)


def crystal(repeats: int, *, skew: float = 0.0, seed: int = 1) -> Atoms:
    """Rattled silicon in a cell that may be a tilted and left-handed one."""
    atoms = bulk("Si", a=5.46, cubic=True) * ((repeats,) * 3)
    atoms.rattle(0.08, seed=seed)
    if skew:
        length = atoms.cell[0, 0]
        cell = length * np.array([[skew, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2 * skew, 1.0]])
        atoms.set_cell(cell, scale_atoms=True)
    return atoms


class Part:
    """A cluster around a seed, complete for the sites within a radius."""

    def __init__(self, atoms: Atoms, cutoff: float, *, seed: int = 0, sites: float | None = None):
        cell = atoms.cell.array
        radii = {"core": 2.5, "blend": 2.0, "buffer": (sites or cutoff) + cutoff}
        regions = build_regions(atoms.positions, cell, [seed], **radii)
        self.indices, self.buffer = regions.cluster, radii["buffer"]
        self.atoms = atoms[self.indices]
        self.weighted = regions.weights[self.indices] > 0.0
        x = self.atoms.positions
        self.depths = distance_to_nearest(PeriodicCell(cell), x, x[self.weighted], self.buffer)
        self.depths[self.weighted] = 0.0
        self.counted = self.depths < (sites or cutoff)
        self.structure = (self.atoms.numbers, x, cell)


def whole(one: LammpsClusterEngine, atoms: Atoms) -> np.ndarray:
    return one.evaluate(atoms.numbers, atoms.positions, atoms.cell.array)[1]


@pytest.mark.parametrize("skew", [0.0, 0.13], ids=["cubic", "tilted, left-handed"])
@pytest.mark.parametrize("lines", [FAST, OVER_ZBL], ids=["alone", "under pairs"])
def test_exact_where_it_counts(lines, skew):
    """At the cutoff the forces are those of the full cell, and the energy that of the sites."""
    one, atoms = engine(lines), crystal(5, skew=skew)
    full = whole(one, atoms)
    for seed in (0, 444, 777):  # at corners of the cell, and within
        part = Part(atoms, one.cutoff, seed=seed)
        assert part.counted.sum() < len(part.atoms) < len(atoms)
        energy, forces = one.evaluate_sites(*part.structure, part.counted)
        assert_allclose(forces[part.weighted], full[part.indices][part.weighted], atol=1e-11)
        assert not forces[~part.counted].any() and forces[part.counted].all()
        if lines is FAST:  # half of a pair's energy may belong to an atom that is none of these
            shares = one.site_energies(*part.structure)
            assert energy == pytest.approx(shares[part.counted].sum(), abs=1e-9)


@pytest.mark.parametrize("name", SHIPPED)
def test_other_styles(name):
    species, lines = SHIPPED[name]
    folder = next(path for path in potential_folders() if (path / "Ta_param.pod").is_file())
    one = LammpsClusterEngine(lines, species=species, folder=folder)
    if species == ["Si"]:
        atoms = crystal(5)
    else:
        atoms = bulk(species[0], "bcc", a=3.25, cubic=True) * (7, 7, 7)
        atoms.rattle(0.08, seed=2)
    if len(species) > 1:
        atoms.symbols[np.random.default_rng(1).random(len(atoms)) < 0.1] = species[1]
    part = Part(atoms, one.cutoff)
    _, forces = one.evaluate_sites(*part.structure, part.counted)
    wanted = whole(one, atoms)[part.indices][part.weighted]
    assert_allclose(forces[part.weighted], wanted, atol=1e-10)
    assert LammpsPartialEngine(one, sites=one.cutoff).needs_buffer == 2 * one.cutoff


def test_a_cell_smaller_than_the_cutoff():
    """Atoms see several images of the others, and of themselves."""
    one, atoms = engine(FAST), bulk("Si", a=5.46)
    atoms.rattle(0.1, seed=4)
    structure = (atoms.numbers, atoms.positions, atoms.cell.array)
    assert atoms.cell.lengths().max() < one.cutoff
    energy, forces = one.evaluate_sites(*structure, [True, False])
    assert energy == pytest.approx(one.site_energies(*structure)[0], abs=1e-10)
    other, others = one.evaluate_sites(*structure, [False, True])
    assert energy + other == pytest.approx(one.evaluate(*structure)[0], abs=1e-10)
    assert not forces[1].any() and not others[0].any()
    _, both = one.evaluate_sites(*structure, [True, True])
    assert_allclose(both, one.evaluate(*structure)[1], atol=1e-12)


def test_fewer_sites_are_an_energy_with_its_gradient():
    one, atoms = engine(FAST), crystal(4)
    part = Part(atoms, one.cutoff, sites=3.0)
    numbers, x, cell = part.structure
    _, forces = one.evaluate_sites(numbers, x, cell, part.counted)
    rng = np.random.default_rng(3)
    for atom in rng.choice(np.flatnonzero(part.counted), 3):
        for axis, step in ((0, 1e-4), (2, 1e-4)):
            energies = []
            for sign in (1, -1):
                moved = x.copy()
                moved[atom, axis] += sign * step
                energies.append(one.evaluate_sites(numbers, moved, cell, part.counted)[0])
            slope = (energies[0] - energies[1]) / (2 * step)
            assert forces[atom, axis] == pytest.approx(-slope, abs=1e-6)


def test_parts_and_wholes_in_turns():
    """What was computed before leaves no traces: sizes, cells, sites and modes change."""
    one = engine(OVER_ZBL)
    for repeats, skew, seed in ((4, 0.0, 3), (3, 0.2, 5), (4, 0.0, 200), (5, 0.1, 7)):
        atoms = crystal(repeats, skew=skew, seed=seed)
        fresh = engine(OVER_ZBL)
        wanted = whole(fresh, atoms)
        for sites in (one.cutoff, 2.5):
            part = Part(atoms, one.cutoff, seed=seed, sites=sites)
            energy, forces = one.evaluate_sites(*part.structure, part.counted)
            again = engine(OVER_ZBL).evaluate_sites(*part.structure, part.counted)
            assert energy == pytest.approx(again[0], abs=1e-10)
            assert_allclose(forces, again[1], atol=1e-12)
        assert_allclose(whole(one, atoms), wanted, atol=1e-12)
    nobody = one.evaluate_sites(*part.structure, np.zeros(len(part.atoms), dtype=bool))
    assert nobody[0] == 0.0 and not nobody[1].any()


@pytest.mark.parametrize(
    "lines",
    [
        ["pair_style uf3 3", "pair_coeff * * si-uf3.uf3 Si"],
        ["pair_style sw", "pair_coeff * * Si.sw Si"],
        ["pair_style zbl 3.0 4.0", "pair_coeff * * 14 14"],
        ["pair_style hybrid/overlay sw snap", "pair_coeff * * sw Si.sw Si", *OVER_ZBL[1:2]],
    ],
    ids=lambda lines: lines[0],
)
def test_styles_that_are_no_sums_of_their_own(lines):
    one = engine(lines, ["Si"])
    with pytest.raises(MixpiError, match=r"partial evaluation is for mliap, .*wider buffer"):
        LammpsPartialEngine(one, sites=5.0)
    atoms = crystal(2)
    with pytest.raises(MixpiError, match="partial evaluation is for"):
        one.evaluate_sites(atoms.numbers, atoms.positions, atoms.cell.array, np.ones(64, bool))


@pytest.mark.parametrize(
    ("pairs", "reach"),
    [
        (["zbl 1.153 1.922", "zbl 14 14"], 1.922),
        (["lj/cut 6.0", "lj/cut 0.001 2.0"], 6.0),
        (["zbl 1.0 2.0 lj/cut 6.0", "zbl 14 14", "lj/cut 0.001 2.0"], 6.0),
    ],
)
def test_sites_go_as_far_as_pairs(pairs, reach):
    lines = [f"pair_style hybrid/overlay snap {pairs[0]}", OVER_ZBL[1]]
    one = engine([*lines, *(f"pair_coeff 1 1 {words}" for words in pairs[1:])], ["Si"])
    assert one.reach_of_pairs == reach
    with pytest.raises(MixpiError, match=f"sites: 1.9 Å: the pairs .* reach {reach:g} Å"):
        LammpsPartialEngine(one, sites=1.9)
    part = Part(crystal(4), one.cutoff)
    made = LammpsPartialEngine(one, sites=max(reach, 3.0))
    made.evaluate(*part.structure, part.depths, made.needs_buffer)


class TestDriver:
    def test_first_part_is_compared_with_the_whole(self, monkeypatch):
        """A LAMMPS that computed others is found out, by its lists and by its forces."""
        one, part = engine(FAST), Part(crystal(4), 4.0)
        choose = lammps_sites.choose
        monkeypatch.setattr(lammps_sites, "choose", lambda lmp, sites: choose(lmp, None))
        made = LammpsPartialEngine(one, sites=4.0)
        with pytest.raises(MixpiError, match=r"atoms have neighbour lists, \d+ should"):
            made.evaluate(*part.structure, part.depths, part.buffer)
        monkeypatch.setattr(lammps_sites, "require_lists", lambda *_: None)
        few = int(part.weighted.sum())
        monkeypatch.setattr(
            lammps_sites, "choose", lambda lmp, sites: choose(lmp, sites and min(sites, few))
        )
        with pytest.raises(MixpiError, match="forces that should be equal differ by"):
            made.evaluate(*part.structure, part.depths, part.buffer)

    def test_depths_decide(self):
        one, atoms = engine(FAST), crystal(4)
        made, part = LammpsPartialEngine(one, sites=3.0), Part(atoms, 4.0, sites=3.0)
        energy, forces, virial = made.evaluate(*part.structure, part.depths, 7.0)
        wanted = one.evaluate_sites(*part.structure, part.counted)
        assert energy == pytest.approx(wanted[0]) and np.isnan(virial).all()
        assert_allclose(forces, wanted[1], atol=1e-12)
        assert np.isfinite(made.evaluate(*part.structure)[2]).all()
        with pytest.raises(MixpiError, match=r"a buffer of 6.9 Å is too narrow .* 7 Å"):
            made.evaluate(*part.structure, part.depths, 6.9)

    def test_configuration(self):
        given = {"potential": FAST, "partial": {"sites": 3}}
        driver = LammpsClusterDriver(**given)
        assert driver.wants_depths and not LammpsClusterDriver(potential=FAST).wants_depths
        made = driver.serving_engine(POTENTIALS, None)
        assert made.facts()["needs_buffer"] == made.needs_buffer == 7.0
        assert '--partial={"sites": 3.0}' in driver.command(POTENTIALS)
        with pytest.raises(ValidationError, match="greater than 0"):
            LammpsClusterDriver(potential=FAST, partial={"sites": 0})
        with pytest.raises(ValidationError, match="features"):
            LammpsClusterDriver(potential=FAST, partial={"sites": 3, "features": 3})


RANKS = """
import sys
from mixpi.drivers.lammps_cluster import LammpsClusterEngine
from mixpi.drivers.lammps_partial import LammpsPartialEngine
from mixpi.drivers.lammps_ranks import run_ranks
make = lambda: LammpsPartialEngine(LammpsClusterEngine({lines!r}, folder={folder!r}), sites=4.0)
sys.exit(run_ranks(make, address={address!r}, label="ranks"))
"""


@pytest.mark.full
def test_two_ranks_are_equal_to_one(tmp_path: Path):
    pytest.importorskip("mpi4py")
    one, script = engine(OVER_ZBL), tmp_path / "ranks.py"
    with listening() as server:
        script.write_text(
            RANKS.format(lines=OVER_ZBL, folder=str(POTENTIALS), address=server.address)
        )
        process = subprocess.Popen(
            [f"{sys.prefix}/bin/mpirun", "-n", "2", sys.executable, str(script)],
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            driver = server.accept()
            for repeats, seed in ((4, 0), (4, 300), (5, 11)):
                part = Part(crystal(repeats, seed=seed), one.cutoff, seed=seed)
                wanted = one.evaluate_sites(*part.structure, part.counted)
                found = driver.ask(
                    part.atoms,
                    depths=packed(part.depths, "<f4"),
                    places=packed(np.arange(len(part.atoms)), "<i4"),
                    buffer=part.buffer,
                )
                assert found[0] == pytest.approx(wanted[0], abs=1e-8)
                assert_allclose(found[1], wanted[1], atol=1e-9)
            wanted_forces = whole(one, part.atoms)
            assert_allclose(driver.ask(part.atoms)[1], wanted_forces, atol=1e-9)
            driver.end()
            output, _ = process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    assert process.returncode == 0 and "4 evaluations" in output
