"""Several models as one: means and spread, against each model evaluated by itself."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.socketio import IPIProtocol
from conftest import MODELS, silicon
from mixpi import MixpiError, build_regions, extract_cluster
from mixpi.blend.clusters import depths_of
from mixpi.distil.config import DistilConfig
from mixpi.distil.preparing import _expensive
from mixpi.drivers.client import serve
from mixpi.drivers.committee import Committee, spread_of
from mixpi.drivers.config import DriverConfig
from mixpi.drivers.mace import MaceEngine
from mixpi.drivers.mace_driver import MaceDriver
from mixpi.drivers.mace_files import file_hash
from mixpi.drivers.packed import unpacked
from mixpi.drivers.partial_engine import PartialEngine, bulk_means
from mixpi.sockets.pool import init_text
from numpy.testing import assert_allclose
from pydantic import ValidationError
from test_mace_files import two_heads
from test_partial_engine import tell


TINY, SMALL = (str(MODELS / f"si-{size}.model") for size in ("tiny", "small"))
HASHES = {name: file_hash(Path(name)) for name in (TINY, SMALL)}
ENGINES = [
    "mace-torch",
    pytest.param(
        "symmetrix", marks=pytest.mark.skipif(not find_spec("symmetrix"), reason="not installed")
    ),
]


def loaded(model=TINY, **section):
    section = {"model": model, "threads": 1, "engine": "auto", **section}
    return MaceDriver(**section).load(Path("."))


@pytest.fixture(scope="module", params=ENGINES)
def both(request):
    """The committee of the two models, and each alone."""
    engine = {"engine": request.param}
    return loaded(committee=[SMALL], **engine), [loaded(one, **engine) for one in (TINY, SMALL)]


def cluster():
    """Silicon around an interstitial, cut out of a crystal."""
    atoms = silicon(3, rattle=0.05)
    atoms.positions[7] += [1.2, 0.0, 0.0]
    regions = build_regions(atoms.positions, atoms.cell.array, [7], core=2.6, blend=2.0, buffer=6.6)
    found = extract_cluster(regions, atoms.numbers)
    return found, found.positions(atoms.positions), atoms


def by_hand(forces):
    """Mean and spread, atom by atom."""
    n = len(forces[0])
    mean = [sum(f[i] for f in forces) / len(forces) for i in range(n)]
    spread = [
        (sum(np.dot(f[i] - mean[i], f[i] - mean[i]) for f in forces) / len(forces)) ** 0.5
        for i in range(n)
    ]
    return np.array(mean), np.array(spread)


@pytest.mark.parametrize("models", [1, 2, 5])
def test_spread_by_hand(models):
    forces = np.random.default_rng(models).normal(size=(models, 7, 3))
    assert_allclose(spread_of(forces), by_hand(forces)[1], rtol=1e-13, atol=1e-15)


def test_mean_and_spread_are_those_of_the_models(both):
    committee, alone = both
    found, positions, atoms = cluster()
    structure = found.numbers, positions, atoms.cell.array
    results = [one.evaluate(*structure) for one in alone]
    mean, spread = by_hand([forces for _, forces, _ in results])
    *result, told = committee.evaluate_with_spread(*structure)
    for energy, forces, virial in (result, committee.evaluate(*structure)):
        assert energy == pytest.approx(np.mean([r[0] for r in results]), rel=1e-13)
        assert_allclose(forces, mean, atol=1e-12)
        assert_allclose(virial, np.mean([r[2] for r in results], axis=0), atol=1e-10)
    assert_allclose(told, spread, atol=1e-12)
    assert spread.max() > 0.1 > spread.min()
    energy, _, _, sites = committee.evaluate_with_sites(*structure)
    assert sites.sum() == pytest.approx(energy, abs=1e-6)
    assert_allclose(sites, committee.site_energies(*structure), atol=1e-12)
    mask = found.weights > 0
    masked = [one.evaluate(*structure, mask) for one in alone]
    assert_allclose(
        committee.evaluate(*structure, mask)[1], np.mean([r[1] for r in masked], 0), atol=1e-12
    )


@pytest.mark.parametrize("filled", [True, False])
def test_parts_are_those_of_the_models(both, filled):
    committee, alone = both
    found, positions, atoms = cluster()
    structure = found.numbers, positions, atoms.cell.array
    depths = depths_of(found, [atoms.positions], [atoms.cell.array], 8.0)
    part = {"distance": depths, "sites": 3.0, "features": 2.0}
    forces = [
        one.evaluate_partial(*structure, **part, fill=bulk_means(one, atoms) if filled else None)[1]
        for one in alone
    ]
    mean, spread = by_hand(forces)
    fill = bulk_means(committee, atoms) if filled else None
    engine = PartialEngine(committee, sites=3.0, features=2.0, fill=fill)
    assert engine.needs_buffer == 3.0 + 4.5  # of the model that sees further
    *result, told = engine.evaluate_with_spread(*structure, depths=depths, buffer=8.0)
    assert_allclose(result[1], mean, atol=1e-12)
    assert_allclose(told, spread, atol=1e-12)
    assert_allclose(engine.evaluate(*structure, depths=depths, buffer=8.0)[1], mean, atol=1e-12)
    whole = engine.evaluate_with_spread(*structure)
    assert_allclose(whole[3], committee.evaluate_with_spread(*structure)[3], atol=1e-12)
    committee.require_known_parts()


def test_a_committee_sees_and_knows_what_its_models_do(both):
    committee, (tiny, small) = both
    assert committee.cutoff == small.cutoff > tiny.cutoff
    assert committee.interaction_range == small.interaction_range == 9.0
    assert committee.numbers == (14,)
    assert "committee of 2" in committee.facts()["evaluated_by"]
    with pytest.raises(MixpiError, match=r"si-tiny.model of the committee does not know He"):
        committee.require(["Si", "He"])


@pytest.fixture(scope="module")
def other_species(tmp_path_factory):
    """Untrained models of other lists of species: Si, and H and Si."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mace.calculators  # noqa: F401
        import torch

        folder = tmp_path_factory.mktemp("species")
        for name, numbers in {"si": [14], "h-si": [1, 14], "h": [1]}.items():
            torch.save(two_heads(torch, "Default", numbers=numbers), folder / f"{name}.model")
    return folder


