"""First guesses of paths, profiles whose answer is known, and ends that do not belong together."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.mep import NEB
from conftest import silicon
from mixpi import MixpiError
from mixpi.paths.band import Band
from mixpi.paths.barrier import Barrier, draw
from mixpi.paths.descent import Descent
from mixpi.paths.fixed_mixing import FixedResult
from mixpi.paths.images import continuous, look_at_ends, look_at_steps
from mixpi.paths.initial_path import initial_path
from mixpi.paths.profile import profile_of


@pytest.fixture
def ends(tmp_path):
    """A vacancy that hops across the boundary of a triclinic cell."""
    atoms = bulk("Si", "diamond", a=5.46) * (4, 4, 3)
    first = atoms[1:]
    last = first.copy()
    around = Atoms("Si", [atoms.positions[0]], cell=atoms.cell, pbc=True)
    distances = (first + around).get_distances(len(first), range(len(first)), mic=True)
    hop = int(np.argmin(distances))
    last.positions[hop] = atoms.positions[0] + atoms.cell[0]  # another image of the hole
    first.write(tmp_path / "first.extxyz")
    last.write(tmp_path / "last.extxyz")
    return tmp_path, first, last, hop


@pytest.mark.parametrize("method", ["linear", "idpp"])
def test_the_way_is_the_shortest(ends, method):
    folder, first, last, hop = ends
    path = initial_path(folder / "first.extxyz", folder / "last.extxyz", images=7, method=method)
    assert len(path) == 7
    np.testing.assert_allclose(path[0].positions, first.positions, atol=1e-7)
    steps = np.diff([image.positions[hop] for image in path], axis=0)
    assert np.linalg.norm(steps, axis=1).max() < 1.0 and len(steps) == 6
    # the same places, by whatever images
    moved = (path[-1].positions - last.positions) @ np.linalg.inv(first.cell.array)
    np.testing.assert_allclose(moved, np.round(moved), atol=1e-6)
    assert min(image.get_all_distances(mic=True)[hop][:hop].min() for image in path) > (
        1.9 if method == "idpp" else 1.0
    )


def test_ends_that_do_not_belong_together(ends, tmp_path):
    _, first, last, _ = ends
    names = tmp_path / "a.extxyz", tmp_path / "b.extxyz"

    def refused(other: Atoms, match: str, **options) -> None:
        first.write(names[0])
        other.write(names[1])
        with pytest.raises(MixpiError, match=match):
            initial_path(*names, **options)

    refused(last[1:], "other atoms: Si95 and Si94")
    carbon = last.copy()
    carbon.numbers[0] = 6
    refused(carbon, "other atoms")
    swapped = first.copy()
    swapped.numbers[[0, 5]] = [6, 14]
    carbon.write(names[0])
    swapped.numbers[[0, 5]] = [14, 6]
    swapped.write(names[1])
    with pytest.raises(MixpiError, match="same atoms in another order"):
        initial_path(*names)
    refused(last[np.random.default_rng(0).permutation(len(last))], "would take the places")
    refused(first, "the same structure")
    wider = last.copy()
    wider.set_cell(1.01 * wider.cell.array, scale_atoms=True)
    refused(wider, "different cells")
    refused(last, "3 images or more", images=2)
    refused(last, "not 'spline'", method="spline")
    with pytest.raises(MixpiError, match="does not exist"):
        initial_path(names[0], tmp_path / "nowhere.extxyz")
    write(names[1], [last, last])
    with pytest.raises(MixpiError, match=r"b\.extxyz has several frames: which one is meant"):
        initial_path(*names)


def valley(x: float, y: float, barrier: float = 0.5) -> tuple[float, np.ndarray]:
    """A double well in x, of known height, with a bent valley; minus its gradient."""
    bent = y - 0.4 * (1.0 - x**2)
    energy = barrier * (1.0 - x**2) ** 2 + 2.0 * bent**2
    slope = -4.0 * barrier * x * (1.0 - x**2) + 4.0 * bent * 0.8 * x
    return energy, -np.array([slope, 4.0 * bent, 0.0])


class Valley:
    """A mixing whose forces are those of :func:`valley`, and which may have no energies."""

    def __init__(self, energies: bool) -> None:
        self.energies, self.asked = energies, 0

    def evaluate(self, geometries):
        self.asked += len(geometries)
        found = [valley(x[0, 0], x[0, 1]) for x in geometries]
        return [FixedResult(f[None], e if self.energies else None) for e, f in found]


@pytest.mark.parametrize("energies", [True, False])
@pytest.mark.parametrize("climb", [True, False])
def test_the_band_finds_a_known_barrier(energies, climb, tmp_path):
    xs = np.linspace(-1.0, 1.0, 10)  # no image is at the saddle
    images = [Atoms("H", [[x, 0.0, 0.0]], cell=[20.0] * 3, pbc=True) for x in xs]
    mixing = Valley(energies)
    band = Band(images, mixing, k=1.0, climb=climb, method="improvedtangent")
    descent = Descent(band, tmp_path / "state.npz", {})
    forces = lambda: float(np.sqrt((band.get_forces() ** 2).sum(axis=1).max()))  # noqa: E731
    *_, force = descent.walk(fmax=1e-3, steps=2000, force=forces)
    assert force <= 1e-3
    # each image once a step, the ends once
    assert mixing.asked == 2 + 8 * (descent.step + 1)
    for image in images:
        image.info["energy_estimate"] = image.get_potential_energy()
        image.arrays["forces"] = image.get_forces()
    profile = profile_of(images)
    assert profile.barrier_by_work == pytest.approx(0.5, abs=0.01)
    assert profile.barrier == pytest.approx(0.5, abs=0.002 if energies else 0.03)
    assert band.work_counts is not energies
    if climb and energies:
        top = max(images, key=lambda image: image.get_potential_energy())
        np.testing.assert_allclose(top.positions[0, :2], [0.0, 0.4], atol=0.01)
    json.dumps(profile.as_dict())
    draw(Barrier(profile, profile.energy, []), tmp_path / "barrier.png")
    assert (tmp_path / "barrier.png").stat().st_size > 10_000


def test_wrapped_images_are_the_same_band():
    """Lattice vectors between images are no work, whoever hands the images over."""
    atoms, move = bulk("Si", "diamond", a=5.46), np.array([[0.3, 0.1, 0.0], [0.0, -0.2, 0.1]])
    images = [atoms.copy() for _ in range(4)]
    for number, image in enumerate(images):
        image.positions += number * move
    wanted = [image.positions.copy() for image in images]
    images[1].positions += [[1, 0, -2], [0, 3, 0]] @ atoms.cell.array
    images[3].positions -= atoms.cell.array[0]
    given = [image.positions.copy() for image in images]
    np.testing.assert_allclose(continuous(given, atoms.cell.array), wanted, atol=1e-12)

    class Slope:
        def evaluate(self, geometries):
            return [FixedResult(np.full((2, 3), 0.1), None) for _ in geometries]

    band = Band(images, Slope(), k=1.0, climb=False, method="improvedtangent")
    band.get_forces()
    energies = [image.get_potential_energy() for image in images]
    np.testing.assert_allclose(energies, -0.1 * move.sum() * np.arange(4), atol=1e-12)


def test_odd_images_are_spoken_of():
    """Renumbered atoms, ends that are not at rest."""
    first = silicon(1, rattle=0.0).positions
    said: list[str] = []
    look_at_steps([first, first + 0.3, first + 0.6], ["Si"] * 8, said.append)
    assert not said
    look_at_steps([first, first[[0, 1, 3, 2, 4, 5, 6, 7]], first], ["Si"] * 8, said.append)
    assert "from image 0 to image 1, and 1 more jump there" in said.pop()
    ends = []
    for size in (0.01, 0.3):
        end = Atoms("H", [[0.0] * 3])
        end.calc = SinglePointCalculator(end, forces=np.array([[size, 0.0, 0.0]]))
        ends.append(end)
    assert look_at_ends(ends, 0.02, said.append) == pytest.approx((0.01, 0.3))
    [text] = said
    assert "the last end is not at rest" in text


def test_ases_own_band_is_the_same(tmp_path):
    """The band is ASE's: only who evaluates is ours."""
    from ase.calculators.calculator import Calculator

    class Single(Calculator):
        implemented_properties = ("energy", "forces")

        def calculate(self, atoms=None, properties=(), changes=()):
            super().calculate(atoms, properties, changes)
            energy, force = valley(*atoms.positions[0, :2])
            self.results = {"energy": energy, "forces": force[None]}

    def images():
        return [Atoms("H", [[x, 0.1, 0.0]], cell=[20.0] * 3) for x in np.linspace(-1, 1, 6)]

    theirs = images()
    for image in theirs:
        image.calc = Single()
    wanted = NEB(theirs, k=1.0, climb=True, method="improvedtangent").get_forces()
    ours = Band(images(), Valley(True), k=1.0, climb=True, method="improvedtangent")
    np.testing.assert_allclose(ours.get_forces(), wanted, atol=1e-12)


