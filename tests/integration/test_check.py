"""``mixpi check`` lets i-PI read the input, and compares what it understood with both files.

``check`` is called here in this process (the command line is tried in test_bad_input.py);
i-PI runs in its own, as always.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from ase.build import bulk
from ase.constraints import FixAtoms, FixCartesian
from ase.io import write
from conftest import ROOT, TERSOFF, clean_environment, mixpi, silicon
from mixpi import MixpiError
from mixpi.check.checking import check
from mixpi.check.structure import VELOCITY
from mixpi.drivers.lammps import potential_folders
from mixpi.ipi.input import read_ipi_input
from mixpi.ipi.view import ask_ipi


pytestmark = [pytest.mark.full, pytest.mark.usefixtures("warm_probe")]


FILE = "<file mode='ase' units='ase'>init.extxyz</file>"
STEP = "<timestep units='femtosecond'>1</timestep>"
FORCE = "<force forcefield='mix'/>"
THERMAL = "<velocities mode='thermal' units='kelvin'>300.0</velocities>"
PILE = """<dynamics mode='nvt'><timestep units='femtosecond'>0.5</timestep>
  <thermostat mode='pile_g'><tau units='femtosecond'>50</tau></thermostat></dynamics>"""


def swap(case, *pairs, name="input.xml"):
    path = case.folder / name
    text = path.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def look(case, name="input.xml"):
    """The lines of ``check``, which must leave no file behind."""
    case.write()
    before = sorted(case.folder.iterdir())
    try:
        return list(check(case.folder / name, drivers=False))
    finally:
        assert sorted(case.folder.iterdir()) == before


def warnings(lines):
    return [line for line in lines if line.startswith("warning")]


REFUSED_XML = {
    "force name": ((FORCE, "<force forcefield='mixx'/>"), "did you mean 'mix'"),
    "force field's name": (
        ("<ffdirect name='mix'>", "<ffdirect name='m'>"),
        "names no force field",
    ),
    "mixing layer unused": (
        (
            ("<system>", "<ffsocket name='o' mode='unix'><address>o</address></ffsocket><system>"),
            (FORCE, "<force forcefield='o'/>"),
        ),
        "no <force> uses the mixing layer 'mix'",
    ),
    "tag": ((STEP, STEP.replace("timestep", "timstep")), "did you mean 'timestep'"),
    "tag above": (("ensemble>", "ensamble>"), "did you mean 'ensemble'"),
    "tag of output": (("<trajectory", "<trajectry"), "not valid XML"),
    "attribute": (("units='femtosecond'", "unit='femtosecond'"), "did you mean 'units'"),
    "unit": (("units='femtosecond'", "units='femtosec'"), "undefined unit"),
    "no number": ((">1</timestep>", ">one</timestep>"), "<timestep> one: could not convert"),
    "option": (("mode='ase'", "mode='extxyz'"), "unknown mode='extxyz' of <file>"),
    "thermostat": (
        (STEP, STEP + "<thermostat mode='langvin'><tau>4000</tau></thermostat>"),
        "mode='langvin' of <thermostat>: did you mean 'langevin'",
    ),
    "tag twice": ((STEP, STEP + STEP), "stands twice in <dynamics>"),
    "text among tags": (("<forces>", "<forces>mix"), "is no tag: i-PI skips it"),
    "outermost tag": (("simulation", "simulatoin"), "i-PI's is <simulation>"),
    "nmts of 0": ((STEP, STEP + "<nmts>[0]</nmts>"), "must be 1 or more on every level"),
    "nmts and weights": ((STEP, STEP + "<nmts>[1,4]</nmts>"), "mts levels"),
    "weights of 0": (
        (FORCE, "<force forcefield='mix'><mts_weights>[0]</mts_weights></force>"),
        "are all 0",
    ),
    "weight 0": ((FORCE, "<force forcefield='mix' weight='0'/>"), "are all 0"),
    "weight of NaN": ((FORCE, "<force forcefield='mix' weight='nan'/>"), "weight of <force> has"),
    "step of next to nothing": (("units='femtosecond'", "units='femto'"), "must be positive"),
    "long name": (("prefix='md'", f"prefix='{'x' * 252}'"), "255 bytes at most"),
    "negative step": ((">1</timestep>", ">-1</timestep>"), "must be positive"),
    "step of NaN": ((">1</timestep>", ">nan</timestep>"), "finite number"),
    "cold": (("<temperature units='kelvin'>", "<temperature units='kelvin'>-"), "negative"),
    "no steps": (("<total_steps>5<", "<total_steps>0<"), "has done all its 0 steps"),
    "beads": (("nbeads='1'", "nbeads='one'"), "must be a whole number, not 'one'"),
    "property": (("temperature{kelvin}", "temprature{kelvin}"), "temprature is not a recognized"),
    "unit of a property": (("temperature{kelvin}", "temperature{celvin}"), "undefined unit"),
    "trajectory": (("      positions", "      position"), "not a recognized output trajectory"),
    "unit of a trajectory": (("cell_units='ase'", "cell_units='angstrom'"), "leave them away"),
    "stride": (("<properties stride='1'", "<properties stride='0'"), "the stride of md.out is 0"),
    "same output twice": (("filename='for'", "filename='pos'"), "not unique"),
    "output is the structure": (
        (("prefix='md'", "prefix='init'"), ("filename='out'", "filename='extxyz'")),
        "init.extxyz, which is a file that i-PI reads: it would be overwritten",
    ),
    "output is the configuration": (
        (("prefix='md'", "prefix=''"), ("filename='out'", "filename='mixing.yaml'")),
        "mixing.yaml, which is the configuration",
    ),
    "output is mixpi's": (
        (("prefix='md'", "prefix='mix'"), ("filename='out'", "filename='steps'")),
        "mix.steps, but that is the name of an output of input.xml",
    ),
    "output nowhere": (("prefix='md'", "prefix='gone/md'"), "in a folder that does not exist"),
    "file of atoms missing": ((FILE, FILE.replace("init", "gone")), "gone.extxyz"),
    "parameters": (("{config: mixing.yaml}", "config: mixing.yaml"), "is no dictionary to i-PI"),
    "parameter": (("{config:", "{confg:"), "did you mean 'config'"),
    "another parameter": (("mixing.yaml}", "mixing.yaml, strid: 2}"), "unknown parameter 'strid'"),
    "bohr for Å": ((FILE, FILE.replace("units='ase'", "units='atomic_unit'")), "0.5292"),
    "cell overridden": (
        (FILE, FILE + "<cell mode='abc' units='angstrom'>[10.92, 10.92, 11.5]</cell>"),
        "the cell alone was overridden",
    ),
    "atom of a property": (
        ("temperature{kelvin}", "temperature(atom=Sx){kelvin}"),
        "there is no atom Sx",
    ),
    "number of a property": (
        ("temperature{kelvin}", "kinetic_cv(64)"),
        "there are 64 atoms, numbered from 0",
    ),
    "argument of a property": (
        ("temperature{kelvin}", "temperature(atm=Si)"),
        "unexpected keyword argument 'atm'",
    ),
    "active atoms": (
        ("</parameters>", "</parameters><activelist>[0, 1]</activelist>"),
        "skips the <activelist> of <ffdirect name='mix'>",
    ),
    "springs": (
        ("<ensemble>", "<normal_modes propagator='bab'><nmts>0</nmts></normal_modes><ensemble>"),
        "springs between the beads would be left out",
    ),
    "open paths": (
        ("<ensemble>", "<normal_modes><open_paths>[64]</open_paths></normal_modes><ensemble>"),
        "<open_paths> names atom 64",
    ),
    "half a Hamiltonian": (
        ("<ensemble>", "<ensemble><hamiltonian_weights>[0.5]</hamiltonian_weights>"),
        "<hamiltonian_weights> other than 1 count in i-PI's energy, but not in its forces",
    ),
    "a bias of mixed forces": (
        ("<ensemble>", "<ensemble><bias><force forcefield='mix'/></bias>"),
        "<bias> in <ensemble> names the mixing layer 'mix'",
    ),
    "cell in bohr": ((FILE, FILE + "<cell mode='abc'>[10.92, 10.92, 10.92]</cell>"), "0.5292"),
}


@pytest.mark.parametrize("mistake", REFUSED_XML)
def test_input_is_refused(make_case, mistake):
    changes, message = REFUSED_XML[mistake]
    case = make_case()
    swap(case, *([changes] if isinstance(changes[0], str) else changes))
    with pytest.raises(MixpiError) as error:
        look(case)
    text = str(error.value)
    assert message in text and "Traceback" not in text
    assert (
        case.folder.name in text or "input.xml" in text or "init.extxyz" in text or "gone" in text
    )
    assert len(text.splitlines()) <= 6


def test_where_it_stands_is_said(make_case):
    case = make_case()
    swap(case, (STEP, f"\n{STEP.replace('units', 'unit')}"))
    line = 1 + (case.folder / "input.xml").read_text().split("<timestep")[0].count("\n")
    with pytest.raises(MixpiError, match=f"line {line}: unknown attribute 'unit' of <timestep>"):
        look(case)


@pytest.mark.parametrize(
    ("pes", "message"),
    [
        ("from mixpi.ipi.pes import MixingPE", "cannot import name 'MixingPE'"),
        ("from mixpi.ipi_pes import MixingPES", "must hold"),
        (
            "from ipi.pes.dummy import Dummy_driver\n"
            "__DRIVER_NAME__, __DRIVER_CLASS__ = 'dummy', 'Dummy_driver'",
            "names another class than the mixing layer's",
        ),
    ],
)
def test_wrong_pes_file(make_case, pes, message):
    case = make_case()
    (case.folder / "mixing_pes.py").write_text(pes + "\n")
    with pytest.raises(MixpiError, match=message):
        look(case)


WARNED = {
    "step in atomic units": ((STEP, "<timestep>1</timestep>"), "0.0242 fs"),
    "step of a picosecond": (("'femtosecond'", "'picosecond'"), "1e+03 fs"),
    "temperature in atomic units": (
        ("<temperature units='kelvin'>", "<temperature>"),
        "9.47e+07 K",
    ),
    "velocities in atomic units": (
        ("mode='thermal' units='kelvin'>", "mode='thermal'>"),
        "temperature of the first velocities",
    ),
    "thermostat of nve": (
        (
            STEP,
            STEP + "<thermostat mode='langevin'><tau units='femtosecond'>100</tau></thermostat>",
        ),
        "mode='nve' does not use it",
    ),
    "nvt without thermostat": (("mode='nve'", "mode='nvt'"), "without a thermostat"),
    "short tau": (
        (
            f"<dynamics mode='nve'>{STEP}",
            f"<dynamics mode='nvt'>{STEP}<thermostat mode='langevin'><tau>40</tau></thermostat>",
        ),
        "drawn anew in each step",
    ),
    "half the force": ((FORCE, "<force forcefield='mix' weight='0.5'/>"), "add up to 0.5"),
    "unused force field": (
        ("<system>", "<ffsocket name='o' mode='unix'><address>o</address></ffsocket><system>"),
        "'o' of input.xml is used by no <force>",
    ),
    "cell cut": (
        (
            FILE,
            FILE
            + "<cell mode='manual' units='angstrom'>[10.92,0,0, 0.5,10.92,0, 0,0,10.92]</cell>",
        ),
        "i-PI says: Cell vector matrix must be upper triangular",
    ),
    "units not converted": (
        (
            THERMAL,
            f"<velocities mode='manual' units='m/s'>[{','.join(['1e-4'] * 192)}]</velocities>",
        ),
        "does not convert",
    ),
}


@pytest.mark.parametrize("thing", WARNED)
def test_doubtful_input_is_warned_of(make_case, thing):
    change, message = WARNED[thing]
    case = make_case()
    swap(case, change)
    found = warnings(look(case))
    assert len(found) == 1 and message in found[0]


# two files, two stories


def other_file(case, atoms, name="other.extxyz", tag=FILE, **options):
    write(case.folder / name, atoms, **options)
    swap(case, (FILE, tag.replace("init.extxyz", name)))


def with_helium():
    atoms = silicon()
    atoms.numbers[3] = 2
    return atoms


def xyz_text(atoms, comment):
    rows = (
        f"{s} {x:.8f} {y:.8f} {z:.8f}"
        for s, (x, y, z) in zip(atoms.symbols, atoms.positions, strict=True)
    )
    return f"{len(atoms)}\n# {comment}\n" + "\n".join(rows) + "\n"


def test_another_order(make_case):
    atoms = silicon()
    case = make_case(atoms)
    other_file(case, atoms[np.random.default_rng(0).permutation(64)])
    with pytest.raises(MixpiError, match="the same atoms in another order"):
        look(case)


def test_swapped_species_in_a_pdb(make_case):
    """pdb files were not compared at all."""
    atoms = with_helium()
    case = make_case(atoms)
    atoms.numbers[[3, 4]] = atoms.numbers[[4, 3]]
    lines = ["CRYST1   10.920   10.920   10.920  90.00  90.00  90.00 P 1           1"]
    for i, (symbol, (x, y, z)) in enumerate(zip(atoms.symbols, atoms.positions, strict=True)):
        lines.append(f"ATOM  {i + 1:5d} {symbol:>4s}   1     1    {x:8.3f}{y:8.3f}{z:8.3f}")
    (case.folder / "o.pdb").write_text("\n".join([*lines, "END"]) + "\n")
    swap(case, (FILE, "<file mode='pdb'>o.pdb</file>"))
    with pytest.raises(MixpiError, match="species are swapped"):
        look(case)
    swap(case, ("  Si  ", "  XX  "), ("  He  ", "  Si  "), ("  XX  ", "  He  "), name="o.pdb")
    with pytest.raises(MixpiError, match="atom 0"):
        look(case)


def test_positions_in_the_input_are_in_bohr(make_case):
    """i-PI ignores the units of ``<positions mode='manual'>``."""
    atoms = silicon()
    case = make_case(atoms)
    numbers = ", ".join(f"{x:.10f}" for x in atoms.positions.ravel())
    swap(
        case,
        (
            FILE,
            f"<positions mode='manual' units='angstrom'>[{numbers}]</positions>"
            "<cell mode='abc' units='angstrom'>[10.92, 10.92, 10.92]</cell>"
            f"<masses mode='manual' units='dalton'>[{', '.join(['28.085'] * 64)}]</masses>"
            f"<labels mode='manual'>[{', '.join(['Si'] * 64)}]</labels>",
        ),
    )
    with pytest.raises(MixpiError, match="lengths in Å were taken for bohr"):
        look(case)


@pytest.mark.parametrize(
    ("comment", "ok"),
    [
        ("CELL(abcABC): 10.92 10.92 10.92 90 90 90 positions{angstrom} cell{angstrom}", True),
        ("CELL(abcABC): 10.92 10.92 10.92 90 90 90", False),
        ("CELL(abcABC): 10.92 10.92 10.92 90 90 90 positions{angstrom}", False),
        ("CELL(abcABC): 10.92 10.92 10.92 90 90 90 cell{angstrom}", False),
    ],
)
def test_units_of_an_xyz_file(make_case, comment, ok):
    atoms = silicon()
    case = make_case(atoms)
    (case.folder / "o.xyz").write_text(xyz_text(atoms, comment))
    swap(case, (FILE, "<file mode='xyz'>o.xyz</file>"))
    if ok:
        assert warnings(look(case)) == []
    else:
        with pytest.raises(MixpiError, match="lengths in Å were taken for bohr"):
            look(case)


def test_several_frames(make_case):
    atoms = silicon()
    later = silicon(seed=9)
    case = make_case(atoms)
    other_file(case, [atoms, later])
    with pytest.raises(MixpiError, match=r"has 2 frames: for 1 bead.* average"):
        look(case)
    case = make_case(atoms, beads=2, dynamics=PILE, folder="beads")
    other_file(case, [atoms, later])
    assert warnings(look(case)) == []
    assert ask_ipi(case.input).spread > 0.01


def test_several_frames_in_the_structure(make_case):
    case = make_case()
    write(case.folder / "md.extxyz", [silicon(), silicon(seed=8)])
    case.config["structure"] = "md.extxyz"
    assert any("the first is taken" in line for line in look(case))
    write(case.folder / "md.extxyz", [silicon(), with_helium()])
    with pytest.raises(MixpiError, match="several frames, of different atoms"):
        look(case)


def test_moved_by_lattice_vectors_is_the_same(make_case):
    atoms = silicon()
    case = make_case(atoms)
    atoms.positions[7] += 2 * atoms.cell.array[0]
    other_file(case, atoms)
    assert warnings(look(case)) == []


def test_turned_cell_is_noted(make_case):
    atoms = bulk("Si", "diamond", a=5.46) * (4, 4, 4)
    case = make_case(atoms)
    notes = [line for line in look(case) if "not lower triangular" in line]
    assert len(notes) == 1 and notes[0].startswith("note: the cell of init.extxyz")


def test_atoms_on_top_of_each_other(make_case):
    atoms = silicon()
    atoms.positions[5] = atoms.positions[6] + [0.1, 0.0, 0.0]
    assert any("only 0.100 Å apart" in line for line in warnings(look(make_case(atoms))))


def test_a_start_that_is_not_relaxed(make_case):
    """At 1.5 Å a model of silicon may know no repulsion."""
    atoms = silicon()
    atoms.positions[1] = atoms.positions[0] + [1.5, 0, 0]
    [line] = [line for line in warnings(look(make_case(atoms))) if "are 1.50 Å apart" in line]
    assert "atoms 0 and 1" in line and "68% of a bond" in line


# what ASE writes and i-PI ignores


def test_fixed_atoms(make_case):
    atoms = silicon()
    atoms.set_constraint(FixAtoms([3, 5]))
    case = make_case(atoms)
    assert "<fixatoms>[3, 5]</fixatoms>" in warnings(look(case))[0]
    motion = "<motion mode='dynamics'>"
    swap(case, (motion, f"{motion}<fixcom>False</fixcom><fixatoms>[3]</fixatoms>"))
    assert "others than i-PI does" in warnings(look(case))[0]
    swap(case, ("[3]</fix", "[5, 3]</fix"))
    assert warnings(look(case)) == []


def test_negative_fixed_atoms_are_refused(make_case):
    case = make_case(silicon())
    motion = "<motion mode='dynamics'>"
    swap(case, (motion, f"{motion}<fixatoms>[-1]</fixatoms>"))
    with pytest.raises(MixpiError, match="negative number, which i-PI counts from the last atom"):
        look(case)


def test_output_named_like_a_file_of_an_included_potential(make_case):
    (source,) = potential_folders()[-1].glob("Si.sw")
    case = make_case(silicon())
    (case.folder / "mix.steps").write_text(source.read_text())
    (case.folder / "pot.mod").write_text("pair_style sw\npair_coeff * * 'mix.steps' Si\n")
    socket = case.config["cheap"]["socket"]
    case.config["cheap"] = {"lammps": {"potential": ["include pot.mod"]}, "socket": socket}
    with pytest.raises(MixpiError, match=r"a file of the cheap driver: it would be overwritten"):
        look(case)


def test_selective_dynamics_of_a_poscar(make_case):
    atoms = silicon()
    case = make_case(atoms)
    atoms.set_constraint(FixAtoms(range(40)))
    write(case.folder / "POSCAR", atoms)
    case.config["structure"] = "POSCAR"
    found = warnings(look(case))
    assert len(found) == 1 and "POSCAR fixes 40 atom(s)" in found[0] and "19, ...]" in found[0]


def test_other_constraints(make_case, tmp_path):
    atoms = silicon()
    case = make_case(atoms)
    atoms.set_constraint(FixCartesian(3, (True, False, False)))
    atoms.write(case.folder / "a.traj")
    case.config["structure"] = "a.traj"
    assert "FixCartesian" in warnings(look(case))[0]


def test_velocities(make_case):
    atoms = silicon()
    velocities = np.random.default_rng(1).normal(size=(64, 3)) * 0.01
    atoms.set_velocities(velocities - velocities.mean(axis=0))  # <fixcom> would take it away
    case = make_case(atoms)
    lines = look(case)
    assert warnings(lines) == []
    assert any("velocities in init.extxyz are not used" in line for line in lines)
    swap(case, (THERMAL, ""))
    assert "all atoms start at rest" in warnings(look(case))[0]
    # the way out that the warning names gives i-PI the same velocities
    numbers = ", ".join(f"{v * VELOCITY:.12e}" for v in atoms.get_velocities().ravel())
    swap(case, (FILE, f"{FILE}<velocities mode='manual'>[{numbers}]</velocities>"))
    assert warnings(look(case)) == []
    kinetic = ask_ipi(case.input).kinetic_temperature
    assert kinetic == pytest.approx(atoms.get_temperature(), rel=1e-4)


def test_masses(make_case):
    atoms = silicon()
    case = make_case(atoms)
    atoms.set_masses([30.0] * 64)
    atoms.write(case.folder / "heavy.extxyz")
    case.config["structure"] = "heavy.extxyz"
    assert "has masses (30 for atom 0) that i-PI does not use" in warnings(look(case))[0]
    swap(case, ("init.extxyz", "heavy.extxyz"))
    assert warnings(look(case)) == []
    # by hand, of an isotope, and without units
    by_hand = f"{FILE}<masses mode='manual' units='dalton'>[{', '.join(['30.0'] * 64)}]</masses>"
    swap(case, (FILE.replace("init.extxyz", "heavy.extxyz"), by_hand))
    case.config["structure"] = "init.extxyz"
    assert warnings(look(case)) == []
    swap(case, ("<masses mode='manual' units='dalton'>", "<masses mode='manual'>"))
    [said] = warnings(look(case))
    assert "a mass of 0.01646 u for atom 0 (from 0, Si, 28.09 u; 64 atom(s) are so)" in said
    assert "is units='dalton' missing?" in said


def test_charges(make_case):
    atoms = silicon()
    atoms.set_initial_charges([0.5, -0.5] * 32)
    assert "has charges" in warnings(look(make_case(atoms)))[0]


def test_velocities_and_charges_of_lammps_data(make_case):
    case = make_case()
    atoms = silicon()
    atoms.set_velocities(np.full((64, 3), 0.01))
    atoms.set_initial_charges(np.full(64, 0.5))
    write(
        case.folder / "init.data",
        atoms,
        format="lammps-data",
        masses=True,
        velocities=True,
        atom_style="charge",
    )
    case.config["structure"] = "init.data"
    swap(case, (THERMAL, ""))
    velocities, charges = warnings(look(case))
    assert "init.data has velocities, which i-PI ignores" in velocities
    assert "init.data has charges" in charges


def test_lammps_data_as_structure(make_case):
    case = make_case()
    write(case.folder / "data.si", silicon(), format="lammps-data", masses=True)
    case.config["structure"] = "data.si"
    assert warnings(look(case)) == []


# names of files


@pytest.mark.parametrize(
    ("key", "name", "message"),
    [
        ("trajectory", "init.extxyz", "it would be overwritten"),
        ("steps", "./input.xml", "which is the i-PI input"),
        ("steps", "mixing.yaml", "which is the configuration"),
        ("steps", "mixing_pes.py", "which is the pes_path"),
        ("steps", "some.model", "a file of the expensive driver"),
        ("steps", "mix.extxyz", "the name of output.trajectory"),
        ("trajectory", "md.pos_0.extxyz", "the name of an output of input.xml"),
        ("steps", "RESTART", "the name of RESTART"),
        ("steps", "gone/steps", "in a folder that does not exist"),
    ],
)
def test_output_named_like_another_file(make_case, key, name, message):
    case = make_case(expensive={"mace": {"model": "some.model"}})
    (case.folder / "some.model").write_text("")
    case.config["output"] = {key: name}
    with pytest.raises(MixpiError, match=message):
        look(case)


@pytest.mark.parametrize("written", ['"mixing.yaml"', "'mixing.yaml'", "./mixing.yaml "])
@pytest.mark.parametrize("form", ["{{config: {}}}", "{{config:{}}}", "{{ config : {} }}"])
def test_forms_of_the_parameters(make_case, written, form):
    case = make_case()
    swap(case, ("{config: mixing.yaml}", form.format(written)))
    assert read_ipi_input(case.input).config_path == case.folder / "mixing.yaml"


def test_quoted_configuration_runs(make_case):
    case = make_case(steps=2)
    (case.folder / "sub").mkdir()
    case.config["structure"] = str(case.folder / "init.extxyz")
    case.write()
    (case.folder / "mixing.yaml").rename(case.folder / "sub" / "my file.yaml")
    swap(case, ("{config: mixing.yaml}", '{config: "sub/my file.yaml"}'))
    done = mixpi("run", "input.xml", "--no-reference", "--quiet", cwd=case.folder)
    assert done.returncode == 0, done.stderr


# the two sides


def test_without_seeds_the_expensive_driver_is_not_looked_at(make_case):
    case = make_case(seeds="none", expensive={"mace": {"model": "gone.model"}})
    assert any("expensive: not looked at" in line for line in look(case))
    case.config["seeds"] = [0]
    with pytest.raises(MixpiError, match=r"gone\.model does not exist"):
        look(case)


def test_where_all_is_expensive_the_cheap_driver_is_not_looked_at(make_case):
    lammps = {"potential": TERSOFF, "executable": "/gone/lmp"}
    case = make_case(seeds="all", cheap={"lammps": lammps})
    found = look(case)
    assert "cheap: not looked at, because with 'seeds: all' nothing is asked of it" in found
    assert "note: seeds: all: every force will be expensive" in found
    case.config["seeds"] = [0]
    with pytest.raises(MixpiError, match="/gone/lmp"):
        look(case)


def test_classified_seeds_are_found_and_their_commands_read(make_case):
    case = make_case(seeds={"lammps": "centro/atom 4", "bounds": [3.0, float("inf")]})
    found = [line for line in look(case) if line.startswith("seeds: 3 <= LAMMPS's centro/atom 4")]
    assert len(found) == 1 and "LAMMPS lists neighbours to" in found[0]
    case.config["seeds"]["among"] = [0]
    (line,) = [line for line in look(case) if line.startswith("seeds: 3 <= LAMMPS's")]
    assert "of those in 'among'); values from 13.2142 to 13.2142: now 1 atom(s): 0" in line
    case.config["seeds"]["lammps"] = "centroo/atom 4"
    with pytest.raises(MixpiError, match="'centroo/atom 4': ERROR: Unrecognized compute style"):
        look(case)


def test_lammps_cannot_be_given_a_changing_cluster(make_case):
    case = make_case(expensive={"lammps": {"potential": TERSOFF}})
    with pytest.raises(MixpiError, match=r"lammps cannot compute the cluster .*Use mace"):
        look(case)
    case.config["regions"] = {"core": 30.0, "blend": 0.0, "buffer": 0.0}
    assert any("only as long as the cluster is the whole system" in line for line in look(case))


@pytest.mark.parametrize("kind", [{"command": "true"}, {"external": True}])
def test_what_the_expensive_side_asks_of_a_client(make_case, kind):
    assert any("must answer NEEDINIT" in line for line in look(make_case(expensive=kind)))


def test_which_lammps_is_run_is_said_before(make_case):
    """A program of the folder may be anything."""
    potential = {"potential": ["pair_style zero 4.0", "pair_coeff * *"], "arguments": "-nb " * 90}
    case = make_case(cheap={"lammps": {**potential, "launch": "env A=1", "executable": "./mine"}})
    case.write()
    (case.folder / "mine").write_text("#!/bin/sh\ntouch run-by-check\nexit 1\n")
    (case.folder / "mine").chmod(0o755)
    said = []
    with pytest.raises(MixpiError, match="LAMMPS cannot compute"):
        said.extend(check(case.folder / "input.xml"))
    lines = [line for line in said if line.startswith("cheap: runs ")]
    assert len(lines) == 1 and f"/env A=1 {case.folder / 'mine'} -log" in lines[0]
    assert lines[0].endswith(" ...") and len(lines[0]) < 250


def test_the_prefix_of_a_model_is_looked_for(make_case, tiny_model):
    case = make_case(expensive={"mace": {"model": str(tiny_model), "launch": "no_srun -n 4"}})
    with pytest.raises(MixpiError, match=r"'no_srun' not found \(expensive: mace: launch\)"):
        look(case)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        *((f"other.{end}", "i-PI reads text only here: unpack or convert it to extended XYZ")
          for end in ("extxyz.gz", "extxyz.bz2", "extxyz.xz", "traj", "db")),
        ("other.res", "i-PI does not know this format: convert it to extended XYZ"),
    ],
)  # fmt: skip
def test_formats_that_ipi_cannot_read(make_case, name, message):
    case = make_case()
    case.write()
    other_file(case, silicon(), name)
    with pytest.raises(MixpiError, match=f"cannot read {name} as mode='ase' ") as error:
        list(check(case.folder / "input.xml", drivers=False))
    assert message in str(error.value) and "Error" not in str(error.value)


def test_a_token_that_drivers_could_not_show(make_case):
    inet = {"mode": "inet", "address": "localhost", "port": 31417, "token": "secret"}
    case = make_case(expensive={"external": True, "socket": inet})
    with pytest.raises(MixpiError, match=r"token .*secret: No such file or directory"):
        look(case)
    (case.folder / "secret").write_text("x" * 64)
    (case.folder / "secret").chmod(0o644)
    with pytest.raises(MixpiError, match="can be read by other users"):
        look(case)
    (case.folder / "secret").chmod(0o600)
    look(case)


@pytest.mark.slow
def test_prefix_of_an_error_stands_once(make_case):
    case = make_case(expensive={"mace": {"model": "init.extxyz"}})
    done = case.mixpi("check", "input.xml")
    assert done.returncode == 1 and done.stderr.count("mixpi: error:") == 1


# what must go on working


def test_multiple_time_steps_and_beads(make_case):
    case = make_case(beads=4, dynamics=PILE)
    swap(
        case,
        ("</timestep>", "</timestep><nmts>[1, 4]</nmts>"),
        (FORCE, "<force forcefield='mix'><mts_weights>[1, 0]</mts_weights></force>"),
    )
    assert warnings(look(case)) == []


def test_output_of_i_pi_named_like_a_bead_s_frames(make_case):
    case = make_case(beads=2, dynamics=PILE)
    swap(case, ("prefix='md'", "prefix=''"), ("filename='pos'", "filename='mix'"))
    with pytest.raises(MixpiError, match=r"mix_0\.extxyz, but that is the name of an output"):
        look(case)
    case.config["output"] = {"trajectory": "frames.extxyz"}
    assert warnings(look(case)) == []


def test_contraction_to_nothing_means_all_beads(make_case):
    case = make_case(beads=4, dynamics=PILE)
    swap(case, (FORCE, "<force forcefield='mix' nbeads='0'/>"))
    assert warnings(look(case)) == []


def test_properties_of_some_atoms(make_case):
    case = make_case()
    some = "temperature(atom=Si){kelvin}, temperature(3; nm=0), atom_x(atom=63){angstrom}, cell_h,"
    swap(case, ("[ step,", f"[ step, {some}"))
    assert warnings(look(case)) == []


def test_active_atoms_of_a_force_field_that_heeds_them(make_case):
    case = make_case()
    socket = "<ffsocket name='o' mode='unix'><activelist>[0, 1]</activelist></ffsocket>"
    swap(
        case,
        ("<system>", socket + "<system>"),
        (FORCE, FORCE + "<force forcefield='o'/>"),
    )
    assert warnings(look(case)) == []


def test_restart(make_case):
    case = make_case(steps=3)
    assert case.mixpi("run", "input.xml", "--no-reference").returncode == 0
    (case.folder / "RESTART").rename(case.folder / "again.xml")
    swap(case, ("<total_steps>3<", "<total_steps>6<"), name="again.xml")
    assert warnings(look(case, "again.xml")) == []
    silicon(seed=7).write(case.folder / "init.extxyz")  # positions of a restart are its own
    assert warnings(look(case, "again.xml")) == []
    with_helium().write(case.folder / "init.extxyz")
    with pytest.raises(MixpiError, match=r"atom 3 .* is He in the one and Si in the other"):
        look(case, "again.xml")


def test_a_folder_named_like_the_package_does_not_hide_it(make_case):
    """``check`` from beside a clone, whose folder has the package's name."""
    case = make_case()
    (case.folder / "mixpi").mkdir()
    assert "all in order" in mixpi("check", "--fast", "input.xml", cwd=case.folder).stdout


