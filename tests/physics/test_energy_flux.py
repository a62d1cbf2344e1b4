"""The heat that mixed forces make: none between equal potentials, less with smooth weights."""

from __future__ import annotations

import energy_flux
import numpy as np
import pytest
from ase import units
from mixed_work import State, System, Way, run_piece, settle, thermal


pytestmark = pytest.mark.full

LINEAR, SMOOTH = Way(3.0, 3.0), Way(3.0, 4.0, "smooth")
TEMPERATURE, FINE, STEP = 300.0, 1.0, 3.0


def piece(folder, system: System, ways, state: State, steps: int, step: float) -> dict:
    start, path = folder / "begin.npz", folder / "piece.npz"
    np.savez(start, positions=state.positions, velocities=state.velocities)
    run_piece(system, ways, path, start, start, steps=steps, timestep=step)
    return dict(np.load(path))


def vacancy(expensive) -> System:
    return System("si_vacancy_md", expensive=expensive, atoms=energy_flux.small_vacancy())


def test_equal_potentials_make_no_heat(tmp_path):
    """Whatever the weights do, and although they move."""
    system = vacancy(energy_flux.UF3)
    state = thermal(system, TEMPERATURE, 1)
    found = piece(tmp_path, system, [LINEAR, SMOOTH], state, 100, FINE)
    assert np.abs(found["heats"]).max() < 1e-9
    # the kinetic energy that becomes potential energy is 8 eV
    assert np.ptp(found["energies"]) < 0.03


def test_the_heat_is_what_the_energy_changes_by(tmp_path):
    """Forces of one way move the atoms: its heat and the total energy rise together."""
    system = vacancy(energy_flux.EAM_UF3)
    state = thermal(system, TEMPERATURE, 1)
    found = piece(tmp_path, system, [LINEAR, SMOOTH], state, 200, FINE)
    energy, heats = found["energies"] - found["energies"][0], found["heats"] - found["heats"][0]
    assert np.ptp(heats[:, 0]) > 0.2
    assert np.abs(energy - heats[:, 0]).max() < 0.03


@pytest.mark.slow
def test_smooth_weights_heat_less(tmp_path):
    """Two potentials that differ at the vacancy: eV/ps by linear weights, a part by smooth ones."""
    system = vacancy(energy_flux.EAM_UF3)
    state = thermal(system, TEMPERATURE, 2)
    state = settle(system, LINEAR, state, TEMPERATURE, 2, STEP)
    found = piece(tmp_path, system, [LINEAR, SMOOTH], state, 1000, STEP)
    rates = [energy_flux.climbs([heat], STEP)[0] for heat in found["heats"].T]
    assert 0.0 < rates[1] < 0.5 * rates[0]
    assert rates[0] < 3.0


def test_rate_of_a_random_walk():
    """The variance tells it, and what vibrates does not count."""
    generator, rate, steps = np.random.default_rng(0), 0.08, 20_000
    kT = units.kB * TEMPERATURE
    width = np.sqrt(2.0 * kT * rate * 1e-3 * STEP)
    vibration = 0.05 * np.sin(0.4 * np.arange(steps))
    walks = [generator.normal(0.0, width, steps).cumsum() + vibration for _ in range(4)]
    found, error = energy_flux.walk(walks, STEP, TEMPERATURE)
    assert abs(found - rate) < 3.0 * error < 0.4 * rate
