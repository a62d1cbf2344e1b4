"""`mixpi calibrate` as a user runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.io import read, write
from conftest import TERSOFF, clean_environment, command_driver, silicon, the_rest_slow
from mixpi import MixpiError, build_regions
from mixpi.calibrate.calibration import calibrate
from mixpi.calibrate.thermal import read_frames, thermal_run
from mixpi.cli import main
from mixpi.config import load_config
from mixpi.drivers.lammps_driver import LammpsDriver
from mixpi.drivers.mace import MaceEngine
from mixpi.ipi.run_regions import make_mixer
from mixpi.structure import read_structure


pytestmark = pytest.mark.full


REGIONS = {"core": 2.6, "blend": 2.6, "buffer": 4.0}


@pytest.fixture
def make(make_case, mace_tiny):
    def make(atoms=None, **changes):
        settings = {
            "regions": REGIONS,
            "cheap": {"lammps": {"potential": TERSOFF}},
            "expensive": mace_tiny,
            **changes,
        }
        return make_case(silicon(3) if atoms is None else atoms, **settings)

    return make


def test_groups_are_whole_as_in_a_run(make, monkeypatch):
    """Clusters and errors are those of what a run would have, by its own mixer."""
    atoms = silicon()
    atoms.arrays["molecule"] = np.repeat(np.arange(1, 9), 8)
    radii = {"core": 0.5, "blend": 2.0}
    case = make(
        atoms,
        seeds=[0],
        regions={**radii, "buffer": 2.0, "groups": "molecule"},
        cheap={"command": command_driver("toy")},
        expensive={"lammps_cluster": {"potential": TERSOFF}},
    )
    case.write()
    frames = [silicon(rattle=0.1, seed=seed) for seed in (3, 4)]
    write(case.folder / "frames.extxyz", frames)
    monkeypatch.chdir(case.folder)
    found = calibrate("input.xml", frame="frames.extxyz@:", buffers=[2.0, 3.0])
    config = load_config("mixing.yaml")
    engine = config.expensive.driver.load(case.folder)
    cell = atoms.cell.array
    for result in found.results:
        errors = []
        for frame in frames:
            plan = make_mixer(config, atoms).plan(
                [frame.positions], [cell], {"another": result.buffer}, step=0
            )
            cluster = plan.clusters["another"]
            own, weights = cluster.indices, cluster.weights
            off = engine.evaluate(atoms.numbers[own], frame.positions[own], cell)[1]
            off = off - engine.evaluate(atoms.numbers, frame.positions, cell)[1][own]
            assert np.count_nonzero(weights) == 8 and weights.max() == 1.0
            errors.append(np.sqrt(np.mean(off[weights > 0.0] ** 2)))
        assert result.atoms == len(own)
        assert result.errors == pytest.approx(errors[: len(result.errors)], rel=1e-6, abs=1e-9)
    assert [result.atoms for result in found.results][-1] == 56


@pytest.fixture
def run(monkeypatch, capsys):
    """``mixpi calibrate`` in this process: exit code, stdout, stderr."""

    def run(case, *arguments: str):
        case.write()
        monkeypatch.chdir(case.folder)
        code = main(["calibrate", "input.xml", *arguments])
        return code, *capsys.readouterr()

    return run


def found(case) -> dict:
    return json.loads((case.folder / "calibration.json").read_text())


def test_the_whole_chain(make):
    case = make()
    done = case.mixpi("calibrate", "input.xml", "--snapshots", "3", "--tolerance", "0.02")
    assert done.returncode == 0, done.stderr
    result = found(case)
    assert result["reference"] == {**result["reference"], "buffer": None, "atoms": 216}
    assert "from a run of the cheap potential at 300 K" in result["snapshots"]
    errors = {r["buffer"]: r["error"]["weighted"] for r in result["results"]}
    assert {2.0, 3.0, 4.0, result["recommended"]} <= set(errors)
    assert errors[2.0] > 0.05 > 0.02 > errors[result["recommended"]]
    assert 0.0 < result["check"]["weighted"] < 0.05
    # two decide, the third checks, all compare the potentials
    assert (result["deciding"], result["mismatch"]["frames"]) == (2, 3)
    chosen = next(r for r in result["results"] if r["buffer"] == result["recommended"])
    assert len(chosen["errors"]) == chosen["spread"]["snapshots"] == 2
    assert chosen["error"]["weighted"] == chosen["spread"]["largest"] == max(chosen["errors"])
    assert chosen["spread"]["median"] == pytest.approx(sum(chosen["errors"]) / 2)
    assert result["check"]["weighted"] not in chosen["errors"]
    # thermal forces of silicon at 300 K; Tersoff is a rough likeness of the model
    assert 0.2 < result["force"] < 1.5
    assert 0.05 < result["mismatch"]["rms"] < result["mismatch"]["force"]
    assert "a better cheap potential is what is needed" in result["advice"]
    out = done.stdout.replace("\n", " ")
    for words in ("median", "largest", "2 decide", "recommended: buffer:", "rule:"):
        assert words in out
    assert "the upper value over 2 snapshots" in out and "check on the last snapshot" in out
    text = (case.folder / "calibration.md").read_text()
    assert f"| * {result['recommended']:g} |" in text
    assert (case.folder / "calibration.png").read_bytes().startswith(b"\x89PNG")


def test_a_given_frame_and_the_errors_themselves(make, tiny_model):
    case = make()
    frame_of(case, silicon(3, rattle=0.08, seed=11))
    frame = read(case.folder / "frame.extxyz")
    result = calibrate(case.input, frame=case.folder / "frame.extxyz", buffers=[6.0, 3.0])
    engine = MaceEngine(tiny_model, threads=1)
    cell = frame.cell.array
    full = engine.evaluate(frame.numbers, frame.positions, cell)[1]
    assert [r.buffer for r in result.results] == [3.0, 6.0]
    for measured in result.results:
        regions = build_regions(
            frame.positions, cell, [0], **{**REGIONS, "buffer": measured.buffer}
        )
        part = regions.cluster
        forces = engine.evaluate(frame.numbers[part], frame.positions[part], cell)[1]
        w, squares = regions.weights[part], ((forces - full[part]) ** 2).sum(axis=1)
        expected = np.sqrt((w**2 @ squares) / (3 * (w**2).sum()))
        assert measured.atoms == len(part)
        assert measured.error.weighted == pytest.approx(expected, rel=1e-7)
    assert result.check is None and result.mismatch.frames == 1


def thermal_frames(case, atoms: Atoms, count: int, name: str = "frames.extxyz") -> list[Atoms]:
    frames = []
    for seed in range(count):
        frames.append(atoms.copy())
        frames[-1].rattle(0.08, seed=seed)
    write(case.folder / name, frames)
    return frames


def test_a_given_file_decides_with_all_its_frames(make, tiny_model):
    case = make()
    frames = thermal_frames(case, silicon(3, rattle=0.0), 4)
    source = f"{case.folder / 'frames.extxyz'}@:"
    result = calibrate(case.input, frame=source, tolerance=0.02)
    assert result.deciding == 3 and result.mismatch.frames == 4
    engine = MaceEngine(tiny_model, threads=1)
    radii, errors = {**REGIONS, "buffer": result.recommended}, []
    for frame in frames:
        cell, numbers, x = frame.cell.array, frame.numbers, frame.positions
        regions = build_regions(x, cell, [0], **radii)
        part, w = regions.cluster, regions.weights[regions.cluster]
        wrong = engine.evaluate(numbers[part], x[part], cell)[1]
        wrong -= engine.evaluate(numbers, x, cell)[1][part]
        errors.append(np.sqrt((w**2 @ (wrong**2).sum(axis=1)) / (3 * (w**2).sum())))
    assert result.chosen.errors == pytest.approx(errors[:3], rel=1e-6)
    assert result.chosen.error.weighted == pytest.approx(max(errors[:3]), rel=1e-6)
    assert result.check.weighted == pytest.approx(errors[3], rel=1e-6)
    # with another file to check, all decide
    other = case.folder / "other.extxyz"
    silicon(3, rattle=0.08, seed=77).write(other)
    result = calibrate(case.input, frame=source, check_frame=other, buffers=[3.0, 6.0])
    assert result.deciding == 4 and len(result.results[-1].errors) == 4
    assert result.warnings == []


UNWRAPPED = {
    "one atom by 3": (slice(5, 6), (3, 0, -3)),
    "all by 3": (slice(None), (3, 3, 3)),
    "all by 100": (slice(None), (100, -100, 100)),
}


@pytest.mark.parametrize("kind", the_rest_slow(UNWRAPPED, "one atom by 3", "all by 100"))
@pytest.mark.parametrize(
    ("cheap", "dtype", "shape"),
    [
        ("lammps", "float64", "cubic"),
        ("lammps", "float64", "triclinic"),
        ("lammps", "float32", "triclinic"),
        ("mace", "float32", "cubic"),
    ],
)
def test_unwrapped_frames_give_the_same(make, tiny_model, kind, cheap, dtype, shape):
    start = silicon(2, rattle=0.0)
    if shape == "triclinic":
        start = bulk("Si", "diamond", a=5.46) * (4, 4, 4)
    mace = {"mace": {"model": str(tiny_model), "threads": 1, "dtype": dtype}}
    case = make(start, expensive=mace, **({"cheap": mace} if cheap == "mace" else {}))
    case.config["regions"] = {"core": 2.5, "blend": 2.0, "buffer": 2.0}
    case.write()
    frames = thermal_frames(case, start, 3)
    which, moves = UNWRAPPED[kind]
    for frame in frames:
        frame.positions[which] += np.array(moves) @ frame.cell.array
    write(case.folder / "far.extxyz", frames)
    near, far = (
        calibrate(case.input, frame=f"{case.folder / name}.extxyz@:", buffers=[2.0, 3.0])
        for name in ("frames", "far")
    )
    digits = {"rel": 1e-6, "abs": 1e-7 if dtype == "float64" else 1e-5}
    assert far.warnings == near.warnings == []
    assert far.force == pytest.approx(near.force, **digits)
    for one, other in zip(near.results, far.results, strict=True):
        assert other.atoms == one.atoms
        assert other.errors == pytest.approx(one.errors, **digits)
    assert far.check.weighted == pytest.approx(near.check.weighted, **digits)
    assert far.mismatch.rms == pytest.approx(near.mismatch.rms, **digits)
    assert near.force > 0.1 and near.results[0].error.weighted > 0.01
    if cheap == "lammps":
        assert near.mismatch.rms > 0.05


def test_an_unwrapped_structure_gives_the_same(make):
    """Its thermal run is that of the wrapped one."""
    results = []
    for folder, cells in (("near", 0), ("far", 3)):
        atoms = silicon(2)
        atoms.positions += cells * atoms.cell.array.sum(axis=0)
        case = make(atoms, folder=folder, regions={"core": 2.0, "blend": 1.0, "buffer": 3.0})
        results.append(calibrate(case.input, snapshots=3, buffers=[3.0]))
    near, far = results
    assert far.force == pytest.approx(near.force, rel=1e-3)
    assert far.results[0].errors == pytest.approx(near.results[0].errors, rel=1e-3)
    assert far.mismatch.rms == pytest.approx(near.mismatch.rms, rel=1e-3)


def test_what_is_odd_about_snapshots_is_said(make, run):
    case = make()
    frames = thermal_frames(case, silicon(3, rattle=0.0), 3)
    write(case.folder / "frames.extxyz", [*frames, frames[1]])
    frame_of(case, frames[0])
    arguments = ("--frame", "frames.extxyz@:", "--check-frame", "frame.extxyz", "--buffers", "3")
    code, out, err = run(case, *arguments)
    assert code == 0, err
    out = out.replace("\n", " ")
    assert "1 of the snapshots are copies" in out and "3 decide" in out
    assert "the snapshot that checks the answer is one of those" in out
    code, out, _ = run(case, "--frame", "frames.extxyz", "--buffers", "3")
    assert code == 0 and "ONE decides" in out and "no further snapshot to check" in out


def test_beads_spread_further_than_a_classical_run(make, run):
    case = make(beads=4)
    code, out, err = run(case, "--buffers", "3", "--snapshots", "1")
    assert code == 0, err
    assert "the input has 4 beads" in out.replace("\n", " ")


@pytest.mark.parametrize(
    ("potential", "message"),
    [
        # bounded forces: numbers stay finite, but far too hot
        (["pair_style soft 3.0", "pair_coeff * * 300"], r"blew up \(\S+ K instead of 300 K\)"),
        (["pair_style lj/cut 6.0", "pair_coeff * * 5.0 3.5"], "(?s)blew up.*Lost atoms"),
    ],
)
def test_a_thermal_run_that_blows_up(tmp_path, potential, message):
    with pytest.raises(MixpiError, match=message):
        thermal_run(
            LammpsDriver(potential=potential),
            tmp_path,
            silicon(2),
            temperature=300.0,
            time_step=2.0,
            count=2,
            tell=lambda _what, _share: None,
        )


def test_the_cheap_forces_of_the_comparison(make, tiny_model, run):
    """A potential has no mismatch with itself but the buffer's error."""
    case = make(cheap={"mace": {"model": str(tiny_model), "threads": 1}})
    code, _, err = run(case, "--snapshots", "2", "--temperature", "400")
    assert code == 0, err
    result = found(case)
    # no LAMMPS to run them: displaced at random, but as far as the temperature says
    width = float(re.search(r"displacements of (\S+) Å", result["snapshots"])[1])
    assert "at 400 K" in result["snapshots"] and 0.04 < width < 0.15
    assert result["mismatch"]["rms"] < 0.02 < 0.1 < result["mismatch"]["force"]


