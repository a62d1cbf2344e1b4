"""``mixpi distil --scan``: which basis is chosen, what is written, what is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.build import bulk
from ase.calculators.emt import EMT
from mixpi.cli import main
from mixpi.distil import scan, scan_as_markdown, write_scan
from mixpi.distil import scanning as module
from mixpi.distil.config import BasisConfig
from mixpi.distil.ladder import ladder
from mixpi.distil.scanning import Entry, choose
from mixpi.errors import MixpiError


POOR = {"snap": {"cutoff": 3.0, "twojmax": 0}}
EAM = {"eam": {"cutoff": 5.0, "intervals": 14}}
BOTH = {"eam": {"cutoff": 5.0, "intervals": 14}, "adp": {"cutoff": 4.0, "radials": 3, "layers": 2}}


def write_case(folder: Path, **changes) -> Path:
    bulk("Cu", "fcc", a=3.6, cubic=True).write(folder / "crystal.extxyz")
    soft = {"temperature": 300, "repeat": [2, 2, 2], "snapshots": 6, "held_out": 2,
            "equilibrate": 100, "spacing": 30}  # fmt: skip
    config = {
        "name": "Cu",
        "structure": "crystal.extxyz",
        "expensive": {"model": "given by the caller"},
        "basis": BOTH,
        "hard": {"points": 7},
        "soft": soft,
        "scan": {"bases": [EAM, POOR, BOTH]},
        "output": "out",
        **changes,
    }
    path = folder / "distil.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def copper(tmp_path_factory):
    path = write_case(tmp_path_factory.mktemp("scan"))
    return path, scan(path, calculator=EMT(), identity="emt")


@pytest.mark.full
def test_cheapest_that_is_good_enough_is_written(copper):
    path, found = copper
    assert [entry.basis.kind for entry in found.entries] == ["eam+adp", "eam", "snap"]
    sound = [entry for entry in found.entries if entry.sound]
    assert len(sound) == 2
    assert found.mismatch == pytest.approx(1.5 * min(entry.force_rmse for entry in sound))
    within = [entry for entry in sound if entry.force_rmse <= found.mismatch]
    assert found.best is min(within, key=lambda entry: entry.cost)
    # the constraint holds for each, and EAM without angles costs less
    by_kind = {entry.basis.kind: entry for entry in found.entries}
    assert all(abs(entry.worst_elastic) < 0.01 for entry in sound)
    assert by_kind["eam"].cost < by_kind["eam+adp"].cost
    assert by_kind["snap"].fault.startswith("the basis cannot meet the constraint")
    assert np.isnan(by_kind["snap"].force_rmse) and not by_kind["snap"].sound
    # what was written is the chosen one, measured again on the same data
    assert found.result.config.basis == found.best.basis
    assert found.result.constrained.held_out.force_rmse == pytest.approx(
        found.best.force_rmse, rel=1e-6
    )
    assert all(
        file.parent == path.parent / "out" for file in found.result.constrained.written.files
    )


@pytest.mark.full
def test_report_of_a_scan(copper):
    path, found = copper
    files = write_scan(found, path.parent / "out")
    assert [file.name for file in files] == ["Cu.scan.md", "Cu.scan.json", "Cu.scan.png"]
    text = files[0].read_text()
    assert text.count("\n| ") == 1 + len(found.entries)
    assert text.count("**chosen**") == 1
    assert "| the basis cannot meet the constraint |" in text
    assert text.index("| eam (") < text.index("| snap (")  # what was not timed comes last
    numbers = json.loads(files[1].read_text())
    assert [entry["chosen"] for entry in numbers["entries"]].count(True) == 1
    assert numbers["entries"][2]["force_rmse"] is None
    assert files[2].stat().st_size > 5000


@pytest.mark.full
def test_what_is_done_is_kept(copper, monkeypatch):
    path, found = copper
    done = []
    monkeypatch.setattr(
        module, "distil_basis",
        lambda prepared, basis, folder, tell: done.append((basis, folder)),
    )  # fmt: skip
    again = scan(path, mismatch=1e9, calculator=EMT(), identity="emt")
    # only the chosen one is written; a looser mismatch chooses anew
    assert len(done) == 1
    assert done[0] == (again.best.basis, path.parent / "out")
    assert again.best.basis.kind == "eam"
    for entry, before in zip(again.entries, found.entries, strict=True):
        assert replace(entry, cost=0.0, force_rmse=0.0, energy_rmse=0.0) == replace(
            before, cost=0.0, force_rmse=0.0, energy_rmse=0.0
        )
    # a damaged result is computed again
    Path(found.entries[1].folder, "entry.json").write_text("{")
    monkeypatch.setattr(module, "distil_basis", _refuse)
    again = scan(path, mismatch=1e-9, calculator=EMT(), identity="emt")
    assert again.entries[1].fault == "done again"
    assert again.best is None and again.result is None
    assert "No basis is within" in scan_as_markdown(again)


def _refuse(*_):
    raise MixpiError("done again")


def entry(cost: float, error: float, **changes) -> Entry:
    basis = BasisConfig.model_validate(EAM)
    made = Entry(basis, 5, error, 1e-3, {}, {"C11": 0.001}, True, "", (), (), "", cost)
    return replace(made, **changes)


def test_choice():
    cheap, exact = entry(1.0, 0.1), entry(3.0, 0.05)
    broken = entry(0.5, 0.01, usable=False)
    soft = entry(0.6, 0.01, elastic={"C11": 0.0, "C44": -0.02})
    never_timed = entry(float("nan"), 0.01)
    no_crystal = entry(0.2, 0.01, elastic={})
    everything = [broken, soft, exact, never_timed, no_crystal, cheap]
    assert choose(everything, 0.2) is cheap
    assert choose(everything, 0.1) is cheap
    assert choose(everything, 0.07) is exact
    assert choose(everything, 0.02) is None
    assert soft.worst_elastic == -0.02


def test_ladder_is_in_units_of_the_crystal():
    small, large = ladder(bulk("Cu", "fcc", a=3.6)), ladder(bulk("Cu", "fcc", a=4.5))
    assert len({basis.model_dump_json() for basis in small}) == len(small)
    assert {basis.kind for basis in small} == {"eam", "eam+adp", "eam+uf3", "uf3"}
    for one, other in zip(small, large, strict=True):
        for kind, part in one.parts.items():
            assert other.parts[kind].cutoff == pytest.approx(1.25 * part.cutoff, abs=0.12)


@pytest.mark.parametrize("mismatch", [0.0, -1.0, float("nan")])
def test_mismatch_must_be_something(tmp_path, mismatch):
    with pytest.raises(MixpiError, match="mismatch must be larger than 0"):
        scan(write_case(tmp_path), mismatch=mismatch, calculator=EMT(), identity="emt")


def test_wrong_bases_are_found_before_anything_is_computed(tmp_path):
    for bases, message in (
        ([{"snap": {}, "eam": {}}], "or uf3 or adp beside eam"),
        ([{"adp": {}}], "exactly one of"),
        ([{"eam": {"cutoff": 4.0, "density_cutoff": 5.0}}], "must not be longer"),
        ([{"uf3": {"intervals_3b": 30}}], "too few snapshots"),
        ([{"eam": {}, "adp": {"cutoff": 2.0}}], "raise adp: cutoff"),
    ):
        path = write_case(tmp_path, scan={"bases": bases})
        with pytest.raises(MixpiError, match=message):
            scan(path, calculator=EMT(), identity="emt")
    assert not list(tmp_path.glob("data/*"))


def test_mismatch_is_for_a_scan(tmp_path, capsys):
    assert main(["distil", str(write_case(tmp_path)), "--mismatch", "0.1"]) == 1
    assert "--mismatch is for --scan" in capsys.readouterr().err
