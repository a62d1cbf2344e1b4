"""What `mixpi calibrate` measures, on arrays and on small cells."""

from __future__ import annotations

import textwrap
import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from brute_force import all_distances
from conftest import silicon
from mixpi import MixpiError
from mixpi.calibrate.buffers import (
    BufferResult,
    ForceError,
    force_error,
    measure_buffers,
    recommend,
    share_above,
    snapshot_error,
    upper,
)
from mixpi.calibrate.mismatch import advice, measure_mismatch
from mixpi.calibrate.reference import Clusters, Snapshot
from mixpi.calibrate.snapshots import (
    correlation,
    displacements,
    distinct,
    doubts,
    nearest_distances,
)
from mixpi.calibrate.thermal import read_frames, temperature_of, thermal_width, time_step_of
from mixpi.drivers.mace import MaceEngine
from mixpi.regions.periodic import PeriodicCell
from mixpi.regions.search import distance_to_nearest
from mixpi.structure import read_structure


RADII = {"core": 2.5, "blend": 2.5, "profile": "linear"}


@pytest.fixture(scope="module")
def engine(tiny_model):
    return MaceEngine(tiny_model, threads=1)


@pytest.fixture(scope="module")
def rod() -> Atoms:
    """512 atoms, long in one direction: twice the interaction range is not all of it."""
    atoms = bulk("Si", "diamond", a=5.46, cubic=True) * (2, 2, 16)
    atoms.rattle(0.07, seed=8)
    return atoms


@pytest.fixture(scope="module")
def clusters(rod, engine) -> Clusters:
    return Clusters(rod, [0, 5], RADII, engine)


@pytest.fixture(scope="module")
def exact(rod, engine) -> np.ndarray:
    return engine.evaluate(rod.numbers, rod.positions, rod.cell.array)[1]


@pytest.fixture(scope="module")
def snapshots(rod, clusters, engine) -> list[Snapshot]:
    """Five, the second of them far hotter than the first."""
    made = []
    for number, width in enumerate((0.03, 0.12, 0.05, 0.07, 0.06)):
        atoms = bulk("Si", "diamond", a=5.46, cubic=True) * (2, 2, 16)
        atoms.rattle(width, seed=number)
        forces = engine.evaluate(atoms.numbers, atoms.positions, atoms.cell.array)[1]
        made.append(clusters.snapshot(atoms.positions, forces))
    return made


def result(buffer: float, weighted: float) -> BufferResult:
    return BufferResult(buffer, 10, ForceError(1.0, 1.0, weighted))


def test_the_errors_are_what_they_are_called():
    rng = np.random.default_rng(0)
    exact, forces = rng.normal(size=(2, 6, 3))
    w = np.array([1.0, 1.0, 0.5, 0.1, 0.0, 0.0])
    found = force_error(forces, exact, w)
    squares = ((forces - exact) ** 2).sum(axis=1)
    assert found.max == pytest.approx(np.abs(forces - exact)[:4].max())
    assert found.rms == pytest.approx(np.sqrt(squares[:4].sum() / 12))
    assert found.weighted == pytest.approx(np.sqrt((w**2 @ squares) / (3 * (w**2).sum())))


def test_an_error_on_a_buffer_atom_does_not_count():
    exact, w = np.zeros((3, 3)), np.array([1.0, 0.5, 0.0])
    forces = exact.copy()
    forces[2] = np.nan
    assert force_error(forces, exact, w) == ForceError(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ({2: 0.5, 3: 0.1, 4: 0.004, 5: 0.001}, 4),
        ({2: 0.004, 3: 0.1, 4: 0.004, 5: 0.001}, 4),  # small by chance at 2
        ({2: 0.5, 3: 0.1}, None),
        ({2: 0.001}, 2),
        ({2: 0.005}, None),
    ],
)
def test_the_recommended_buffer_and_all_wider_ones_are_within_the_tolerance(errors, expected):
    assert recommend([result(b, e) for b, e in errors.items()], 0.005) == expected


