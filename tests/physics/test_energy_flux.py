"""The heat that mixed forces make: none between equal potentials; rates of random walks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import units
from energy_walk import climb, load, spread
from force_errors import by_shell
from mixed_system import ROOT, System, Way, distilled, small_vacancy
from mixed_work import State, run_piece, thermal


pytestmark = pytest.mark.full

LINEAR, SMOOTH = Way(3.0, 3.0), Way(3.0, 4.0, "smooth")
SLOW = Way(3.0, 3.0, tau_in=20.0, tau_out=20.0, leave=4.0)
TEMPERATURE, FINE = 300.0, 1.0


def vacancy(expensive) -> System:
    folder = ROOT / "ipi_inputs" / "si_vacancy_md"
    return System(folder, expensive=expensive, atoms=small_vacancy())


def begin(folder, system: System):
    state = thermal(system, 2.0 * TEMPERATURE, 1)
    np.savez(folder / "begin.npz", positions=state.positions, velocities=state.velocities)
    return folder / "begin.npz"


def piece(path, system: System, ways, before, steps: int, origin=None) -> dict:
    run_piece(system, ways, path, before, origin or before, steps=steps, timestep=FINE)
    return dict(np.load(path))


def test_equal_potentials_make_no_heat(tmp_path):
    """Whatever the weights do, and although they move."""
    system = vacancy(distilled("si-uf3"))
    ways = [LINEAR, SMOOTH]
    found = piece(tmp_path / "p.npz", system, ways, begin(tmp_path, system), 100)
    assert np.abs(found["heats"]).max() < 1e-9
    # the kinetic energy that becomes potential energy is 8 eV
    assert np.ptp(found["energies"]) < 0.03


def test_the_heat_is_what_the_energy_changes_by(tmp_path):
    """Forces of one way move the atoms: its heat and the total energy rise together."""
    system = vacancy(distilled("si-eam-uf3"))
    ways = [LINEAR, SMOOTH]
    found = piece(tmp_path / "p.npz", system, ways, begin(tmp_path, system), 200)
    energy, heats = found["energies"] - found["energies"][0], found["heats"] - found["heats"][0]
    assert np.ptp(heats[:, 0]) > 0.2
    assert np.abs(energy - heats[:, 0]).max() < 0.03


def test_pieces_continue_one_another(tmp_path):
    """Two of 15 steps are one of 30, for weights that are frozen or remember earlier ones, too."""
    system = vacancy(distilled("si-eam-uf3"))
    ways = [SLOW, Way(3.0, 3.0, every=0), LINEAR]
    start = begin(tmp_path, system)
    whole = piece(tmp_path / "whole.way.0.000.npz", system, ways, start, 30)
    first = tmp_path / "parts.way.0.000.npz"
    piece(first, system, ways, start, 15)
    last = piece(first.with_name("parts.way.0.001.npz"), system, ways, first, 15, origin=start)
    assert np.abs(State.load(first).positions - system.atoms.positions).max() > 0.05
    assert np.abs(last["positions"] - whole["positions"]).max() < 1e-9
    (chain,) = load(tmp_path.glob("parts.*.npz"), 0.0)
    for number, way in enumerate(ways):
        expected = whole["heats"][:, number] - whole["heats"][0, number]
        assert np.abs(expected).max() > 1e-3
        assert np.abs(chain.heats[way.name] - expected).max() < 1e-9


def test_rates_of_random_walks():
    """Spread and climb tell them within their errors, and what vibrates does not count."""
    generator, rate, timestep = np.random.default_rng(0), 0.08, 0.004
    kT = units.kB * TEMPERATURE
    steps, time = 3000, timestep * np.arange(3001)
    vibration = 0.05 * np.sin(2.0 * np.pi * 8.0 * time)
    width = np.sqrt(2.0 * kT * rate * timestep)
    spreads, climbs = [], []
    for _ in range(200):
        walks = [
            np.concatenate([[0.0], generator.normal(rate * timestep, width, steps).cumsum()])
            for _ in range(2)
        ]
        walks = [walk + vibration for walk in walks]
        spreads.append(spread(walks, timestep, TEMPERATURE))
        climbs.append(climb(walks, timestep, TEMPERATURE, rate))
    for found in (spreads, climbs):
        values = np.array([one.value for one in found])
        assert abs(values.mean() - rate) < 3.0 * values.std() / np.sqrt(len(values))
        assert np.mean([one.error for one in found]) == pytest.approx(values.std(), rel=0.15)


def test_lines_of_a_distilled_potential_name_its_files():
    """Wherever LAMMPS runs."""
    pair_style, eam, uf3, _ = distilled("si-eam-uf3")
    assert pair_style.startswith("pair_style hybrid/overlay eam/alloy uf3 3")
    for line, suffix in ((eam, ".alloy"), (uf3, ".uf3")):
        file = Path(line.split()[-2])
        assert file.is_absolute() and file.is_file() and file.suffix == suffix


def test_errors_are_of_the_shell_that_an_atom_is_in():
    values = np.diag([1.0, 2.0, 3.0, 4.0])[:, :3] * np.sqrt(3.0)
    values[3, 0] = 4.0 * np.sqrt(3.0)
    found = by_shell(values, np.array([2.9, 3.0, 6.0, 8.0]))
    assert found == pytest.approx([1.0, 2.0, 3.0, 4.0, np.sqrt(2.5)])