def test_a_descent_goes_on_as_if_nothing_had_happened(tmp_path):
    def band():
        xs = np.linspace(-1.0, 1.0, 6)
        images = [Atoms("H", [[x, 0.3, 0.0]], cell=[20.0] * 3, pbc=True) for x in xs]
        return Band(images, Valley(True), k=1.0, climb=False, method="improvedtangent")

    def walk(descent, moving, steps):
        largest = lambda: float(np.abs(moving.get_forces()).max())  # noqa: E731
        return list(descent.walk(fmax=1e-6, steps=steps, force=largest))

    whole, state = band(), tmp_path / "state.npz"
    walk(Descent(whole, tmp_path / "other.npz", {"a": 1}), whole, 40)
    part = band()
    assert not Descent(part, state, {"a": 1}).resume()
    walk(Descent(part, state, {"a": 1}), part, 17)
    again = band()
    descent = Descent(again, state, {"a": 1})
    assert descent.resume() and descent.step == 17
    walk(descent, again, 40)
    np.testing.assert_array_equal(again.get_positions(), whole.get_positions())
    with pytest.raises(MixpiError, match=r"another simulation \(a\)"):
        Descent(band(), state, {"a": 2}).resume()
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(MixpiError, match="no state to go on from"):
        Descent(band(), state, {"a": 1}).resume()


def test_images_without_forces_are_no_path():
    with pytest.raises(MixpiError, match="image 0 has no 'forces'"):
        profile_of([silicon(1)] * 3)
    with pytest.raises(MixpiError, match="3 images or more"):
        profile_of([silicon(1)] * 2)
