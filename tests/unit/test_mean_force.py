"""Mean forces of forces that were drawn, and runs side by side or as one."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from mixpi import MixpiError
from mixpi.analysis.combining import combine
from mixpi.analysis.comparing import compare
from mixpi.analysis.mean_force import mean_force
from mixpi.analysis.reflection import Fate, reflection
from mixpi.analysis.results import Report, Result, read_report
from mixpi.analysis.trajectories import Trajectory
from mixpi.cli import main
from scipy.signal import lfilter
from scipy.stats import ttest_ind_from_stats


def noise(rng, n: int, memory: float) -> np.ndarray:
    kicks = rng.normal(0.0, np.sqrt(1.0 - memory**2), n + 500)
    return lfilter([1.0], [1.0, -memory], kicks)[500:]


def stretched(rng, frames: int, force: float, memory: float = 0.5) -> list[Atoms]:
    """A bond across the boundary along (1, 1, 0) that pulls by ``force`` on either side."""
    unit = np.array([1.0, 1.0, 0.0]) / np.sqrt(2.0)
    found = []
    for number, kick in enumerate(noise(rng, frames, memory)):
        atoms = Atoms("Si3", np.zeros((3, 3)), cell=[10.0] * 3, pbc=True)
        atoms.positions[0] = 0.3 + 9.0 * np.array([0, 0, 1])
        atoms.positions[1] = atoms.positions[0] - 2.5 * unit + [10.0, 10.0, 0.0]
        pull = (force + 0.4 * kick) * unit
        atoms.arrays["forces"] = np.array([-pull, pull, [7.0, 7.0, 7.0]])
        atoms.info = {"time": 5.0 * number}
        found.append(atoms)
    return found


@pytest.mark.full
def test_the_sum_of_what_pulls_on_a_bond(tmp_path):
    path = tmp_path / "mix.extxyz"
    off, errors = [], []
    for seed in range(12):
        write(path, stretched(np.random.default_rng(seed), 300, 1.2))
        found = mean_force([Trajectory(path)], bond=(0, 1))["force"]
        off.append((found.value - 2.4) / found.error)
        errors.append(found.error)
    # twice the noise of one side, worth a third of its samples
    assert np.mean(errors) == pytest.approx(0.8 * np.sqrt(3.0 / 300), rel=0.2)
    assert np.max(np.abs(off)) < 3.5
    reverse = mean_force([Trajectory(path)], bond=(1, 0))["force"]
    assert reverse.value == pytest.approx(found.value)


def test_the_force_on_atoms_along_a_direction(tmp_path):
    path = tmp_path / "mix.extxyz"
    frames = stretched(np.random.default_rng(1), 60, 1.2)
    options = {"atoms": [0, 1, 2], "direction": (0, 0, -2.0)}
    write(path, frames)
    with pytest.raises(MixpiError, match="-7 eV/Å in all 60 frames"):
        mean_force([Trajectory(path)], **options)
    for sign, atoms in zip([1, -1] * 30, frames, strict=True):
        atoms.arrays["forces"][2, 2] += sign
    write(path, frames)
    assert mean_force([Trajectory(path)], **options)["force"].value == pytest.approx(-7.0)


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_bond_keeps_its_image(tmp_path, wrapped):
    """It grows past half of a leaning cell, where another image becomes the shorter one."""
    cell = np.array([[8.0, 0.0, 0.0], [3.9, 7.0, 0.0], [0.0, 0.0, 20.0]])
    frames = []
    for number in range(20):
        length = 3.0 + 0.1 * number
        atoms = Atoms("Si2", [[0.1, 0.1, 0.1], [0.1 + length, 0.1, 0.1]], cell=cell, pbc=True)
        pull = 1.0 + 0.1 * (-1) ** number
        atoms.arrays["forces"] = np.array([[pull, 0.0, 0.0], [-pull, 0.0, 0.0]])
        atoms.info = {"time": 5.0 * number}
        atoms.positions += 0.5 * number
        if wrapped:
            atoms.wrap()
        frames.append(atoms)
    path = tmp_path / "mix.extxyz"
    write(path, frames)
    found = mean_force([Trajectory(path)], bond=(0, 1))
    assert found["force"].value == pytest.approx(2.0)
    np.testing.assert_allclose(found.curves["runs"][0]["force_eV_A"], [2.2, 1.8] * 10)
    write(path, frames[10:])
    with pytest.raises(MixpiError, match="apart, and 4 Å through another side"):
        mean_force([Trajectory(path)], bond=(0, 1))


def test_a_bond_of_a_cell_that_is_not_periodic_is_what_it_is(tmp_path):
    frames = stretched(np.random.default_rng(1), 20, 1.2)
    for number, atoms in enumerate(frames):
        atoms.positions[:2] = [[1.0, 1.0, 1.0], [8.0, 1.0, 1.0]]
        pull = 1.0 + 0.1 * (-1) ** number
        atoms.arrays["forces"][:2] = [[pull, 0.0, 0.0], [-pull, 0.0, 0.0]]
        atoms.pbc = [False, True, True]
    write(tmp_path / "mix.extxyz", frames)
    found = mean_force([Trajectory(tmp_path / "mix.extxyz")], bond=(0, 1))
    assert found["force"].value == pytest.approx(2.0)


def test_against_a_reference(tmp_path, capsys):
    for number, force in enumerate((1.2, 1.2, 1.5)):
        write(tmp_path / f"{number}.extxyz", stretched(np.random.default_rng(number), 300, force))
    runs = [f"{tmp_path}/{number}.extxyz" for number in range(3)]
    words = ["analyse", "mean-force", "--bond", "0", "1"]
    assert main([*words, "--json", f"{tmp_path}/full.json", runs[0]]) == 0
    picture = ["--picture", f"{tmp_path}/f.png", "--json", f"{tmp_path}/two.json"]
    assert main([*words, *picture, "--reference", f"{tmp_path}/full.json", *runs[1:]]) == 0
    assert "standard errors from the reference" in capsys.readouterr().out
    assert (tmp_path / "f.png").stat().st_size > 1000
    away = [float(note.split()[3]) for note in read_report(tmp_path / "two.json").notes]
    assert abs(away[0]) < 3.5 and away[1] > 4.0
    assert read_report(tmp_path / "two.json").of == "bond 0-1"
    assert main([*words, "--reference", f"{tmp_path}/full.json", runs[0]]) == 1
    assert "they are not independent" in capsys.readouterr().err


def test_bad_forces_are_named(tmp_path):
    frames = stretched(np.random.default_rng(2), 20, 1.0)
    path = tmp_path / "mix.extxyz"

    def refuses(words: str, **options):
        write(path, frames)
        with pytest.raises(MixpiError, match=words):
            mean_force([Trajectory(path)], **options)

    refuses("either a bond or a direction")
    refuses("no atom 3", bond=(0, 3))
    refuses("two different atoms", bond=(1, 1))
    refuses("three components", atoms=[0], direction=(0, 0, 0))
    refuses("no atoms are chosen", direction=(0, 0, 1))
    frames[4].arrays["forces"][1] = np.nan
    refuses("forces at 20 fs are not finite", bond=(0, 1))
    del frames[3].arrays["forces"]
    refuses("frame at 15 fs has no forces", bond=(0, 1))
    frames[0].arrays["correction_forces"] = frames[0].arrays.pop("forces")
    refuses("the correction only", bond=(0, 1))


def one(name: str, value: float, error: float, units: str = "K") -> Report:
    results = (Result("core", value, error, units), Result(name, 1.0, np.inf, units))
    return Report("temperature", (f"{value}.extxyz",), results)


def test_runs_side_by_side():
    report = compare({"mixed": one("a", 306.0, 3.0), "cheap": one("b", 290.0, 4.0),
                      "full": one("c", 300.0, 4.0)})  # fmt: skip
    off = report["core, mixed − full"]
    assert off.value == pytest.approx(6.0) and off.error == pytest.approx(5.0)
    assert report.curves["standard_errors"]["core, mixed − full"] == pytest.approx(1.2)
    # what is further than 1.2 standard errors by chance: 23 %
    assert "+1.2 standard errors (by chance as far: 23 %)" in str(report)
    assert report["core, cheap − full"].value == pytest.approx(-10.0)
    unsure = compare({"x": one("a", 1.0, 0.1), "y": one("a", 2.0, 0.1)}, ["a"], "x")
    assert "nothing can be said" in str(unsure)


def test_what_does_not_compare():
    mixed, full = one("a", 306.0, 3.0), one("b", 300.0, 4.0)
    for words, reports, names, reference in (
        ("two runs at least", {"mixed": mixed}, (), None),
        ("the reference is nobody", {"mixed": mixed, "full": full}, (), "nobody"),
        ("has no result 'b': it has core, a", {"mixed": mixed, "full": full}, ["b"], None),
        ("not independent", {"mixed": mixed, "again": mixed}, (), None),
        ("different units", {"mixed": mixed, "full": one("b", 1.0, 1.0, "eV")}, (), None),
        ("different analyses", {"mixed": mixed, "full": Report("drift", (), ())}, (), None),
        ("in common", {"mixed": mixed, "full": Report("temperature", (), ())}, (), None),
    ):
        with pytest.raises(MixpiError, match=words):
            compare(reports, names, reference)


def test_chance_is_that_of_few_runs_where_errors_are_of_few():
    def of(value: float, runs: float) -> Report:
        result = Result("D", value, 1.0, "m²/s", runs)
        return Report("diffusion", (f"{value}.npz",), (result,))

    # two runs of two: Student's t of two degrees of freedom
    few = compare({"mixed": of(3.0, 2), "full": of(6.0, 2)})
    assert f"by chance as far: {100 * ttest(3, 6, 1.0, 2):.2g} %" in str(few)
    # a mean without error of its own changes nothing, nor do many samples
    many = compare({"mixed": of(3.0, 1e9), "full": of(6.0, np.nan)})
    assert "by chance as far: 3.4 %" in str(many)


def ttest(one: float, other: float, error: float, runs: int) -> float:
    """Welch's, by SciPy."""
    spread = error * np.sqrt(runs)
    return ttest_ind_from_stats(one, spread, runs, other, spread, runs, equal_var=False).pvalue


