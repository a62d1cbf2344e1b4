"""Each mistake gets its cause and the way out, a non-zero exit, and leaves nothing behind."""

from __future__ import annotations

import os

import numpy as np
import pytest
from ase import Atoms
from conftest import TERSOFF, silicon


pytestmark = pytest.mark.full


def text(case, name="input.xml"):
    return (case.folder / name).read_text()


def swap(case, old, new, name="input.xml"):
    before = text(case, name)
    assert old in before
    (case.folder / name).write_text(before.replace(old, new))


def structure(case, atoms):
    atoms.write(case.folder / "init.extxyz")


def without_cell():
    atoms = silicon()
    atoms.pbc = [True, True, False]
    return atoms


def flat_cell():
    atoms = silicon()
    cell = atoms.cell.array
    cell[2] = cell[0] + cell[1]
    atoms.set_cell(cell)
    return atoms


def with_helium():
    atoms = silicon()
    atoms.numbers[3] = 2
    return atoms


def mirrored():
    atoms = silicon()
    atoms.set_cell(atoms.cell.array[[1, 0, 2]])
    return atoms


def nan_positions():
    atoms = silicon()
    atoms.positions[4, 1] = np.nan
    return atoms


def set_in(case, path, value):
    *parents, last = path.split(".")
    node = case.config
    for name in parents:
        node = node[name]
    node[last] = value