def test_environment_script_puts_the_package_before_a_clone(tmp_path):
    """The lines of scripts/environment.sh, with another folder for site-packages."""
    script = (ROOT / "scripts" / "environment.sh").read_text()
    lines = script.split("<<'END'\n")[1].split("\nEND\n")[0]
    site = tmp_path / "site"
    site.mkdir()
    (tmp_path / "mixpi").mkdir()

    def python(code):
        command = [sys.executable, "-c", code]
        return subprocess.run(command, cwd=tmp_path, env=clean_environment(), capture_output=True)

    made = python(f"import sysconfig; sysconfig.get_path = lambda _: {str(site)!r}\n{lines}")
    assert made.returncode == 0, made.stderr
    done = python(f"import site; site.addsitedir({str(site)!r}); from mixpi import build_regions")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_an_earlier_run_is_offered(make_case):
    case = make_case(steps=4)
    assert case.mixpi("run", "input.xml", "--no-reference", "--quiet").returncode == 0
    assert "an earlier run" not in case.mixpi("check", "input.xml", "--fast").stdout
    restart = case.folder / "RESTART"
    restart.write_text(restart.read_text().replace("<total_steps>4<", "<total_steps>9<"))
    assert "<total_steps>9<" in restart.read_text()
    said = case.mixpi("check", "input.xml", "--fast").stdout
    assert "has done 4 of 9 steps: 'mixpi run RESTART' continues it" in said, said
    assert "an earlier run" not in case.mixpi("check", "RESTART", "--fast").stdout