def test_lammps_and_model_on_the_same_frame(make, tiny_model):
    """The mismatch is that of forces computed by other means."""
    from engines import lammps_calculator, mace_calculator

    case = make()
    frame_of(case, silicon(3, rattle=0.08, seed=12))
    frame = read(case.folder / "frame.extxyz")
    result = calibrate(case.input, frame=case.folder / "frame.extxyz", buffers=[14.0])
    regions = build_regions(frame.positions, frame.cell.array, [0], **REGIONS)
    forces = []
    for calculator in (mace_calculator(tiny_model), lammps_calculator()):
        atoms = frame.copy()
        atoms.calc = calculator
        forces.append(atoms.get_forces()[regions.blend])
    expected = np.sqrt(((forces[0] - forces[1]) ** 2).mean())
    assert result.mismatch.rms == pytest.approx(expected, rel=1e-6)


def test_the_thermal_run_has_its_temperature(tmp_path):
    """Displacements of silicon: 0.076 Å at 300 K in experiments, more in proportion to √T."""
    start, widths = silicon(3, rattle=0.0), []
    config = LammpsDriver(potential=TERSOFF)
    for kelvin in (300.0, 900.0):
        frames = thermal_run(
            config,
            tmp_path,
            start,
            temperature=kelvin,
            time_step=1.7,
            count=4,
            tell=lambda _what, _share: None,
        )
        assert len(frames) == 4 and frames[0].shape == (216, 3)
        moves = [(f - start.positions) @ np.linalg.inv(start.cell.array) for f in frames]
        moves = [(m - np.round(m)) @ start.cell.array for m in moves]
        widths.append(np.sqrt(np.mean([m.var(axis=0) for m in moves])))
        steps = np.diff([m.ravel() for m in moves], axis=0)
        # independent, not one snapshot twice: a difference of two is √2 times as wide
        assert np.sqrt((steps**2).mean(axis=1)).min() > 1.1 * widths[-1]
    assert widths[0] == pytest.approx(0.076, rel=0.25)
    assert widths[1] / widths[0] == pytest.approx(np.sqrt(3.0), rel=0.25)


