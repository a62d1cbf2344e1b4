"""The data of a distillation: what they are, and that an interrupted command loses nothing."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.io import read
from mixpi.distil.config import HardConfig, SoftConfig
from mixpi.distil.data import (
    CUBIC_STRAINS,
    Cache,
    count_segments,
    count_strained_cells,
    extra_frames,
    is_cubic,
    relaxed_crystal,
    snapshots,
    strain_types,
    strained_cells,
    supercell_repeats,
)
from mixpi.errors import MixpiError


SOFT = SoftConfig(
    temperature=300, repeat=[2, 2, 2], snapshots=4, held_out=1, spacing=12, equilibrate=20
)


def copper():
    return bulk("Cu", "fcc", a=3.6, cubic=True)


def silent(*_):
    pass


def test_strains_determine_a_cubic_crystal():
    """The energies of the six types depend on C11, C12 and C44 in three independent ways."""
    assert len(CUBIC_STRAINS) == 6
    parts = []
    for e in CUBIC_STRAINS.values():
        assert np.allclose(e, e.T)
        diagonal = np.diag(e)
        parts.append(
            [
                np.sum(diagonal**2) / 2,
                diagonal[0] * diagonal[1] + diagonal[1] * diagonal[2] + diagonal[2] * diagonal[0],
                2 * (e[0, 1] ** 2 + e[1, 2] ** 2 + e[2, 0] ** 2),
            ]
        )
    assert np.linalg.matrix_rank(parts) == 3
    assert np.linalg.cond(parts) < 20


def test_strains_of_other_crystals_determine_everything():
    """21 energies see each of the 21 elastic constants."""
    strains = strain_types(bulk("Cu", "hcp", a=2.5, c=4.1))
    voigt = []
    for e in strains.values():
        assert np.allclose(e, e.T)
        voigt.append([e[0, 0], e[1, 1], e[2, 2], 2 * e[1, 2], 2 * e[0, 2], 2 * e[0, 1]])
    i, j = np.triu_indices(6)
    products = [np.outer(v, v)[i, j] * np.where(i == j, 0.5, 1.0) for v in voigt]
    assert np.linalg.matrix_rank(products) == 21


def test_hard_set_is_strained_around_the_minimum():
    settings = HardConfig(points=5)
    crystal = relaxed_crystal(copper(), EMT())
    frames = list(strained_cells(crystal, EMT(), settings))
    assert len(frames) == count_strained_cells(crystal, settings) == 1 + 6 * 4
    energies = np.array([atoms.get_potential_energy() for atoms in frames])
    assert (energies[1:] > energies[0]).all()
    volumes = [atoms.get_volume() / crystal.get_volume() for atoms in frames]
    assert volumes[0] == pytest.approx(1.0)
    assert volumes[1] == pytest.approx((1 - 0.005 / 3) ** 3)
    assert frames[1].info["strain"] == "hydrostatic -0.00500"


def test_internal_atoms_are_relaxed():
    """Shear moves the sublattices of a hexagonal crystal; the energy is the relaxed one."""
    crystal = relaxed_crystal(bulk("Cu", "hcp", a=2.5, c=4.1), EMT())
    for frame in strained_cells(crystal, EMT(), HardConfig(points=3, strain=0.01)):
        assert np.abs(frame.get_forces()).max() < 2e-4


def test_only_a_crystal_of_cubic_symmetry_is_cubic():
    assert is_cubic(copper())
    assert is_cubic(bulk("Si", "diamond", a=5.4, cubic=True) * (2, 2, 2))
    assert is_cubic(bulk("NaCl", "rocksalt", a=5.6, cubic=True))
    assert not is_cubic(bulk("Cu", "fcc", a=3.6))  # the primitive cell is no cube
    layered = copper()
    layered.symbols[layered.positions[:, 2] < 0.1] = "Au"  # L1_0 in a cube
    assert not is_cubic(layered)
    rng = np.random.default_rng(0)
    alloy = copper() * (2, 2, 2)
    alloy.symbols[rng.permutation(32)[:9]] = "Au"
    assert not is_cubic(alloy)
    assert len(strain_types(alloy)) == 21


def test_sets_have_the_length_that_was_announced(tmp_path):
    cache = Cache(tmp_path, {})
    with pytest.raises(ValueError, match="zip"):
        cache.extend("short", 3, lambda _: iter([copper()]), silent)
    with pytest.raises(ValueError, match="zip"):
        cache.extend("long", 1, lambda _: iter([copper()] * 2), silent)


def test_counts():
    assert count_strained_cells(copper(), HardConfig(points=17)) == 97
    assert count_strained_cells(copper(), HardConfig(points=4)) == 25
    assert count_strained_cells(bulk("Cu", "hcp", a=2.5, c=4.1), HardConfig(points=3)) == 43
    assert count_segments(SOFT) == (2, 7)
    assert supercell_repeats(copper(), SOFT) == (2, 2, 2)
    assert supercell_repeats(copper(), SoftConfig()) == (3, 3, 3)


class Interrupted(Exception):
    pass


def test_interrupted_sets_continue_to_the_same_frames(tmp_path):
    """Stopped twice, the set ends as the one that was not stopped."""
    total = count_segments(SOFT)[1]

    def make(done):
        return snapshots(copper(), EMT(), SOFT, done)

    whole = Cache(tmp_path / "whole", {"a": 1}).extend("snapshots", total, make, silent)
    calls = 0

    def counting(_what, _share):
        nonlocal calls
        calls += 1
        if calls in (3, 5):
            raise Interrupted

    cache = Cache(tmp_path / "parts", {"a": 1})
    for _ in range(2):
        with pytest.raises(Interrupted):
            cache.extend("snapshots", total, make, counting)
    kept = cache.frames("snapshots")
    assert 0 < len(kept) < total
    parts = Cache(tmp_path / "parts", {"a": 1}).extend("snapshots", total, make, silent)
    assert len(parts) == len(whole) == total
    for one, other in zip(parts, whole, strict=True):
        # EMT sums over neighbours in an order that depends on its past
        assert np.abs(one.positions - other.positions).max() < 1e-10
        assert np.abs(one.get_momenta() - other.get_momenta()).max() < 1e-9
        assert np.abs(one.get_forces() - other.get_forces()).max() < 1e-9
    # and more snapshots of the same kind are a continuation
    more = SOFT.model_copy(update={"snapshots": 6})
    longer = cache.extend(
        "snapshots",
        count_segments(more)[1],
        lambda done: snapshots(copper(), EMT(), more, done),
        silent,
    )
    assert np.abs(longer[total - 1].positions - whole[-1].positions).max() < 1e-10
    assert len(longer) == total + 2


def test_other_settings_have_another_folder(tmp_path):
    folders = {Cache(tmp_path, {"temperature": t}).folder for t in (300, 301)}
    assert len(folders) == 2
    assert Cache(tmp_path, {"temperature": 300}).folder in folders


def test_two_commands_wait_for_each_other(tmp_path):
    """The second finds what the first computed instead of computing it again."""
    cache, made, told = Cache(tmp_path, {}), [], []

    def make(done):
        for k in range(len(done), 3):
            time.sleep(0.2)
            made.append(k)
            yield copper()

    def second():
        Cache(tmp_path, {}).extend("set", 3, make, lambda what, _: told.append(what))

    other = threading.Thread(target=second)
    cache.extend("set", 3, make, lambda what, _: other.start() if what == "set 1/3" else None)
    other.join()
    assert made == [0, 1, 2]
    assert "waiting" in told[0]
    assert len(cache.frames("set")) == 3


def test_damaged_file_is_named(tmp_path):
    cache = Cache(tmp_path, {})
    path = cache.folder / "strained.traj"
    path.write_bytes(b"no trajectory")
    with pytest.raises(MixpiError, match="delete that file") as error:
        cache.frames("strained")
    assert str(path) in str(error.value)


@pytest.mark.full
def test_snapshots_are_thermal():
    settings = SoftConfig(
        temperature=300, repeat=[2, 2, 2], snapshots=8, held_out=1, spacing=60, equilibrate=200
    )
    frames = list(snapshots(copper(), EMT(), settings, []))
    later = [atoms.get_temperature() for atoms in frames[4:]]
    assert 200 < np.mean(later) < 400
    forces = [np.sqrt(np.mean(atoms.get_forces() ** 2)) for atoms in frames[4:]]
    assert min(forces) > 0.2


def test_a_crystal_that_is_none(tmp_path):
    with pytest.raises(MixpiError, match="relaxing under the expensive potential changed the cell"):
        relaxed_crystal(bulk("Cu", "fcc", a=4.15, cubic=True), EMT())


def test_extra_frames_need_energy_and_forces(tmp_path):
    atoms = copper()
    atoms.calc = EMT()
    atoms.get_forces()
    good = tmp_path / "good.extxyz"
    atoms.write(good)
    assert extra_frames([good])[0].get_potential_energy() == pytest.approx(
        atoms.get_potential_energy()
    )
    bare = copper()
    bare.info["REF_energy"] = -1.0
    bare.arrays["REF_forces"] = np.ones((4, 3))
    bare.write(tmp_path / "ref.extxyz")
    assert extra_frames([tmp_path / "ref.extxyz"])[0].get_forces()[0, 0] == 1.0
    atoms.set_constraint(FixAtoms([0]))
    atoms.rattle(0.1, seed=1)
    forces = atoms.get_forces(apply_constraint=False)
    atoms.write(tmp_path / "fixed.traj")
    assert np.abs(extra_frames([tmp_path / "fixed.traj"])[0].get_forces() - forces).max() < 1e-12
    atoms.set_constraint()
    # energy and forces are from one source
    half = copper()
    half.calc = SinglePointCalculator(half, energy=-3.0, forces=np.full((4, 3), 2.0))
    half.info["REF_energy"] = -1.0
    half.write(tmp_path / "half.extxyz")
    assert extra_frames([tmp_path / "half.extxyz"])[0].get_potential_energy() == -3.0
    copper().write(tmp_path / "bad.extxyz")
    assert read(tmp_path / "bad.extxyz").calc is None
    with pytest.raises(MixpiError, match=r"frame 0 of .*bad\.extxyz has no energy"):
        extra_frames([tmp_path / "bad.extxyz"])
    lost = atoms.copy()
    lost.calc = SinglePointCalculator(lost, energy=-3.0, forces=np.zeros((4, 3)))
    lost.positions[2, 1] = lost.calc.atoms.positions[2, 1] = np.nan
    lost.write(tmp_path / "lost.extxyz")
    with pytest.raises(MixpiError, match=r"frame 0 of .*lost\.extxyz has NaN"):
        extra_frames([tmp_path / "lost.extxyz"])
    atoms.pbc = [True, True, False]
    atoms.write(tmp_path / "slab.extxyz")
    with pytest.raises(MixpiError, match="not periodic in all directions"):
        extra_frames([tmp_path / "slab.extxyz"])
    with pytest.raises(MixpiError, match="cannot read"):
        extra_frames([tmp_path / "missing.extxyz"])