def test_twice_the_interaction_range_is_exact(clusters, rod, engine, exact):
    cluster = clusters.carve(rod.positions, 2 * engine.interaction_range)
    assert len(cluster) < len(rod)
    forces = clusters.forces(rod.positions, cluster)
    assert force_error(forces, exact[cluster.indices], cluster.weights).max < 1e-12
    narrower = clusters.carve(rod.positions, engine.interaction_range)
    forces = clusters.forces(rod.positions, narrower)
    assert force_error(forces, exact[narrower.indices], narrower.weights).max > 1e-6


def test_the_curve_and_its_answer(clusters, rod, exact):
    seen = []
    results, recommended = measure_buffers(
        clusters,
        [clusters.snapshot(rod.positions, exact)],
        [2.0, 4.0, 6.0, 8.0, 12.0, 15.0],
        tolerance=0.01,
        tell=lambda what, share: seen.append((what, share)),
    )
    by_buffer = {r.buffer: r for r in results}
    assert list(by_buffer) == sorted(by_buffer)
    assert {3.5, 5.5, 7.5} & set(by_buffer)  # half an ångström less was tried
    assert by_buffer[recommended].error.weighted < 0.01
    assert all(r.error.weighted < 0.01 for b, r in by_buffer.items() if b >= recommended)
    assert results[0].error.weighted > 0.1
    assert 15.0 not in by_buffer  # nothing new to learn
    assert [r.atoms for r in results] == sorted(r.atoms for r in results)
    assert all(r.seconds > 0.0 for r in results)
    assert all(0.0 <= share <= 1.0 for _, share in seen)


@pytest.mark.full
def test_all_snapshots_decide_not_the_first(clusters, snapshots):
    """What is enough for the first is not for the second."""
    grid = [2.0, 4.0, 6.0, 8.0, 10.0]
    both = [snapshot_error(clusters, s, 6.0).weighted for s in snapshots[:2]]
    tolerance = float(np.sqrt(np.prod(both)))
    settings = {"tolerance": tolerance, "always": 4.0, "refine": False}
    _, narrow = measure_buffers(clusters, snapshots[:1], grid, **settings)
    results, wide = measure_buffers(clusters, snapshots, grid, **settings)
    assert wide > narrow
    by_buffer = {r.buffer: r for r in results}
    for buffer in (4.0, narrow, wide):
        expected = [snapshot_error(clusters, s, buffer) for s in snapshots]
        assert by_buffer[buffer].errors == pytest.approx([e.weighted for e in expected], rel=1e-9)
        for name in ("weighted", "rms", "max"):
            largest = max(getattr(e, name) for e in expected)
            assert getattr(by_buffer[buffer].error, name) == pytest.approx(largest, rel=1e-9)
    assert by_buffer[narrow].error.weighted >= tolerance > by_buffer[wide].error.weighted
    # what no other snapshot could change is not computed on them
    assert len(by_buffer[2.0].errors) == 1 and by_buffer[2.0].error.weighted > 5 * tolerance
    # the order of the snapshots decides nothing
    _, again = measure_buffers(clusters, snapshots[::-1], grid, **settings)
    assert again == wide


def test_the_upper_value_means_what_it_says():
    """Of any distribution, a fresh value is above it as often as is said; from nine on rarely."""
    rng = np.random.default_rng(5)
    for n in (1, 2, 5, 9, 11, 12, 19, 40):
        drawn, fresh = np.exp(rng.normal(size=(20_000, n))), np.exp(rng.normal(size=20_000))
        above = np.mean(fresh > [upper(values) for values in drawn])
        assert above == pytest.approx(share_above(n), abs=0.015)
        assert (share_above(n) <= 0.1 + 1e-12) == (n >= 9)
        if n < 9:
            assert upper(drawn[0]) == drawn[0].max()


def test_a_buffer_that_must_be_in_the_curve_is(clusters, rod, exact):
    first = clusters.snapshot(rod.positions, exact)
    results, _ = measure_buffers(
        clusters, [first], [12.0, 14.0, 15.0], tolerance=1.0, always=15.0, refine=False
    )
    assert [r.buffer for r in results] == [12.0, 15.0]