def test_partial_evaluation_as_recommended_is_accepted_and_as_good(make, run):
    case = make()
    thermal_frames(case, silicon(3, rattle=0.0), 3)
    given = ("--frame", "frames.extxyz@:", "--tolerance", "0.02")
    code, out, err = run(case, *given, "--partial")
    assert code == 0, err
    partial = found(case)["partial"]
    assert partial["searched"] and partial["configured"] is None
    sites, features = partial["recommended"]
    [answer] = [r for r in partial["results"] if [r["sites"], r["features"]] == [sites, features]]
    assert answer["error"]["weighted"] == max(answer["errors"]) <= 0.01 and partial["check"]
    assert partial["tolerance"] == 0.01
    # the cheapest within half the tolerance; the recommended buffer is timed beside it
    fit = [r["evaluations"] for r in partial["results"] if r["error"]["weighted"] <= 0.01]
    assert answer["evaluations"] == min(fit)
    plain = {r["buffer"]: r for r in partial["plain"]}
    assert set(plain) == {4.0, found(case)["recommended"]}
    assert all(r["seconds"] > 0.0 for r in (*plain.values(), *partial["results"]))
    # the report has the same, and the picture a part more
    text = (case.folder / "calibration.md").read_text()
    assert f"```yaml\n{partial['lines']}\n```" in text and f"| * {sites:g} |" in text
    assert "recommended partial evaluation: sites" in out and partial["lines"] in out
    whole = next(r for r in partial["plain"] if r["buffer"] == found(case)["recommended"])
    quicker = any(whole[key] <= answer[key] for key in ("evaluations", "seconds"))
    assert (": leave partial out" in " ".join(out.split())) == quicker
    whole = plain[found(case)["recommended"]]
    words = " ".join(out.split())
    assert f"{whole['evaluations'] / answer['evaluations']:.2g} times the work" in words
    assert f"{whole['seconds'] / answer['seconds']:.2g} times the time" in words
    with_parts = read_picture(case)
    # pasted, it is a folder that can be run
    lines = yaml.safe_load(partial["lines"])
    case.config["regions"] = {**case.config["regions"], **lines["regions"]}
    mace = {**case.config["expensive"]["mace"], **lines["expensive"]["mace"]}
    case.config["expensive"] = {"mace": mace}
    done = case.mixpi("check", "input.xml")
    assert done.returncode == 0 and "all in order" in done.stdout, done.stderr
    # calibrated again, it is what is configured
    code, out, err = run(case, *given, "--buffers", "3")
    assert code == 0, err
    again = found(case)["partial"]
    assert not again["searched"] and again["recommended"] is None
    assert again["configured"] == [sites, features]
    assert again["results"][0]["errors"] == pytest.approx(answer["errors"], rel=1e-6)
    assert "as configured" in out and "needs buffer" not in out and not again["lines"]
    # what the buffer is too narrow for is said
    case.config["regions"]["buffer"] = 4.0
    code, out, err = run(case, *given, "--buffers", "3")
    assert code == 0 and f"it needs buffer: {answer['buffer']:g}" in out.replace("\n", " "), err
    # without any of it, it is not spoken of
    del mace["partial"]
    code, out, err = run(case, *given, "--buffers", "3")
    assert code == 0 and "artial" not in out and found(case)["partial"] is None
    assert read_picture(case)[0] < with_parts[0]