def test_one_run_under_two_names_and_results_of_different_things():
    run, copy = run_of(1.0, 0.1, 50, "/a/mix.extxyz"), run_of(1.0, 0.1, 50, "mix.extxyz")
    other = replace(run_of(1.2, 0.1, 50), of="bond 4-5")
    for function in (compare, combine):
        with pytest.raises(MixpiError, match="a and b hold the same numbers to the last digit"):
            function({"a": run, "b": copy})
    shots = [reflection([Fate("implanted", d)] * 2, ()) for d in (3.0, 4.0, 3.0)]
    assert compare({"a": shots[0], "b": shots[1]})["reflected, a − b"].value == 0.0
    with pytest.raises(MixpiError, match="the same numbers"):
        compare({"a": shots[0], "b": shots[2]})
    bond = replace(run, of="bond 0-1")
    with pytest.raises(MixpiError, match="a of bond 0-1, b of bond 4-5"):
        combine({"a": bond, "b": other})
    assert "different things are compared: bond 0-1, bond 4-5" in str(
        compare({"a": bond, "b": other})
    )
    assert combine({"a": bond, "b": run_of(1.2, 0.1)}).of == "bond 0-1"  # older ones do not tell


def test_notes_of_the_runs_are_handed_on():
    run, other = (replace(run_of(v, 0.1), notes=("too few",)) for v in (1.0, 1.1))
    assert {"a: too few", "b: too few"} <= set(compare({"a": run, "b": other}).notes)
    assert {"a: too few", "b: too few"} <= set(combine({"a": run, "b": other}).notes)


