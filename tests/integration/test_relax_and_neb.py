"""Relaxations and bands with real drivers: at rest, continued, refused; energies and gradients."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from ase.constraints import FixAtoms
from ase.io import read, write
from ase.optimize import FIRE
from conftest import (
    TERSOFF,
    clean_environment,
    command_driver,
    faulty_driver,
    silicon,
    wait_for,
)
from mixpi import MixpiError
from mixpi.drivers.mace import MaceEngine
from mixpi.paths.band import find_path
from mixpi.paths.fixed_mixing import FixedMixing
from mixpi.paths.initial_path import write_path
from mixpi.paths.relaxing import relax
from mixpi.paths.starting_up import drivers_of, read_setting


TOYS = {
    "cheap": {"command": command_driver("toy")},
    "cheap_cluster": {"command": command_driver("toy")},
    "expensive": {"command": command_driver("toy")},
}
RADII = {"core": 2.5, "blend": 2.5, "buffer": 4.0}


@pytest.fixture
def real_case(make_case, mace_tiny):
    """A vacancy in silicon, LAMMPS and MACE."""
    atoms = silicon(2)[1:]
    seeds = np.argsort(atoms.get_distances(0, range(1, len(atoms)), mic=True))[:4] + 1
    return make_case(
        atoms, seeds=seeds, regions=RADII, cheap={"lammps": {"potential": TERSOFF}},
        expensive=mace_tiny,
    )  # fmt: skip


@pytest.mark.full
def test_relaxed_and_continued(real_case):
    """Stopped in the middle it goes on to the same place; the energies have fallen."""
    done = real_case.mixpi("relax", "mixing.yaml", "--fmax", "0.02", "--output", "whole")
    assert done.returncode == 0 and "at rest" in done.stdout, done.stderr
    folder = real_case.folder
    whole = read(folder / "whole.extxyz")
    found = json.loads((folder / "whole.json").read_text())
    assert found["converged"] and found["largest_force_eV_per_A"] <= 0.02
    assert np.linalg.norm(whole.get_forces(), axis=1).max() <= 0.02
    movie = read(folder / "whole.movie.extxyz", ":")
    assert movie[0].info["energy_estimate"] > movie[-1].info["energy_estimate"] + 0.1
    assert not (folder / "whole.state.npz").exists() and real_case.nothing_left()

    done = real_case.mixpi("relax", "mixing.yaml", "--fmax", "0.02", "--steps", "7")
    assert done.returncode == 1 and "NOT at rest after 7 steps" in done.stdout
    assert "call again to go on" in done.stderr
    done = real_case.mixpi("relax", "input.xml", "--fmax", "0.02")
    assert done.returncode == 0 and "going on from step 7" in done.stderr, done.stderr
    np.testing.assert_allclose(
        read(folder / "relaxed.extxyz").positions, whole.positions, atol=1e-6
    )


@pytest.mark.full
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal_it_says_so_and_goes_on(make_case, signum):
    case = make_case(**TOYS | {"expensive": {"command": faulty_driver("per-atom", 0.002)}})
    case.write()
    process = subprocess.Popen(
        [sys.executable, "-m", "mixpi.cli", "relax", "mixing.yaml", "--fmax", "1e-4"],
        cwd=case.folder, env=clean_environment(), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    movie = case.folder / "relaxed.movie.extxyz"
    wait_for(lambda: movie.exists() and movie.stat().st_size)
    process.send_signal(signum)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signum, said
    assert f"stopped by {signum.name}" in said and "the same command goes on" in said
    assert "Traceback" not in said and case.nothing_left()
    done = case.mixpi("relax", "mixing.yaml", "--fmax", "1e-4", "--steps", "3")
    assert "going on from step" in done.stderr, done.stderr


@pytest.mark.full
def test_all_expensive_is_what_ase_finds(real_case, tiny_model):
    relaxed = relax(real_case.input, fmax=0.01, kind="expensive", say=lambda text: None)
    atoms = read(real_case.folder / "init.extxyz")
    atoms.calc = MaceEngine(tiny_model).calculator
    FIRE(atoms, logfile=None).run(fmax=0.01)
    np.testing.assert_allclose(relaxed.atoms.positions, atoms.positions, atol=1e-4)
    energy = atoms.get_potential_energy()
    assert relaxed.atoms.info["energy_estimate"] == pytest.approx(energy, abs=1e-5)


@pytest.mark.full
def test_the_estimate_has_nearly_the_forces_as_its_gradient(make_case, mace_tiny):
    """By finite differences; what is missing is in the blend, and its size is in the documents."""
    case = make_case(
        silicon(3), seeds=[100], regions=RADII, cheap={"lammps": {"potential": TERSOFF}},
        expensive=mace_tiny,
    )  # fmt: skip
    setting = read_setting(case.input)
    rng = np.random.default_rng(5)
    start = setting.atoms.positions
    with drivers_of(setting, name="gradient") as drivers:
        mixing = FixedMixing(setting.config, setting.atoms, [start], drivers, say=print)
        [here] = mixing.evaluate([start])
        blend = (mixing.weights > 0.0) & (mixing.weights < 1.0)
        outside = mixing.labels == 0
        errors = {}
        for name, chosen in (("all", mixing.weights >= 0.0), ("blend", blend), ("far", outside)):
            step = np.zeros_like(start)
            step[chosen] = 1e-3 * rng.normal(size=(int(chosen.sum()), 3))
            ahead, behind = mixing.evaluate([start + step, start - step])
            slope = (ahead.energy - behind.energy) / 2.0
            work = -float(np.sum(here.forces * step))
            errors[name] = abs(slope - work) / np.linalg.norm(step)
    size = float(np.sqrt(np.mean(here.forces[mixing.weights > 0.0] ** 2)))
    # these two potentials were never fitted to one another
    assert max(errors.values()) < 0.05 * size, (errors, size)


@pytest.mark.full
def test_a_band_from_the_command_line(make_case, mace_tiny):
    """A vacancy hops; wrong seeds are said."""
    atoms = silicon(2, rattle=0.0)
    hole, first = atoms.positions[0].copy(), atoms[1:]
    distances = atoms.get_distances(0, range(1, len(atoms)), mic=True)
    hop = int(np.argmin(distances))
    last = first.copy()
    last.positions[hop] = hole
    case = make_case(
        first, seeds=np.argsort(distances)[:4], regions=RADII,
        cheap={"lammps": {"potential": TERSOFF}}, expensive=mace_tiny,
    )  # fmt: skip
    last.write(case.folder / "last.extxyz")
    made = case.mixpi("path", "init.extxyz", "last.extxyz", "--images", "5")
    assert made.returncode == 0 and made.stderr == "", made.stderr
    done = case.mixpi("neb", "mixing.yaml", "--fmax", "0.2", "--steps", "60", "--quiet")
    assert "barrier by the energy estimate" in done.stdout, done.stderr
    found = json.loads((case.folder / "neb.json").read_text())
    assert found["energies"] == "estimate by site energies" and len(found["work_eV"]) == 5
    done = case.mixpi("barrier", "mixing.yaml")
    assert done.returncode == 0, done.stderr
    barriers = json.loads((case.folder / "barrier.json").read_text())
    assert barriers["barrier_by_expensive_energies_eV"] > 0.0 and len(barriers["expensive_eV"]) == 5
    assert (case.folder / "barrier.png").stat().st_size > 10_000 and case.nothing_left()
    far = int(np.argmax(distances))
    case.config["seeds"] = [far]
    done = case.mixpi("neb", "mixing.yaml", "--steps", "0", "--output", "wrong", "--quiet")
    assert f"atom {hop} (from 0, Si) moves by" in done.stderr
    assert "are the seeds those of this path?" in done.stderr


def test_without_site_energies_the_work_serves(make_case):
    """And it is said; also that the command on clusters does not tell how far it sees."""
    case = make_case(**TOYS)
    images = []
    for shift in (0.0, 0.3, 0.6):
        atoms = silicon()
        atoms.positions[0, 0] += shift
        images.append(atoms)
    from ase.io import write

    write(case.folder / "path.extxyz", images)
    case.write()
    said = []
    found = find_path(
        case.folder / "mixing.yaml", case.folder / "path.extxyz", steps=2, say=said.append
    )
    assert any("no site energies" in text for text in said)
    summary = json.loads((case.folder / "neb.json").read_text())
    assert summary["energies"] == "work of the forces"
    find_path(
        case.folder / "mixing.yaml", case.folder / "path.extxyz", steps=0, kind="cheap",
        output="cheap", say=said.append,
    )  # fmt: skip
    summary = json.loads((case.folder / "cheap.json").read_text())
    assert summary["energies"] == "those of the cheap potential"
    assert summary["core_blend_buffer"] == [0, 0, 0]
    summary = json.loads((case.folder / "neb.json").read_text())
    np.testing.assert_allclose(found.profile.energy, found.profile.work, atol=1e-9)


def refused(function, *arguments, match: str, **options) -> None:
    with pytest.raises(MixpiError, match=match):
        function(*arguments, say=lambda text: None, **options)


def test_bad_input(make_case, tmp_path):
    case = make_case(**TOYS)
    config = case.folder / "mixing.yaml"
    refused(relax, config, fmax=float("nan"), match="fmax must be a positive force")
    refused(relax, config, steps=-1, match="steps must be 0 or more")
    other = tmp_path / "other.extxyz"
    silicon(1).write(other)
    refused(relax, config, other, match="has other atoms than init.extxyz")
    wide = silicon()
    wide.set_cell(1.1 * wide.cell.array)
    wide.write(other)
    refused(relax, config, other, match="has another cell than")
    held = silicon()
    held.set_constraint(FixAtoms([0]))
    held.write(other, columns=["symbols", "positions", "move_mask"])
    refused(relax, config, other, match="has constraints .FixAtoms., and all atoms would move")
    refused(find_path, config, other, match="has 1 frame")
    write(other, [silicon(), silicon()])
    refused(relax, config, other, match=r"has several frames: which one is meant")
    refused(find_path, config, other, k=0.0, match="fmax and k must be positive")
    case.config["expensive"] = {"external": True}
    case.write()
    refused(relax, config, match="expensive drivers are external")


def test_without_seeds_energies_are_the_cheap_ones(make_case):
    """Nobody is missed; and what was found before is put aside, not overwritten."""
    case = make_case(seeds="none", **TOYS)
    said: list[str] = []
    relax(case.folder / "mixing.yaml", steps=1, say=said.append)
    assert not said
    found = (case.folder / "relaxed.extxyz").read_text()
    relax(case.folder / "mixing.yaml", steps=0, afresh=True, say=said.append)
    aside = [file.read_text() for file in case.folder.glob("*relaxed.extxyz*")]
    assert len(aside) == 2 and found in aside


def test_with_all_seeds_energies_are_the_expensive_ones(make_case):
    """And nobody waits for the cheap driver."""
    case = make_case(seeds="all", **{**TOYS, "cheap": {"command": faulty_driver("never")}})
    config = case.folder / "mixing.yaml"
    meant = relax(config, steps=2, output="meant")
    told = relax(config, steps=2, output="told", kind="expensive")
    np.testing.assert_array_equal(meant.atoms.positions, told.atoms.positions)
    assert meant.atoms.info["energy_estimate"] == told.atoms.info["energy_estimate"]


@pytest.mark.full
def test_a_driver_that_dies_ends_it_in_order(make_case):
    """What was reached is kept."""
    case = make_case(**{**TOYS, "expensive": {"command": faulty_driver("always-die")}})
    done = case.mixpi("relax", "mixing.yaml")
    assert done.returncode == 1 and "the expensive driver was killed by" in done.stderr, done.stderr
    assert "with --afresh it begins anew" in done.stderr
    assert "Traceback" not in done.stderr and case.nothing_left()


def test_no_output_is_an_input(make_case):
    """A structure, a path, a configuration, a device: named by mistake, they stay what they are."""
    case = make_case(**TOYS)
    config, init = case.folder / "mixing.yaml", case.folder / "init.extxyz"
    images = case.folder / "path.extxyz"
    atoms = silicon()
    atoms.write(images)
    for shift in (0.3, 0.6):
        atoms.positions[0, 0] += shift
        atoms.write(images, append=True)
    last = case.folder / "last.extxyz"
    atoms.write(last)
    pipe = case.folder / "pipe.json"
    os.mkfifo(pipe)
    before = {file: file.read_text() for file in (config, init, images, last)}
    refused(relax, config, steps=1, output="init", match="which is the structure")
    refused(relax, config, last, steps=1, output="last", match="which is the structure to relax")
    refused(relax, config, steps=1, output="pipe", match="which is a pipe")
    refused(relax, config, steps=1, output="nowhere/x", match="a folder that does not exist")
    refused(relax, config, steps=1, output="", match="must be the beginning of names")
    refused(find_path, config, images, steps=1, output="path", match="is the path to begin with")
    refused(write_path, init, last, last, match="is the last end")
    refused(write_path, init, last, config, relax=config, match="is an input")
    refused(write_path, init, last, pipe, match="which is a pipe")
    assert {file: file.read_text() for file in before} == before and pipe.is_fifo()
