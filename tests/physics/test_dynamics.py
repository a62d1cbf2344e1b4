"""The dynamics of mixed runs: energy conserved as the integrator allows, temperature held."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import ROOT, silicon
from mixpi.output.records import read_steps


pytestmark = pytest.mark.full


RADII = {"core": 2.6, "blend": 2.6, "buffer": 4.0}
UF3 = ROOT / "ipi_inputs" / "potentials" / "si-uf3.uf3"
CHEAP = {
    "lammps": {
        "potential": [
            "pair_style hybrid/overlay uf3 3 zbl 1.153 1.922",
            f"pair_coeff * * uf3 {UF3} Si",
            "pair_coeff 1 1 zbl 14 14",
        ]
    }
}


def properties(case) -> dict[str, np.ndarray]:
    columns = np.loadtxt(case.folder / "md.out").T
    return dict(zip(("step", "time", "conserved", "temperature"), columns, strict=False))


def nve(step: float) -> str:
    return f"<dynamics mode='nve'><timestep units='femtosecond'>{step}</timestep></dynamics>"


def test_energy_is_conserved_as_the_integrator_allows(make_case, mace_tiny):
    """Velocity Verlet: the error of the total energy falls with the square of the time step."""
    atoms = silicon(3)
    fluctuation = {}
    for step, steps in ((4.0, 30), (2.0, 60)):
        case = make_case(
            atoms, folder=f"nve{step:g}", seeds=[0], regions=RADII, cheap=CHEAP,
            expensive=mace_tiny, steps=steps, dynamics=nve(step), temperature=600.0,
        )  # fmt: skip
        done = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
        assert done.returncode == 0, done.stderr
        found = properties(case)
        assert np.ptp(found["temperature"]) > 100.0, "potential and kinetic energy must exchange"
        fluctuation[step] = np.std(found["conserved"])
        net = read_steps(case.folder / "mix.steps")["net_force"]
        assert net.mean() > 0.01, "there must be a net force whose work counts"
    assert fluctuation[2.0] < 1e-4 * len(atoms)
    assert 2.5 < fluctuation[4.0] / fluctuation[2.0] < 6.0


@pytest.mark.slow
def test_no_drift_in_the_long_run(make_case, mace_tiny):
    """5 ps of NVE with 2 fs: less than 0.1 meV an atom and ps, and the temperature stays."""
    atoms = silicon(3)
    case = make_case(
        atoms, seeds=[0], regions=RADII, cheap=CHEAP, expensive=mace_tiny, steps=2500,
        dynamics=nve(2.0), temperature=600.0, stride=500,
    )  # fmt: skip
    done = case.mixpi("run", "input.xml", "--no-reference", "--quiet", timeout=1200)
    assert done.returncode == 0, done.stderr
    found = properties(case)
    later = found["time"] > 500.0
    drift = np.polyfit(found["time"][later] * 1e-3, found["conserved"][later], 1)[0] / len(atoms)
    assert abs(drift) < 1e-4, f"{1e3 * drift} meV/atom/ps"
    temperature = found["temperature"][later]
    first, last = np.array_split(temperature, 2)
    assert abs(first.mean() - last.mean()) < 0.1 * temperature.mean()


@pytest.mark.slow
def test_thermostat_holds_the_temperature(make_case, mace_tiny):
    """6 ps of Langevin: the mean within four standard errors, the width as theory has it."""
    atoms = silicon(2)
    everywhere = {"core": 2.6, "blend": 2.6, "buffer": 3.0}
    thermostat = (
        "<dynamics mode='nvt'><timestep units='femtosecond'>2</timestep>"
        "<thermostat mode='langevin'>"
        "<tau units='femtosecond'>50</tau></thermostat></dynamics>"
    )
    case = make_case(
        atoms, seeds=[0], regions=everywhere, cheap=CHEAP, expensive=mace_tiny, steps=3000,
        dynamics=thermostat, temperature=400.0, stride=1000,
    )  # fmt: skip
    done = case.mixpi("run", "input.xml", "--no-reference", "--quiet", timeout=1200)
    assert done.returncode == 0, done.stderr
    found = properties(case)
    temperature = found["temperature"][found["time"] > 500.0]
    blocks = [block.mean() for block in np.array_split(temperature, 20)]
    error = np.std(blocks, ddof=1) / np.sqrt(len(blocks))
    assert error < 10.0
    assert abs(temperature.mean() - 400.0) < 4.0 * error
    # of the 3 N − 3 velocities that are free
    width = 400.0 * np.sqrt(2.0 / (3 * len(atoms) - 3))
    assert 0.8 * width < temperature.std() < 1.25 * width
