"""The mixing layer as a correction: same physics, less often, on fewer beads; and restarts."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest
from conftest import (
    TERSOFF,
    command_driver,
    evaluations,
    faulty_driver,
    silicon,
    the_rest_slow,
    two_layers,
    wait_for,
)
from mixpi.analysis.report import make_report
from mixpi.ipi.input import read_ipi_input
from mixpi.output.records import read_steps


pytestmark = pytest.mark.full


#: Toy drivers, so that the cheap forces are not zero and the expensive ones differ.
TOYS = {
    "cheap": {"command": command_driver("toy")},
    "cheap_cluster": {"command": command_driver("toy")},
    "expensive": {"command": command_driver("zero")},
}
#: i-PI's states have nine digits: positions of 20 bohr to 1e-7.
PRINTED = 3e-7
NVE = "<dynamics mode='nve'><timestep units='femtosecond'>1</timestep></dynamics>"
#: Every kind of random number and of order that a state must hold.
THERMOSTATS = {
    "langevin": "<thermostat mode='langevin'><tau units='femtosecond'>50</tau></thermostat>",
    "pile": "<thermostat mode='pile_l'><tau units='femtosecond'>50</tau></thermostat>",
    # four modes with a hidden momentum each, and not in equilibrium, as PIGLET is
    "gle": f"<thermostat mode='nm_gle'><A shape='(4,2,2)'>{4 * [1e-3, 2e-3, -2e-3, 4e-3]}</A>"
    f"<C shape='(4,2,2)' units='kelvin'>{4 * [1200, 300, 300, 1800]}</C></thermostat>",
}


def dynamics(thermostat: str, *, slow: bool = False) -> str:
    nmts = "<nmts>[1, 4]</nmts>" if slow else ""
    return (
        f"<dynamics mode='nvt'><timestep units='femtosecond'>2</timestep>{nmts}"
        f"{THERMOSTATS[thermostat]}</dynamics>"
    )


def done(case, name: str = "input.xml") -> None:
    ended = case.mixpi("run", name, "--no-reference", "--quiet")
    assert ended.returncode == 0, ended.stderr


def evaluated(case) -> dict[str, int]:
    """Pool → what its drivers have computed behind their first evaluation, in their own count."""
    drivers = json.loads((case.folder / "mixpi.load.json").read_text())["drivers"]
    found: dict[str, int] = {}
    for name, load in drivers.items():
        pool = name.rpartition("-")[0]
        found[pool] = found.get(pool, 0) + load["evaluations"]
    return found


@pytest.mark.parametrize("beads", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_both_together_are_the_mixed_forces(make_case, beads):
    """The same trajectory, whether the correction is a force of its own or not."""
    one = make_case(folder="one", steps=30, beads=beads, dynamics=NVE, **TOYS)
    two = make_case(folder="two", steps=30, dynamics=NVE, **two_layers(beads=beads), **TOYS)
    for case in (one, two):
        # toy forces have a net force of their own, which is no affair of the correction
        case.config["remove_net_force"] = False
        done(case)
    for bead in range(beads):
        np.testing.assert_allclose(two.positions(bead), one.positions(bead), rtol=0, atol=1e-6)
        np.testing.assert_allclose(two.forces(bead), one.forces(bead), rtol=0, atol=1e-6)
    assert np.ptp(one.positions(), axis=0).max() > 0.01  # they move


def test_with_real_engines(make_case, mace_tiny):
    """LAMMPS on the whole system and on the cluster, which must be as wide as Tersoff sees."""
    given = {
        "cheap": {"lammps": {"potential": TERSOFF}},
        "expensive": mace_tiny,
        "regions": {"core": 2.5, "blend": 2.5, "buffer": 4.0},
        "atoms": silicon(3),
        "steps": 100,
        "dynamics": NVE,
    }
    one = make_case(folder="one", **given)
    two = make_case(folder="two", **given, **two_layers())
    for case in (one, two):
        done(case)
    np.testing.assert_allclose(two.positions(), one.positions(), rtol=0, atol=1e-6)
    np.testing.assert_allclose(two.forces(), one.forces(), rtol=0, atol=1e-5)
    # the energies are zero in the same place, and the work is done along the same path
    energies = [np.loadtxt(case.folder / "md.out")[:, 4] for case in (one, two)]
    np.testing.assert_allclose(*energies, rtol=0, atol=1e-5)
    report = make_report(read_ipi_input(two.input))
    assert report["stages_ms"]["cheap_layer"] > 0.0 and report["stages_ms"]["cheap_cluster"] > 0.0


@pytest.mark.parametrize(
    ("beads", "contracted", "slow", "cheap", "expensive"),
    [
        (4, 2, True, 16, 2),
        pytest.param(1, 0, True, 4, 1, marks=pytest.mark.slow),
        pytest.param(4, 1, False, 4, 1, marks=pytest.mark.slow),
        pytest.param(4, 0, False, 4, 4, marks=pytest.mark.slow),
    ],
)
def test_evaluations_counted_at_the_drivers(make_case, beads, contracted, slow, cheap, expensive):
    case = make_case(
        steps=6,
        dynamics=dynamics("pile", slow=slow),
        **two_layers(beads=beads, contracted=contracted, slow=slow),
        **TOYS,
    )
    checked = case.mixpi("check", "input.xml")
    assert checked.returncode == 0, checked.stderr
    wanted = (
        f"evaluations per step: {cheap} cheap, {expensive} cheap_cluster, {expensive} expensive"
    )
    assert wanted in checked.stdout
    done(case)
    found = evaluated(case)
    assert found["expensive"] == found["cheap_cluster"] == 6 * expensive
    # the first evaluation of each layer is its own affair, also that of the comparison
    assert 6 * cheap <= found["cheap"] <= 6 * cheap + 1
    steps = read_steps(case.folder / "mix.steps")
    np.testing.assert_array_equal(steps["step"], np.arange(7))


RESTARTS = [
    pytest.param("langevin", {"slow": True}, id="mts", marks=pytest.mark.slow),
    pytest.param("pile", {"beads": 4}, id="pimd", marks=pytest.mark.slow),
    pytest.param("pile", {"beads": 4, "contracted": 1}, id="contraction", marks=pytest.mark.slow),
    pytest.param("pile", {"beads": 4, "contracted": 2, "slow": True}, id="contraction-mts"),
    pytest.param("gle", {"beads": 4, "contracted": 2}, id="piglet", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("thermostat", "layers"), RESTARTS)
def test_a_restart_is_exact(make_case, thermostat, layers):
    """From a checkpoint, and from the RESTART of a run that was asked to stop."""
    beads, slow = layers.get("beads", 1), layers.get("slow", False)
    given = {
        "dynamics": dynamics(thermostat, slow=slow),
        "checkpoint": 4,
        "stride": 2,
        **two_layers(**layers),
        **TOYS,
    }
    whole = make_case(folder="whole", steps=12, **given)
    done(whole)
    part = make_case(folder="part", steps=6, **given)
    done(part)
    checkpoint = part.folder / "md.checkpoint"
    checkpoint.write_text(checkpoint.read_text().replace(">6<", ">12<").replace("> 6 <", "> 12 <"))
    text = checkpoint.read_text()
    assert "<total_steps>12</total_steps>" in text.replace(" ", ""), text[:300]
    done(part, "md.checkpoint")
    for bead in range(beads):
        np.testing.assert_allclose(
            part.positions(bead), whole.positions(bead), rtol=0, atol=PRINTED
        )
        np.testing.assert_allclose(part.forces(bead), whole.forces(bead), rtol=0, atol=PRINTED)
    tables = [np.loadtxt(case.folder / "md.out") for case in (part, whole)]
    np.testing.assert_allclose(*tables, rtol=PRINTED, atol=PRINTED)
    rows = [read_steps(case.folder / "mix.steps") for case in (part, whole)]
    for name in ("step", "core", "net_force", "potential", "work_0"):
        np.testing.assert_allclose(rows[0][name], rows[1][name], rtol=PRINTED, atol=PRINTED)


@pytest.mark.slow
def test_stopped_and_continued(make_case):
    layers = {"beads": 4, "contracted": 1, "slow": True}
    given = {"dynamics": dynamics("pile", slow=True), **two_layers(**layers), **TOYS}
    whole = make_case(folder="whole", steps=60, **given)
    done(whole)
    part = make_case(folder="part", steps=60, **given)
    running = part.start("--quiet")
    wait_for(lambda: evaluations(part) > 8)
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=60)
    assert evaluations(part) < 61 and part.nothing_left()
    done(part, "RESTART")
    for bead in range(4):
        np.testing.assert_allclose(
            part.positions(bead), whole.positions(bead), rtol=0, atol=PRINTED
        )


@pytest.mark.parametrize(
    "pool",
    [
        "cheap_cluster",
        pytest.param("cheap", marks=pytest.mark.slow),
        pytest.param("expensive", marks=pytest.mark.slow),
    ],
)
def test_a_driver_that_is_lost_is_replaced(make_case, tmp_path, pool):
    """All give the same forces here, those of the toy that dies."""
    drivers = {name: {"command": faulty_driver("none")} for name in TOYS}
    drivers[pool] = {"command": faulty_driver("die", 9, tmp_path / "died")}
    case = make_case(steps=30, dynamics=NVE, **two_layers(), **drivers)
    ended = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "died").exists()
    assert f"driver {pool}-0" in ended.stderr and case.nothing_left()


def test_without_seeds_all_is_cheap(make_case):
    case = make_case(seeds="none", steps=5, **two_layers(), **TOYS)
    done(case)
    plain = make_case(folder="plain", seeds="none", steps=5, cheap=TOYS["cheap"])
    done(plain)
    np.testing.assert_allclose(case.positions(), plain.positions(), rtol=0, atol=1e-8)


def test_another_cheap_potential_on_the_cluster_is_refused(make_case):
    """The correction would be one of other forces than those that move the atoms."""
    drivers = {**TOYS, "cheap_cluster": {"command": command_driver("zero")}}
    case = make_case(**two_layers(), **drivers)
    ended = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert ended.returncode == 1
    assert "(cheap_cluster) and on the whole system (cheap) differ by up to" in ended.stderr
    assert case.nothing_left()


def test_cheap_forces_by_i_pi_itself(make_case):
    """Any force of i-PI's may be corrected; who computes it is then not mixpi's affair."""
    socket = (
        "<ffsocket name='cheap' mode='unix'><address>mixpi-test-own</address>"
        "<latency>1e-3</latency></ffsocket>"
    )
    case = make_case(steps=5, **two_layers(cheap=socket), **TOYS)
    checked = case.mixpi("check", "input.xml")
    assert checked.returncode == 0, checked.stderr
    assert "which mixpi neither starts nor looks after" in checked.stdout


def changed(case, *changes: tuple[str, str]) -> None:
    text = case.input.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    case.input.write_text(text)


CHEAP_FORCE = "<force forcefield='cheap'><mts_weights>[0, 1]</mts_weights></force>"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("part: cheap", "part: delta")], "more than one mixing layer (delta, delta)"),
        ([("part: delta", "part: cheap")], "more than one mixing layer (cheap, cheap)"),
        ([("part: cheap", "part: chaep")], "did you mean 'cheap'?"),
        ([("</forces>", "<force forcefield='delta' nbeads='1' weight='0'>"
           "<mts_weights>[1, 0]</mts_weights></force></forces>"),
          ("nbeads='1'>", "nbeads='2'>")], "several <force forcefield='delta'> have other nbeads"),
        ([(CHEAP_FORCE, "")], "no <force> uses the mixing layer 'cheap'"),
        ([("'delta'><mts_weights>[1, 0]", "'delta'><mts_weights>[0.5, 0]")], "to 0.5: together"),
        ([("'delta'><mts_weights>[1, 0]", "'delta'><mts_weights>[1]")], "mts_weights"),
        ([("[1, 4]", "[1]")], "mts levels"),
        ([("{config: mixing.yaml, part: cheap}", "{config: other.yaml, part: cheap}")],
         "must name one configuration"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", the_rest_slow(("check", "run"), "run"))
def test_bad_input(make_case, changes, message, command):
    case = make_case(dynamics=dynamics("langevin", slow=True), **two_layers(slow=True), **TOYS)
    changed(case, *changes)
    ended = case.mixpi(command, "input.xml")
    assert ended.returncode == 1 and message in ended.stderr, ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_correction_alone_is_refused(make_case):
    case = make_case(**two_layers(), **TOYS)
    text = case.input.read_text()
    begin, end = text.index("<ffdirect name='cheap'>"), text.index("<ffdirect name='delta'>")
    text = text[:begin] + text[end:]
    case.input.write_text(
        text.replace("<force forcefield='cheap'><mts_weights>[1]</mts_weights></force>", "")
    )
    ended = case.mixpi("run", "input.xml")
    assert ended.returncode == 1 and "no cheap forces that it corrects" in ended.stderr


def test_a_correction_alone_is_refused_by_i_pi_too(make_case):
    """Started by hand, without the check."""
    case = make_case(steps=2, dynamics=NVE, **two_layers(), **TOYS)
    changed(case, ("<force forcefield='cheap'><mts_weights>[1]</mts_weights></force>", ""))
    said, _ = case.start_i_pi().communicate(timeout=60)
    assert "is the only force of this simulation" in said and evaluations(case) == 0


def test_exchanged_levels_are_said(make_case):
    case = make_case(dynamics=dynamics("langevin", slow=True), **two_layers(slow=True), **TOYS)
    changed(case, ("[0, 1]", "[x]"), ("[1, 0]", "[0, 1]"), ("[x]", "[1, 0]"))
    ended = case.mixpi("check", "input.xml")
    assert ended.returncode == 0 and "are they exchanged?" in ended.stdout


def test_a_cheap_side_that_knows_no_clusters(make_case):
    drivers = {name: driver for name, driver in TOYS.items() if name != "cheap_cluster"}
    case = make_case(**two_layers(), **drivers)
    ended = case.mixpi("run", "input.xml")
    assert ended.returncode == 1 and "give it in a section 'cheap_cluster:'" in ended.stderr


def test_batches_that_do_not_fit(make_case):
    case = make_case(**two_layers(beads=4, contracted=2), **TOYS)
    changed(case, ("<batch_size>2</batch_size>", "<batch_size>4</batch_size>"))
    ended = case.mixpi("run", "input.xml")
    assert ended.returncode == 1
    assert "has 2 bead(s) for 'delta' but <batch_size> 4" in ended.stderr


@pytest.mark.parametrize(
    ("batch", "threads"),
    [
        ("", ""),
        pytest.param("3", " threaded='True'", marks=pytest.mark.slow),
        pytest.param("2", "", marks=pytest.mark.slow),
        pytest.param("9", " threaded='True'", marks=pytest.mark.slow),
    ],
)
def test_beads_in_batches_of_any_size(make_case, batch, threads):
    """One by one, two and two, three and one, fewer than wanted: the same forces, no hang."""
    given = {"beads": 4, "steps": 8, "dynamics": dynamics("pile"), **TOYS}
    whole = make_case(folder="whole", **given)
    done(whole)
    split = make_case(folder="split", **given)
    size = f"<batch_size>{batch}</batch_size>" if batch else ""
    changed(
        split,
        ("<batch_size>4</batch_size>", size),
        ("ffdirect name='mix'", f"ffdirect name='mix'{threads}"),
    )
    done(split)
    for bead in range(4):
        np.testing.assert_allclose(split.positions(bead), whole.positions(bead), rtol=0, atol=1e-8)
    steps = read_steps(split.folder / "mix.steps")
    np.testing.assert_array_equal(steps["step"], np.arange(9))
    assert evaluated(split)["expensive"] == 8 * 4


@pytest.mark.parametrize(("fewer", "wrapped"), [("delta", True), ("cheap", False)])
def test_beads_one_by_one_from_one_place(make_case, fewer, wrapped):
    """Equal beads are also those of the centroid; wrapped ones are known, too: a row a step."""
    given = {"steps": 3, "dynamics": dynamics("pile"), **TOYS}
    layers = two_layers(beads=4, contracted=1)
    if fewer == "cheap":
        layers["forces"] = layers["forces"].replace("'delta' nbeads='1'", "'delta'")
        layers["forces"] = layers["forces"].replace("'cheap'", "'cheap' nbeads='1'")
    layers["forcefield"] = layers["forcefield"].replace("<batch_size>4</batch_size>", "")
    if wrapped:
        layers["forcefield"] = layers["forcefield"].replace("<ffdirect", "<ffdirect pbc='True'")
    case = make_case(**given, **layers)
    ended = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert ended.returncode == 0, ended.stderr
    assert ("are they exchanged?" in ended.stderr) is (fewer == "cheap")
    steps = read_steps(case.folder / "mix.steps")
    np.testing.assert_array_equal(steps["step"], np.arange(4))
    count = evaluated(case)
    assert count["expensive"] == (3 if fewer == "delta" else 12)
    assert f"work_{0 if fewer == 'delta' else 3}" in steps
