"""Pictures: what they show, and that half-written files do not stop them."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from conftest import silicon
from matplotlib.figure import Figure
from matplotlib.image import imread
from mixpi import MixpiError, build_regions
from mixpi.analysis.plotting import MOST_POINTS, draw_cell, draw_steps, make_whole, plot
from mixpi.analysis.properties import Series
from mixpi.ipi.input import read_ipi_input
from mixpi.output.frames import last_frame
from mixpi.output.records import StepRecord, StepsFile


RNG = np.random.default_rng(2)


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """The figures that were saved."""
    figures = []
    save = Figure.savefig

    def note(self, *arguments, **options):
        figures.append(self)
        save(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", note)
    return figures


def frame(atoms: Atoms | None = None, seeds=(0,)) -> Atoms:
    atoms = silicon() if atoms is None else atoms
    r = build_regions(atoms.positions, atoms.cell, list(seeds), core=3.0, blend=2.0, buffer=2.0)
    atoms.arrays["mix_region"] = np.asarray(r.labels)
    atoms.arrays["mix_weight"] = np.asarray(r.weights)
    atoms.info = {"step": 10, "time": 10.0}
    return atoms


def rows(steps: int, *, each: int = 1, parts=()) -> dict[str, np.ndarray]:
    step = np.append(0.0, np.repeat(np.arange(1.0, steps + 1), each))
    names = ("core", "blend", "buffer", "ipi", "regions", "send", "cheap", "expensive")
    table = {name: RNG.uniform(1, 9, len(step)) for name in (*names, "blending", "output")}
    part = np.searchsorted(np.array(parts, float), step, side="left") if parts else 0 * step
    return {"step": step, **table, "part": part}


def series(steps: int) -> Series:
    step = np.arange(steps + 1)
    return Series(step, 1.0 * step, 300 + RNG.normal(size=steps + 1))


def is_a_picture(path) -> bool:
    pixels = imread(path)
    return pixels.shape[0] > 400 and pixels[..., :3].std() > 0.05


@pytest.mark.full
def test_many_points_become_a_median_in_a_band(tmp_path, drawn):
    draw_steps(rows(50), series(50), tmp_path / "few.png")
    draw_steps(rows(20_000), series(20_000), tmp_path / "many.png")
    few, many = ([axes for axes in figure.axes] for figure in drawn)
    for axes in few:
        assert not axes.collections, "no bands for a few points"
    assert [len(axes.collections) for axes in many] == [3, 1, 7]
    for axes in many:
        for line in axes.lines:
            assert len(line.get_xdata()) <= MOST_POINTS
    middle = many[1].lines[0].get_ydata()
    assert np.ptp(middle) < 0.5, "the median of noise is quiet"
    assert is_a_picture(tmp_path / "few.png") and is_a_picture(tmp_path / "many.png")


def test_parts_of_a_continued_run_are_marked(tmp_path, drawn):
    draw_steps(rows(60, parts=(20, 40)), series(60), tmp_path / "a.png")
    for axes in drawn[0].axes:
        marks = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"]
        assert marks == [20.0, 40.0]
        curve = axes.lines[0].get_xdata()
        assert curve[0] <= 1 and curve[-1] == 60, "all parts"


def test_evaluations_of_multiple_time_steps_lie_within_their_step(tmp_path, drawn):
    draw_steps(rows(5, each=4), series(5), tmp_path / "a.png")
    regions, _, stages = drawn[0].axes
    np.testing.assert_allclose(stages.lines[0].get_xdata(), np.arange(1, 21) / 4)
    np.testing.assert_allclose(regions.lines[0].get_xdata(), np.arange(6))
    assert "multiple time steps" in stages.get_title(loc="left")


def test_why_there_is_no_temperature(tmp_path, drawn):
    draw_steps(rows(5), "md.out has no 'step'", tmp_path / "a.png")
    assert [text.get_text() for text in drawn[0].axes[1].texts] == ["md.out has no 'step'"]


@pytest.mark.parametrize("shape", ["cube", "skewed", "unwrapped"])
def test_regions_are_whole_across_the_boundary(shape):
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=shape == "cube") * (4, 4, 4)
    if shape == "unwrapped":
        atoms.positions += RNG.integers(-3, 4, (len(atoms), 3)) @ atoms.cell.array
    corner = [0]
    atoms = frame(atoms, seeds=corner)
    chosen = atoms.arrays["mix_region"] >= 2
    positions = make_whole(atoms, chosen)
    # nothing but lattice vectors and one shift for all
    shift = atoms.cell.scaled_positions(positions - atoms.positions)
    shift -= shift[0]
    np.testing.assert_allclose(shift, np.round(shift), atol=1e-9)
    inside = atoms.cell.scaled_positions(positions)
    assert inside.min() > -1e-9 and inside.max() < 1 + 1e-9
    far = np.linalg.norm(positions[chosen] - positions[0], axis=1)
    near = atoms.get_distances(0, np.flatnonzero(chosen), mic=True)
    np.testing.assert_allclose(far, near, atol=1e-9)
    centre = inside[chosen].mean(axis=0)
    np.testing.assert_allclose(centre, 0.5, atol=0.1)


def test_no_region_no_shift():
    atoms = silicon()
    atoms.wrap()
    np.testing.assert_allclose(
        make_whole(atoms, np.zeros(len(atoms), bool)), atoms.positions, atol=1e-9
    )


def test_seeds_and_species_are_marked(tmp_path, drawn):
    atoms = frame(bulk("NaCl", "rocksalt", a=5.64, cubic=True) * (3, 3, 3), seeds=[5, 8])
    draw_cell(atoms, tmp_path / "a.png", seeds=[5, 8], note="bead 0 of 4")
    [figure] = drawn
    [legend] = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    counts = np.bincount(atoms.arrays["mix_region"], minlength=4)
    assert texts[:4] == [
        f"{name} ({count})"
        for name, count in zip(["core", "blend", "buffer", "outside"], counts[::-1], strict=True)
    ]
    assert texts[4:] == ["Cl", "Na", "seed (2)"]
    title = figure.axes[0].get_title()
    assert title == "216 atoms of Cl and Na, bead 0 of 4, step 10, 10 fs"
    clouds = figure.axes[0].collections
    assert sum(len(cloud.get_offsets()) for cloud in clouds[:-1]) == len(atoms), "each atom once"
    assert len(clouds[-1].get_offsets()) == 2
    shapes = {cloud.get_paths()[0].vertices.shape for cloud in clouds[:-1]}
    assert len(shapes) == 2
    assert is_a_picture(tmp_path / "a.png")


@pytest.mark.full
def test_frames_cut_anywhere(tmp_path):
    path = tmp_path / "mix.extxyz"
    atoms = frame(silicon(1))
    atoms.write(path)
    first = path.read_bytes()
    atoms.info["step"] = 20
    atoms.write(path, append=True)
    whole = path.read_bytes()
    assert last_frame(path).info["step"] == 20
    for end in range(len(first), len(whole)):
        path.write_bytes(whole[:end])
        assert last_frame(path).info["step"] == 10, end
    for end in (0, 1, len(first) // 2, len(first) - 40):
        path.write_bytes(first[:end])
        with pytest.raises(MixpiError, match="no whole frame"):
            last_frame(path)


def test_half_a_frame_does_not_stop_the_other_picture(make_case):
    case = make_case()
    steps = StepsFile(case.folder / "mix.steps", beads=1)
    for step in range(3):
        steps.add(
            StepRecord(
                *(step, step, 1, 2, 3, 0.1, -5.0),
                *(1.0, 1.0, 1.0, (1.0, 1.0), 1.0, 1.0),
                lost_drivers=0,
                work=(0.0,),
            )
        )
    steps.close()
    frame().write(case.folder / "mix.extxyz")
    path = case.folder / "mix.extxyz"
    path.write_bytes(path.read_bytes()[:1000])
    said: list[str] = []
    paths = plot(read_ipi_input(case.input), say=said.append)
    assert [p.name for p in paths] == ["mixpi.steps.png"]
    assert len(said) == 1 and "no whole frame" in said[0]


def test_nothing_to_draw(make_case):
    with pytest.raises(MixpiError, match="does not exist: run"):
        plot(read_ipi_input(make_case().input))