def read_picture(case) -> tuple[int, int]:
    """Height and width of calibration.png, pixels."""
    data = (case.folder / "calibration.png").read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    return height, width


LENNARD_JONES = {
    "calculator": "ase.calculators.lj:LennardJones",
    "arguments": {"sigma": 2.1, "epsilon": 1.0, "rc": 6.0},
}
OTHER_ENGINES = {
    # a pair potential sees as far as its cutoff
    "ase": ({"ase": {**LENNARD_JONES, "interaction_range": 6.0}}, 6.0),
    "lammps_cluster": ({"lammps_cluster": {"potential": TERSOFF}}, None),
}


@pytest.mark.parametrize("kind", OTHER_ENGINES)
def test_engines_that_are_no_network(make, run, kind):
    """With surroundings complete within the interaction range, forces are exact."""
    expensive, reach = OTHER_ENGINES[kind]
    case = make(expensive=expensive)
    frame_of(case, silicon(3, rattle=0.08, seed=11))
    code, _, err = run(case, *FRAME, "--buffers", "2", "6.5")
    assert code == 0, err
    result = found(case)
    assert result["interaction_range"] <= 6.5 and reach in (None, result["interaction_range"])
    errors = {r["buffer"]: r["error"]["weighted"] for r in result["results"]}
    assert errors[2.0] > 0.01 and errors[6.5] < 1e-9
    if kind == "lammps_cluster":  # LAMMPS on both sides
        assert result["mismatch"]["rms"] < 1e-6