MISTAKES = {
    "seeds empty": (lambda c: set_in(c, "seeds", []), "seeds: no seeds: list the indices"),
    "seed out of range": (
        lambda c: set_in(c, "seeds", [64]),
        "seed 64 is out of range: the structure has 64 atoms, numbered 0 to 63",
    ),
    "seed negative": (lambda c: set_in(c, "seeds", [-2]), "seed -2 is negative"),
    "seeds no integers": (lambda c: set_in(c, "seeds", [0.5]), "seeds"),
    "radius negative": (lambda c: set_in(c, "regions.core", -1.0), "regions.core"),
    "radius NaN": (lambda c: set_in(c, "regions.buffer", float("nan")), "regions.buffer"),
    "radius missing": (lambda c: c.config["regions"].pop("blend"), "regions.blend: missing"),
    "unknown key": (lambda c: set_in(c, "regions.bufffer", 3), "regions.bufffer: unknown key"),
    "profile unknown": (lambda c: set_in(c, "regions.profile", "cos"), "regions.profile"),
    "two kinds of driver": (lambda c: set_in(c, "cheap.external", True), "exactly one of lammps"),
    "inet without port": (
        lambda c: set_in(c, "cheap.socket.mode", "inet"),
        "mode inet needs a port",
    ),
    "structure missing": (
        lambda c: (c.folder / "init.extxyz").unlink(),
        "init.extxyz does not exist",
    ),
    "structure not periodic": (
        lambda c: structure(c, without_cell()),
        "is not periodic in all directions",
    ),
    "cell singular": (lambda c: structure(c, flat_cell()), "cell is singular"),
    "cell left-handed": (lambda c: structure(c, mirrored()), "left-handed"),
    "positions NaN": (lambda c: structure(c, nan_positions()), "NaN"),
    "structure empty": (lambda c: structure(c, Atoms(cell=[5, 5, 5], pbc=True)), "init.extxyz"),
    "other atoms than i-PI": (
        lambda c: (
            silicon(1).write(c.folder / "other.extxyz"),
            swap(c, "init.extxyz", "other.extxyz"),
        ),
        "must hold the same atoms in the same order",
    ),
    "no mixing layer": (
        lambda c: swap(c, "config: mixing.yaml", "verbose: True"),
        "names no mixing layer",
    ),
    "yaml missing": (
        lambda c: swap(c, "mixing.yaml", "mixed.yaml"),
        "cannot read the configuration",
    ),
    "xml broken": (lambda c: swap(c, "</simulation>", ""), "is not valid XML"),
    "pes missing": (
        lambda c: (c.folder / "mixing_pes.py").unlink(),
        "mixing_pes.py does not exist: it must hold",
    ),
    "barostat": (
        lambda c: swap(c, "<dynamics mode='nve'>", "<dynamics mode='npt'>"),
        "a barostat: mixed forces have no virial",
    ),
    "left-over EXIT": (lambda c: (c.folder / "EXIT").touch(), "EXIT is there"),
    "all steps done": (
        lambda c: swap(c, "<total_steps>3<", "<step>3</step><total_steps>3<"),
        "has done all its 3 steps",
    ),
    "minimisation": (
        lambda c: swap(c, "<motion mode='dynamics'>", "<motion mode='minimize'>"),
        "has motion mode='minimize': mixed forces have no energy",
    ),
    "displaced beads": (
        lambda c: swap(c, "<dynamics mode='nve'>", "<dynamics mode='sc'>"),
        "has dynamics mode='sc'",
    ),
    "contracted beads": (
        lambda c: (
            swap(c, "nbeads='1'", "nbeads='4'"),
            swap(c, "</ffdirect>", "<batch_size>4</batch_size></ffdirect>"),
            swap(c, "<force forcefield='mix'/>", "<force forcefield='mix' nbeads='2'/>"),
        ),
        "<batch_size>2</batch_size>",
    ),
    "several systems": (
        lambda c: swap(
            c,
            "<system>",
            "<system_template><instance>a</instance><instance>b</instance></system_template>"
            "<system>",
        ),
        "has 3 systems",
    ),
    "steps no number": (
        lambda c: swap(c, "<total_steps>3<", "<total_steps>1e1<"),
        "<total_steps> must be a whole number, not '1e1'",
    ),
    "yaml no text": (
        lambda c: (
            (c.folder / "latin.yaml").write_bytes(b"seeds: \xe9"),
            swap(c, "mixing.yaml", "latin.yaml"),
        ),
        "is not a text file in UTF-8",
    ),
    "one address for both": (
        lambda c: set_in(c, "expensive.socket.address", c.config["cheap"]["socket"]["address"]),
        "cannot share an address",
    ),
    "command empty": (lambda c: set_in(c, "cheap.command", " "), "program '' not found"),
    "batches that beads do not fill": (
        lambda c: (
            swap(c, "nbeads='1'", "nbeads='4'"),
            swap(c, "</ffdirect>", "<batch_size>3</batch_size></ffdirect>"),
        ),
        "<batch_size>4</batch_size>, or leave it out",
    ),
    "model missing": (
        lambda c: set_in(c, "expensive", {"mace": {"model": "gone.model"}, "socket": {}}),
        "gone.model does not exist",
    ),
    "model broken": (
        lambda c: set_in(c, "expensive", {"mace": {"model": "init.extxyz"}, "socket": {}}),
        "as a MACE model",
    ),
    "lmp missing": (
        lambda c: set_in(
            c, "cheap", {"lammps": {"potential": TERSOFF, "executable": "lmp_gone"}, "socket": {}}
        ),
        "LAMMPS program 'lmp_gone' not found",
    ),
    "launch prefix missing": (
        lambda c: set_in(
            c, "cheap", {"lammps": {"potential": TERSOFF, "launch": "no_srun -n 4"}, "socket": {}}
        ),
        "launch prefix 'no_srun' not found",
    ),
    "lammps fails": (
        lambda c: set_in(c, "cheap", {"lammps": {"potential": ["pair_style nope"]}, "socket": {}}),
        "nrecognized pair style 'nope'",
    ),
    "lammps species": (
        lambda c: (
            structure(c, with_helium()),
            set_in(c, "cheap", {"lammps": {"potential": TERSOFF, "species": ["Si"]}, "socket": {}}),
        ),
        "which is not in LAMMPS's species",
    ),
    "command missing": (
        lambda c: set_in(c, "cheap.command", "no-such-driver {address}"),
        "program 'no-such-driver' not found",
    ),
    "command field": (
        lambda c: set_in(c, "cheap.command", "lmp {adress}"),
        "known fields: ['address', 'mode', 'port']",
    ),
}


