"""``mixpi distil`` from the YAML file to the report, with quick and with real potentials."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from conftest import MODELS, clean_environment, mixpi
from mixpi.distil import as_markdown, distil, summary, write_report
from mixpi.distil.config import load_distil_config
from mixpi.distil.lammps_engine import LammpsCalculator
from mixpi.distil.report import lammps_yaml
from mixpi.drivers.lammps import LammpsSetup
from mixpi.errors import MixpiError


pytestmark = pytest.mark.full


def write_case(folder: Path, *, symbol="Cu", crystal="fcc", a=3.6, **changes) -> Path:
    bulk(symbol, crystal, a=a, cubic=True).write(folder / "crystal.extxyz")
    config = {
        "name": symbol,
        "structure": "crystal.extxyz",
        "expensive": {"model": "given by the caller"},
        "basis": {"uf3": {"cutoff": 5.0, "intervals": 12, "cutoff_3b": 3.2, "intervals_3b": 3}},
        "hard": {"points": 7},
        "soft": {
            "temperature": 300,
            "repeat": [2, 2, 2],
            "snapshots": 8,
            "held_out": 2,
            "equilibrate": 100,
            "spacing": 30,
        },
        "output": "out",
        **changes,
    }
    path = folder / "distil.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def copper(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copper")
    return folder, distil(write_case(folder), calculator=EMT(), identity="emt")


def test_constrained_fit_has_the_crystal_of_the_expensive_one(copper):
    _, result = copper
    numbers = summary(result)
    assert numbers["constraint"]["residual"] <= numbers["constraint"]["alpha"] * (1 + 1e-9)
    assert numbers["constraint"]["residual_unconstrained"] > 100 * numbers["constraint"]["alpha"]
    fit = numbers["constrained"]
    assert fit["lattice"]["a0"] == pytest.approx(numbers["expensive"]["lattice"]["a0"], abs=1e-4)
    assert set(fit["elastic"]) == {"C11", "C12", "C44"}
    assert max(abs(e) for e in fit["elastic_error_percent"].values()) < 1.0
    assert fit["force_rmse"] < 0.05
    assert max(fit["read_back"].values()) < 1e-8
    assert numbers["cost_us_per_atom"]["ratio"] > 1.0
    assert numbers["determined_by_data"] <= numbers["coefficients"]
    assert numbers["usable"] and result.usable
    phonons = fit["phonons"]
    assert phonons["branches"] == 64 * 12  # four cells each way of four atoms
    assert phonons["lowest_meV"] >= -0.5
    assert phonons["max_error_meV"] < 2.0
    trial = numbers["trial"]
    assert (trial["steps"], trial["atoms"], trial["fault"]) == (500, 32, "")
    assert 200 < trial["temperature"] < 400
    assert abs(trial["drift"]) < 1e-3


def test_report_is_written_and_the_potential_can_be_used(copper):
    folder, result = copper
    files = write_report(result, folder / "out")
    assert {path.name for path in files} == {
        "Cu.md",
        "Cu.json",
        "Cu.parity.png",
        "Cu.constraint.png",
        "Cu.acoustic.png",
    }
    assert all(path.stat().st_size > 500 for path in files)
    numbers = json.loads((folder / "out" / "Cu.json").read_text())
    text = (folder / "out" / "Cu.md").read_text()
    assert "| C44 (GPa) |" in text and "Speed ratio" in text
    assert "phonons, largest difference over all 768 (meV)" in text
    assert "Dynamics of the written files in LAMMPS (32 atoms, 500 steps of 2 fs" in text
    assert "\n".join(lammps_yaml(numbers)) in text
    used = yaml.safe_load("\n".join(lammps_yaml(numbers)))["cheap"]["lammps"]
    assert used == {"species": ["Cu"], "potential": numbers["lammps"]}
    # the lines of the report, as a user would paste them
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True) * 2
    atoms.rattle(0.05, seed=3)
    atoms.calc = LammpsCalculator(LammpsSetup(numbers["lammps"], ("Cu",), folder / "out"))
    reference = atoms.copy()
    reference.calc = EMT()
    error = atoms.get_forces() - reference.get_forces()
    assert np.sqrt(np.mean(error**2)) < 0.1


@pytest.mark.slow
def test_snap_through_the_same_door(tmp_path):
    path = write_case(tmp_path, basis={"snap": {"cutoff": 4.2, "twojmax": 4}})
    numbers = summary(distil(path, calculator=EMT(), identity="emt"))
    assert max(abs(e) for e in numbers["constrained"]["elastic_error_percent"].values()) < 1.0
    assert max(numbers["constrained"]["read_back"].values()) < 1e-8


def test_basis_that_cannot_meet_the_constraint_says_by_how_much(tmp_path):
    path = write_case(tmp_path, basis={"snap": {"cutoff": 3.0, "twojmax": 0}})
    with pytest.raises(MixpiError, match=r"cannot meet the constraint.*as rms"):
        distil(path, calculator=EMT(), identity="emt")


def test_too_few_snapshots(tmp_path):
    soft = {"temperature": 300, "repeat": [1, 1, 1], "snapshots": 2, "held_out": 1,
            "equilibrate": 10, "spacing": 10}  # fmt: skip
    path = write_case(tmp_path, soft=soft)
    with pytest.raises(MixpiError, match=r"too few snapshots: 2 with 26 .* coefficients"):
        distil(path, calculator=EMT(), identity="emt")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"structure": "none.extxyz"}, "structure: cannot read"),
        ({"inert": ["Cu"]}, "Cu is in the structure"),
        ({"extra": ["none.extxyz"]}, "extra: cannot read"),
        ({"basis": {}}, "exactly one of snap, uf3, ace"),
        ({"basis": {"uf3": {"cutoff_3b": 7.0}}}, "must not be longer than cutoff"),
        ({"hard": {"tolerance": -1}}, "hard.tolerance"),
        ({"soft": {"snapshots": 0}}, "soft.snapshots"),
        ({"repulsion": {"inner": 2, "outer": 1}}, "inner"),
        ({"repulsion": {"inner": 2.0, "outer": 2.6}}, "longer than the shortest distance"),
        ({"soft": {"repeat": [-1, 1, 1]}}, "soft.repeat"),
        ({"weights": {"energy": 0, "forces": 0}}, "nothing to fit to"),
        ({"output": "crystal.extxyz"}, "output: cannot write into"),
        ({"cache": "crystal.extxyz"}, "cache: cannot write into"),
        ({"surprise": 1}, "surprise: unknown key"),
        ({"inert": ["Hee"]}, "must be different chemical symbols"),
        ({"inert": ["He", "He"]}, "must be different chemical symbols"),
        ({"basis": {"uf3": {"start_3b": 3.0}}}, "closer than start_3b"),
        ({"expensive": {"model": "no.pt", "launch": "srun"}}, "launch is for drivers"),
    ],
)
def test_wrong_input_is_explained(tmp_path, changes, message):
    path = write_case(tmp_path, **changes)
    with pytest.raises(MixpiError, match=message):
        distil(path, calculator=EMT(), identity="emt")
    assert not list(tmp_path.glob("data/*/*.traj")), "it was found after the first computation"


def test_model_file_that_is_not_there(tmp_path):
    with pytest.raises(MixpiError, match=r"model file .*no\.pt does not exist"):
        distil(write_case(tmp_path, expensive={"model": "no.pt"}))


def test_bare_name_is_a_basis_with_its_defaults(tmp_path):
    path = write_case(tmp_path, basis={"snap": None})
    assert load_distil_config(path).basis.snap.twojmax == 6


def test_without_lammps_nothing_is_computed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lammps", None)
    with pytest.raises(MixpiError, match=r"needs the LAMMPS library .*mixpi\[lammps\]"):
        distil(write_case(tmp_path), calculator=EMT(), identity="emt")
    assert not list(tmp_path.glob("data/*"))


def test_calculator_without_a_name_is_refused(tmp_path):
    with pytest.raises(MixpiError, match="needs an identity"):
        distil(write_case(tmp_path), calculator=EMT())


def test_several_frames_are_no_crystal(tmp_path):
    path = write_case(tmp_path)
    crystal = bulk("Cu", "fcc", a=3.6, cubic=True)
    write(tmp_path / "crystal.extxyz", [crystal, crystal])
    with pytest.raises(MixpiError, match="has 2 frames"):
        distil(path, calculator=EMT(), identity="emt")


def test_wrong_input_is_found_before_anything_is_computed(tmp_path):
    for changes in ({"extra": ["none.extxyz"]}, {"basis": {"uf3": {"intervals_3b": 30}}}):
        with pytest.raises(MixpiError):
            distil(write_case(tmp_path, **changes), calculator=EMT(), identity="emt")
    assert not list(tmp_path.glob("data/*"))


@pytest.mark.slow
def test_hexagonal_crystal_and_equality(tmp_path):
    """All elastic constants, also those that the strains of a cubic crystal do not see."""
    path = write_case(
        tmp_path,
        hard={"points": 5, "tolerance": 0},
        soft={"temperature": 300, "repeat": [4, 4, 3], "snapshots": 8, "held_out": 1,
              "equilibrate": 100, "spacing": 30},
        basis={"uf3": {"cutoff": 5.5, "intervals": 22, "cutoff_3b": 4.0, "intervals_3b": 6}},
    )  # fmt: skip
    bulk("Cu", "hcp", a=2.54, c=4.15).write(tmp_path / "crystal.extxyz")
    numbers = summary(distil(path, calculator=EMT(), identity="emt"))
    assert numbers["constraint"]["residual"] < 1e-20
    assert set(numbers["expensive"]["elastic"]) >= {"C11", "C33", "C13", "C66"}
    assert max(abs(e) for e in numbers["constrained"]["elastic_error_percent"].values()) < 0.1


@pytest.mark.slow
def test_crystal_that_relaxes_to_less_symmetry(tmp_path):
    """L1_0 given in a cube becomes tetragonal: the strains follow the relaxed crystal."""
    path = write_case(
        tmp_path,
        hard={"points": 3},
        soft={"temperature": 300, "repeat": [2, 2, 2], "snapshots": 8, "held_out": 1,
              "equilibrate": 60, "spacing": 30},
        basis={"snap": {"cutoff": 4.5, "twojmax": 6}},
    )  # fmt: skip
    layered = bulk("Cu", "fcc", a=3.8, cubic=True)
    layered.symbols[layered.positions[:, 2] < 0.1] = "Au"
    layered.write(tmp_path / "crystal.extxyz")
    result = distil(path, calculator=EMT(), identity="emt")
    numbers = summary(result)
    lattice = numbers["expensive"]["lattice"]
    assert abs(lattice["c"] / lattice["a"] - 1) > 0.02
    assert numbers["frames"]["strained cells"] == 1 + 21 * 2
    assert max(abs(e) for e in numbers["constrained"]["elastic_error_percent"].values()) < 1.0
    assert result.usable and not numbers["notes"]


@pytest.mark.slow
def test_poor_fit_is_called_so(tmp_path):
    path = write_case(
        tmp_path, basis={"snap": {"twojmax": 5}}, hard={"points": 5, "tolerance": 1e-2}
    )
    result = distil(path, calculator=EMT(), identity="emt")
    off = max(abs(e) for e in summary(result)["constrained"]["elastic_error_percent"].values())
    assert off > 2.0
    assert any("of the constrained fit is off by" in note for note in result.notes)


@pytest.mark.slow
def test_two_species(tmp_path):
    path = write_case(tmp_path, basis={"snap": {"cutoff": 4.5, "twojmax": 5}})
    alloy = bulk("Cu", "fcc", a=3.75, cubic=True)
    alloy.symbols[0] = "Au"
    alloy.write(tmp_path / "crystal.extxyz")
    numbers = summary(distil(path, calculator=EMT(), identity="emt"))
    assert numbers["species"] == ["Au", "Cu"]
    assert max(numbers["constrained"]["read_back"].values()) < 1e-8
    assert max(abs(e) for e in numbers["constrained"]["elastic_error_percent"].values()) < 1.0


def lonsdaleite() -> Atoms:
    """Hexagonal silicon."""
    a, c, u = 5.46 / np.sqrt(2), 5.46 * 2 / np.sqrt(3), 3 / 8
    scaled = [(1 / 3, 2 / 3, 0), (1 / 3, 2 / 3, u), (2 / 3, 1 / 3, 0.5), (2 / 3, 1 / 3, 0.5 + u)]
    cell = [[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]]
    return Atoms("Si4", scaled_positions=scaled, cell=cell, pbc=True)


@pytest.mark.slow
def test_unstable_crystal_is_not_handed_over_and_the_advice_helps(tmp_path):
    """A basis that has just enough functions for the constraint has none left for the forces."""

    def case(**changes) -> Path:
        soft = {"temperature": 500, "repeat": [3, 3, 2], "snapshots": 8, "held_out": 2,
                "equilibrate": 200, "spacing": 40}  # fmt: skip
        path = silicon_case(tmp_path, **{"soft": soft, **changes})
        lonsdaleite().write(tmp_path / "crystal.extxyz")
        return path

    case(basis={"snap": {"twojmax": 4}})
    done = mixpi("distil", "distil.yaml", cwd=tmp_path, timeout=300)
    assert done.returncode == 1, done.stderr
    assert "**Note:** do not use this potential" in done.stdout
    numbers = json.loads((tmp_path / "out" / "Si.json").read_text())
    notes = "\n".join(numbers["notes"])
    assert not numbers["usable"]
    assert numbers["expensive"]["phonons"]["imaginary"] == 0
    assert numbers["constrained"]["phonons"]["lowest_meV"] < -5.0
    assert "is imaginary" in notes
    assert numbers["force_error_ratio"] > 3.0
    assert "times as large as it is without" in notes
    assert numbers["trial"]["fault"] and "does not hold the crystal" in notes
    assert "the basis is too small" in notes and "snap: twojmax" in notes
    assert "lower hard: tolerance" not in notes

    # what the note advises: more functions, or the tolerance that it names
    large = distil(case(basis={"snap": {"twojmax": 6}}))
    assert large.usable, large.notes
    assert summary(large)["constrained"]["phonons"]["imaginary"] == 0
    tolerance = float(re.search(r"raise hard: tolerance to (\S+?),", notes).group(1))
    loose = distil(case(basis={"snap": {"twojmax": 4}}, hard={"points": 5, "tolerance": tolerance}))
    assert loose.usable, loose.notes
    assert summary(loose)["force_error_ratio"] < 1.55
    assert summary(loose)["trial"]["fault"] == ""


def label(atoms: Atoms, calculator, *, shift: float = 0.0) -> Atoms:
    atoms = atoms.copy()
    atoms.calc = calculator
    energy, forces = atoms.get_potential_energy() + shift * len(atoms), atoms.get_forces()
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    return atoms


@pytest.mark.parametrize(
    ("calculator", "shift", "reason"),
    [
        (EMT(), 0.05, r"energies have another zero.*add -0\.05 eV to the energy for each atom"),
        (LennardJones(sigma=2.3, epsilon=0.2, rc=6.0), 0.0, "labelled by another potential"),
    ],
)
def test_extra_frames_of_another_source_are_found_when_they_are_read(
    tmp_path, calculator, shift, reason
):
    path = write_case(tmp_path, extra=["good.extxyz", "bad.extxyz"])
    atoms = bulk("Cu", "fcc", a=3.65, cubic=True)
    atoms.rattle(0.1, seed=2)
    write(tmp_path / "good.extxyz", [label(atoms, EMT()), label(atoms * (1, 1, 2), EMT())])
    write(tmp_path / "bad.extxyz", [label(atoms, EMT()), label(atoms, calculator, shift=shift)])
    with pytest.raises(MixpiError, match=rf"frame 1 of .*bad\.extxyz.*{reason}"):
        distil(path, calculator=EMT(), identity="emt")
    assert not list(tmp_path.glob("data/*/*.traj")), "it was found after the first computation"


def test_extra_frames_take_part(tmp_path):
    path = write_case(tmp_path, extra=["good.extxyz"])
    atoms = bulk("Cu", "fcc", a=3.65, cubic=True) * (2, 1, 1)
    atoms.rattle(0.1, seed=2)
    write(tmp_path / "good.extxyz", label(atoms, EMT()))
    result = distil(path, calculator=EMT(), identity="emt")
    assert result.frames["extra"] == 1
    assert summary(result)["extra_labels"]["forces"] < 1e-6
    assert "labels of the extra frames are those of the expensive" in as_markdown(result)


def silicon_case(folder: Path, **changes) -> Path:
    settings = {
        "expensive": {"model": str(MODELS / "si-tiny.model"), "threads": 1},
        "hard": {"points": 5},
        "soft": {
            "temperature": 300,
            "repeat": [1, 1, 2],
            "snapshots": 6,
            "held_out": 2,
            "equilibrate": 60,
            "spacing": 20,
        },
        "basis": {"uf3": {"cutoff": 5.0, "intervals": 8, "cutoff_3b": 3.4, "intervals_3b": 2}},
    }
    return write_case(folder, symbol="Si", crystal="diamond", a=5.46, **{**settings, **changes})


def test_command_with_the_real_model_interrupted_and_continued(tmp_path):
    """Stopped by a signal in the middle of the dynamics; the second call goes on there."""
    silicon_case(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-m", "mixpi.cli", "distil", "distil.yaml"],
        cwd=tmp_path,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("data/*/snapshots.traj")):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "Traceback" not in said
    kept = read(next(tmp_path.glob("data/*/snapshots.traj")), ":")
    assert 0 < len(kept) < 11

    done = mixpi("distil", "distil.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "| C11 (GPa) |" in done.stdout
    now = read(next(tmp_path.glob("data/*/snapshots.traj")), ":")
    assert len(now) == 11
    assert np.array_equal(now[len(kept) - 1].positions, kept[-1].positions)
    numbers = json.loads((tmp_path / "out" / "Si.json").read_text())
    assert max(abs(e) for e in numbers["constrained"]["elastic_error_percent"].values()) < 1.0


def test_model_that_lacks_a_species(tmp_path):
    path = silicon_case(tmp_path)
    bulk("Ge", "diamond", a=5.66, cubic=True).write(tmp_path / "crystal.extxyz")
    done = mixpi("distil", path.name, cwd=tmp_path)
    assert done.returncode == 1
    assert "the model does not know Ge; it was trained for Si" in done.stderr
    assert "Traceback" not in done.stderr