def test_sites_that_lammps_computes_alone_are_not_measured(make, run):
    """It says so, and measures whole clusters."""
    files = Path(__file__).parents[2] / "ipi_inputs" / "potentials"
    snap = f"{files}/si-snap-fast.snapcoeff {files}/si-snap-fast.snapparam Si"
    potential = ["pair_style snap", f"pair_coeff * * {snap}"]
    given = {"potential": potential, "partial": {"sites": 4.0}}
    case = make(expensive={"lammps_cluster": given})
    frame_of(case, silicon(3, rattle=0.08, seed=11))
    code, out, err = run(case, *FRAME, "--buffers", "2", "8")
    assert code == 0, err
    assert "whole clusters; with partial: of lammps_cluster" in out.replace("\n", " ")
    assert found(case)["results"][-1]["error"]["weighted"] < 1e-9


def test_a_cheap_driver_that_only_a_run_can_ask(make, run):
    case = make(cheap={"command": command_driver("zero")})
    code, out, err = run(case, "--buffers", "1", "2")
    assert code == 0, err
    assert "the two potentials are not compared" in out
    assert "no buffer up to 2 Å is within the tolerance" in out
    assert found(case)["recommended"] is None


def test_a_full_cell_that_is_too_big(make, run):
    case = make()
    code, out, err = run(case, "--full-atoms", "150", "--snapshots", "1", "--tolerance", "0.05")
    assert code == 0, err
    assert "NOT the full cell of 216 atoms and not exact" in out
    assert "warning: the reference's buffer is narrower" in out
    result = found(case)
    assert result["reference"]["atoms"] <= 150 and not result["reference"]["exact"]
    assert result["results"][-1]["buffer"] <= result["reference"]["buffer"] - 1.0


