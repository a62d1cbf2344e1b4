"""Steps and frames that the mixing layer writes, and how they are cut back."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.io import read, write
from conftest import silicon
from mixpi import build_regions
from mixpi.config import OutputConfig
from mixpi.errors import MixpiError
from mixpi.output.continuing import (
    OutputFile,
    cut_frames,
    cut_table,
    last_steps,
    require_no_gap,
    step_column,
)
from mixpi.output.frames import Evaluated, Frames, bead_paths
from mixpi.output.records import StepRecord, StepsFile, last_of_each_step, read_steps


def record(step: int, **changes) -> StepRecord:
    values = {
        "evaluation": step, "core": 4, "blend": 5, "buffer": 6, "net_force": 0.5,
        "potential": -123456.789, "ipi": 1.0, "regions": 2.0, "send": 0.5, "waits": (10.0, 100.0),
        "blending": 0.25, "output": 0.75, "lost_drivers": 0, "work": (0.1,),
    }  # fmt: skip
    return StepRecord(step=step, **{**values, **changes})


def steps_file(path, steps, *, first_step=0) -> StepsFile:
    file = StepsFile(path, beads=1, first_step=first_step)
    for step in steps:
        file.add(record(step, evaluation=file.evaluations, net_force=0.1 * step, work=(step / 7,)))
    file.close()
    return file


def test_steps_file_comes_back(tmp_path):
    path = tmp_path / "mix.steps"
    steps_file(path, range(5))
    steps = read_steps(path)
    np.testing.assert_array_equal(steps["step"], np.arange(5))
    np.testing.assert_allclose(steps["net_force"], 0.1 * np.arange(5))
    np.testing.assert_allclose(steps["potential"], -123456.789, rtol=0, atol=1e-6)
    with path.open("a") as file:
        file.write("5 5 4 5")  # a run that was killed
    assert len(read_steps(path)["core"]) == 5


def test_looks_at_the_outside_have_columns_where_there_are_any(tmp_path):
    path = tmp_path / "s"
    file = StepsFile(path, beads=2, probes=True)
    for step in range(3):
        file.add(record(step, work=(0.1, 0.2), probes=(29.0 * step, 7.5, 2.25, step)))
    file.close()
    steps = read_steps(path)
    assert list(steps)[-5:] == ["probed", "probe_ms", "region_ms", "tour", "part"]
    np.testing.assert_array_equal(steps["probed"], [0, 29, 58])
    np.testing.assert_array_equal(steps["work_1"], 0.2)
    np.testing.assert_array_equal(steps["tour"], [0, 1, 2])
    # a run that looks goes on from one that did not with a file of its own
    steps_file(path, range(3))
    anew = StepsFile(path, beads=1, first_step=2, probes=True)
    anew.close()
    assert not anew.last


def test_an_empty_file_has_all_columns(tmp_path):
    (tmp_path / "s").write_text("")
    assert len(read_steps(tmp_path / "s")["evaluation"]) == 0


def test_a_new_run_puts_aside_and_a_continued_one_cuts_back(tmp_path):
    path = tmp_path / "s"
    steps_file(path, range(3))
    steps_file(path, range(9))
    assert len(read_steps(tmp_path / "#s#0#")["step"]) == 3
    file = StepsFile(path, beads=1, first_step=6)
    assert (file.last["step"], file.last["evaluation"], file.evaluations) == (6, 6, 7)
    assert file.last["work_0"] == pytest.approx(6 / 7, abs=1e-12)
    file.add(record(7, evaluation=file.evaluations))
    file.close()
    steps = read_steps(path)
    np.testing.assert_array_equal(steps["step"], np.arange(8))
    np.testing.assert_array_equal(steps["part"], [0] * 7 + [1])
    kept = (tmp_path / "#s#1#").read_text()
    assert [line.split()[0] for line in kept.splitlines()] == ["7", "8"]


def test_a_file_of_other_beads_is_not_continued(tmp_path):
    path = tmp_path / "s"
    steps_file(path, range(9))
    file = StepsFile(path, beads=2, first_step=6)
    assert file.last == {} and file.evaluations == 0
    file.close()
    assert len(read_steps(tmp_path / "#s#1#")["step"]) == 7


def test_a_file_that_does_not_reach_the_first_step_is_not_continued(tmp_path):
    path = tmp_path / "s"
    steps_file(path, range(4))
    assert steps_file(path, range(6, 9), first_step=6).last == {}
    np.testing.assert_array_equal(read_steps(path)["step"], [6, 7, 8])
    np.testing.assert_array_equal(read_steps(tmp_path / "#s#0#")["step"], np.arange(4))


def test_a_damaged_line_is_left_out(tmp_path):
    path = tmp_path / "s"
    steps_file(path, range(4))
    lines = path.read_bytes().splitlines()
    damaged = [b"\xff\xfe", b" ".join([b"x"] * len(lines[-1].split()))]
    path.write_bytes(b"\n".join([*lines[:-1], *damaged, lines[-1], b""]))
    np.testing.assert_array_equal(read_steps(path)["step"], np.arange(4))


def test_the_last_row_of_each_step():
    steps = {"step": np.array([0, 1, 1, 1, 2, 2])}
    np.testing.assert_array_equal(last_of_each_step(steps), [1, 0, 0, 1, 0, 1])
    assert len(last_of_each_step({"step": []})) == 0


@pytest.fixture
def found():
    atoms = silicon(2)
    r = build_regions(atoms.positions, atoms.cell, [0], core=2.5, blend=2.5, buffer=3.0)

    def make(step: int, beads: int = 1) -> Evaluated:
        positions = [atoms.positions + 0.1 * bead + 1e-3 * step for bead in range(beads)]
        forces = [np.full((64, 3), bead + 1.0) for bead in range(beads)]
        energies = [-5.0 * (bead + 1) for bead in range(beads)]
        return Evaluated(step, positions, atoms.cell.array, r, forces, energies)

    make.atoms = atoms
    make.regions = r
    return make


def written(config, found, steps, *, beads=1, first_step=0):
    frames = Frames(config, found.atoms, np.eye(3), beads=beads, first_step=first_step)
    for step in steps:
        if frames.wants(step):
            frames.write(found(step, beads), time=0.5 * step)
    frames.close()


def test_frames_carry_what_is_to_be_seen(tmp_path, found):
    path = tmp_path / "t.extxyz"
    written(OutputConfig(trajectory=str(path), stride=2, forces=True), found, range(5))
    frames = read(path, ":")
    assert [frame.info["step"] for frame in frames] == [0, 2, 4]
    assert [frame.info["time"] for frame in frames] == [0.0, 1.0, 2.0]
    assert frames[0].info["energy_estimate"] == -5.0
    np.testing.assert_allclose(frames[0].arrays["mix_weight"], found.regions.weights, atol=1e-8)
    np.testing.assert_array_equal(frames[0].arrays["mix_region"], found.regions.labels)
    np.testing.assert_allclose(frames[1].positions, found(2).geometries[0], atol=1e-8)
    np.testing.assert_allclose(frames[0].get_forces(), 1.0)


@pytest.mark.parametrize("heavy", [False, True])
def test_masses_that_are_not_those_of_the_elements_are_in_the_frames(tmp_path, found, heavy):
    """Without them velocities have another temperature."""
    frames = Frames(
        OutputConfig(trajectory=str(tmp_path / "t.extxyz"), stride=1, velocities=True),
        found.atoms,
        np.eye(3),
        beads=1,
    )
    masses = found.atoms.get_masses() * 1.0001
    masses[:5] *= 2.0 if heavy else 1.0
    frames.write(found(0), time=0.0, velocities=[np.full((64, 3), 0.01)], masses=masses)
    frames.close()
    again = read(tmp_path / "t.extxyz")
    np.testing.assert_allclose(again.get_masses(), masses, rtol=2e-4)
    assert again.has("masses") == heavy
    np.testing.assert_allclose(again.arrays["velocities"], 0.01)


def test_each_bead_has_a_file(tmp_path, found):
    config = OutputConfig(trajectory=str(tmp_path / "t.extxyz"), stride=1)
    written(config, found, range(2), beads=12)
    paths = bead_paths(tmp_path / "t.extxyz", 12)
    assert [path.name for path in paths[:2]] == ["t_00.extxyz", "t_01.extxyz"]
    for bead, path in enumerate(paths):
        np.testing.assert_allclose(
            read(path, 1).positions, found(1, 12).geometries[bead], atol=1e-8
        )
        assert read(path, 1).info["bead"] == bead and read(path, 1).info["beads"] == 12


@pytest.mark.parametrize("lost", [0, 1, 3000])
def test_beads_whose_files_end_apart_go_on_together(tmp_path, found, lost):
    config = OutputConfig(trajectory=str(tmp_path / "t.extxyz"), stride=1)
    written(config, found, range(6), beads=2)
    first, second = bead_paths(tmp_path / "t.extxyz", 2)
    if lost:
        second.write_bytes(second.read_bytes()[:-lost])
    written(config, found, range(4, 8), beads=2, first_step=4)
    for path in (first, second):
        assert [frame.info["step"] for frame in read(path, ":")] == list(range(8))


FORMATS = {
    "extxyz": lambda step: (
        f'2\nProperties=species:S:1:pos:R:3 ipi_comment="Step:  {step}  Bead: 0"\n'
        "Si 0 0 0\nSi 1 1 1\n"
    ),
    "xyz": lambda step: (
        f"2\n# CELL(abcABC): 1 2 3 90 90 90  Step:   {step}  Bead:  0 \nSi 0 0 0\nSi 1 1 1\n"
    ),
    "pdb": lambda step: f"TITLE  Step: {step}  Bead: 0\nCRYST1 1 2 3\nATOM 1\nATOM 2\nEND\n",
    "extras": lambda step: f" #EXTRAS(w)# Step:  {step} \n0.1 0.2 0.3\n",
    "own": lambda step: f"1\nLattice='1 0 0' step={step} time=3\nSi 0 0 0 0.5 3\n",
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("stride", [1, 5])
def test_frames_are_cut_back_in_every_format(tmp_path, name, stride):
    frames = [FORMATS[name](step) for step in range(0, 31, stride)]
    whole = "".join(frames)
    for last in (0, 4, 17, 30, 99):
        stays = last // stride + 1
        path = tmp_path / f"{last}"
        path.write_text(whole)
        assert cut_frames(path, last) == min(last // stride * stride, 30)
        assert path.read_text() == "".join(frames[:stays])
        kept = tmp_path / f"#{last}#0#"
        assert (kept.read_text() if kept.exists() else "") == "".join(frames[stays:])


@pytest.mark.parametrize("name", FORMATS)
def test_a_broken_last_frame_goes_wherever_it_breaks(tmp_path, name):
    good = FORMATS[name](0) + FORMATS[name](1)
    broken = FORMATS[name](2)
    for length in range(1, len(broken)):
        path = tmp_path / f"{length}"
        path.write_text(good + broken[:length])
        cut_frames(path, 5)
        assert path.read_text() == good


def test_what_was_broken_off_does_not_count(tmp_path):
    frames = [FORMATS["extxyz"](step) for step in (0, 5, 10)]
    path = tmp_path / "t.extxyz"
    path.write_text("".join(frames)[:-5])
    file = OutputFile(path, frames=True, stride=5)
    assert last_steps(file) == [0, 5]
    require_no_gap([file], 9, "RESTART")
    with pytest.raises(MixpiError, match="ends with step 5, and RESTART is a state of step 10"):
        require_no_gap([file], 10, "RESTART")
    path.write_text("# column   1     --> step : s\n 0\n 1\n 2\n 3")
    assert last_steps(OutputFile(path, frames=False, stride=1)) == [1, 2]


def test_tables_are_cut_back(tmp_path):
    path = tmp_path / "out"
    header = "# column   1     --> time{fs} : t\n# column   2     --> step : s\n"
    path.write_text(header + "".join(f"  {0.5 * k:e}  {k:e}\n" for k in range(10)) + "  3.1")
    assert step_column(path) == 1
    cut_table(path, 6, 1)
    assert len(np.loadtxt(path)) == 7 and path.read_text().startswith(header)
    cut_table(path, 6, 1)
    assert len(np.loadtxt(path)) == 7


def test_vectors_before_the_step_are_counted(tmp_path):
    path = tmp_path / "out"
    path.write_text("# cols.    1-3    --> cell : c\n# column   4     --> step : s\n")
    assert step_column(path) == 3
    path.write_text("# column   1     --> time : c\n")
    assert step_column(path) is None


def test_real_extxyz_of_ase(tmp_path):
    path = tmp_path / "t.extxyz"
    atoms = Atoms("HHe", [(0, 0, 0), (1, 2, 3)], cell=[4, 5, 6], pbc=True)
    for step in range(4):
        atoms.info["ipi_comment"] = f"positions{{angstrom}} Step: {step:10d} Bead: 0"
        write(path, atoms, append=True)
    assert cut_frames(path, 2) == 2
    assert len(read(path, ":")) == 3
