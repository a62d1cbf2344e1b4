"""Diffusion coefficients, their errors and bounds, against walks of which they are known."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from ase.units import kB
from ipi.utils.io.backends.io_pdb import print_pdb
from mixpi import MixpiError
from mixpi.analysis.arrhenius import arrhenius
from mixpi.analysis.defects import follow_by_coordination, follow_by_sites
from mixpi.analysis.diffusion import M2_PER_S, by_the_recipe, diffusion, fit
from mixpi.analysis.displacements import (
    covariance,
    dimensions,
    independent_walkers,
    mean_squares,
    move_together,
)
from mixpi.analysis.results import Result, read_report
from mixpi.analysis.tracks import Track, follow_atoms, read_track
from mixpi.analysis.trajectories import Trajectory
from mixpi.cli import main
from walks import frames_of, gaussian, hops, vibration


SPACING = 10.0


def track(positions: np.ndarray, **more) -> Track:
    return Track("walk", np.arange(len(positions)) * SPACING, positions, **more)


def walk_with_noise(rng):
    return gaussian(rng, 600, 1, 0.1, 0.2), 0.01 / 2


def rare_hops(rng):
    return hops(rng, 1000, 1, 0.03), 0.03 / 6


def hops_of_an_atom_that_vibrates(rng):
    return hops(rng, 1000, 1, 0.03) + vibration(rng, 1000, 1, 0.8, 0.1), 0.03 / 6


@pytest.mark.full
@pytest.mark.parametrize("make", [walk_with_noise, rare_hops, hops_of_an_atom_that_vibrates])
def test_error_bars_hold_the_truth(make):
    rng = np.random.default_rng(3)
    inside, off = [], []
    for _ in range(60):
        positions, per_frame = make(rng)
        exact = per_frame / SPACING
        line = fit(track(positions))
        low, high = line.interval
        inside.append(low <= exact <= high)
        off.append(line.coefficient / exact)
    assert np.mean(inside) > 0.83
    assert np.mean(off) == pytest.approx(1.0, abs=0.1)


def test_with_a_lag_that_is_known_to_serve_the_error_is_right():
    rng = np.random.default_rng(4)
    exact = 0.01 / 2 / SPACING
    lines = [fit(track(gaussian(rng, 500, 1, 0.1)), first=SPACING) for _ in range(80)]
    off = np.array([(line.coefficient - exact) / line.error for line in lines])
    assert 0.8 < np.sqrt(np.mean(off**2)) < 1.25 and np.mean(np.abs(off) < 2) > 0.88


def test_covariance_of_the_displacements_is_that_of_many_walks():
    rng = np.random.default_rng(5)
    lags, frames, share = [1, 3, 8], 60, 0.1
    many = hops(rng, frames, 4000, share, 2.0) + rng.normal(0.0, 0.5, (frames, 4000, 3))
    each = np.array([mean_squares(many[:, [walker]], lags) for walker in range(4000)])
    found = covariance(lags, frames, share * 4.0 / 3.0, 0.25, share * 16.0)
    assert np.cov(each.T) == pytest.approx(found, rel=0.15)


def test_walkers_that_go_together_are_one():
    rng = np.random.default_rng(6)
    one = gaussian(rng, 500, 1, 0.1)
    assert independent_walkers(np.repeat(one, 8, axis=1), 1) == pytest.approx(1.0)
    assert independent_walkers(gaussian(rng, 500, 8, 0.1), 1) > 7.5
    single, copied = fit(track(one)), fit(track(np.repeat(one, 8, axis=1)))
    assert copied.error == pytest.approx(single.error)


@pytest.mark.full
@pytest.mark.parametrize(("axes", "share"), [(1, 0.88), (2, 0.88)])
def test_error_bars_of_walkers_in_fewer_dimensions(axes, share):
    """A walker along a row knows a third of what one in space does."""
    inside = []
    for seed in range(60):
        positions = gaussian(np.random.default_rng(seed), 1000, 2, 0.1)
        positions[:, :, axes:] = 0.0
        low, high = fit(track(positions)).interval
        inside.append(low <= axes / 3 * 0.01 / 2 / SPACING <= high)
    assert np.mean(inside) > share
    turned = positions @ np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    assert dimensions(turned, 5) == pytest.approx(dimensions(positions, 5))
    assert dimensions(positions, 5) == pytest.approx(axes, rel=0.1)


def test_in_space_there_are_three_dimensions():
    found = [
        dimensions(gaussian(np.random.default_rng(seed), 300, 1, 0.1), 5) for seed in range(50)
    ]
    assert np.mean(np.equal(found, 3.0)) > 0.9


@pytest.mark.full
def test_walkers_that_differ_have_an_error_of_their_number():
    """Half of them are trapped, more or fewer by chance."""
    inside, exact = [], 0.5 * 0.01 / 2 / SPACING
    for seed in range(60):
        rng = np.random.default_rng(seed)
        positions = gaussian(rng, 300, 20, 0.1)
        positions[:, rng.random(20) < 0.5] = 0.0
        line = fit(track(positions + rng.normal(0.0, 0.02, positions.shape)))
        inside.append(line.interval[0] <= exact <= line.interval[1])
        assert line.unlike
    assert np.mean(inside) > 0.83
    report = diffusion([track(positions)])
    assert "its walkers differ by more than chance" in str(report)
    alike = [fit(track(hops(np.random.default_rng(k), 300, 10, 0.05))).unlike for k in range(40)]
    assert np.mean(alike) < 0.1


def test_runs_that_are_one_are_refused():
    rng = np.random.default_rng(24)
    centroid = gaussian(rng, 400, 1, 0.1)
    beads = [track(centroid + vibration(rng, 400, 1, 0.3, 0.1)) for _ in range(2)]
    rare = hops(rng, 400, 1, 0.01)
    for runs in (beads, [track(rare), track(rare[:300] - 1.0)]):
        with pytest.raises(MixpiError, match="walk and walk move together"):
            diffusion(runs)
    # few hops at the same time are chance
    two = np.zeros((2, 400, 1, 3))
    two[0, 200:], two[1, 203:] = 1.0, 1.0
    assert not move_together(two[0], two[1])
    many = [hops(rng, 400, 1, 0.02) for _ in range(40)]
    assert not any(move_together(a, b) for k, a in enumerate(many) for b in many[:k])
    with pytest.raises(MixpiError, match="different walkers have no common D: He, W"):
        diffusion([track(centroid, of="He"), track(many[0], of="W")])


def test_the_papers_recipe():
    rng = np.random.default_rng(7)
    found = [by_the_recipe(track(gaussian(rng, 500, 1, 0.1))) for _ in range(60)]
    error = np.std(found) / np.sqrt(60)
    # its weights are of the same data as its values: what has moved little counts more
    assert np.mean(found) == pytest.approx(0.01 / 2 / SPACING, rel=0.12)
    assert error < 0.1 * np.mean(found)
    straight = np.arange(100.0)[:, None, None] * np.ones(3)
    assert np.isnan(by_the_recipe(track(straight)))


def test_several_runs_are_averaged_with_the_error_of_their_differences():
    rng = np.random.default_rng(8)
    runs = [track(gaussian(rng, 400, 1, 0.1)) for _ in range(5)]
    report = diffusion(runs)
    single = [report[f"D of run {number}"].value for number in range(1, 6)]
    assert report["D"].value == pytest.approx(np.mean(single))
    assert report["D"].error == pytest.approx(np.std(single, ddof=1) / np.sqrt(5))
    assert report["D"].value == pytest.approx(0.0005 * M2_PER_S, abs=3 * report["D"].error)


def test_what_stands_has_a_bound_and_no_coefficient():
    rng = np.random.default_rng(9)
    report = diffusion([track(vibration(rng, 500, 1, 0.5, 0.1))])
    assert report["D"].interval[0] == 0.0 and report["D"].interval[1] > 0.0
    assert "cannot be told from zero" in str(report)
    stands = track(np.zeros((500, 1, 3)), jumps=np.zeros(499, dtype=bool))
    still = diffusion([stands], jump=2.0)
    assert still["D at most (95 %)"].value == pytest.approx(
        -np.log(0.05) / (499 * SPACING) * 4.0 / 6.0 * M2_PER_S
    )
    assert "only a bound" in str(still)
    both = diffusion([stands, stands], jump=2.0)
    assert both["D"].error == np.inf
    assert both["D at most (95 %)"].value == pytest.approx(still["D at most (95 %)"].value / 2)


def test_atoms_are_followed_against_a_crystal_that_drifts(tmp_path):
    rng = np.random.default_rng(10)
    edge, own = 12.0, hops(rng, 60, 2, 0.5)
    crystal = bulk("W", "bcc", a=3.0, cubic=True).repeat(4)
    drift = np.arange(60)[:, None, None] * np.array([0.11, 0.0, -0.07])
    others = crystal.positions + rng.normal(0.0, 0.02, (60, len(crystal), 3))
    places = np.concatenate([own, others], axis=1) + drift
    symbols = ["He", "He", *crystal.get_chemical_symbols()]
    frames = frames_of(places, edge, symbols=symbols)
    free, wrapped = tmp_path / "free.extxyz", tmp_path / "wrapped.extxyz"
    write(free, frames)
    for atoms in frames:
        atoms.wrap()
    write(wrapped, frames)
    exact = own - own[0]
    for path, unwrap in ((free, False), (wrapped, True)):
        found = follow_atoms(Trajectory(path), species="He", unwrap=unwrap)
        assert found.positions == pytest.approx(exact, abs=0.02)
    assert follow_atoms(Trajectory(free), indices=[1]).positions[:, 0] == pytest.approx(
        exact[:, 1], abs=0.05
    )
    with pytest.raises(MixpiError, match="seem to be wrapped"):
        follow_atoms(Trajectory(wrapped), species="W")


def dumbbell_run(rng, frames: int, vacancy: bool = False):
    """A defect that hops to neighbouring sites of bcc, unwrapped; its path."""
    cells, edge = 5, 2.87
    crystal = bulk("Fe", "bcc", a=edge, cubic=True).repeat(cells)
    box, site, at = cells * edge, 0, np.zeros(3)
    found, path = [], []
    who = np.arange(len(crystal))  # the atom at each site
    for step in range(frames):
        if step and rng.random() < 0.4:
            way = rng.choice([-0.5, 0.5], 3) * edge
            gap = crystal.positions - crystal.positions[site] - way
            other = int(np.argmin(np.linalg.norm(gap - box * np.round(gap / box), axis=1)))
            who[[site, other]] = who[[other, site]]
            site, at = other, at + way
        places = crystal.positions[np.argsort(who)]
        if vacancy:
            places = np.delete(places, 0, axis=0)  # atom 0 is always at the defect
        else:
            split = np.array([0.45, 0.45, 0.0])
            places = np.concatenate([places, places[:1] + split])
            places[0] -= split
        places = places + rng.normal(0.0, 0.05, places.shape) + 0.05 * step
        found.append(places)
        path.append(at)
    return frames_of(np.array(found), box, symbols="Fe"), np.array(path)


@pytest.mark.parametrize("vacancy", [False, True])
def test_a_defect_is_followed_by_occupied_sites(tmp_path, vacancy):
    rng = np.random.default_rng(11)
    frames, path = dumbbell_run(rng, 80, vacancy)
    write(tmp_path / "mix.extxyz", frames)
    found = follow_by_sites(Trajectory(tmp_path / "mix.extxyz"), "bcc")
    assert found.positions[:, 0] == pytest.approx(path, abs=1e-9)
    assert np.array_equal(found.jumps, np.diff(path, axis=0).any(axis=1))
    rate = diffusion([found])["changes of site"]
    assert rate.value == pytest.approx(40.0, abs=3.5 * rate.error)  # 0.4 in 10 fs, 1/ps
    assert np.ptp(path, axis=0).max() > 5 * 2.87 / 2  # it has gone through a boundary


def test_a_dumbbell_is_followed_by_coordination(tmp_path):
    rng = np.random.default_rng(12)
    frames, path = dumbbell_run(rng, 60)
    write(tmp_path / "mix.extxyz", frames)
    found = follow_by_coordination(
        Trajectory(tmp_path / "mix.extxyz"), 1.6, {0: 0.0, 1: 1.0}
    )  # nothing but the two of the dumbbell are so close
    # three frames are averaged: where it hops, both places count
    off = np.linalg.norm(found.positions[:, 0] - (path[1:-1] - path[1]), axis=1)
    assert np.median(off) < 0.15


def test_a_defect_that_is_not_the_only_one_of_its_coordination_is_refused(tmp_path):
    frames, _ = dumbbell_run(np.random.default_rng(17), 60)
    far = 2.87 * np.array([2.5, 2.5, 2.5])
    for atoms in frames:
        atoms.append("Fe")
        atoms.positions[-1] = atoms.positions[0] + far + [0.0, 0.0, 0.4]
    write(tmp_path / "mix.extxyz", frames)
    with pytest.raises(MixpiError, match="far from one another"):
        follow_by_coordination(Trajectory(tmp_path / "mix.extxyz"), 1.6, {1: 1.0})


def test_what_is_no_line_has_no_error():
    turns = np.array([[np.cos(angle), np.sin(angle), 0.0] for angle in np.arange(400) / 20.0])
    report = diffusion([track(turns[:, None])])
    assert report["D"].error == np.inf and report["D"].interval is None
    assert "is a line within its error" in str(report)


def test_arrhenius():
    temperatures = np.array([400.0, 600.0, 800.0, 1000.0])
    rng = np.random.default_rng(13)
    off = []
    for _ in range(100):
        exact = 3e-8 * np.exp(-0.1 / (kB * temperatures))
        seen = exact * (1 + 0.05 * rng.normal(size=4))
        found = arrhenius(
            {t: Result("D", d, 0.05 * d, "m²/s") for t, d in zip(temperatures, seen, strict=True)}
        )
        energy = found["activation energy"]
        off.append((energy.value - 0.1) / energy.error)
        assert found["prefactor"].value == pytest.approx(3e-8, rel=0.4)
    assert np.mean(np.abs(off) < 2) > 0.88
    with pytest.raises(MixpiError, match="two temperatures"):
        arrhenius({300.0: Result("D", 1.0, 0.1, "m²/s")})
    with pytest.raises(MixpiError, match="above zero"):
        arrhenius({300.0: Result("D", 1.0, np.inf, "m²/s"), 400.0: Result("D", 1.0, 0.1, "m²/s")})


@pytest.mark.parametrize(("runs", "least"), [(2, 0.8), (4, 0.91)])
def test_the_activation_energy_of_few_runs(runs, least):
    """Errors of two runs are small by chance, and with their own weights would hold 75 %."""
    temperatures = np.array([400.0, 600.0, 800.0, 1000.0])
    exact = 3e-8 * np.exp(-0.1 / (kB * temperatures))
    rng, inside = np.random.default_rng(runs), []
    for _ in range(300):
        seen = exact * (1 + 0.2 * rng.normal(size=(runs, 4)))
        points = zip(seen.mean(axis=0), seen.std(axis=0, ddof=1) / np.sqrt(runs), strict=True)
        rows = [Result("D", value, error, "m²/s", runs) for value, error in points]
        energy = arrhenius(dict(zip(temperatures, rows, strict=True)))["activation energy"]
        inside.append(abs(energy.value - 0.1) < 2 * energy.error)
    assert np.mean(inside) > least
    rows[0] = Result("D", 1e-10, 0.8e-10, "m²/s")
    report = arrhenius(dict(zip(temperatures, rows, strict=True)))
    assert "D at 400 K cannot be told from zero" in str(report)


def test_the_command(tmp_path, capsys):
    rng = np.random.default_rng(14)
    for number, step in ((400, 0.1), (600, 0.2)):
        frames = frames_of(gaussian(rng, 200, 3, step), 20.0)
        write(tmp_path / f"{number}.extxyz", frames)
        words = f"analyse diffusion {tmp_path}/{number}.extxyz --species He --with-drift"
        out = f" --json {tmp_path}/{number}.json --picture {tmp_path}/{number}.png"
        assert main((words + out).split()) == 0
    assert "m²/s" in capsys.readouterr().out
    assert (tmp_path / "600.png").stat().st_size > 1000
    again = read_report(tmp_path / "600.json")
    assert again["D"].value == pytest.approx(0.04 / 2 / SPACING * M2_PER_S, rel=0.3)
    points = f"400={tmp_path}/400.json 600={tmp_path}/600.json"
    words = f"analyse arrhenius {points} --json {tmp_path}/a.json --picture {tmp_path}/a.png"
    assert main(words.split()) == 0
    again = f"analyse arrhenius 400={tmp_path}/400.json 600={tmp_path}/400.json"
    assert main(again.split()) == 1
    assert "400.extxyz is in two of the runs" in capsys.readouterr().err
    energy = json.loads((tmp_path / "a.json").read_text())["results"][0]
    exact = np.log(4.0) * kB / (1 / 400 - 1 / 600)
    assert energy["value"] == pytest.approx(exact, abs=4 * energy["error"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("diffusion a.extxyz a.extxyz --species He", "a.extxyz is given twice"),
        ("diffusion a.extxyz --defect sites", "needs --lattice"),
        ("diffusion a.extxyz --defect coordination", "needs --cutoff"),
        ("diffusion a.extxyz --species He --picture a.txt", "a picture is a .png, .pdf or .svg"),
        ("diffusion b.extxyz --species He", "b.extxyz: it does not exist"),
        ("diffusion a.extxyz", "what diffuses? Say --species, --atoms or --defect"),
        ("diffusion a.extxyz --species He --keep a.json", "a file that ends in .npz: not a.json"),
        ("diffusion a.extxyz b.extxyz --species He --keep a.npz", "--keep is for one run"),
        ("diffusion a.npz", "a.npz is no track: give what"),
        ("diffusion a.npz --species He", "a.npz is a kept track: whose it is"),
        ("arrhenius a.json", "'a.json' is not T=FILE"),
        ("arrhenius 300=b.json", "No such file"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    write("a.extxyz", frames_of(gaussian(np.random.default_rng(19), 60, 2, 0.1), 20.0))
    (tmp_path / "a.npz").write_text("no numbers")
    assert main(["analyse", *words.split()]) == 1
    assert message in capsys.readouterr().err


def test_a_kept_track_stands_for_its_trajectory(tmp_path, capsys):
    rng = np.random.default_rng(20)
    whole, kept = [], []
    for number in range(2):
        path, small = tmp_path / f"{number}.extxyz", tmp_path / f"{number}.npz"
        places = gaussian(rng, 400, 1, 0.2)
        rest = np.zeros_like(places)
        both = np.concatenate([places, rest], axis=1)
        write(path, frames_of(both, 50.0, symbols=["He", "W"]))
        words = ["analyse", "diffusion", str(path), "--species", "He", "--skip", "500"]
        assert main([*words, "--keep", str(small)]) == 0
        whole.append(follow_atoms(Trajectory(path, skip=500.0), species="He"))
        kept.append(read_track(small))
        np.testing.assert_allclose(kept[-1].positions, whole[-1].positions, atol=0.51e-3)
        np.testing.assert_allclose(kept[-1].times, whole[-1].times)
        assert small.stat().st_size < 4000 and kept[-1].name == str(small)
    capsys.readouterr()
    out = tmp_path / "D.json"
    assert main(["analyse", "diffusion", *(one.name for one in kept), "--json", str(out)]) == 0
    exact, found = diffusion(whole), read_report(out)
    assert found["D"].value == pytest.approx(exact["D"].value, rel=1e-3)
    assert found["D"].error == pytest.approx(exact["D"].error, rel=1e-2)


def test_a_kept_track_knows_of_jumps(tmp_path):
    positions = hops(np.random.default_rng(21), 500, 1, 0.05)
    jumps = np.any(np.diff(positions[:, 0], axis=0) != 0.0, axis=1)
    track(positions, jumps=jumps, notes=("odd",), of="He").write(tmp_path / "one.npz")
    found = read_track(tmp_path / "one.npz")
    np.testing.assert_array_equal(found.jumps, jumps)
    np.testing.assert_allclose(found.positions, positions, atol=1e-9)
    assert found.notes == ("odd",) and found.of == "He"
    # the same bytes each time: a repository sees no change where there is none
    found.write(tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_bad_input_is_named(tmp_path):
    rng = np.random.default_rng(15)
    frames = frames_of(gaussian(rng, 60, 2, 0.05), 10.0)
    path = tmp_path / "mix.extxyz"
    write(path, frames)
    for wrong, options in (
        ("no atom of species 'W': there are He", {"species": "W"}),
        ("no atom 7: its 2 atoms are numbered from 0 to 1", {"indices": [7]}),
        ("no atoms are chosen", {}),
    ):
        with pytest.raises(MixpiError, match=wrong):
            follow_atoms(Trajectory(path), **options)
    with pytest.raises(MixpiError, match="10 frames are too few"):
        follow_atoms(Trajectory(path, skip=500.0), species="He")
    with pytest.raises(MixpiError, match="do not fit into 60 frames"):
        fit(track(gaussian(rng, 60, 1, 0.1)), first=400.0)
    with pytest.raises(MixpiError, match="not one interstitial nor one vacancy"):
        follow_by_sites(Trajectory(path), "bcc")
    write(path, frames[:30] + frames[29:])
    with pytest.raises(MixpiError, match="not evenly spaced"):
        follow_atoms(Trajectory(path), species="He")
    frames[40].positions[1] += 4.0
    write(path, frames)
    with pytest.raises(MixpiError, match="cannot be told"):
        follow_atoms(Trajectory(path), species="He", unwrap=True)
    frames[40].set_cell([11.0] * 3)
    write(path, frames)
    with pytest.raises(MixpiError, match="cell changes"):
        follow_atoms(Trajectory(path), species="He")
    del frames[0].info["time"]
    write(path, frames)
    with pytest.raises(MixpiError, match="has no 'time'"):
        follow_atoms(Trajectory(path), species="He")


def test_what_ipi_writes_beside_positions_is_refused(tmp_path):
    frames = frames_of(gaussian(np.random.default_rng(18), 40, 2, 0.05), 10.0)
    path = tmp_path / "md.extxyz"
    for told, fits in (
        ("positions{ase}  cell{ase}", True),
        ("velocities{ase}  cell{ase}", False),
        ("positions{atomic_unit}  cell{atomic_unit}", False),
    ):
        for number, atoms in enumerate(frames):
            atoms.info = {"ipi_comment": f"Step:  {number}  Bead:  0 {told}"}
        write(path, frames)
        if fits:
            assert follow_atoms(Trajectory(path, spacing=10.0), species="He").spacing == 10.0
        else:
            with pytest.raises(MixpiError, match="positions in Å are needed"):
                follow_atoms(Trajectory(path, spacing=10.0), species="He")


@pytest.mark.parametrize("told", ["i-PI", "mixpi", None])
def test_spacing_is_not_believed_of_frames_that_are_there_twice_or_missing(tmp_path, told):
    """As a run leaves them that was started again from a checkpoint before its last frame."""
    frames = frames_of(gaussian(np.random.default_rng(22), 60, 2, 0.05), 10.0)
    for number, atoms in enumerate(frames):
        atoms.info = {
            "i-PI": {"ipi_comment": f"Step: {5 * number}  Bead: 0 positions{{ase}} cell{{ase}}"},
            "mixpi": {"step": 5 * number},
            None: {},
        }[told]
    path = tmp_path / "md.extxyz"
    write(path, frames)
    assert len(follow_atoms(Trajectory(path, spacing=10.0), species="He").times) == 60
    wrong = {"once more": frames[:31] + frames[30:]}
    if told:
        again = "frame 31: it is of step 150, after 145 and 150"
        wrong = {
            again: frames[:31] + frames[30:],
            "frame 31: it is of step 160": frames[:31] + frames[32:],
            "frame 40: it is of step 150": frames[:40] + frames[30:],
        }
    for words, held in wrong.items():
        write(path, held)
        with pytest.raises(MixpiError, match=words):
            follow_atoms(Trajectory(path, spacing=10.0), species="He")


def test_positions_that_are_no_numbers_are_refused(tmp_path):
    frames = frames_of(gaussian(np.random.default_rng(23), 60, 2, 0.05), 10.0)
    frames[40].positions[1, 2] = np.nan
    write(tmp_path / "mix.extxyz", frames)
    with pytest.raises(MixpiError, match="frame 40: the position of atom 1 is not finite"):
        follow_atoms(Trajectory(tmp_path / "mix.extxyz"), indices=[0])


def test_pdb_in_atomic_units_is_refused(tmp_path):
    """ASE takes i-PI's numbers for Å, whatever its title says."""
    path = tmp_path / "md.pdb"
    for told, fits in (("angstrom", True), ("atomic_unit", False)):
        with path.open("w") as stream:
            for number in range(40):
                atoms = SimpleNamespace(q=np.full(3, 0.1 * number), names=["He"], natoms=1)
                cell = SimpleNamespace(h=np.diag([20.0] * 3))
                title = f"Step: {number} Bead: 0 positions{{{told}}} cell{{{told}}}"
                print_pdb(atoms, cell, stream, title=title)
        if fits:
            assert len(follow_atoms(Trajectory(path, spacing=1.0), indices=[0]).times) == 40
        else:
            with pytest.raises(MixpiError, match="positions in Å are needed"):
                follow_atoms(Trajectory(path, spacing=1.0), indices=[0])


def test_the_frame_that_a_running_simulation_has_half_written_is_left_out(tmp_path):
    rng = np.random.default_rng(16)
    path = tmp_path / "mix.extxyz"
    write(path, frames_of(gaussian(rng, 40, 2, 0.05), 10.0))
    text = path.read_text()
    path.write_text(text[: text.rindex("He") + 12])
    assert len(follow_atoms(Trajectory(path), species="He").times) == 39
    # cut within the last number, which is a number all the same
    path.write_text(text[:-4])
    assert len(follow_atoms(Trajectory(path), species="He").times) == 39
    path.write_text(text)
    assert len(follow_atoms(Trajectory(path), species="He").times) == 40
    path.write_text(text.replace("He", "1e", 5))
    with pytest.raises(MixpiError, match="cannot be read"):
        follow_atoms(Trajectory(path), species="He")
