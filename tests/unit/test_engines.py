"""What every engine passes that a driver can be made of: one suite for the whole registry."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from conftest import TERSOFF, clean_environment
from driver_server import listening
from mixpi.drivers.config import KINDS, DriverConfig
from mixpi.drivers.driver import Place
from mixpi.drivers.engine import evaluate_with_sites
from mixpi.drivers.engine_driver import EngineDriver
from mixpi.errors import MixpiError
from mixpi.sockets.config import SocketConfig
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation


#: Kind and what evaluates → section; a further engine is a line here.
ENGINES = {
    "mace by mace-torch": {"mace": {"model": "{tiny}", "engine": "mace-torch", "threads": 1}},
    "mace by symmetrix": {"mace": {"model": "{tiny}", "engine": "symmetrix"}},
    "lammps_cluster": {"lammps_cluster": {"potential": TERSOFF}},
    "ase": {
        "ase": {
            "calculator": "ase.calculators.lj:LennardJones",
            "arguments": {"sigma": 2.1, "epsilon": 0.3, "rc": 5.0, "smooth": True},
            "species": ["Si"],
        }
    },
}
TRICLINIC = np.array([[8.0, 0, 0], [3.0, 8.5, 0], [-2.0, 1.0, 9.0]])
NO_ATOMS = (np.zeros(0, dtype=int), np.zeros((0, 3)), TRICLINIC)


def structure(seed: int, count: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A disordered triclinic cell in which no two atoms are close."""
    rng, positions = np.random.default_rng(seed), np.empty((0, 3))
    atoms = Atoms(cell=TRICLINIC, pbc=True)
    while len(atoms) < count:
        more = atoms + Atoms("Si", positions=rng.uniform(0, 1, (1, 3)) @ TRICLINIC)
        if len(more) == 1 or more.get_distances(-1, range(len(more) - 1), mic=True).min() > 1.95:
            atoms = more
    positions = atoms.positions
    return np.full(count, 14), positions, TRICLINIC


@pytest.fixture(scope="module")
def sections(tiny_model):
    def section(name: str) -> DriverConfig:
        text = json.dumps(ENGINES[name]).replace("{tiny}", str(tiny_model))
        return DriverConfig.model_validate_json(text)

    return section


@pytest.fixture(scope="module", params=ENGINES)
def name(request):
    if "symmetrix" in request.param:
        pytest.importorskip("symmetrix")
    return request.param


@pytest.fixture(scope="module")
def engine(name, sections):
    return sections(name).driver.load(Path("."))


def test_every_kind_of_the_registry_is_here():
    here = {key for section in ENGINES.values() for key in section}
    assert here == {key for key, kind in KINDS.items() if issubclass(kind, EngineDriver)}


def test_forces_are_minus_the_gradient(engine):
    numbers, positions, cell = structure(1)
    _, forces, _ = engine.evaluate(numbers, positions, cell)
    rng = np.random.default_rng(2)
    for _ in range(3):
        way = rng.normal(size=positions.shape)
        step = 1e-4
        ahead, behind = (
            engine.evaluate(numbers, positions + sign * step * way, cell)[0] for sign in (1, -1)
        )
        assert_allclose((behind - ahead) / (2 * step), np.sum(forces * way), rtol=2e-6, atol=1e-6)
    assert np.abs(forces).max() > 0.1
    assert_allclose(forces.sum(axis=0), 0.0, atol=1e-8)


def test_virial_is_the_derivative_by_strain_or_unknown(engine):
    numbers, positions, cell = structure(3)
    virial = engine.evaluate(numbers, positions, cell)[2]
    if np.isnan(virial).all():
        return
    strain = np.array([[0.3, 0.2, -0.1], [0.2, -0.4, 0.15], [-0.1, 0.15, 0.25]])
    energies = []
    for sign in (1, -1):
        turned = np.eye(3) + sign * 1e-4 * strain
        energies.append(engine.evaluate(numbers, positions @ turned, cell @ turned)[0])
    wanted = -(energies[0] - energies[1]) / 2e-4
    assert_allclose(np.sum(virial * strain), wanted, rtol=1e-5, atol=1e-5)


def test_order_and_image_of_atoms_do_not_matter(engine):
    numbers, positions, cell = structure(4)
    energy, forces, _ = engine.evaluate(numbers, positions, cell)
    rng = np.random.default_rng(5)
    order = rng.permutation(len(numbers))
    moved = positions[order] + rng.integers(-3, 4, (len(order), 3)) @ cell
    again, others, _ = engine.evaluate(numbers[order], moved, cell)
    assert_allclose(again, energy, atol=1e-8)
    assert_allclose(others, forces[order], atol=1e-8)


def test_forces_turn_with_the_structure(engine):
    numbers, positions, cell = structure(6)
    energy, forces, _ = engine.evaluate(numbers, positions, cell)
    turn = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    # and a cell of the other hand, which is the same crystal
    for swap in ([0, 1, 2], [1, 0, 2]):
        again, turned, _ = engine.evaluate(numbers, positions @ turn, (cell @ turn)[swap])
        assert_allclose(again, energy, atol=1e-7)
        assert_allclose(turned, forces @ turn, atol=1e-7)