#: A run checks first: one in ten shows that it does.
TRIED = [
    pytest.param(
        mistake, command, marks=() if command == "check" or not k % 10 else pytest.mark.slow
    )
    for k, mistake in enumerate(MISTAKES)
    for command in ("check", "run")
]


@pytest.mark.parametrize(("mistake", "command"), TRIED)
def test_mistake_is_explained(make_case, mistake, command):
    case = make_case(steps=3)
    spoil, message = MISTAKES[mistake]
    spoil(case)
    done = case.mixpi(command, "input.xml")
    assert done.returncode == 1, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert case.nothing_left()


@pytest.mark.parametrize("command", ["check", "run"])
def test_species_that_the_model_lacks(make_case, mace_tiny, command):
    case = make_case(with_helium(), expensive=mace_tiny)
    done = case.mixpi(command, "input.xml")
    assert done.returncode == 1
    assert "does not know He" in done.stderr
    assert case.nothing_left()


def test_input_that_does_not_exist(tmp_path):
    from conftest import mixpi

    done = mixpi("run", "nothing.xml", cwd=tmp_path)
    assert done.returncode == 1 and "cannot read the i-PI input" in done.stderr


def test_barostat_is_refused_also_without_the_launcher(make_case):
    """Stock i-PI does not ask ``mixpi check``: the mixing layer sees the NaN virial's effect."""
    import subprocess
    import sys

    barostat = """<dynamics mode='npt'><timestep units='femtosecond'>1</timestep>
      <thermostat mode='langevin'><tau units='femtosecond'>100</tau></thermostat>
      <barostat mode='isotropic'><tau units='femtosecond'>200</tau>
        <thermostat mode='langevin'><tau units='femtosecond'>100</tau></thermostat>
      </barostat></dynamics>"""
    case = make_case(dynamics=barostat)
    swap(case, "<ensemble>", "<ensemble><pressure units='megapascal'>0</pressure>")
    ipi = case.start_i_pi()
    sockets = {pool: case.config[pool]["socket"]["address"] for pool in ("cheap", "expensive")}
    drive = [sys.executable, "-m", "mixpi.cli", "driver"]
    drivers = [
        subprocess.Popen([*drive, "zero", "--address", sockets["cheap"]]),
        subprocess.Popen([*drive, "toy", "--address", sockets["expensive"]]),
    ]
    output, _ = ipi.communicate(timeout=60)
    assert "a barostat cannot be used with mixed forces" in output
    assert [driver.wait(20) for driver in drivers] == [0, 0]
    assert (case.folder / "RESTART").exists()


def test_folder_that_cannot_be_written(make_case):
    case = make_case(steps=3)
    (case.folder / "logs").write_text("a file where the folder should be")
    done = case.mixpi("run", "input.xml")
    assert done.returncode == 1 and "cannot write into" in done.stderr


def test_xml_that_i_pi_refuses_shows_i_pi_s_words(make_case):
    """Whatever an earlier run left behind must not be taken for this one's."""
    case = make_case(steps=3)
    assert case.mixpi("run", "input.xml", "--no-reference").returncode == 0
    (case.folder / "mixpi.failure").write_text("an old failure")
    old = [case.folder / name for name in ("RESTART", "mix.steps", "mixpi.report.json")]
    for path in old:
        os.utime(path, (1e9, 1e9))
    swap(case, "<total_steps>", "<unknown_tag>1</unknown_tag><total_steps>")
    done = case.mixpi("run", "input.xml", "--no-reference")
    assert done.returncode == 1
    assert "unknown_tag" in done.stderr and "an old failure" not in done.stderr
    assert "continue with" not in done.stderr and "Where the time went" not in done.stdout
