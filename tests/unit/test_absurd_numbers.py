"""Who is named when numbers are absurd, what is sane, and when the monitor speaks."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator
from mixpi import MixingCalculator, MixpiError
from mixpi.blend.mixer import Mixer
from mixpi.config import load_config
from mixpi.ipi.dynamics_config import LimitsConfig
from mixpi.ipi.limits import Limits, Monitor


@pytest.fixture
def plan():
    atoms = bulk("Si", cubic=True) * 3
    mixer = Mixer(atoms.numbers, [5], core=3.0, blend=2.0, buffer=3.0)
    return atoms, mixer.plan([atoms.positions], [atoms.cell.array])


def forces_of(plan):
    atoms, found = plan
    return np.zeros((len(atoms), 3)), np.zeros((len(found.cluster), 3))


def look(plan, cheap, expensive, **config):
    atoms, found = plan
    limits = Limits(LimitsConfig(**config), atoms.symbols)
    where = atoms.positions, atoms.cell.array
    limits.require_forces("cheap", cheap, None, where, "step 7")
    limits.require_forces("expensive", expensive, found.cluster, where, "step 7")


@pytest.mark.parametrize("value", [2e6, -1e30, 1e308, np.nan])
def test_the_driver_and_the_atom_are_named(plan, value):
    cheap, expensive = forces_of(plan)
    cheap[11, 1] = value
    with pytest.raises(
        MixpiError, match=r"the cheap driver's force on atom 11 \(from 0, Si, 2\.35"
    ):
        look(plan, cheap, expensive)
    cheap[11, 1] = 0.0
    row = int(np.flatnonzero(plan[1].cluster.weights > 0.0)[2])
    expensive[row, 2] = value
    atom = plan[1].cluster.indices[row]
    with pytest.raises(MixpiError, match=rf"the expensive driver's force on atom {atom} .*step 7"):
        look(plan, cheap, expensive)


def test_what_does_not_count_is_not_refused(plan):
    """Collisions at keV energies, and expensive forces on the outermost atoms of a cluster."""
    cheap, expensive = forces_of(plan)
    cheap[:, 0], expensive[:, 1] = 5e4, -5e4
    look(plan, cheap, expensive)
    expensive[np.flatnonzero(plan[1].cluster.weights == 0.0)[0]] = 1e30
    look(plan, cheap, expensive)
    with pytest.raises(MixpiError, match="the most is 1000 eV/Å"):
        look(plan, cheap, expensive, force=1000.0)


def test_positions_in_any_unit():
    limits = Limits(LimitsConfig(position=100.0), ["Si", "He"])
    positions = np.array([[1.0, 2.0, 3.0], [4.0, -150.0, 5.0]])
    limits.require_positions(positions, 0.5, "step 3")
    with pytest.raises(MixpiError, match=r"atom 1 \(from 0, He\) is at \(4, -150, 5\) Å at step 3"):
        limits.require_positions(positions, 1.0, "step 3")
    positions[0, 0] = np.inf
    with pytest.raises(MixpiError, match=r"NaN or infinite at step 3 \(atom 0, from 0, Si\)"):
        limits.require_positions(positions, 0.5, "step 3")


def run_of(temperatures, conserved=None, **config):
    """What the monitor says, by step, of a run of 10 atoms."""
    said, now = (
        [],
        SimpleNamespace(
            ensemble_temperature=300.0, temperature=600.0, masses=np.ones(10), conserved=0.0
        ),
    )
    monitor = Monitor(LimitsConfig(**config), now, lambda text: said.append((step, text)))
    for step, temperature in enumerate(temperatures):
        now.temperature = now.highest_temperature = temperature
        now.conserved = conserved[step] if conserved is not None else 0.0
        monitor.see(step)
    return [step for step, _ in said]


def test_heat_is_said_once_and_again_when_it_has_doubled():
    assert run_of([300.0, 4900.0, 4000.0]) == []
    assert run_of([300.0, 5100.0, 6000.0, 9000.0, 10300.0, 11000.0]) == [1, 4]
    assert run_of([300.0, 900.0], warn_temperature=800.0) == [1]


def test_drift_is_said_once_and_again_when_it_has_doubled():
    energy = np.linspace(100.0, 104.0, 101)  # 0.4 eV an atom
    assert run_of([300.0] * 101, energy) == [30, 70]
    assert run_of([300.0] * 101, energy, warn_drift=1.0) == []


@pytest.mark.parametrize("written", ["1e7", "1.0e7", "10000000"])
def test_limits_are_read(make_case, written):
    case = make_case()
    text = (case.folder / "mixing.yaml").read_text() + f"\nlimits: {{force: {written}}}\n"
    (case.folder / "mixing.yaml").write_text(text)
    assert load_config(case.folder / "mixing.yaml").limits.force == 1e7
    (case.folder / "mixing.yaml").write_text(text.replace(written, "-1"))
    with pytest.raises(MixpiError, match=r"limits\.force"):
        load_config(case.folder / "mixing.yaml")


class Huge(Calculator):
    implemented_properties = ("forces",)

    def calculate(self, atoms=None, properties=("forces",), system_changes=()):
        self.results = {"forces": np.full((len(atoms), 3), 1.7e308)}


def test_forces_that_cannot_be_added_up():
    atoms = bulk("Si", cubic=True)
    atoms.calc = MixingCalculator(
        cheap=Huge(), expensive=Huge(), seeds=[0], core=1.0, blend=1.0, buffer=1.0
    )
    with pytest.raises(MixpiError, match="too large to be added up"):
        atoms.get_forces()
