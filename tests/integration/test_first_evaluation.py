"""What only the first evaluation can show: other atoms than configured, forces without sense."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from ase.build import bulk
from ase.units import Bohr
from conftest import TERSOFF, command_driver, silicon
from mixpi.blend.mixer import Mixer
from mixpi.ipi.first_look import ALONE_IN, FirstLook, exactly_zero, far_apart, left_alone
from test_faults import run


pytestmark = pytest.mark.full


def run_by_hand(case, name: str = "input.xml") -> str:
    """Plain ``i-pi``, which nothing has checked before; its output."""
    ipi = case.start_i_pi(name)
    words = [
        case.config[pool]["command"].format(address=case.config[pool]["socket"]["address"])
        for pool in ("cheap", "expensive")
    ]
    drivers = [subprocess.Popen(w.split(), cwd=case.folder) for w in words]
    output, _ = ipi.communicate(timeout=120)
    for driver in drivers:  # one may still look for a server that has refused before it was one
        driver.terminate()
        driver.wait(20)
    return output


def swap_two(atoms):
    atoms.positions[[3, 9]] = atoms.positions[[9, 3]]


def other_species(atoms):
    atoms.symbols[7] = "Ge"


def in_bohr(atoms):
    atoms.set_cell(atoms.cell / Bohr, scale_atoms=True)


def longer_cell(atoms):
    atoms.set_cell(atoms.cell * (1, 1, 1.001))


def displaced(atoms):
    atoms.positions[11] += (0.0, 0.1, 0.0)


@pytest.mark.parametrize("change", [swap_two, other_species, in_bohr, longer_cell, displaced])
def test_another_system_than_the_configured_one_is_refused(make_case, change):
    case = make_case(silicon())
    other = silicon()
    change(other)
    other.write(case.folder / "other.extxyz")
    case.input.write_text(case.input.read_text().replace(">init.extxyz<", ">other.extxyz<"))
    output = run_by_hand(case)
    assert "!MIXPI! structure: init.extxyz and what i-PI has read" in output
    assert not (case.folder / "mix.steps").exists()


def test_the_same_system_in_other_images_is_accepted(make_case):
    case = make_case(silicon())
    other = silicon()
    other.positions += np.random.default_rng(0).integers(-2, 3, (64, 3)) @ other.cell.array
    other.write(case.folder / "other.extxyz")
    case.input.write_text(case.input.read_text().replace(">init.extxyz<", ">other.extxyz<"))
    assert "!MIXPI!" not in run_by_hand(case).replace("!MIXPI! warning", "")
    assert (case.folder / "mix.steps").exists()


def test_forces_of_exactly_zero_are_said_aloud(make_case):
    case = make_case(cheap={"command": command_driver("zero")})
    done = run(case)
    assert done.returncode == 0
    warning = "the cheap driver returned energy and forces of exactly zero on all 64 atoms"
    assert f"mixpi: warning: {warning}" in done.stderr
    [said] = json.loads((case.folder / "mixpi.report.json").read_text())["warnings"]
    assert said.startswith(warning)


def test_a_cheap_potential_far_from_the_expensive_one_is_said_aloud(make_case, mace_tiny):
    regions = {"core": 2.6, "blend": 2.6, "buffer": 4.0}
    common = {"expensive": mace_tiny, "regions": regions, "steps": 1}
    far = make_case(folder="far", cheap={"command": command_driver("toy")}, **common)
    done = run(far)
    assert done.returncode == 0, done.stderr
    assert "on the blend atoms the cheap potential is far from the expensive one" in done.stderr
    near = make_case(folder="near", cheap={"lammps": {"potential": TERSOFF}}, **common)
    done = run(near)
    assert done.returncode == 0 and "far from" not in done.stderr


def test_what_is_far_apart():
    rng = np.random.default_rng(0)
    forces = rng.normal(0, 0.5, (3, 3))
    weights = np.array([1.0, 0.5, 0.2])
    near = forces + rng.normal(0, 0.1, (3, 3))
    assert far_apart(forces, near, weights) == ""
    assert "on the blend atoms" in far_apart(rng.normal(0, 1.0, (3, 3)), near, weights)
    # near lattice sites both are small: nothing can be said
    assert far_apart(0.1 * forces, rng.normal(0, 0.05, (3, 3)), weights) is None
    # a cheap potential in other units is seen even there
    assert "far from" in far_apart(100 * forces, 0.1 * forces, weights)
    assert "on the core atoms" in far_apart(-forces, forces, np.ones(3))
    assert far_apart(forces[:0], forces[:0], weights[:0]) is None


@pytest.mark.parametrize("cheap", ["cheap", "cheap_cluster"])
def test_the_buffer_does_not_count(cheap):
    """Forces there are dropped, so nothing is said of them."""
    atoms = bulk("Si", cubic=True) * 3
    mixer = Mixer(atoms.numbers, [5], core=3.0, blend=3.0, buffer=3.0)
    plan = mixer.plan([atoms.positions], [atoms.cell.array], {"cheap_cluster": 4.0})
    shown = np.arange(len(atoms))
    if cheap == "cheap_cluster":
        shown = plan.clusters["cheap_cluster"].indices
    force = np.random.default_rng(1).normal(0, 0.5, (len(atoms), 3))
    forces = {cheap: force[shown], "expensive": force[plan.cluster.indices].copy()}
    forces["expensive"][plan.cluster.weights == 0.0] += 10.0
    said = []
    FirstLook(said.append).at_difference(plan, forces)
    assert said == []
    forces["expensive"][plan.cluster.weights > 0.0] += 10.0
    FirstLook(said.append).at_difference(plan, forces)
    assert "on the blend atoms" in said[0]


def test_what_is_left_alone():
    """A species that has no cheap forces worth the name, once the expensive ones are large."""
    rng = np.random.default_rng(0)
    numbers = np.array([2, 74, 74, 74])
    expensive = rng.normal(0, 1.0, (4, 3))
    cheap = 0.5 * expensive
    assert dict(left_alone(cheap, expensive, numbers)) == {2: "", 74: ""}
    cheap[0] *= 1e-3
    said = dict(left_alone(cheap, expensive, numbers))
    assert said[74] == "" and said[2].startswith("the cheap potential leaves He alone")
    # on a site of symmetry nothing can be told of He, and something of W
    expensive[0] = cheap[0] = 0.0
    assert dict(left_alone(cheap, expensive, numbers)) == {74: ""}


def test_who_is_left_alone_is_said_once():
    atoms = bulk("W", cubic=True) * 3
    atoms.numbers[5] = 2
    mixer = Mixer(atoms.numbers, [5], core=3.0, blend=3.0, buffer=3.0)
    plan = mixer.plan([atoms.positions], [atoms.cell.array], {"cheap_cluster": 4.0})
    force = np.random.default_rng(1).normal(0, 1.0, (len(atoms), 3))
    cheap = force.copy()
    cheap[5] = 0.0
    forces = {
        "cheap_cluster": cheap[plan.clusters["cheap_cluster"].indices],
        "expensive": force[plan.cluster.indices],
    }
    said = []
    look = FirstLook(said.append)
    for _ in range(20):
        look.at_correction(plan, {name: 1e-3 * f for name, f in forces.items()})
    # on lattice sites: no cheap forces at all, for a while
    at_rest = {"cheap_cluster": 0.0 * forces["cheap_cluster"], "expensive": forces["expensive"]}
    for _ in range(ALONE_IN - 1):
        look.at_correction(plan, at_rest)
    assert said == []
    for _ in range(20):
        look.at_correction(plan, forces)
    [text] = said
    assert "leaves He alone" in text


def test_what_is_exactly_zero():
    forces = np.zeros((10, 3))
    assert "energy and forces of exactly zero" in next(exactly_zero("cheap", 0.0, forces))
    [text] = exactly_zero("expensive", -1.0, forces)
    assert text.startswith("the expensive driver returned forces of exactly zero on all 10 atoms")
    forces[3, 1] = 1e-17
    assert list(exactly_zero("cheap", 0.0, forces)) == []
    assert list(exactly_zero("expensive", 0.0, forces[:0])) == []


def fixed_client(case) -> str:
    """A client that starts as READY and never asks what the atoms are, like ``fix ipi``."""
    (case.folder / "fixed.py").write_text(
        textwrap.dedent("""\
        import sys
        import numpy as np
        from ase.calculators.socketio import IPIProtocol, SocketClosed
        from mixpi.drivers.client import connect

        protocol = IPIProtocol(connect(address=sys.argv[1]))
        try:
            while True:
                message = protocol.recvmsg()
                if message == "STATUS":
                    protocol.sendmsg("READY")
                elif message == "POSDATA":
                    _, _, positions = protocol.recvposdata()
                elif message == "GETFORCE":
                    zero = np.zeros((3, 3))
                    protocol.sendforce(1.0, 0.01 * np.sin(positions), zero, np.zeros(0, np.byte))
                else:
                    break
        except SocketClosed:
            pass
        """)
    )
    return f"{sys.executable} fixed.py {{address}}"


def test_a_client_of_one_structure_is_refused_when_the_region_changes(make_case):
    regions = {"core": 2.6, "blend": 2.0, "buffer": 3.5}
    case = make_case(silicon(3), regions=regions, temperature=4000.0, steps=200)
    case.config["expensive"]["command"] = fixed_client(case)
    done = run(case)
    assert done.returncode == 1
    assert "warning: the expensive driver does not ask what the atoms are (NEEDINIT)" in done.stderr
    assert "the atoms of the region have changed" in done.stderr and "use 'mace:'" in done.stderr
    assert case.nothing_left()


def test_i_pis_own_driver_is_refused_when_the_region_changes(make_case):
    """It asks for INIT once."""
    case = make_case(silicon(3), temperature=4000.0, steps=200)
    case.config["expensive"]["command"] = (
        f"{sys.executable} {sys.prefix}/bin/i-pi-driver-py -u -a {{address}} -m harmonic -o 0.01"
    )
    done = run(case)
    assert done.returncode == 1
    assert "the atoms of the region have changed" in done.stderr
    assert case.nothing_left()


def test_a_client_of_one_structure_serves_a_region_that_stays(make_case):
    everything = {"core": 20.0, "blend": 0.0, "buffer": 0.0}
    case = make_case(regions=everything, steps=5)
    case.config["expensive"]["command"] = fixed_client(case)
    done = run(case)
    assert done.returncode == 0, done.stderr
    assert "does not ask what the atoms are" in done.stderr


def test_two_systems_are_refused(make_case):
    case = make_case(steps=2)
    text = case.input.read_text()
    begin, end = text.index("<system>"), text.index("</simulation>")
    second = text[begin:end].replace("<system>", "<system prefix='second'>")
    case.input.write_text(text[:end] + second + text[end:])
    assert "has 2 systems" in run_by_hand(case)


def test_a_minimisation_is_refused(make_case):
    case = make_case(steps=2)
    text = case.input.read_text()
    begin, end = text.index("<motion"), text.index("</motion>")
    minimise = "<motion mode='minimize'><optimizer mode='bfgs'/>"
    case.input.write_text(text[:begin] + minimise + text[end:])
    assert "motions other than dynamics" in run_by_hand(case)
