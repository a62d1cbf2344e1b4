"""Steps, evaluations and parts of a run: multiple time steps, restarts, what the files hold."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from ase.build import bulk, make_supercell
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.units import Bohr
from conftest import PES, command_driver, faulty_driver, silicon
from mixpi.cli import main
from mixpi.output.records import read_steps
from test_faults import evaluations, run, steps_in, wait_for


MTS = """<dynamics mode='nve'><timestep units='femtosecond'>2</timestep><nmts>[1,4]</nmts>
</dynamics>"""


def with_mts(case, mix: str, other: str | None = None) -> None:
    """The mixing layer on some levels; on others a force field that i-PI has itself."""
    text = case.input.read_text()
    forces = f"<force forcefield='mix'><mts_weights>{mix}</mts_weights></force>"
    if other:
        text = text.replace(
            "<system>",
            "<ffdirect name='own'><pes>harmonic</pes><parameters>{k1: 1e-3}</parameters></ffdirect>"
            "<system>",
        )
        forces += f"<force forcefield='own'><mts_weights>{other}</mts_weights></force>"
    text = text.replace("<force forcefield='mix'/>", forces)
    case.input.write_text(text)


@pytest.mark.parametrize(
    ("mix", "other", "per_step"), [("[1,0]", "[0,1]", 1), ("[0,1]", None, 4), ("[1,1]", None, 4)]
)
def test_multiple_time_steps_are_counted_in_steps(make_case, mix, other, per_step):
    case = make_case(steps=20, dynamics=MTS)
    with_mts(case, mix, other)
    done = run(case)
    assert done.returncode == 0, done.stderr
    steps = read_steps(case.folder / "mix.steps")
    np.testing.assert_array_equal(np.unique(steps["step"]), np.arange(21))
    assert len(steps["step"]) == 1 + 20 * per_step
    assert np.count_nonzero(np.diff(steps["step"])) == 20, "rows of a step stand together"
    frames = read(case.folder / "mix.extxyz", ":")
    assert [frame.info["step"] for frame in frames] == [0, 10, 20]
    np.testing.assert_allclose([frame.info["time"] for frame in frames], [0, 20, 40])
    for frame, positions in zip(frames, case.positions(), strict=True):
        np.testing.assert_allclose(frame.positions, positions, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "mix, other", [pytest.param("[1,0]", "[0,1]", marks=pytest.mark.slow), ("[0,1]", None)]
)
def test_multiple_time_steps_continue_with_the_right_number(make_case, mix, other):
    reference = make_case(folder="reference", steps=30, dynamics=MTS)
    with_mts(reference, mix, other)
    assert run(reference).returncode == 0
    case = make_case(folder="case2", steps=30, dynamics=MTS)
    with_mts(case, mix, other)
    stop_at(case, 7)
    again(case)
    same_as(case, reference, last=30)


def stop_at(case, step: int) -> None:
    """Run slowly, stop by SIGTERM behind a step."""
    good = case.config["expensive"]["command"]
    case.config["expensive"]["command"] = faulty_driver("slow", 0.15)
    process = case.start()
    wait_for(lambda: evaluations(case) and read_steps(case.folder / "mix.steps")["step"][-1] > step)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    case.config["expensive"]["command"] = good


def again(case, name: str = "RESTART") -> None:
    done = case.mixpi("run", name, "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr


def same_as(case, reference, last: int) -> None:
    """All that both have written is the same: no row or frame twice, none missing."""
    found, wanted = (read_steps(c.folder / "mix.steps") for c in (case, reference))
    for name in ("step", "evaluation"):
        np.testing.assert_array_equal(found[name], wanted[name])
    assert found["step"][-1] == last
    for name in ("potential", "work_0", "net_force"):
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-5)
    files = [p.name for p in reference.folder.iterdir() if p.name.startswith(("md.", "mix"))]
    for name in files:
        if name.endswith(".extxyz") or name == "md.out":
            assert steps_in(case.folder / name) == steps_in(reference.folder / name), name
    rows = [np.loadtxt(c.folder / "md.out") for c in (case, reference)]
    np.testing.assert_allclose(*rows, rtol=1e-6, atol=1e-5)


@pytest.mark.full
def test_restart_from_an_older_checkpoint(make_case):
    """What was written after the checkpoint is computed again, and stands once."""

    def make(folder):
        case = make_case(folder=folder, steps=40, beads=2, stride=4)
        case.config["expensive"]["command"] = command_driver("toy")
        case.config["output"] = {"stride": 3, "forces": True, "velocities": True}
        text = case.input.read_text()
        checkpoint = "<checkpoint filename='chk' stride='7' overwrite='False'/></output>"
        case.input.write_text(text.replace("</output>", checkpoint))
        return case

    reference, case = make("reference"), make("case2")
    assert run(reference).returncode == 0
    assert run(case).returncode == 0
    assert {f"mix_{bead}.extxyz" for bead in (0, 1)} <= {p.name for p in case.folder.iterdir()}
    # a trajectory that was cut in the middle of a frame, as by a full disk
    broken = case.folder / "mix_1.extxyz"
    broken.write_bytes(broken.read_bytes()[:-700])
    step = int(ElementTree.parse(case.folder / "md.chk_2").findtext("step"))
    assert 3 < step < 37
    again(case, "md.chk_2")
    assert (case.folder / "mix.steps").read_text().count(f"# continued from step {step}") == 1
    same_as(case, reference, last=40)
    kept = [p.name for p in case.folder.iterdir() if p.name.startswith("#md.out")]
    assert kept, "what was cut off is kept"
    frame = read(case.folder / "mix_0.extxyz", -1)
    np.testing.assert_allclose(
        frame.get_forces(),
        read(reference.folder / "mix_0.extxyz", -1).get_forces(),
        atol=1e-6,
    )


@pytest.mark.slow
def test_a_half_written_frame_is_cut_off_when_the_run_goes_on(make_case):
    case = make_case(steps=30, stride=1)
    stop_at(case, 11)
    for name in ("mix.extxyz", "md.pos_0.extxyz", "md.out", "mix.steps"):
        with (case.folder / name).open("a") as stream:
            stream.write("64\nProperties=species:S:1:pos:R:3 step=" if "xyz" in name else "17 3.1")
    again(case)
    assert steps_in(case.folder / "md.pos_0.extxyz") == list(range(31))
    assert steps_in(case.folder / "mix.extxyz") == [0, 10, 20, 30]
    assert steps_in(case.folder / "md.out") == list(range(31))
    np.testing.assert_array_equal(read_steps(case.folder / "mix.steps")["step"], np.arange(31))


@pytest.mark.slow
def test_continued_by_hand_with_plain_i_pi(make_case):
    reference = make_case(folder="reference", steps=25)
    assert run(reference).returncode == 0
    case = make_case(folder="case2", steps=25)
    stop_at(case, 6)
    step = int(ElementTree.parse(case.folder / "RESTART").findtext("step"))
    ipi = case.start_i_pi("RESTART")
    drivers = []
    for pool in ("cheap", "expensive"):
        address = case.config[pool]["socket"]["address"]
        words = case.config[pool]["command"].format(address=address).split()
        drivers.append(subprocess.Popen(words, cwd=case.folder))
    ipi.communicate(timeout=60)
    assert ipi.returncode == 0
    assert [driver.wait(20) for driver in drivers] == [0, 0]
    assert f"# continued from step {step}" in (case.folder / "mix.steps").read_text()
    same_as(case, reference, last=25)


@pytest.mark.full
def test_a_new_run_puts_the_old_files_aside(make_case):
    case = make_case(steps=12)
    assert run(case).returncode == 0
    first = (case.folder / "mix.extxyz").read_text()
    assert run(case).returncode == 0
    assert (case.folder / "#mix.extxyz#0#").read_text() == first
    np.testing.assert_array_equal(read_steps(case.folder / "mix.steps")["step"], np.arange(13))


@pytest.mark.slow
def test_an_old_restart_does_not_continue_another_run(make_case):
    case = make_case(steps=12, cheap={"command": command_driver("toy")})
    assert run(case).returncode == 0
    old = (case.folder / "RESTART").read_bytes()
    xml = case.input.read_text()
    case.input.write_text(xml.replace("<seed>31415<", "<seed>27182<"))
    good = case.config["expensive"]["command"]
    case.config["expensive"]["command"] = faulty_driver("slow", 0.2)
    process = case.start()
    wait_for(lambda: (case.folder / "#mix.steps#0#").exists() and evaluations(case) >= 2)
    process.kill()  # as hard as it gets: nothing is written any more
    process.communicate()
    for pid in case.processes():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not case.processes())
    assert (case.folder / "#RESTART#0#").read_bytes() == old
    assert not (case.folder / "RESTART").exists()
    # by force: said aloud, because energies and files do not belong together
    case.config["expensive"]["command"] = good
    case.input.write_text(xml.replace("<seed>31415<", "<seed>27182<"))
    assert run(case).returncode == 0
    longer = re.sub(rb"<total_steps>\s*12\s*<", b"<total_steps>15<", old)
    (case.folder / "RESTART").write_bytes(longer)
    done = case.mixpi("run", "RESTART", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "the RESTART is not of this run, or the cheap potential has changed" in done.stderr


@pytest.mark.slow
def test_changed_radii_of_a_continued_run_are_said_aloud(make_case):
    case = make_case(steps=30)
    stop_at(case, 5)
    case.config["regions"]["core"] = 3.5
    done = case.mixpi("run", "RESTART", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "seeds or radii have changed" in done.stderr


def test_frames_are_in_the_frame_of_the_users_file(make_case):
    atoms = make_supercell(bulk("Si", a=5.46), [[4, 0, 0], [1, 4, 0], [0, 1, 5]])
    atoms.rattle(0.05, seed=8)
    atoms.rotate(37, (1, 2, 3), rotate_cell=True)
    case = make_case(atoms, steps=2, stride=1)
    case.config["output"] = {"stride": 1, "forces": True, "velocities": True}
    assert run(case).returncode == 0
    frames = read(case.folder / "mix.extxyz", ":")
    np.testing.assert_allclose(frames[0].positions, atoms.positions, atol=1e-7)
    for frame in frames:
        np.testing.assert_allclose(frame.cell.array, atoms.cell.array, atol=1e-7)
    # i-PI's own files are in its frame
    assert np.abs(case.positions()[0] - atoms.positions).max() > 1.0
    turned = [frame.get_forces() for frame in frames]
    own = case.forces()
    for a, b in zip(turned, own, strict=True):
        np.testing.assert_allclose(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1), atol=1e-6)
    # velocities move the atoms as they say
    middle = (frames[0].arrays["velocities"] + frames[1].arrays["velocities"]) / 2
    moved = frames[1].positions - frames[0].positions
    np.testing.assert_allclose(moved, middle * 1.0, atol=2e-4)
    assert np.abs(moved).max() > 5e-3
    assert np.abs(turned[0]).max() > 0.01


def test_without_seeds_nobody_waits_for_an_expensive_driver(make_case):
    case = make_case(silicon(), seeds="none", steps=3)
    case.config["expensive"]["command"] = faulty_driver("never")
    case.config["expensive"]["socket"]["connect_deadline"] = 5.0
    done = run(case, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not (case.folder / "logs" / "expensive-0").exists()


@pytest.mark.slow
def test_where_all_is_expensive_nobody_waits_for_a_cheap_driver(make_case):
    """And the run goes on from where it was stopped, with the energies of the model."""
    whole = {"core": 30.0, "blend": 0.0, "buffer": 0.0}
    both = make_case(silicon(), folder="both", steps=8, stride=1, regions=whole)
    case = make_case(silicon(), folder="all", seeds="all", steps=8, stride=1, checkpoint=3)
    case.config["cheap"]["command"] = faulty_driver("never")
    case.config["cheap"]["socket"]["connect_deadline"] = 5.0
    for one in (both, case):
        assert run(one, timeout=60).returncode == 0
    assert not (case.folder / "logs" / "cheap-0").exists()
    np.testing.assert_allclose(case.positions(), both.positions(), rtol=0, atol=1e-9)
    rows = read_steps(case.folder / "mix.steps")
    assert set(rows["core"]) == {64.0}
    conserved, potential = np.loadtxt(case.folder / "md.out", usecols=(2, 4)).T
    assert np.ptp(conserved) < 0.01 * np.ptp(potential)
    done = case.mixpi("run", "md.checkpoint", "--no-reference")
    assert done.returncode == 0, done.stderr
    again = np.loadtxt(case.folder / "md.out", usecols=(2, 4)).T
    np.testing.assert_allclose(again[0], conserved, rtol=0, atol=1e-8)


PIMD = """<dynamics mode='nvt'><timestep units='femtosecond'>1</timestep>
<thermostat mode='pile_l'><tau units='femtosecond'>100</tau></thermostat></dynamics>"""


def edit(case, old: str, new: str) -> None:
    text = case.input.read_text()
    assert old in text
    case.input.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("name", ["isotope_scfep(29.0;Si)", "scaledcoords", "displacedpath(ux=1)"])
def test_properties_that_displace_the_beads_are_refused(make_case, name):
    """Their evaluations would be steps, and their moves work, that never were."""
    case = make_case(steps=3, beads=4, dynamics=PIMD)
    edit(case, "potential{electronvolt} ]", f"potential{{electronvolt}}, {name} ]")
    done = run(case)
    assert done.returncode == 1
    assert "displaced atoms" in done.stderr
    # at the start all beads are in one place, and scaling moves none
    assert read_steps(case.folder / "mix.steps")["step"][-1] <= 1


def test_wrapped_beads_are_the_beads(make_case):
    case = make_case(steps=3, beads=2, dynamics=PIMD)
    edit(case, "<ffdirect name='mix'>", "<ffdirect name='mix' pbc='True'>")
    assert run(case).returncode == 0


@pytest.mark.slow
def test_a_trajectory_that_cannot_be_cut_back_is_named(make_case):
    case = make_case(steps=6, stride=1)
    edit(
        case,
        "</output>",
        "<trajectory filename='raw' stride='1' format='bin'> positions </trajectory>"
        "<checkpoint filename='chk' stride='3' overwrite='false'/></output>",
    )
    assert run(case).returncode == 0
    done = case.mixpi("run", "md.chk_1", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "md.raw_0.bin is in a format" in done.stderr
    assert "md.pos_0.extxyz is in a format" not in done.stderr
    assert steps_in(case.folder / "md.pos_0.extxyz") == list(range(7))


@pytest.mark.slow
def test_a_new_run_from_the_state_of_an_old_one(make_case):
    """Its positions are not those of the structure, and need not be."""
    old = make_case(folder="old", steps=4)
    assert run(old).returncode == 0
    case = make_case(steps=4)
    shutil.copy(old.folder / "RESTART", case.folder / "old.chk")
    text = case.input.read_text()
    begin, end = text.index("<file mode"), text.index("</initialize>")
    case.input.write_text(f"{text[:begin]}<file mode='chk'>old.chk</file>{text[end:]}")
    done = run(case)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(
        read(case.folder / "mix.extxyz", 0).positions, np.array(last_positions(old)), atol=1e-5
    )


def last_positions(case) -> np.ndarray:
    """Of the RESTART, Å."""
    text = ElementTree.parse(case.folder / "RESTART").find(".//beads/q").text
    return np.array(text.strip().strip("[]").split(","), dtype=float).reshape(-1, 3) * Bohr


def test_steps_of_atoms_that_do_not_move(make_case):
    case = make_case(steps=20, seeds="none")
    text = case.input.read_text()
    begin, end = text.index("<velocities"), text.index("</initialize>")
    case.input.write_text(text[:begin] + text[end:])
    assert run(case).returncode == 0
    np.testing.assert_array_equal(read_steps(case.folder / "mix.steps")["step"], np.arange(21))
    assert [frame.info["step"] for frame in read(case.folder / "mix.extxyz", ":")] == [0, 10, 20]


@pytest.mark.slow
def test_replay_has_frames_of_what_was_evaluated(make_case):
    source = make_case(folder="source", steps=6, stride=1)
    assert run(source).returncode == 0
    case = make_case(steps=5, stride=2)
    shutil.copy(source.folder / "md.pos_0.extxyz", case.folder / "replayed.extxyz")
    text = case.input.read_text().replace("<properties stride='1'", "<properties stride='2'")
    begin, end = text.index("<motion"), text.index("</motion>")
    replay = "<motion mode='replay'><file mode='ase' units='ase'>replayed.extxyz</file>"
    case.input.write_text(text[:begin] + replay + text[end:])
    case.config["output"] = {"stride": 1}
    done = run(case)
    assert done.returncode == 0, done.stderr
    frames = read(case.folder / "mix.extxyz", ":")
    # the first frame replayed is the start once more
    wanted = {0: 0, 2: 1, 4: 3}
    assert [frame.info["step"] for frame in frames] == list(wanted)
    for frame in frames:
        there = source.positions()[wanted[int(frame.info["step"])]]
        np.testing.assert_allclose(frame.positions, there, atol=1e-5)


def test_velocities_of_a_contracted_ring_polymer_are_not_promised(make_case):
    case = make_case(steps=2, beads=4, dynamics=PIMD)
    edit(case, "<force forcefield='mix'/>", "<force forcefield='mix' nbeads='2'/>")
    edit(case, "<batch_size>4", "<batch_size>2")
    case.config["output"] = {"velocities": True}
    done = run(case)
    assert done.returncode == 0, done.stderr
    assert "will hold no velocities" in done.stderr


@pytest.mark.slow
def test_files_of_a_system_with_a_prefix(make_case):
    case = make_case(steps=6)
    edit(case, "<system>", "<system prefix='si'>")
    edit(case, "</output>", "<checkpoint filename='chk' stride='3' overwrite='false'/></output>")
    for name in ("input.xml", "md.chk_1"):
        done = case.mixpi("run", name, "--no-reference", "--quiet")
        assert done.returncode == 0, done.stderr
        assert "temperature:" in done.stdout and "does not exist" not in done.stdout
    np.testing.assert_array_equal(np.loadtxt(case.folder / "si_md.out")[:, 0], np.arange(7))


#: i-PI hands its outputs to threads one by one; ours may join while it is still doing so.
JOINS_EARLY = """
from mixpi.ipi.simulation import RunningSimulation

