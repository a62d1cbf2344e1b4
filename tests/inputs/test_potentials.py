"""The shipped potentials, measured: through LAMMPS, beside the model that each came from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.io import read
from conftest import ROOT
from mixpi.distil.config import DistilConfig, load_distil_config
from mixpi.distil.cost import compare_cost, time_calculator, time_lammps
from mixpi.distil.data import relaxed_crystal
from mixpi.distil.lammps_engine import LammpsCalculator, loaded
from mixpi.distil.measuring import compare
from mixpi.distil.phonons import phonon_repeats, spectrum
from mixpi.distil.properties import elastic_constants
from mixpi.distil.report import lammps_yaml
from mixpi.distil.trial import allowed_way, run_trial
from mixpi.drivers.lammps import LammpsSetup
from mixpi.drivers.mace import MaceEngine


pytestmark = pytest.mark.full


FOLDER = ROOT / "ipi_inputs" / "potentials"
INPUTS = sorted(FOLDER.glob("*.yaml"))
#: Per cent, of the elastic constants.
ALLOWED = {"si": 1.0, "w": 2.0, "fe": 2.0}


@dataclass
class Shipped:
    """A potential and its model, each with its relaxed crystal."""

    path: Path
    report: dict
    config: DistilConfig
    setup: LammpsSetup
    cheap: Atoms
    expensive: Atoms


def _marked(path: Path):
    """SNAP takes ten times as long as the others, and no example uses it."""
    return pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * ("snap" in path.stem))


@pytest.fixture(scope="module", params=map(_marked, INPUTS))
def shipped(request) -> Shipped:
    path = request.param
    report, config = json.loads(path.with_suffix(".json").read_text()), load_distil_config(path)
    setup = LammpsSetup(report["lammps"], report["species"], FOLDER)
    start = read(FOLDER / config.structure)
    engine = MaceEngine(FOLDER / config.expensive.model, threads=1)
    return Shipped(
        path,
        report,
        config,
        setup,
        relaxed_crystal(start, LammpsCalculator(setup)),
        relaxed_crystal(start, engine.calculator),
    )


def test_there_are_potentials():
    assert {"si-uf3", "si-snap"} <= {path.stem for path in INPUTS}


def test_crystal_is_that_of_the_model(shipped):
    """Lattice and elastic constants of both sides, and what the report says of them."""
    a0 = [atoms.cell.lengths().mean() for atoms in (shipped.expensive, shipped.cheap)]
    assert a0[1] == pytest.approx(a0[0], abs=1e-4)
    both = [elastic_constants(x, cubic=True) for x in (shipped.expensive, shipped.cheap)]
    allowed = ALLOWED[shipped.path.stem.split("-")[0]]
    for name, value in both[0].items():
        assert abs(100 * (both[1][name] / value - 1)) < allowed, name
    for side, a, elastic in zip(("expensive", "constrained"), a0, both, strict=True):
        said = shipped.report[side]
        assert a == pytest.approx(said["lattice"]["a0"], abs=2e-5)
        for name, value in elastic.items():
            assert value == pytest.approx(said["elastic"][name], rel=2e-3)


def test_every_phonon_is_real(shipped):
    found = spectrum(shipped.cheap, phonon_repeats(shipped.cheap))
    assert found.branches.size == 3 * len(shipped.cheap) * len(found.points)
    assert found.imaginary == 0
    assert found.branches[1:].min() > 3.0


def test_dynamics_in_lammps_is_quiet(shipped):
    soft = shipped.config.soft
    found = run_trial(
        shipped.setup,
        shipped.cheap,
        soft.repeat,
        temperature=soft.temperature,
        timestep=soft.timestep,
        allowed=allowed_way(shipped.cheap, [], soft.repeat),
        steps=200 if "snap" in shipped.report["basis"] else 500,
    )
    assert found.fault == ""
    assert found.temperature == pytest.approx(soft.temperature, rel=0.2)
    assert abs(found.drift) < 1e-4


def test_forces_are_as_close_to_the_models_as_the_report_says(shipped):
    """On a thermal structure that neither the fit nor the report has seen."""
    temperature = shipped.config.soft.temperature
    atoms = shipped.expensive * (3, 3, 3)
    commands = [
        "timestep 0.001",
        f"velocity all create {2 * temperature} 87287 mom yes",
        "fix move all nve",
        "run 300",
    ]
    with loaded(atoms, shipped.setup, commands) as lmp:  # a cube: LAMMPS does not turn it
        atoms.positions = np.array(lmp.gather_atoms("x", 1, 3)).reshape(-1, 3)
    atoms.calc = shipped.expensive.calc
    found = compare(LammpsCalculator(shipped.setup), [atoms], lambda _: 0.0)
    said = shipped.report["constrained"]["force_rmse"]
    assert 0.5 * said < found.force_rmse < 1.5 * said
    assert found.force_rmse < 0.2 * np.sqrt(np.mean(found.forces[:, 0] ** 2))


def test_files_are_small_and_reported(shipped):
    for name in shipped.report["constrained"]["files"]:
        assert 0 < (FOLDER / name).stat().st_size <= 5_000_000
    text = shipped.path.with_suffix(".md").read_text()
    assert "\n".join(lammps_yaml(shipped.report)) in text
    assert shipped.report["name"] == shipped.config.name == shipped.path.stem


def test_fast_potential_is_fast_and_the_case_uses_it():
    report = json.loads((FOLDER / "si-eam-uf3.json").read_text())
    setup = LammpsSetup(report["lammps"], report["species"], FOLDER)
    model = load_distil_config(FOLDER / "si-eam-uf3.yaml").expensive.model
    atoms = read(FOLDER / "si.extxyz") * (3, 3, 3)
    engine = MaceEngine(FOLDER / model, threads=1)
    cost = compare_cost(atoms, time_calculator(engine.calculator), time_lammps(setup))
    assert cost.ratio > 200
    case = yaml.safe_load((ROOT / "ipi_inputs" / "si_vacancy_md_8000" / "mixing.yaml").read_text())
    used = [line.replace("../potentials/", "") for line in case["cheap"]["lammps"]["potential"]]
    assert used == report["lammps"]