def frame_of(case, atoms: Atoms) -> None:
    atoms.write(case.folder / "frame.extxyz")


def write_ipi_frame(case, comment: str) -> None:
    """As i-PI writes positions in bohr, its default: no cell that ASE would know."""
    atoms = silicon(3, rattle=0.08, seed=11)
    rows = [f"Si {x:.10f} {y:.10f} {z:.10f}" for x, y, z in atoms.positions / 0.529177210903]
    (case.folder / "frame.xyz").write_text("\n".join(["216", comment, *rows]) + "\n")


def other_species() -> Atoms:
    atoms = silicon(3)
    atoms.numbers[7] = 6
    return atoms


def other_cell() -> Atoms:
    atoms = silicon(3)
    atoms.set_cell(atoms.cell * 1.1)
    return atoms


def test_the_structure_itself_is_no_thermal_snapshot(make, run):
    case = make()
    code, out, err = run(case, "--frame", "init.extxyz", "--buffers", "3", "6")
    assert code == 0, err
    assert "hardly left the sites" in out.replace("\n", " ")
    frame_of(case, silicon(3, rattle=0.08, seed=11))
    code, out, err = run(case, *FRAME, "--buffers", "3", "6")
    assert code == 0 and "hardly left" not in out.replace("\n", " ")


def test_atoms_that_the_cheap_potential_leaves_alone(make, run):
    """Nothing keeps them away from others in its thermal run: the figures are too large."""
    lines = ["pair_style zero 5.0", "pair_coeff * *"]
    case = make(cheap={"lammps": {"potential": lines}})
    code, out, err = run(case, "--buffers", "3", "--snapshots", "1", "--temperature", "30")
    assert code == 0, err
    assert "leaves Si alone" in out.replace("\n", " ")
    assert "exerts no force on any atom" in out.replace("\n", " ")
    assert "a wider core is what is needed" in out.replace("\n", " ")
    frame_of(case, silicon(3, rattle=0.08, seed=11))
    code, out, err = run(case, *FRAME, "--buffers", "3")
    assert code == 0 and "leaves Si alone, so in its" not in out.replace("\n", " ")


def test_i_pis_own_xyz_is_read_in_its_units(make):
    """i-PI writes bohr unless it is told otherwise, and says so in the comment."""
    case = make()
    case.write()
    cell = "CELL(abcABC): 30.97 30.97 30.97 90.00000 90.00000 90.00000"
    write_ipi_frame(case, f"# {cell} cell{{atomic_unit}} Traj: positions{{atomic_unit}} Step: 0")
    atoms = read_structure(case.folder / "init.extxyz")
    [positions] = read_frames(case.folder / "frame.xyz", atoms)
    assert np.abs(positions - silicon(3, rattle=0.08, seed=11).positions).max() < 1e-6