def test_the_reference_is_the_smaller_of_two_exact_ones(clusters, rod, engine):
    reach = engine.interaction_range
    assert clusters.reference(rod.positions, reach, 1000) == 2 * reach
    small = silicon(2)
    inside = Clusters(small, [0], RADII, engine)
    assert inside.reference(small.positions, reach, 1000) is None


def test_a_reference_that_must_be_smaller_is_the_widest_allowed(clusters, rod, engine):
    limit = 100
    buffer = clusters.reference(rod.positions, engine.interaction_range, limit)
    assert len(clusters.carve(rod.positions, buffer)) <= limit
    assert len(clusters.carve(rod.positions, buffer + 0.5)) > limit
    with pytest.raises(MixpiError, match="raise --full-atoms"):
        clusters.reference(rod.positions, engine.interaction_range, 3)


def test_masked_forces_are_the_derivative_of_the_masked_energy(engine):
    atoms = silicon(2)
    mask = np.zeros(len(atoms), dtype=bool)
    mask[:20] = True
    _, forces, virial = engine.evaluate(atoms.numbers, atoms.positions, atoms.cell.array, mask)
    assert np.isnan(virial).all()
    for atom, axis in ((0, 0), (19, 2), (40, 1)):
        energies = []
        for sign in (1, -1):
            moved = atoms.positions.copy()
            moved[atom, axis] += sign * 1e-4
            energies.append(engine.evaluate(atoms.numbers, moved, atoms.cell.array, mask)[0])
        slope = (energies[0] - energies[1]) / 2e-4
        assert forces[atom, axis] == pytest.approx(-slope, abs=1e-6)


def test_a_mask_of_everything_changes_nothing(engine):
    atoms = silicon(2)
    system = (atoms.numbers, atoms.positions, atoms.cell.array)
    energy, forces, _ = engine.evaluate(*system)
    masked_energy, masked, _ = engine.evaluate(*system, mask=np.ones(len(atoms), dtype=bool))
    assert masked_energy == pytest.approx(energy, rel=1e-12)
    np.testing.assert_allclose(masked, forces, rtol=0, atol=1e-12)


def test_the_mismatch_is_that_of_the_blend():
    rng = np.random.default_rng(1)
    expensive, cheap = rng.normal(size=(2, 5, 3))
    w = np.array([1.0, 0.8, 0.5, 0.1, 0.0])
    found = measure_mismatch([expensive, expensive], [cheap, cheap], [w, w])
    assert (found.frames, found.atoms, found.abrupt) == (2, 6, False)
    squares, factor = ((expensive - cheap)[1:4] ** 2).sum(axis=1), 4 * (w * (1 - w))[1:4]
    assert found.rms == pytest.approx(np.sqrt(squares.sum() / 9))
    assert found.mixed == pytest.approx(np.sqrt((factor**2 @ squares) / (3 * (factor**2).sum())))
    assert found.force == pytest.approx(np.sqrt((expensive[1:4] ** 2).mean()))


def test_without_a_blend_the_core_is_compared():
    forces = np.ones((2, 3))
    found = measure_mismatch([forces], [0.5 * forces], [np.array([1.0, 0.0])])
    assert (found.abrupt, found.atoms, found.rms, found.force) == (True, 1, 0.5, 1.0)


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.005, "nothing is gained"),
        (0.1, "a wider blend"),
        (0.4, "a better cheap potential"),
        (1.5, "than no forces at all"),
    ],
)
def test_the_advice_follows_the_rule(share, words):
    forces = np.ones((4, 3))
    found = measure_mismatch([forces], [(1 - share) * forces], [np.full(4, 0.5)])
    assert words in advice(found, 0.005)


def test_the_width_of_an_oscillator_has_half_a_kt_of_energy():
    width = thermal_width(5.0, 300.0)
    assert 0.5 * 5.0 * width**2 == pytest.approx(0.5 * units.kB * 300.0)


