"""Regions that follow the disagreement of two real models: in this process, and in runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read
from conftest import MODELS, TERSOFF, command_driver, read_steps, the_rest_slow, two_layers
from mixpi.blend.mixer import Mixer
from mixpi.drivers.mace_driver import MaceDriver
from mixpi.drivers.partial_engine import PartialEngine
from mixpi.output.run_state import read_state
from mixpi.regions.averaging import TimeAverage
from mixpi.regions.following import Following
from mixpi.regions.uncertainty import SpreadSeeds
from test_regions_in_time import compare, done


pytestmark = pytest.mark.full


SMALL = str(MODELS / "si-small.model")
#: eV/Å; thermal silicon stays below, an atom that is pushed off its site does not.
BOUND = 0.15
REGIONS = {"core": 2.6, "blend": 2.0, "buffer": 7.0}
PUSHED = np.array([1.2, 0.0, 0.0])


@pytest.fixture(scope="module")
def committee():
    model = str(MODELS / "si-tiny.model")
    return MaceDriver(model=model, committee=[SMALL], threads=1).load(Path("."))


class Looking:
    """A system whose region follows the spread of a committee, without drivers."""

    def __init__(self, atoms, committee, rule):
        self.atoms, self.committee, self.rule = atoms, committee, rule
        radii = {"core": 2.6, "blend": 2.0, "profile": "linear"}
        self.mixer = Mixer(
            atoms.numbers, [], **REGIONS, following=Following(rule, len(atoms), radii)
        )

    def evaluate(self, step):
        """An evaluation as the mixing layer does it; the weights, and what was looked at."""
        cell, x = self.atoms.cell.array, self.atoms.positions
        plan = self.mixer.plan([x], [cell], step=step)
        weights = plan.regions.weights
        looks = [np.flatnonzero(weights)]
        patch = self.rule.probe(step, weights == 0, [x], cell)
        looks += [] if patch is None else [patch]
        spreads = [self.spread(atoms) for atoms in looks]
        self.rule.observe(step, np.concatenate(looks), np.concatenate(spreads))
        return weights, np.concatenate(looks)

    def spread(self, chosen):
        """Of some atoms, in a cluster with everything closer than the buffer to one of them."""
        distances = self.atoms.get_all_distances(mic=True)[:, chosen]
        near = np.flatnonzero((distances < REGIONS["buffer"]).any(axis=1))
        atoms = self.atoms[near]
        found = self.committee.evaluate_with_spread(
            atoms.numbers, atoms.positions, atoms.cell.array
        )[3]
        return found[np.searchsorted(near, chosen)]


def thermal(rng, atoms, sites):
    atoms.positions[:] = sites + rng.normal(0, 0.05, sites.shape)


def test_the_region_grows_where_an_atom_is_off_its_site_and_shrinks_again(committee):
    atoms = bulk("Si", "diamond", a=5.465, cubic=True) * 3
    sites, rng, pushed = atoms.positions.copy(), np.random.default_rng(4), 100
    everywhere = np.ones(len(atoms), dtype=bool)
    rule = SpreadSeeds(everywhere, (BOUND, np.inf), TimeAverage(), patch=5.0, every=1)
    look, defect = Looking(atoms, committee, rule), sites.copy()
    defect[pushed] += PUSHED
    sizes, followed = [], []
    for step in range(60):
        off = 15 <= step < 40
        thermal(rng, atoms, defect if off else sites)
        weights, _ = look.evaluate(step)
        sizes.append(np.count_nonzero(weights))
        followed.append(weights[pushed] > 0.0)
    assert sizes[0] == len(atoms)
    assert max(sizes[2:15]) == 0 == max(sizes[43:])
    assert all(followed[30:40]) and max(sizes[30:40]) < len(atoms) / 3


def test_a_defect_outside_the_region_is_found_within_one_tour(committee):
    """Nothing is known of it at the start; patches are looked at in turn."""
    atoms = bulk("Si", "diamond", a=5.465, cubic=True) * 3
    rng, pushed = np.random.default_rng(5), 130
    thermal(rng, atoms, atoms.positions.copy())
    atoms.positions[pushed] += PUSHED
    nowhere = np.zeros(len(atoms), dtype=bool)
    rule = SpreadSeeds(nowhere, (BOUND, np.inf), TimeAverage(), patch=5.0, every=2)
    look, seen = Looking(atoms, committee, rule), nowhere.copy()
    for step in range(80):
        weights, looked = look.evaluate(step)
        assert weights[pushed] == 1.0 or not seen[pushed]  # from the step after the look on
        seen[looked] = True
        if seen.all():
            break
    assert seen.all() and weights[pushed] == 1.0
    assert 0 < np.count_nonzero(weights) < len(atoms) / 2


def watched(make_case, mace_tiny, **given):
    """A crystal with an atom off its site, whose region begins somewhere else."""
    atoms = bulk("Si", "diamond", a=5.465, cubic=True) * 3
    atoms.rattle(0.03, seed=2)
    atoms.positions[130] += PUSHED
    section = {**mace_tiny["mace"], "committee": [SMALL]}
    case = make_case(
        atoms,
        cheap={"lammps": {"potential": TERSOFF}},
        expensive={"mace": section},
        regions=REGIONS,
        stride=1,
        **given,
    )
    case.config["seeds"] = {
        "spread": {"patch": 5.0, "every": 2}, "bounds": [BOUND, float("inf")], "initial": [0],
    }  # fmt: skip
    case.config["output"] = {"stride": 1}
    return case


def test_a_run_finds_a_defect_and_says_what_that_costs(make_case, mace_tiny):
    case = watched(make_case, mace_tiny, steps=60)
    said = case.mixpi("check", "input.xml")
    assert "spread of the committee's forces" in said.stdout and "every 2 steps" in said.stdout
    ended = case.mixpi("run", "input.xml", "--no-reference")
    assert ended.returncode == 0, ended.stderr
    weights = np.array([a.arrays["mix_weight"] for a in read(case.folder / "mix.extxyz", ":")])
    assert weights[0, 0] == 1.0 and weights[0, 130] == 0.0
    found = np.flatnonzero(weights[:, 130] == 1.0)
    rows = read_steps(case.folder / "mix.steps")
    assert ((rows["probed"] > 0) == (rows["step"] % 2 == 0)).all()
    assert (rows["probe_ms"][rows["probed"] > 0] > 0).all()
    assert len(found) and found[0] <= rows["tour"].max() < 50  # within one tour
    text = " ".join(ended.stdout.split())
    each = r"each a patch of about \d+ atoms \([\d.]+ ms\) every 2 steps, \+[\d.]+ %"
    assert re.search(f"probes: 31, {each}", text)
    assert re.search(r"all atoms outside were looked at in \d+ steps", text)


@pytest.mark.parametrize(
    "kind",
    the_rest_slow(["plain", "two beads", "partial", "correction"], "two beads", "correction"),
)
def test_the_spread_of_a_run_is_that_of_the_models(make_case, mace_tiny, committee, kind):
    """What the seeds remember at the end of a run, against this process at the same geometry."""
    beads = 2 if kind == "two beads" else 1
    given = two_layers() if kind == "correction" else {"beads": beads}
    case = watched(make_case, mace_tiny, steps=4, checkpoint=4, **given)
    case.config["seeds"]["initial"] = [130]
    partial = {"sites": 3.5, "features": 2.5, "fill": "none"}
    engine = committee
    if kind == "partial":
        case.config["expensive"]["mace"]["partial"] = partial
        case.config["regions"] = REGIONS | {"buffer": 8.0}
        radii = {name: partial[name] for name in ("sites", "features")}
        engine = PartialEngine(committee, **radii)
    done(case)
    state = read_state(case.folder / "md.checkpoint")
    seen = np.flatnonzero(state["regions.rule.seen"] == 4)
    inside = np.flatnonzero(state["regions.weights"])
    patch = np.setdiff1d(seen, inside)
    assert len(inside) > 4 and len(patch) > 10
    frames = [
        Atoms("Si216", case.positions(b)[-1], cell=3 * [16.395], pbc=True) for b in range(beads)
    ]
    distances = np.min([a.get_all_distances(mic=True) for a in frames], axis=0)
    for chosen in (inside, patch):
        depths = distances[:, chosen].min(axis=1)
        buffer = case.config["regions"]["buffer"]
        near = np.flatnonzero(depths < buffer)
        more = {"depths": depths[near], "buffer": buffer} if kind == "partial" else {}
        found = [
            engine.evaluate_with_spread(a.numbers[near], a.positions[near], a.cell.array, **more)[3]
            for a in frames
        ]
        wanted = np.max(found, axis=0)[np.searchsorted(near, chosen)]
        np.testing.assert_allclose(
            state["regions.rule.spread"][chosen], wanted, rtol=1e-4, atol=1e-5
        )
        assert wanted.max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("beads", the_rest_slow([1, 2], 2))
def test_a_restart_goes_on_exactly(make_case, mace_tiny, beads):
    """From a state between two averages, before the defect has been found."""
    given = {"beads": beads, "checkpoint": 7}
    average = {"every": 1, "repeat": 2, "frequency": 4}
    whole = watched(make_case, mace_tiny, folder="whole", steps=20, **given)
    part = watched(make_case, mace_tiny, folder="part", steps=10, **given)
    for case in (whole, part):
        case.config["seeds"]["average"] = average
        done(case)
    checkpoint = part.folder / "md.checkpoint"
    text, count = re.subn(r"<total_steps>\s*10\s*<", "<total_steps>20<", checkpoint.read_text())
    assert count == 1
    checkpoint.write_text(text)
    assert {"regions.rule.spread", "regions.rule.seen"} <= read_state(checkpoint).keys()
    done(part, "md.checkpoint")
    compare(part, whole, beads)
    rows = [read_steps(case.folder / "mix.steps") for case in (part, whole)]
    for name in ("probed", "tour"):
        np.testing.assert_array_equal(rows[0][name], rows[1][name])


def test_bad_input(make_case, mace_tiny):
    case = watched(make_case, mace_tiny)
    committee = case.config["expensive"]["mace"].pop("committee")
    ended = case.mixpi("check", "input.xml")
    assert ended.returncode == 1
    assert "spread needs several models that can disagree: name further ones" in ended.stderr
    section = case.config["expensive"]["mace"]
    for other, said in (
        ("missing.model", "missing.model does not exist (mace: committee)"),
        (str(MODELS / "w-he-tiny.model"), "share no species"),
    ):
        section["committee"] = [other]
        ended = case.mixpi("check", "input.xml")
        assert ended.returncode == 1 and said in " ".join(ended.stderr.split())
    section["committee"] = committee
    case.config["seeds"] = [130]
    ended = case.mixpi("check", "input.xml")
    assert ended.returncode == 0, ended.stderr
    assert "forces are the mean of 2 models" in " ".join(ended.stdout.split())
    assert "how far they are apart is not used" in " ".join(ended.stdout.split())


def test_drivers_without_a_committee_are_refused(make_case):
    case = watched(make_case, {"mace": {}})
    socket = case.config["expensive"]["socket"]
    case.config["expensive"] = {"command": command_driver("toy"), "socket": socket}
    case.config["cheap"] = {
        "command": command_driver("zero"),
        "socket": case.config["cheap"]["socket"],
    }
    ended = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert ended.returncode != 0
    assert "does not tell how far its models are apart" in " ".join(ended.stderr.split())


def test_what_needs_seeds_before_a_run_says_so(make_case, mace_tiny):
    case = watched(make_case, mace_tiny)
    del case.config["seeds"]["initial"]
    ended = case.mixpi("relax", "mixing.yaml")
    assert ended.returncode != 0
    assert "known in a run alone, after its first evaluation" in " ".join(ended.stderr.split())


@pytest.mark.slow
def test_the_speed_up_is_that_of_the_region_as_it_was_found(make_case, mace_tiny):
    """At the start of such a run nobody knows it."""
    case = watched(make_case, mace_tiny, steps=3)
    del case.config["seeds"]["initial"]
    ended = case.mixpi("run", "input.xml", "--reference", "--quiet")
    assert ended.returncode == 0, ended.stderr
    report = json.loads((case.folder / "mixpi.report.json").read_text())
    assert "speed_up_not_measured" not in report and report["speed_up"] > 0
    assert report["regions"]["core"][0] < report["regions"]["core"][2] == 216