FRAME = ("--frame", "frame.extxyz")
MISTAKES = {
    "no region": (lambda c: c.config.update(seeds="none"), (), "there is no region to calibrate"),
    "all of it": (
        lambda c: c.config.update(seeds="all"),
        (),
        "has 'seeds: all': there is no region",
    ),
    "no seed yet": (
        lambda c: c.config.update(seeds={"coordination": 1.0, "bounds": [1, 9]}),
        (),
        "no atom of init.extxyz is a seed",
    ),
    "expensive no MACE": (
        lambda c: c.config.update(expensive={"command": command_driver("toy")}),
        (),
        "the expensive driver is 'command'; calibrate evaluates the model itself",
    ),
    "partial of another engine": (
        lambda c: c.config.update(expensive={"lammps_cluster": {"potential": TERSOFF}}),
        ("--partial",),
        "models of two layers; the expensive driver is 'lammps_cluster'",
    ),
    "range unknown": (
        lambda c: c.config.update(expensive={"ase": LENNARD_JONES}),
        (),
        "give it (ase: interaction_range, Å",
    ),
    "another Python": (
        lambda c: c.config.update(expensive={"ase": {**LENNARD_JONES, "python": sys.executable}}),
        (),
        "the calculator lives in a Python of its own (ase: python)",
    ),
    "buffer negative": (None, ("--buffers", "4", "-2"), "a buffer must be a number >= 0"),
    "buffer NaN": (None, ("--buffers", "nan"), "a buffer must be a number >= 0"),
    "tolerance zero": (None, ("--tolerance", "0"), "tolerance must be a number above 0"),
    "temperature negative": (None, ("--temperature", "-3"), "temperature must be a number above"),
    "temperature with frame": (None, (*FRAME, "--temperature", "300"), "temperature is for the"),
    "no snapshots": (None, ("--snapshots", "0"), "snapshots must be a number above 0"),
    "frame missing": (None, FRAME, "frame frame.extxyz does not exist"),
    "frame unreadable": (
        lambda c: (c.folder / "frame.extxyz").write_text("nonsense"),
        FRAME,
        "ASE cannot read frame -1 of frame.extxyz",
    ),
    "frame smaller": (lambda c: frame_of(c, silicon(2)), FRAME, "64 atoms, the structure has 216"),
    "frame of others": (lambda c: frame_of(c, other_species()), FRAME, "has C as atom 7 where the"),
    "frame of another cell": (lambda c: frame_of(c, other_cell()), FRAME, "another cell than"),
    "frame in bohr": (
        lambda c: write_ipi_frame(c, "no unit is said"),
        ("--frame", "frame.xyz"),
        "1.9 times as far apart as the structure: is it in another unit than Å",
    ),
    "index out of range": (
        lambda c: frame_of(c, silicon(3)),
        ("--frame", "frame.extxyz@7"),
        "ASE cannot read frame 7 of frame.extxyz",
    ),
    "potential unknown": (
        lambda c: c.config["cheap"]["lammps"].update(potential=["pair_style nonsense"]),
        (),
        "LAMMPS cannot compute this system:\nERROR: Unrecognized pair style 'nonsense'",
    ),
    "reference too small for parts": (
        lambda c: frame_of(c, silicon(3)),
        (*FRAME, "--full-atoms", "90", "--partial"),
        "cannot judge partial evaluation",
    ),
    "reference too small": (
        lambda c: frame_of(c, silicon(3)),
        (*FRAME, "--full-atoms", "30"),
        "raise --full-atoms",
    ),
    "model missing": (
        lambda c: c.config.update(expensive={"mace": {"model": "no.model"}}),
        (),
        "no.model does not exist",
    ),
    "buffer beyond the reference": (
        lambda c: frame_of(c, silicon(3)),
        (*FRAME, "--buffers", "4", "18"),
        "a buffer of 18 Å cannot be judged: up to 16 Å can",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(make, mistake, run):
    prepare, arguments, message = MISTAKES[mistake]
    case = make()
    if prepare:
        prepare(case)
    code, _, err = run(case, *arguments)
    assert code == 1
    assert message in err
    assert not list(case.folder.glob("calibration.*"))


def test_a_species_that_the_model_lacks(make, run):
    code, _, err = run(make(other_species(), cheap={"command": command_driver("zero")}))
    assert code == 1
    assert "the model does not know C; it was trained for Si" in err


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_thermal_run_nothing_is_left(make, tmp_path, signum):
    case = make(silicon(10))  # its thermal run takes many seconds
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "mixpi.cli", "calibrate", "input.xml"],
        cwd=case.folder,
        env={**clean_environment(), "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not running_in(scratch):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signum)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signum
    assert not running_in(scratch)
    assert not list(scratch.glob("mixpi-*"))
    assert not list(case.folder.glob("calibration.*"))


def running_in(folder: Path) -> bool:
    for cwd in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if os.readlink(cwd).startswith(str(folder)):
                return True
        except OSError:
            continue
    return False