@pytest.mark.parametrize("suffix", ["", "@0", "@-2:", "@:"])
def test_frames_by_index(tmp_path, suffix):
    start, path = silicon(1), tmp_path / "run.extxyz"
    frames = []
    for seed in range(3):
        frames.append(silicon(1, seed=seed))
        frames[-1].write(path, append=True)
    expected = {"": [2], "@0": [0], "@-2:": [1, 2], "@:": [0, 1, 2]}[suffix]
    found = read_frames(f"{path}{suffix}", start)
    assert len(found) == len(expected)
    for positions, number in zip(found, expected, strict=True):
        np.testing.assert_allclose(positions, frames[number].positions, atol=1e-7)


def test_a_frame_without_a_cell_has_the_systems(tmp_path):
    moved = silicon(1, seed=1)
    bare = Atoms(moved.symbols, moved.positions)
    bare.write(tmp_path / "frame.xyz", format="xyz")
    (found,) = read_frames(tmp_path / "frame.xyz", silicon(1))
    np.testing.assert_allclose(found, moved.positions, atol=1e-7)


CELLS = {
    "cubic": bulk("Si", "diamond", a=5.46, cubic=True) * (2, 2, 2),
    # as ASE makes it: i-PI and read_structure turn it
    "triclinic": bulk("Si", "diamond", a=5.46) * (4, 4, 4),
}
#: Lattice vectors that atoms are moved by: which atoms, how many of each vector.
UNWRAPPED = {
    "one atom by 3": (slice(5, 6), (3, 0, -3)),
    "all by 3": (slice(None), (3, 3, 3)),
    "all by 100": (slice(None), (100, -100, 100)),
    "half by 1": (slice(None, None, 2), (0, 1, 0)),
    "drift of half a cell": (slice(None), (0.5, 0.5, -0.5)),
}


@pytest.fixture(params=CELLS)
def home(request, tmp_path) -> Atoms:
    CELLS[request.param].write(tmp_path / "init.extxyz")
    return read_structure(tmp_path / "init.extxyz")


def unwrapped(atoms: Atoms, kind: str) -> Atoms:
    which, moves = UNWRAPPED[kind]
    far = atoms.copy()
    far.rattle(0.08, seed=4)
    far.positions[which] += np.array(moves) @ atoms.cell.array
    return far


def turned(atoms: Atoms) -> Atoms:
    other = atoms.copy()
    other.rotate(40.0, (1.0, 2.0, -0.5), rotate_cell=True)
    return other


@pytest.mark.parametrize("kind", UNWRAPPED)
@pytest.mark.parametrize("orientation", ["i-PI's", "another", "no cell"])
def test_frames_wherever_they_were_unwrapped_to(tmp_path, home, kind, orientation):
    far = unwrapped(home, kind)
    written = turned(far) if orientation == "another" else far.copy()
    if orientation == "no cell":
        written = Atoms(far.symbols, far.positions)
    written.write(tmp_path / "frame.xyz", format="extxyz")
    (found,) = read_frames(tmp_path / "frame.xyz", home)
    np.testing.assert_allclose(found, far.positions, rtol=0, atol=2e-6)
    cell = PeriodicCell(home.cell.array)
    moved = displacements(found, home.positions, cell)
    assert 0.07 < np.sqrt(np.mean(moved**2)) < 0.09


@pytest.mark.parametrize("kind", UNWRAPPED)
@pytest.mark.parametrize(("unit", "ratio"), [(units.Bohr, "1.9"), (10.0, "0.1")])
def test_another_unit_is_found_wherever_they_were_unwrapped_to(tmp_path, home, kind, unit, ratio):
    far = unwrapped(home, kind)
    Atoms(far.symbols, far.positions / unit).write(tmp_path / "frame.xyz", format="xyz")
    with pytest.raises(MixpiError, match=f"atoms {ratio} times as far apart as the structure: is"):
        read_frames(tmp_path / "frame.xyz", home)