def run_of(value: float, error: float, samples: float = np.nan, file: str = "") -> Report:
    result = Result("force", value, error, "eV/Å", samples)
    return Report("mean-force", (file or f"{value}.extxyz",), (result,))


def test_runs_that_are_one():
    rows = {"a": (1.0, 0.1, 100), "b": (1.1, 0.1, 100), "c": (1.15, 0.2, 25)}
    three = {name: run_of(*row) for name, row in rows.items()}
    found = combine(three)
    force = found["force"]
    # by hand: (100·1.0 + 100·1.1 + 25·1.15) / 225
    assert force.value == pytest.approx(1.0611111) and force.independent == 225
    assert force.error == pytest.approx(np.hypot(np.hypot(10, 10), 5) / 225)
    assert found.analysis == "mean-force" and len(found.files) == 3
    assert found.notes == ("3 runs",)
    # without counts of samples they are worth the same
    alike = combine({"a": run_of(1.0, 0.1), "b": run_of(1.2, 0.3)})["force"]
    assert alike.value == pytest.approx(1.1)
    assert alike.error == pytest.approx(np.hypot(0.1, 0.3) / 2)


def test_runs_that_do_not_agree_have_a_larger_error():
    found = combine({"a": run_of(1.0, 0.1), "b": run_of(2.0, 0.1)})
    # the error of a mean of two values is half their distance
    assert found["force"].error == pytest.approx(0.5)
    assert "the runs do not agree" in found.notes[1]