PILE = (
    "<dynamics mode='nvt'>"
    + STEP
    + "<thermostat mode='pile_l'><tau units='femtosecond'>100</tau></thermostat></dynamics>"
)


def test_forces_that_are_all_on_the_centroid(make_case):
    """The ring polymer would be that of free particles: the classical energy, in silence."""
    case = make_case(beads=8, dynamics=PILE, forces="<force forcefield='mix' nbeads='1'/>")
    case.input.write_text(case.input.read_text().replace("<batch_size>8</batch_size>", ""))
    with pytest.raises(MixpiError, match="all forces are on the centroid of 8 beads"):
        list(check(case.input, drivers=False))
    # nor does one help that is not felt
    text = case.input.read_text()
    own = "<ffdirect name='own'><pes>harmonic</pes><parameters>{k1: 1e-3}</parameters></ffdirect>"
    more = text.replace("<system>", own + "<system>")
    for weight in ("0", "1"):
        felt = f"<force forcefield='own' weight='{weight}'/></forces>"
        case.input.write_text(more.replace("</forces>", felt))
        if weight == "0":
            with pytest.raises(MixpiError, match="all forces are on the centroid of 8 beads"):
                list(check(case.input, drivers=False))
        else:
            said = " ".join(check(case.input, drivers=False))
            assert "(mixed forces on the centroid of 8 beads)" in said
    case.input.write_text(text.replace("nbeads='1'/>", "nbeads='2'/>"))
    said = " ".join(check(case.input, drivers=False))
    assert "warning: no force of input.xml acts on all 8 beads" in said
    assert "evaluations per step: 2 cheap, 2 expensive" in said