def liquid(unit: float = 1.0) -> tuple[Atoms, Atoms]:
    """Two configurations of a gas of hard spheres, with nothing in common."""
    made = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        box, points = PeriodicCell(np.diag([14.0] * 3)), np.empty((0, 3))
        while len(points) < 60:
            point = rng.uniform(0.0, 14.0, (1, 3))
            if np.isinf(distance_to_nearest(box, point, points, 2.2)).all():
                points = np.vstack([points, point])
        made.append(Atoms("Ar60", points, cell=box.vectors, pbc=True))
    made[1].positions += 14.0 * np.random.default_rng(3).integers(-4, 5, (60, 3))
    made[1].positions /= unit
    return tuple(made)


def test_atoms_that_diffused_everywhere(tmp_path):
    start, later = liquid()
    later.write(tmp_path / "frame.extxyz")
    (found,) = read_frames(tmp_path / "frame.extxyz", start)
    np.testing.assert_allclose(found, later.positions, rtol=0, atol=1e-6)
    assert "far from the structure's sites" in doubts([found], start)[0]
    start, later = liquid(units.Bohr)
    Atoms(later.symbols, later.positions).write(tmp_path / "frame.xyz", format="xyz")
    with pytest.raises(MixpiError, match="in another unit than Å, or of another system"):
        read_frames(tmp_path / "frame.xyz", start)


@pytest.mark.parametrize("change", ["sheared", "longer", "mirrored"])
def test_a_turned_cell_is_not_another_one(tmp_path, home, change):
    other = home.copy()
    strain = np.eye(3)
    if change == "sheared":
        strain[1, 0] = 0.01
    elif change == "longer":
        strain[0, 0] = 1.005
    else:
        strain[0, 0] = -1.0
    other.set_cell(other.cell.array @ strain, scale_atoms=True)
    turned(other).write(tmp_path / "frame.extxyz")
    with pytest.raises(MixpiError, match="another cell than the structure"):
        read_frames(tmp_path / "frame.extxyz", home)


def test_the_cell_in_i_pis_comment_counts(tmp_path, home):
    def write(factor: float) -> None:
        lengths, angles = home.cell.lengths() * factor / units.Bohr, home.cell.angles()
        box = "  ".join(f"{number:10.5f}" for number in (*lengths, *angles))
        comment = f"# CELL(abcABC): {box}  Step:  0  Bead: 0 positions{{atomic_unit}}"
        atoms = unwrapped(home, "all by 3")
        rows = [f"Si {x:.8f} {y:.8f} {z:.8f}" for x, y, z in atoms.positions / units.Bohr]
        text = "\n".join([str(len(atoms)), f"{comment}  cell{{atomic_unit}}", *rows])
        (tmp_path / "frame.xyz").write_text(f"{text}\n")

    write(1.0)
    (found,) = read_frames(tmp_path / "frame.xyz", home)
    np.testing.assert_allclose(found, unwrapped(home, "all by 3").positions, rtol=0, atol=1e-5)
    write(1.01)
    with pytest.raises(MixpiError, match="another cell than the structure"):
        read_frames(tmp_path / "frame.xyz", home)


