"""Temperatures of zones and the energy through a seam, of velocities that were drawn."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from ase.units import fs, kB
from mixpi import MixpiError
from mixpi.analysis.results import read_report
from mixpi.analysis.trajectories import Trajectory
from mixpi.analysis.zones import drift, energies_of, flux, temperature
from mixpi.cli import main
from scipy.signal import lfilter


KELVIN = {3: 400.0, 2: 350.0, 1: 300.0, 0: 300.0}


def run(rng, frames: int, memory: float = 0.0, rise: float = 0.0) -> list:
    """Silicon whose zones have temperatures of their own, that rise (K/ps), centre at rest."""
    crystal = bulk("Si", cubic=True).repeat(3)
    region = np.repeat([3, 2, 1, 0], [16, 30, 50, 120])
    masses = crystal.get_masses()
    kicks = rng.normal(size=(frames + 100, len(crystal), 3)) * np.sqrt(1.0 - memory**2)
    draws = lfilter([1.0], [1.0, -memory], kicks, axis=0)[100:]
    found = []
    for number, draw in enumerate(draws):
        kelvin = np.array([KELVIN[label] for label in region]) + rise * number * 0.01
        velocities = draw * np.sqrt(kelvin * kB / masses)[:, None]
        velocities -= masses @ velocities / masses.sum()
        atoms = crystal.copy()
        atoms.arrays["mix_region"] = region
        atoms.arrays["velocities"] = velocities * fs
        atoms.info = {"time": 10.0 * number}
        found.append(atoms)
    return found


@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_zones_have_the_temperatures_that_they_were_given(tmp_path, memory):
    rng = np.random.default_rng(1)
    write(tmp_path / "mix.extxyz", run(rng, 300, memory))
    report = temperature(Trajectory(tmp_path / "mix.extxyz"), target=300.0)
    for name, kelvin, atoms in (("core", 400.0, 16), ("blend", 350.0, 30), ("cheap", 300.0, 170)):
        found = report[name]
        assert found.value == pytest.approx(kelvin, abs=3.5 * found.error)
        # a square of a draw forgets twice as fast as the draw
        inefficiency = (1 + memory**2) / (1 - memory**2)
        exact = kelvin * np.sqrt(2.0 / (3 * atoms) * inefficiency / 300)
        assert found.error == pytest.approx(exact, rel=0.3)
    assert report["core"].value - 300.0 > 5 * report["core"].error
    assert any(note.startswith("core: +") for note in report.notes)


@pytest.mark.full
def test_a_zone_that_warms_is_told_from_one_that_does_not(tmp_path):
    rng = np.random.default_rng(2)
    write(tmp_path / "warm.extxyz", run(rng, 300, rise=20.0))
    write(tmp_path / "even.extxyz", run(rng, 300))
    warm, even = (drift(Trajectory(tmp_path / f"{name}.extxyz")) for name in ("warm", "even"))
    for name in ("outside", "all"):
        assert warm[name].value == pytest.approx(20.0, abs=3.5 * warm[name].error)
        assert abs(even[name].value) < 3.5 * even[name].error
    assert warm["all"].value > 10 * warm["all"].error


def test_fixed_atoms_have_no_temperature(tmp_path):
    frames = run(np.random.default_rng(7), 100)
    for atoms in frames:
        atoms.arrays["velocities"][16:31] = 0.0  # half of the blend
    write(tmp_path / "mix.extxyz", frames)
    found = temperature(Trajectory(tmp_path / "mix.extxyz"), fixed_centre=False)["blend"]
    assert found.value == pytest.approx(350.0, abs=3.5 * found.error) and found.error < 15.0


def test_flux_of_a_known_slope():
    rng = np.random.default_rng(3)
    times = np.arange(500) * 100.0
    energies = -5.0 + 0.3 * times / 1e3 + 0.05 * rng.normal(size=500)
    report = flux(times, energies, 10.0)
    area = 4 * np.pi * 100.0
    assert report["flux"].value == pytest.approx(0.3 / area, abs=3.5 * report["flux"].error)
    assert report["flux"].error == pytest.approx(
        0.05 / np.sqrt(500) / (times / 1e3).std() / area, rel=0.15
    )
    assert report["flux by the ends"].value == pytest.approx(0.3 / area, rel=0.05)


def test_the_commands(tmp_path, capsys):
    rng = np.random.default_rng(4)
    frames = run(rng, 40)
    for number, atoms in enumerate(frames):
        atoms.info["full"] = -100.0 + 0.1 * number
    path = tmp_path / "mix.extxyz"
    write(path, frames)
    for words in ("temperature --target 300", "drift --target 0", "flux --radius 10 --energy full"):
        kind, *options = words.split()
        files = ["--json", f"{tmp_path}/{kind}.json", "--picture", f"{tmp_path}/{kind}.png"]
        assert main(["analyse", kind, str(path), *options, *files]) == 0
        assert (tmp_path / f"{kind}.png").stat().st_size > 1000
        assert read_report(tmp_path / f"{kind}.json").results
    out = capsys.readouterr().out
    assert "standard errors from 300 K" in out and "too few to trust" in out


def test_energies_are_kinetic_and_potential(tmp_path):
    frames = run(np.random.default_rng(5), 12)
    for atoms in frames:
        atoms.info["full"] = -100.0
    write(tmp_path / "mix.extxyz", frames)
    _, energies = energies_of(Trajectory(tmp_path / "mix.extxyz"), "full")
    atoms = frames[3]
    atoms.set_velocities(atoms.arrays["velocities"] / fs)
    assert energies[3] == pytest.approx(atoms.get_kinetic_energy() - 100.0)


def test_bad_input_is_named(tmp_path):
    frames = run(np.random.default_rng(6), 20)
    path = tmp_path / "mix.extxyz"

    def refuses(words: str, function=temperature):
        write(path, frames)
        with pytest.raises(MixpiError, match=words):
            function(Trajectory(path))

    write(path, frames)
    with pytest.raises(MixpiError, match="5 frames are too few"):
        temperature(Trajectory(path, skip=150.0))
    refuses("has no 'energy': evaluate", lambda trajectory: energies_of(trajectory, "energy"))
    for atoms in frames:
        atoms.arrays["mix_region"] = np.where(atoms.arrays["mix_region"] == 3, 2, 1)
    frames[7].arrays["mix_region"][:] = 1
    write(path, frames)
    report = temperature(Trajectory(path))
    assert [result.name for result in report.results] == ["buffer", "cheap", "all"]
    assert "blend: in 1 of 20 frames no atom of it moves" in str(report)
    frames[3].arrays["velocities"][5, 0] = np.inf
    refuses("velocities at 30 fs are not finite")
    del frames[3].arrays["velocities"]
    refuses("frame at 30 fs has no velocities")
    del frames[2].arrays["mix_region"]
    refuses("frame at 20 fs has no 'mix_region'")
    for atoms in frames:
        atoms.info["beads"] = 8
    refuses("one of 8 beads")
    refuses("one of 8 beads", lambda trajectory: energies_of(trajectory, "full"))
    refuses("not what the forces conserve", lambda t: energies_of(t, "energy_estimate"))
    with pytest.raises(MixpiError, match="no area"):
        flux(np.arange(20.0), np.zeros(20), 0.0)
    with pytest.raises(MixpiError, match="not finite"):
        flux(np.arange(20.0), np.full(20, np.nan), 1.0)