@pytest.mark.full
def test_models_of_other_species(other_species):
    names = [str(other_species / f"{name}.model") for name in ("h-si", "si", "h")]
    section = {"engine": "mace-torch"}
    committee = loaded(names[0], committee=names[1:2], **section)
    assert committee.numbers == (14,)
    with pytest.raises(MixpiError, match=r"[/]si.model of the committee does not know H; it"):
        committee.require(["H", "Si"])
    with pytest.raises(MixpiError, match=r"share no species .*si.model: Si; .*h.model: H"):
        loaded(names[1], committee=names[2:], **section)
    # each is filled with features of its own, in the rows of its own species
    atoms = bulk("Si", cubic=True) * 2
    atoms.rattle(0.1, seed=1)
    structure = atoms.numbers, atoms.positions, atoms.cell.array
    part = {"distance": atoms.get_distances(0, range(64), mic=True), "sites": 2.0, "features": 2.0}
    alone = [MaceEngine(name) for name in names[:2]]
    forces = [
        one.evaluate_partial(*structure, fill=one.mean_features(*structure), **part)[1]
        for one in alone
    ]
    fill = committee.mean_features(*structure)
    found = committee.evaluate_partial(*structure, fill=fill, **part)[1]
    assert_allclose(found, np.mean(forces, axis=0), atol=1e-12)
    assert np.abs(found).max() > 1e-3
    with pytest.raises(
        MixpiError, match=r"fill with are needed for Si, .* got an array of shape \(2, 8\)"
    ):
        committee.evaluate_partial(*structure, fill=np.vstack([fill, fill]), **part)