def test_nearest_distances_by_brute_force(home):
    far = unwrapped(home, "half by 1")
    distances = all_distances(far.positions, far.cell.array, 4.0)
    np.fill_diagonal(distances, np.inf)
    found = nearest_distances(far.positions, PeriodicCell(far.cell.array))
    np.testing.assert_allclose(found, distances.min(axis=1), rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", UNWRAPPED)
def test_expensive_forces_do_not_depend_on_the_image(tiny_model, kind, dtype):
    start = silicon(2, rattle=0.0)
    engine = MaceEngine(tiny_model, threads=1, dtype=dtype)
    clusters = Clusters(start, [0, 5], RADII, engine)
    near = start.copy()
    near.rattle(0.08, seed=4)
    far = unwrapped(start, kind)
    inside, outside = (clusters.carve(a.positions, 4.0) for a in (near, far))
    np.testing.assert_array_equal(inside.indices, outside.indices)
    np.testing.assert_allclose(
        clusters.forces(far.positions, outside),
        clusters.forces(near.positions, inside),
        rtol=0,
        atol=1e-10 if dtype == "float64" else 3e-5,
    )


def vibrating(count: int, memory: float, seed: int = 0) -> tuple[Atoms, list[np.ndarray]]:
    """Snapshots whose displacements remember so much of those before."""
    start, rng = silicon(2, rattle=0.0), np.random.default_rng(seed)
    moved, frames = rng.normal(0.0, 0.08, start.positions.shape), []
    for _ in range(count):
        fresh = rng.normal(0.0, 0.08, moved.shape)
        moved = memory * moved + np.sqrt(1.0 - memory**2) * fresh
        frames.append(start.positions + moved)
    return start, frames


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_the_correlation_of_snapshots_is_that_of_the_displacements(memory):
    start, frames = vibrating(60, memory)
    cell = PeriodicCell(start.cell.array)
    frames = [frame + n * start.cell.array[0] for n, frame in enumerate(frames)]  # a drift
    assert correlation(frames, cell) == pytest.approx(memory, abs=0.05)
    assert correlation(frames[:3], cell) is None


def test_copies_are_found_in_whatever_image():
    start, frames = vibrating(4, 0.0)
    cell = PeriodicCell(start.cell.array)
    copy = frames[1] + np.array([1.0, -2.0, 0.0]) @ start.cell.array
    other = frames[2].copy()
    other[40] += 0.01
    assert distinct([*frames[:3], copy, other, frames[0], frames[3]], cell) == [0, 1, 2, 4, 6]


def test_doubts_about_snapshots():
    start, frames = vibrating(8, 0.0)
    home = start.positions
    assert doubts(frames, start) == []
    assert doubts(frames[:1], start) == []
    far = [frame + 0.5 * start.cell.array[0] for frame in frames]
    assert doubts(far, start) == []
    (cold,) = doubts([home + 0.5 * start.cell.array[1]], start)
    assert "the snapshot hardly left the sites" in cold
    warming = [home + share * (f - home) for f, share in zip(frames, (0.3, 0.6), strict=False)]
    (early,) = doubts([*warming, *frames[2:]], start)
    assert "the first 2 of 8 snapshots" in early and "FILE@2:" in early
    assert "1 of 7 snapshots hardly left" in doubts([*frames[:6], home], start)[0]


def simulation(text: str) -> SimpleNamespace:
    root = ElementTree.fromstring(f"<simulation>{textwrap.dedent(text)}</simulation>")
    return SimpleNamespace(root=root, path=SimpleNamespace(name="x"))


def test_temperature_and_time_step_of_an_input():
    thermal = simulation(
        "<ensemble><temperature units='kelvin'> 450 </temperature></ensemble>"
        "<dynamics><timestep units='femtosecond'>3.0</timestep><nmts>[1, 2]</nmts></dynamics>",
    )
    assert temperature_of(thermal) == pytest.approx(450.0)
    assert time_step_of(thermal) == pytest.approx(1.5)
    velocities = "<initialize><velocities units='kelvin'>200</velocities></initialize>"
    assert temperature_of(simulation(velocities)) == pytest.approx(200.0)
    assert time_step_of(simulation(velocities)) == 1.0
    restart = "<dynamics><timestep>826.8</timestep><nmts shape='(2)'> [ 5, 4 ] </nmts></dynamics>"
    assert time_step_of(simulation(restart)) == pytest.approx(1.0, rel=1e-3)
    replicas = "".join(
        f"<ensemble><temperature units='kelvin'>{t}</temperature></ensemble>" for t in (300, 500)
    )
    assert temperature_of(simulation(replicas)) == pytest.approx(500.0)
    atomic = "<dynamics><timestep>20.670687</timestep></dynamics>"
    assert time_step_of(simulation(atomic)) == pytest.approx(0.5, rel=1e-5)
    with pytest.raises(MixpiError, match="--temperature"):
        temperature_of(simulation("<ensemble/>"))
