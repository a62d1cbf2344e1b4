"""What a driver that evaluates partially is told, does with it, and refuses."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import replace
from pathlib import Path

import brute_force
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.socketio import IPIProtocol
from ase.io import read
from conftest import command_driver, silicon
from mixpi import Cluster, MixpiError, build_regions, extract_cluster
from mixpi.blend.clusters import depths_of
from mixpi.blend.mixer import Mixer
from mixpi.drivers import partial_engine
from mixpi.drivers.client import serve
from mixpi.drivers.config import DriverConfig
from mixpi.drivers.partial_engine import PartialEngine, bulk_means
from mixpi.sockets.pool import init_text
from mixpi.structure import read_structure
from numpy.testing import assert_allclose, assert_array_equal
from pydantic import ValidationError


TRICLINIC = np.array([[12.0, 0, 0], [4.0, 11.0, 0], [-3.0, 2.0, 13.0]])


def test_depths_against_brute_force():
    rng = np.random.default_rng(5)
    positions = rng.uniform(-1, 2, (80, 3)) @ TRICLINIC
    regions = build_regions(positions, TRICLINIC, [3], core=3.0, blend=2.0, buffer=5.0)
    cluster = extract_cluster(regions, np.full(80, 14))
    found = depths_of(cluster, [positions], [TRICLINIC], 5.0)
    distances = brute_force.all_distances(positions, TRICLINIC, 5.0)
    wanted = distances[np.ix_(cluster.indices, np.flatnonzero(regions.weights))].min(axis=1)
    wanted[cluster.weights > 0] = 0.0
    assert_allclose(found, wanted, atol=1e-12)
    assert 0.0 < found.max() < 5.0 and (found == 0.0).sum() == (cluster.weights > 0).sum()


def test_of_several_geometries_the_shortest_counts():
    positions = np.array([[0.0, 0, 0], [2.0, 0, 0], [4.0, 0, 0]])
    closer = positions - [[0, 0, 0], [0.5, 0, 0], [0, 0, 0]]
    cluster = Cluster(np.arange(3), np.full(3, 14), np.array([1.0, 0.0, 0.0]))
    cell = np.diag([20.0, 20.0, 20.0])
    assert_allclose(depths_of(cluster, [positions, closer], [cell, cell], 3.0), [0.0, 1.5, 3.0])


@pytest.mark.parametrize("beads", [1, 2])
def test_regions_and_search_agree_on_the_depths(beads):
    """One geometry has them from its regions; several share a region, and look again."""
    rng = np.random.default_rng(6)
    geometries = [rng.uniform(0, 1, (300, 3)) @ TRICLINIC]
    geometries += [geometries[0] + rng.normal(0, 0.2, (300, 3)) for _ in range(beads - 1)]
    mixer = Mixer(np.full(300, 14), [3], core=2.5, blend=2.0, buffer=3.0)
    cells = [TRICLINIC] * beads
    cluster = mixer.plan(geometries, cells).cluster
    wanted = depths_of(cluster, geometries, cells, 3.0)
    assert len(cluster) < 300 and wanted.max() > 2.0
    if beads == 1:
        assert_allclose(cluster.depths, wanted, atol=1e-12)
    else:
        assert cluster.depths is None


def test_depths_of_other_weights_are_not_believed():
    positions = np.random.default_rng(2).uniform(0, 12, (100, 3))
    regions = build_regions(positions, 12 * np.eye(3), [3], core=3.0, blend=2.0, buffer=3.0)
    assert extract_cluster(regions, np.full(100, 14)).depths is not None
    weights = regions.weights.copy()
    weights[np.flatnonzero(regions.buffer)[0]] = 0.5
    changed = replace(regions, weights=weights)
    assert extract_cluster(changed, np.full(100, 14)).depths is None


class Taking:
    """Stands for an engine that takes depths: keeps what it is given."""

    takes_depths = True

    def evaluate(self, numbers, positions, cell, **given):
        self.numbers, self.given = numbers, given
        return 0.0, np.zeros_like(positions), np.zeros((3, 3))


def tell(server: IPIProtocol, text: str) -> None:
    """An INIT message."""
    server.sendmsg("INIT")
    server.send(0, np.int32)
    server.send(len(text), np.int32)
    server.send(np.frombuffer(text.encode(), np.byte), np.byte)


def test_depths_travel_with_the_species():
    """From the mixing layer's text to the driver's engine, over a socket."""
    depths, places = np.array([0.0, 1.23456789]), np.array([70_000, 3])
    text = init_text(np.array([14, 2]), depths, 6.5, places)
    ours, theirs = socket.socketpair()
    engine, server = Taking(), IPIProtocol(ours)
    driver = threading.Thread(target=serve, args=(engine, theirs))
    driver.start()
    with ours:
        tell(server, text)
        server.sendposdata(np.eye(3), np.eye(3), np.zeros((2, 3)))
        server.sendmsg("GETFORCE")
        assert server.recvmsg() == "FORCEREADY"
        ours.shutdown(socket.SHUT_WR)  # the server has gone
        driver.join(10.0)
    assert_array_equal(engine.numbers, [14, 2])
    assert_allclose(engine.given["depths"], depths, rtol=1e-7)
    assert engine.given["depths"][0] == 0.0 and engine.given["buffer"] == 6.5
    assert_array_equal(engine.given["places"], places)
    assert json.loads(init_text(np.array([14]))) == {"numbers": [14]}


@pytest.mark.parametrize(
    "told",
    [
        {"depths": [0.0]},
        {"depths": "AAA", "buffer": 6.5, "places": ""},
        {"depths": "AAAAAA==", "places": "AAAAAA=="},
        {"buffer": 6.5},
    ],
)
def test_what_are_no_depths(told):
    ours, theirs = socket.socketpair()
    with ours, pytest.raises(MixpiError, match="depths that are no numbers"):
        tell(IPIProtocol(ours), json.dumps({"numbers": [14], **told}))
        serve(Taking(), theirs)


class Recorder:
    """Stands for a model: what is asked of it."""

    numbers, interaction_range, cutoff, notes = (14,), 9.0, 4.5, ()

    def evaluate(self, *structure):
        return ("whole", *structure)

    def evaluate_partial(self, *structure, **options):
        return ("part", *structure, options)

    def facts(self):
        return {"numbers": self.numbers}


def test_depths_decide_what_is_evaluated():
    engine = PartialEngine(Recorder(), sites=3.0, features=2.5)
    structure = (np.array([14]), np.zeros((1, 3)), np.eye(3))
    assert engine.needs_buffer == 7.5 and engine.facts()["needs_buffer"] == 7.5
    assert engine.evaluate(*structure)[0] == "whole"
    kind, *_, options = engine.evaluate(*structure, depths=np.zeros(1), buffer=7.5)
    assert kind == "part" and (options["sites"], options["features"]) == (3.0, 2.5)
    assert_array_equal(options["distance"], [0.0])
    with pytest.raises(MixpiError, match=r"a buffer of 7.4 Å is too narrow .* it takes 7.5 Å"):
        engine.evaluate(*structure, depths=np.zeros(1), buffer=7.4)


@pytest.mark.parametrize(
    "partial, said",
    [
        ({"sites": 3.0}, "features"),
        ({"sites": 3.0, "features": 0.0}, "greater than 0"),
        ({"sites": float("nan"), "features": 1.0}, "finite"),
        ({"sites": 3.0, "features": 2.0, "filling": 1}, "filling"),
        (4.0, "partial"),
    ],
)
def test_bad_radii_are_refused(partial, said):
    with pytest.raises(ValidationError, match=said):
        DriverConfig.model_validate({"mace": {"model": "x.model", "partial": partial}})


def test_symmetrix_is_for_the_cpu():
    section = {"model": "x.model", "device": "cuda", "engine": "symmetrix"}
    with pytest.raises(ValidationError, match="symmetrix is for device: cpu"):
        DriverConfig.model_validate({"mace": section})


def test_means_of_a_large_structure_are_those_of_some_of_it(tiny_model, monkeypatch):
    pytest.importorskip("symmetrix")
    model = DriverConfig(mace={"model": str(tiny_model)}).driver.load(Path("."))
    atoms = silicon(3, rattle=0.08)
    all_of_it = model.mean_features(atoms.numbers, atoms.positions, atoms.cell.array)
    assert_allclose(bulk_means(model, atoms), all_of_it, rtol=1e-12, atol=1e-12)
    monkeypatch.setattr(partial_engine, "ENOUGH", 60)
    some = bulk_means(model, atoms)
    scale = np.abs(all_of_it).max()
    assert 1e-6 * scale < np.abs(some - all_of_it).max() < 0.1 * scale


@pytest.mark.full
@pytest.mark.parametrize("filled", ["mean", pytest.param("none", marks=pytest.mark.slow)])
def test_a_run_has_the_forces_of_partial_evaluation(make_case, tiny_model, filled):
    """Over sockets, and against the same in this process."""
    pytest.importorskip("symmetrix")
    atoms = bulk("Si", "diamond", a=5.46, cubic=True) * (3, 3, 3)
    atoms.rattle(0.08, seed=7)
    partial = {"sites": 3.0, "features": 2.5}
    case = make_case(
        atoms,
        cheap={"command": command_driver("zero")},
        expensive={"mace": {"model": str(tiny_model), "partial": {**partial, "fill": filled}}},
        regions={"core": 2.6, "blend": 1.5, "buffer": 7.0},
        seeds=[100],
        steps=2,
    )
    case.config |= {"remove_net_force": False, "output": {"stride": 1, "forces": True}}
    done = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    frames = read(case.folder / "mix.extxyz", ":")
    model = DriverConfig(mace={"model": str(tiny_model)}).driver.load(case.folder)
    fill = bulk_means(model, read_structure(case.folder / "init.extxyz"))
    fill = fill if filled == "mean" else None
    for frame in frames:
        regions = build_regions(
            frame.positions, frame.cell.array, [100], core=2.6, blend=1.5, buffer=7.0
        )
        cluster = extract_cluster(regions, frame.numbers)
        depths = depths_of(cluster, [frame.positions], [frame.cell.array], 7.0)
        whole = cluster.numbers, cluster.positions(frame.positions), frame.cell.array
        _, forces, _ = model.evaluate_partial(*whole, distance=depths, fill=fill, **partial)
        wanted = np.zeros_like(frame.positions)
        wanted[cluster.indices] = cluster.weights[:, None] * forces
        assert_allclose(frame.get_forces(), wanted, atol=2e-7)
        assert np.abs(wanted).max() > 0.1
    # narrower than all that is evaluated can see: before the run, and in it
    case.config["regions"]["buffer"] = 6.9
    done = case.mixpi("check", "input.xml")
    assert done.returncode == 1 and "a buffer of 6.9 Å is too narrow" in done.stderr