def asked_for(engine, text, positions, cell):
    """Forces and extras of a driver, over a socket."""
    ours, theirs = socket.socketpair()
    driver = threading.Thread(target=serve, args=(engine, theirs))
    driver.start()
    server = IPIProtocol(ours)
    with ours:
        tell(server, text)
        server.sendposdata(cell, np.linalg.inv(cell), positions)
        _, forces, _, extras = server.sendrecv_force()
        ours.shutdown(socket.SHUT_WR)
        driver.join(10.0)
    return forces, json.loads(bytes(extras))


def test_the_spread_travels_where_it_is_asked_for(both):
    committee, alone = both
    found, positions, atoms = cluster()
    structure = found.numbers, positions, atoms.cell.array
    _, _, spread = committee.evaluate_with_spread(*structure)[1:]
    text = init_text(found.numbers, spread=True)
    forces, told = asked_for(committee, text, positions, atoms.cell.array)
    assert_allclose(unpacked(told["spread"], "<f4"), spread, rtol=1e-6)
    forces_alone, told = asked_for(committee, init_text(found.numbers), positions, atoms.cell.array)
    assert "spread" not in told and np.array_equal(forces, forces_alone)
    for one in (alone[0], PartialEngine(alone[0], sites=3.0, features=2.0)):
        _, told = asked_for(one, text, positions, atoms.cell.array)
        assert "spread" not in told


@pytest.mark.parametrize(
    "section, said",
    [
        ({"committee": []}, "committee"),
        ({"committee": ["a.model"]}, "a.model stands twice"),
        ({"committee": ["b.model", "b.model"]}, "b.model stands twice"),
        ({"committee": ["b.model"], "committee_sha256": []}, "0 hashes for 1 files"),
        ({"committee_sha256": [64 * "a"]}, "1 hashes for 0 files"),
        ({"committee": ["b.model"], "committee_sha256": ["abc"]}, "committee_sha256"),
    ],
)
def test_bad_sections(section, said):
    with pytest.raises(ValidationError, match=said):
        DriverConfig.model_validate({"mace": {"model": "a.model", **section}})


def test_bad_files(tmp_path):
    with pytest.raises(MixpiError, match=r"missing.model does not exist \(mace: committee\)"):
        loaded(committee=["missing.model"])
    with pytest.raises(MixpiError, match=r"si-small.model is not the one that was meant"):
        loaded(committee=[SMALL], committee_sha256=[HASHES[TINY]])
    shutil.copy(TINY, tmp_path / "copy.model")
    with pytest.raises(MixpiError, match=r"tiny.model and .*copy.model are the same model"):
        loaded(committee=[str(tmp_path / "copy.model")])
    right = loaded(committee=[SMALL], committee_sha256=[HASHES[SMALL]], sha256=HASHES[TINY])
    assert isinstance(right, Committee) and right.sha256 == HASHES[TINY]


def test_flags_and_paths(tmp_path):
    for name in (TINY, SMALL):
        shutil.copy(name, tmp_path)
    driver = MaceDriver(
        model="si-tiny.model", committee=["si-small.model"], committee_sha256=[HASHES[SMALL]]
    )
    assert driver.inputs(tmp_path) == ["si-tiny.model", "si-small.model"]
    located = driver.located(tmp_path)
    assert located.models == [str(tmp_path / f"si-{size}.model") for size in ("tiny", "small")]
    words = driver.command(tmp_path)
    assert f'--committee=["{tmp_path}/si-small.model"]' in words
    assert f'--committee-sha256=["{HASHES[SMALL]}"]' in words


def test_data_of_a_committee_are_not_those_of_its_first_model():
    """What is kept for distilling is kept under the hashes of all."""
    config = {"name": "x", "structure": "x.xyz", "basis": {"uf3": {}}}
    alone, both = (
        _expensive(
            DistilConfig.model_validate({**config, "expensive": {"model": TINY, **more}}),
            Path("."), ["Si"], None, None,
        )[0]
        for more in ({}, {"committee": [SMALL]})
    )  # fmt: skip
    assert alone == {"model": HASHES[TINY]}
    assert both == {"model": HASHES[TINY], "committee": [HASHES[SMALL]]}