def test_errors_of_combined_runs_are_true():
    rng, off = np.random.default_rng(3), []
    for _ in range(400):
        errors = rng.uniform(0.05, 0.4, 4)
        drawn = zip(rng.normal(3.0, errors), errors, "abcd", strict=True)
        runs = {file: run_of(value, error, error**-2.0, file) for value, error, file in drawn}
        force = combine(runs)["force"]
        off.append((force.value - 3.0) / force.error)
    # never too small; up to a fifth too large, because a scatter that is large by chance counts
    assert 0.8 < np.std(off) < 1.05 and abs(np.mean(off)) < 0.2


def test_what_does_not_combine():
    run, other = run_of(1.0, 0.1), run_of(2.0, 0.1)
    for words, reports in (
        ("nothing to combine", {}),
        ("not independent", {"a": run, "b": run}),
        ("different analyses", {"a": run, "b": Report("drift", (), ())}),
        ("force is not in all runs", {"a": run, "b": Report("mean-force", (), ())}),
        ("no error in one of the runs", {"a": run, "b": run_of(2.0, np.inf)}),
        ("different units", {"a": one("f", 1.0, 1.0, "eV"), "b": one("f", 2.0, 1.0)}),
    ):
        with pytest.raises(MixpiError, match=words):
            combine(reports)
    assert combine({"a": run, "b": other})["force"].value == pytest.approx(1.5)


def test_the_command_combines_what_runs_have_left(tmp_path, capsys):
    words = ["analyse", "mean-force", "--bond", "0", "1"]
    for seed in range(2):
        path = tmp_path / f"{seed}.extxyz"
        write(path, stretched(np.random.default_rng(seed), 300, 1.2))
        assert main([*words, "--json", f"{tmp_path}/{seed}.json", str(path)]) == 0
    kept = json.loads((tmp_path / "0.json").read_text())["curves"]["runs"]
    assert kept[0]["spacing_fs"] == 5.0 and len(kept[0]["force_eV_A"]) == 300
    single = read_report(tmp_path / "0.json")["force"]
    assert np.mean(kept[0]["force_eV_A"]) == pytest.approx(single.value, abs=1e-4)
    both = [f"{tmp_path}/{seed}.json" for seed in range(2)]
    assert main(["analyse", "combine", *both, "--picture", f"{tmp_path}/both.png"]) == 0
    assert "note: 2 runs" in capsys.readouterr().out
    assert (tmp_path / "both.png").stat().st_size > 1000


def test_the_command_compares_what_json_holds(tmp_path, capsys):
    one("a", 306.0, 3.0).write(tmp_path / "mixed.json")
    one("a", 300.0, 4.0).write(tmp_path / "full.json")
    words = f"analyse compare mixed={tmp_path}/mixed.json full={tmp_path}/full.json --of core"
    assert main([*words.split(), "--picture", f"{tmp_path}/c.png"]) == 0
    assert "core, mixed − full  6.0 ± 5.0 K" in capsys.readouterr().out
    assert (tmp_path / "c.png").stat().st_size > 1000
    (tmp_path / "full.json").write_text("[1]")
    assert main(words.split()) == 1
    assert "no result of mixpi analyse" in capsys.readouterr().err