join = RunningSimulation.after_each_step

def join_and_write(self, function, file):
    join(self, function, file)
    function()

RunningSimulation.after_each_step = join_and_write
"""


def test_output_that_joins_while_i_pi_writes_the_start(make_case):
    case = make_case(steps=4, stride=2)
    case.config["output"] = {"stride": 2}
    (case.folder / "mixing_pes.py").write_text(PES + JOINS_EARLY)
    assert run(case).returncode == 0
    frames = read(case.folder / "mix.extxyz", ":")
    assert [frame.info["step"] for frame in frames] == [0, 2, 4]


def go_on(case, state: str):
    return case.mixpi("run", state, "--no-reference", "--quiet")


@pytest.mark.slow
def test_a_state_behind_the_end_of_the_files_is_refused(make_case):
    """The steps between would be missing in all files, and nobody would notice."""
    case = make_case(steps=8)
    assert run(case).returncode == 0
    later = (case.folder / "RESTART").read_text().replace("<total_steps>8<", "<total_steps>9<")
    case.input.write_text(case.input.read_text().replace("<total_steps>8<", "<total_steps>4<"))
    assert run(case).returncode == 0
    (case.folder / "RESTART").write_text(later)
    files = {path: path.read_bytes() for path in case.folder.glob("m*.*")}
    done = go_on(case, "RESTART")
    assert done.returncode == 1
    assert "ends with step 4, and RESTART is a state of step 8" in done.stderr, done.stderr
    changed = [path.name for path, before in files.items() if path.read_bytes() != before]
    assert changed == ["mixpi.report.json"] or not changed
    said = case.mixpi("check", "input.xml", "--fast").stdout
    assert "an earlier run" not in said, said

    moved = case.folder / "moved"
    moved.mkdir()
    for path in case.folder.glob("m*.*"):
        if path.name not in ("mixing.yaml", "mixing_pes.py"):
            path.rename(moved / path.name)
    assert go_on(case, "RESTART").returncode == 0
    assert steps_in(case.folder / "md.out")[-1] == 9


@pytest.mark.slow
def test_a_newer_restart_does_not_stay_beside_a_run_from_an_older_state(make_case):
    """It is of another branch: the run would not be continued from it without a jump."""
    case = make_case(steps=6, checkpoint=4)
    assert run(case).returncode == 0
    assert go_on(case, "md.checkpoint").returncode == 0
    assert (case.folder / "#RESTART#0#").exists() and (case.folder / "RESTART").exists()


def test_frames_say_that_further_forces_act(make_case):
    """Those of the layer are not what the atoms feel: no mean force is made of them."""
    case = make_case(steps=12, stride=1)
    case.config["output"] = {"forces": True, "stride": 1}
    assert run(case).returncode == 0
    frames = case.folder / "mix.extxyz"
    assert "other_forces" not in read(frames).info
    assert main(["analyse", "mean-force", str(frames), "--bond", "0", "1"]) == 0

    own = "<ffdirect name='own'><pes>harmonic</pes><parameters>{k1: 1e-3}</parameters></ffdirect>"
    edit(case, "<system>", own + "<system>")
    for before, after in (
        ("</forces>", "<force forcefield='own'/></forces>"),
        ("<force forcefield='own'/>", "<!-- weight -->"),
    ):
        edit(case, before, after)
        if "weight" in after:
            edit(case, "<force forcefield='mix'/>", "<force forcefield='mix' weight='0.5'/>")
        assert run(case).returncode == 0
        assert read(frames).info["other_forces"]
        assert main(["analyse", "mean-force", str(frames), "--bond", "0", "1"]) == 1
        # the way out that it names
        joined = read(case.folder / "md.pos_0.extxyz", ":")
        for atoms, forces in zip(joined, case.forces(), strict=True):
            atoms.info.clear()
            atoms.calc = SinglePointCalculator(atoms, forces=forces)
        write(case.folder / "joined.extxyz", joined)
        words = ["analyse", "mean-force", str(case.folder / "joined.extxyz"), "--spacing", "1"]
        assert main([*words, "--bond", "0", "1"]) == 0


@pytest.mark.full
def test_time_step_of_a_motion_of_one_part(make_case):
    plain, multi = (make_case(steps=8, folder=name) for name in ("plain", "multi"))
    edit(multi, "<motion mode='dynamics'>", "<motion mode='multi'><motion mode='dynamics'>")
    edit(multi, "</motion>", "</motion></motion>")
    for case in (plain, multi):
        case.config["time_step"] = {"displacement": 0.002, "longest": 1.0}
        done = run(case)
        assert done.returncode == 0, done.stderr
    columns = [np.loadtxt(case.folder / "md.out")[:, 1:3] for case in (plain, multi)]
    np.testing.assert_allclose(columns[1], columns[0], rtol=1e-9)
    assert columns[0][-1, 0] < 7.9, "steps are shorter than the longest"