def test_several_dynamics_in_one_motion(make_case):
    """i-PI stops in each what the other fixes, and a step is as long as both."""
    case = make_case()
    text = case.input.read_text()
    begin, end = text.index("<motion"), text.index("</motion>") + len("</motion>")
    one = text[begin:end]
    for parts in (1, 2):
        multi = f"<motion mode='multi'>{one * parts}</motion>"
        case.input.write_text(text[:begin] + multi + text[end:])
        if parts == 1:
            list(check(case.input, drivers=False))
    with pytest.raises(MixpiError, match="2 motions of mode 'dynamics' in one"):
        list(check(case.input, drivers=False))


@pytest.mark.parametrize("memory", ["tau_in", "tau_out", "every", "leave", ""])
def test_replay_of_frames_between_which_no_time_passes(make_case, memory):
    case = make_case()
    (case.folder / "frames.extxyz").write_text((case.folder / "init.extxyz").read_text())
    text = case.input.read_text()
    begin, end = text.index("<motion"), text.index("</motion>")
    replay = "<motion mode='replay'><file mode='ase' units='ase'>frames.extxyz</file>"
    case.input.write_text(text[:begin] + replay + text[end:])
    if memory:
        case.config["regions"] |= {memory: 4}
    case.write()
    if memory:
        with pytest.raises(MixpiError, match=rf"regions with a memory .* \({memory}\)"):
            list(check(case.input, drivers=False))
    else:
        list(check(case.input, drivers=False))