def test_what_came_before_does_not_matter(engine):
    """Other sizes, other cells, then the first again."""
    first = structure(7)
    energy, forces, _ = engine.evaluate(*first)
    for count in (5, 30, 24):
        engine.evaluate(*structure(8, count))
    small = bulk("Si", "diamond", a=5.5)
    engine.evaluate(small.numbers, small.positions, small.cell.array)
    again, others, _ = engine.evaluate(*first)
    assert_allclose(again, energy, atol=1e-9)
    assert_allclose(others, forces, atol=1e-9)


def test_a_cell_smaller_than_the_cutoff(engine):
    """An atom sees its own images: eight cells together are the same crystal."""
    small = bulk("Si", "diamond", a=5.5)
    small.rattle(0.1, seed=9)
    energy, forces, _ = engine.evaluate(small.numbers, small.positions, small.cell.array)
    large = small * (2, 2, 2)
    eight, others, _ = engine.evaluate(large.numbers, large.positions, large.cell.array)
    assert_allclose(eight, 8 * energy, atol=1e-7)
    assert_allclose(others, np.tile(forces, (8, 1)), atol=1e-7)


def test_one_atom_and_none(engine):
    alone = engine.evaluate(np.array([14]), np.zeros((1, 3)), 40.0 * np.eye(3))
    assert np.isfinite(alone[0])
    assert_allclose(alone[1], np.zeros((1, 3)), atol=1e-12)
    energy, forces, _ = engine.evaluate(*NO_ATOMS)
    assert energy == 0.0 and np.shape(forces) == (0, 3)


def test_site_energies_sum_to_the_energy(engine):
    if not engine.has_site_energies:
        return
    numbers, positions, cell = structure(10)
    sites = engine.site_energies(numbers, positions, cell)
    assert sites.shape == (len(numbers),) and np.ptp(sites) > 0.0
    energy, forces, _ = engine.evaluate(numbers, positions, cell)
    assert_allclose(sites.sum(), energy, atol=1e-8)
    together, same = evaluate_with_sites(engine, numbers, positions, cell)
    assert_allclose(together[0], energy, atol=1e-8)
    assert_allclose(together[1], forces, atol=1e-8)
    assert_allclose(same, sites, atol=1e-8)
    for found in evaluate_with_sites(engine, *NO_ATOMS):
        assert np.size(found[1] if isinstance(found, tuple) else found) == 0


def test_unknown_species_are_refused(engine):
    numbers, positions, cell = structure(11)
    numbers = numbers.copy()
    numbers[3] = 79
    with pytest.raises(MixpiError, match="Au"):
        engine.evaluate(numbers, positions, cell)
    with pytest.raises(MixpiError, match="Au"):
        engine.require(["Si", "Au"])
    engine.require(["Si"])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_gives_no_numbers(engine, value):
    """An error, or forces that the mixing layer refuses: never finite ones."""
    numbers, positions, cell = structure(12)
    positions = positions.copy()
    positions[2, 1] = value
    try:
        forces = engine.evaluate(numbers, positions, cell)[1]
    except (MixpiError, ValueError, RuntimeError):
        pass
    else:
        assert not np.isfinite(forces).all()
    assert np.isfinite(engine.evaluate(*structure(12))[1]).all()


def test_facts_are_plain_values(engine):
    facts = json.loads(json.dumps(engine.facts()))
    assert facts["numbers"] == [14] and facts["evaluated_by"]
    assert facts["interaction_range"] == engine.interaction_range


@pytest.mark.full
def test_its_driver_starts_computes_and_ends(name, sections, engine, tmp_path):
    """From the command line of the configuration: clusters of changing size, then EXIT."""
    with listening() as server:
        socket = SocketConfig(address=server.address)
        atoms = Atoms("Si2", positions=[[0, 0, 0], [2.3, 0, 0]], cell=TRICLINIC, pbc=True)
        atoms.write(tmp_path / "init.extxyz")
        place = Place("expensive", socket, tmp_path, "init.extxyz", atoms, 5.0)
        driver = sections(name).driver
        argv, env = driver.argv(place, tmp_path), clean_environment() | driver.environment()
        with subprocess.Popen(argv, cwd=tmp_path, env=env, stdout=subprocess.PIPE) as process:
            asked = server.accept()
            for seed, count in ((1, 24), (2, 7), (3, 24)):
                numbers, positions, cell = structure(seed, count)
                wanted = engine.evaluate(numbers, positions, cell)
                cluster = Atoms(numbers, positions, cell=cell, pbc=True)
                energy, forces, _, told = asked.ask(cluster)
                assert_allclose(energy, wanted[0], atol=1e-7)
                assert_allclose(forces, wanted[1], atol=1e-7)
                assert told["driver_seconds"] > 0.0
            asked.sendmsg("EXIT")
            assert process.wait(60) == 0
