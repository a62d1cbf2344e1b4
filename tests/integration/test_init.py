"""``mixpi init``: the folder that it writes checks and runs, wherever it is moved."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixAtoms, FixBondLength, FixCartesian
from ase.io import read
from conftest import MODELS, ROOT, TERSOFF, mixpi, silicon
from mixpi import MixpiError, init_case
from mixpi.config import load_config
from mixpi.structure import read_structure


pytestmark = pytest.mark.full


POTENTIALS = ROOT / "ipi_inputs" / "potentials"
NEXT = ["mixpi check input.xml", "mixpi calibrate input.xml", "mixpi run input.xml", "mixpi plot"]


def runs_when_moved(folder: Path, elsewhere: Path) -> Path:
    """Check and run it at another place; the place."""
    shutil.move(folder, elsewhere)
    for path in elsewhere.iterdir():
        assert path.is_file() and not path.is_symlink()
    done = mixpi("check", "input.xml", cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    done = mixpi("run", "input.xml", "--no-reference", "--quiet", cwd=elsewhere, timeout=300)
    assert done.returncode == 0, done.stderr
    report = json.loads((elsewhere / "mixpi.report.json").read_text())
    assert report["status"] == "finished" and report["steps"] == 3
    return elsewhere


def test_vacancy_from_the_command_line(tmp_path):
    (tmp_path / "there").mkdir()
    atoms = bulk("Si", a=5.465, cubic=True).repeat(3)
    hole = atoms.positions[108]
    del atoms[108]
    atoms.write(tmp_path / "there" / "a b.cif")  # any format, any name
    shutil.copy(MODELS / "si-tiny.model", tmp_path / "there" / "my model.model")
    arguments = [
        *("--structure", "there/a b.cif", "--model", "there/my model.model"),
        *("--potential", str(POTENTIALS / "si-uf3.json"), "--seeds", "undercoordinated"),
        *("--temperature", "250", "--steps", "3", "a new/folder"),
    ]
    done = mixpi("init", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    positions = [done.stdout.index(text) for text in ["cd 'a new/folder'", *NEXT]]
    assert positions == sorted(positions)
    assert "seeds: 4 (" in done.stdout and "215 atoms" in done.stdout
    folder = tmp_path / "a new" / "folder"
    for name in ("input.xml", "mixing.yaml", "mixing_pes.py"):
        text = (folder / name).read_text()
        assert "../" not in text and str(tmp_path) not in text
    assert (folder / "my_model.model").read_bytes() == (MODELS / "si-tiny.model").read_bytes()
    assert (folder / "si-uf3.uf3").read_bytes() == (POTENTIALS / "si-uf3.uf3").read_bytes()
    moved = runs_when_moved(folder, tmp_path / "moved")
    config = load_config(moved / "mixing.yaml")
    distances = np.linalg.norm(read(moved / "init.extxyz").positions - hole, axis=1)
    assert sorted(config.seeds) == sorted(np.argsort(distances)[:4].tolist())


@pytest.mark.slow
def test_helium_that_the_cheap_potential_leaves_alone(tmp_path):
    atoms = bulk("W", "bcc", a=3.188, cubic=True).repeat(4)
    atoms = Atoms("He", [atoms.positions[60] + np.array([0.5, 0.25, 0]) * 3.188]) + atoms
    atoms.set_cell(bulk("W", "bcc", a=3.188, cubic=True).cell * 4)
    atoms.pbc = True
    case = init_case(
        tmp_path / "case",
        structure=atoms,
        model=MODELS / "w-he-tiny.model",
        potential=POTENTIALS / "w-uf3.md",
        seeds="species He",
        temperature=400,
        steps=3,
    )
    assert case.seeds == [0]
    config = load_config(case.folder / "mixing.yaml")
    assert config.cheap.lammps.species == ["He", "W"]
    runs_when_moved(case.folder, tmp_path / "moved")


@pytest.mark.slow
def test_turned_skew_cell_with_fixed_atoms_and_isotopes(tmp_path):
    """Seeds are chosen in the file's own frame; what ASE knows goes into the XML."""
    atoms = bulk("Si", a=5.465) * (5, 5, 5)
    atoms.rattle(0.02, seed=4)
    atoms.rotate(40, (1, 2, 3), rotate_cell=True)
    masses = np.full(len(atoms), 28.0)
    masses[::3] = 30.0
    atoms.set_masses(masses)
    atoms.set_constraint(FixAtoms([7, 200, 11]))
    atoms.write(tmp_path / "a.traj")
    point = atoms.positions[33] + atoms.cell[0] - 2 * atoms.cell[2] + 0.3
    case = init_case(
        tmp_path / "case",
        structure=tmp_path / "a.traj",
        model=MODELS / "si-tiny.model",
        potential=TERSOFF,
        seeds=f"near {point[0]} {point[1]} {point[2]} within 1.5",
        ensemble="nve",
        steps=3,
    )
    assert case.seeds == [33]
    written = read(case.folder / "init.extxyz")
    np.testing.assert_allclose(written.positions, atoms.positions, atol=1e-7)
    np.testing.assert_allclose(written.cell.array, atoms.cell.array, atol=1e-9)
    assert any("3 atom(s) are fixed" in note for note in case.notes)
    moved = runs_when_moved(case.folder, tmp_path / "moved")
    restart = ElementTree.parse(moved / "RESTART").getroot()
    found = np.array(restart.findtext(".//beads/m").strip(" []\n").split(","), dtype=float)
    np.testing.assert_allclose(found / found[1], masses / masses[1])
    start = read_structure(moved / "init.extxyz").positions
    last = np.array(restart.findtext(".//beads/q").strip(" []\n").split(","), dtype=float)
    step = np.linalg.norm(last.reshape(-1, 3) * 0.529177210903 - start, axis=1)
    still = np.flatnonzero(step < 1e-6)
    assert still.tolist() == [7, 11, 200]


ARGUMENTS = {
    "model": "medium-mpa-0",  # a name: nothing is loaded
    "potential": TERSOFF,
    "seeds": "near 1 1 1 within 3",
}


def test_folder_says_what_was_asked(tmp_path):
    case = init_case(
        tmp_path / "case",
        structure=silicon(5),
        **ARGUMENTS,
        temperature=450.5,
        steps=77,
        timestep=0.5,
        device="cuda:1",
    )
    root = ElementTree.parse(case.folder / "input.xml").getroot()
    assert root.findtext("total_steps") == "77"
    assert float(root.findtext(".//timestep")) == 0.5
    assert float(root.findtext(".//ensemble/temperature")) == 450.5
    assert float(root.findtext(".//velocities")) == 901
    assert root.find(".//dynamics").get("mode") == "nvt"
    assert root.find(".//thermostat") is not None and root.find(".//fixatoms") is None
    config = load_config(case.folder / "mixing.yaml")
    assert config.expensive.mace.model == "medium-mpa-0"
    assert config.expensive.mace.device == "cuda:1"
    assert config.cheap.lammps.potential == TERSOFF and config.cheap.lammps.species == ["Si"]
    assert list(config.seeds) == case.seeds
    assert {path.name for path in case.folder.iterdir()} == {
        *("init.extxyz", "input.xml", "mixing.yaml", "mixing_pes.py", "Si.tersoff.modc")
    }
    assert (case.folder / "mixing_pes.py").read_bytes() == (
        ROOT / "ipi_inputs" / "si_vacancy_md" / "mixing_pes.py"
    ).read_bytes()
    assert any("12 Å (MACE-MP)" in note for note in case.notes)


@pytest.mark.parametrize(
    ("name", "radii"),
    [
        ("si_vacancy_md", (3.0, 3.0, 5.0)),
        ("si_vacancy_md_8000", (4.0, 4.0, 7.0)),
        ("fe_dumbbell_md", (4.0, 4.0, 7.0)),
    ],
)
def test_radii_to_begin_with_are_near_those_that_were_calibrated(name, radii, tmp_path):
    folder = ROOT / "ipi_inputs" / name
    config = load_config(folder / "mixing.yaml")
    case = init_case(
        tmp_path / "case",
        structure=folder / "init.extxyz",
        model=folder / config.expensive.mace.model,
        potential=str(folder / "mixing.yaml"),
        seeds=config.seed_indices,
    )
    assert (case.radii.core, case.radii.blend, case.radii.buffer) == radii
    chosen, shipped = load_config(case.folder / "mixing.yaml").regions, config.regions
    if shipped.profile == chosen.profile:
        assert chosen.core == shipped.core and chosen.blend == shipped.blend
    assert abs(chosen.buffer - shipped.buffer) <= 0.5
    assert not any("the cluster is" in note for note in case.notes)


def test_cell_that_is_too_small_for_any_radii_is_said(tmp_path):
    case = init_case(tmp_path / "case", structure=silicon(2), **ARGUMENTS)
    assert any(note.startswith("warning: the cluster is") for note in case.notes)


def test_no_seeds(tmp_path):
    case = init_case(tmp_path / "case", structure=silicon(2), **{**ARGUMENTS, "seeds": "none"})
    assert load_config(case.folder / "mixing.yaml").seeds == "none"


def test_long_lists_are_read_back(tmp_path):
    atoms = silicon(5)
    seeds = list(range(1, 400, 3))
    atoms.set_constraint(FixAtoms(range(0, 900, 2)))
    case = init_case(tmp_path / "case", structure=atoms, **{**ARGUMENTS, "seeds": seeds})
    assert list(load_config(case.folder / "mixing.yaml").seeds) == seeds
    text = ElementTree.parse(case.folder / "input.xml").getroot().findtext(".//fixatoms")
    assert json.loads(text) == list(range(0, 900, 2))
    assert max(map(len, (case.folder / "input.xml").read_text().splitlines())) <= 100


def test_what_the_structure_has_and_the_run_does_not(tmp_path):
    atoms = silicon(3)
    rng = np.random.default_rng(0)
    atoms.set_momenta(rng.normal(size=(len(atoms), 3)))
    atoms.set_initial_charges(rng.normal(size=len(atoms)))
    atoms.set_constraint([FixBondLength(0, 1), FixCartesian(5), FixCartesian(6, (1, 0, 0))])
    case = init_case(tmp_path / "case", structure=atoms, **ARGUMENTS)
    warnings = [note for note in case.notes if note.startswith("warning")]
    for word in ("momenta", "charges", "FixBondLength", "FixCartesian"):
        assert any(word in note for note in warnings), word
    root = ElementTree.parse(case.folder / "input.xml").getroot()
    assert json.loads(root.findtext(".//fixatoms")) == [5]
    # a thermal snapshot: its own temperature
    assert float(root.findtext(".//velocities")) == 300
    assert set(read(case.folder / "init.extxyz").arrays) == {"numbers", "positions"}


def test_fixed_atoms_of_an_extxyz_file(tmp_path):
    atoms = silicon(3)
    atoms.set_constraint(FixAtoms([3, 5]))
    atoms.write(tmp_path / "a.extxyz")
    assert "move_mask" in (tmp_path / "a.extxyz").read_text()
    case = init_case(tmp_path / "case", structure=tmp_path / "a.extxyz", **ARGUMENTS)
    root = ElementTree.parse(case.folder / "input.xml").getroot()
    assert json.loads(root.findtext(".//fixatoms")) == [3, 5]
    assert "move_mask" not in (case.folder / "init.extxyz").read_text()


def without_cell() -> Atoms:
    atoms = silicon(2)
    atoms.pbc = False
    return atoms


def with_helium() -> Atoms:
    return silicon(2) + Atoms("He", [[1, 1, 1]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"structure": "missing.extxyz"}, "structure missing.extxyz does not exist"),
        ({"structure": without_cell()}, "is not periodic in all directions"),
        ({"structure": with_helium()}, "the structure has He, which the cheap potential (Si)"),
        ({"model": "missing.model"}, "model file missing.model does not exist"),
        ({"model": "far/medium"}, "model file far/medium does not exist"),
        ({"model": MODELS / "fe-tiny.model"}, "the model does not know Si"),
        ({"model": MODELS / "README.md"}, "README.md"),
        ({"potential": POTENTIALS / "w-uf3.json"}, "the cheap potential (He W) does not know"),
        ({"potential": "missing.json"}, "neither a file nor a LAMMPS line"),
        ({"seeds": "the hole"}, "is not understood; it can be"),
        ({"seeds": "species He"}, "no atom matches 'species He'"),
        ({"seeds": "species Si"}, "all 64 atoms match"),
        ({"temperature": 0.0}, "temperature must be a positive number"),
        ({"temperature": float("nan")}, "temperature must be a positive number"),
        ({"timestep": -1.0}, "timestep must be a positive number"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"ensemble": "npt"}, "ensemble 'npt' is not one of"),
        ({"device": "gpu"}, "device"),
        ({"species": ["Xx"]}, "'Xx' is no chemical symbol"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_written(changes, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MixpiError) as error:
        init_case("case", **{"structure": silicon(2), **ARGUMENTS, **changes})
    assert message in str(error.value)
    assert not (tmp_path / "case").exists()


def test_existing_folders_are_not_overwritten(tmp_path):
    folder = tmp_path / "case"
    folder.mkdir()
    init_case(folder, structure=silicon(2), **ARGUMENTS)  # empty: fine
    (folder / "mixing.yaml").write_text("mine")
    with pytest.raises(MixpiError, match="is not empty: choose another folder, or --force"):
        init_case(folder, structure=silicon(2), **ARGUMENTS)
    assert (folder / "mixing.yaml").read_text() == "mine"
    init_case(folder, structure=silicon(2), **ARGUMENTS, force=True)
    assert (folder / "#mixing.yaml#0#").read_text() == "mine"
    assert load_config(folder / "mixing.yaml").structure == "init.extxyz"
    (tmp_path / "file").touch()
    with pytest.raises(MixpiError, match="is no folder"):
        init_case(tmp_path / "file", structure=silicon(2), **ARGUMENTS, force=True)


def test_types_without_names_are_said(tmp_path):
    lj = ["pair_style lj/cut 4", "pair_coeff * * 0.01 2.0"]
    arguments = {**ARGUMENTS, "potential": lj, "structure": with_helium(), "seeds": "species He"}
    case = init_case(tmp_path / "a", **arguments)
    assert any("numbered He Si, in alphabetical order" in note for note in case.notes)
    case = init_case(tmp_path / "b", **arguments, species=["Si", "He"])
    assert load_config(case.folder / "mixing.yaml").cheap.lammps.species == ["Si", "He"]
    assert not any("alphabetical" in note for note in case.notes)


def test_several_frames_are_said(tmp_path):
    frames = [silicon(2, seed=1), silicon(2, seed=2)]
    for k, frame in enumerate(frames):
        frame.write(tmp_path / "a.extxyz", append=k > 0)
    case = init_case(tmp_path / "case", structure=tmp_path / "a.extxyz", **ARGUMENTS)
    assert any("several frames: the first" in note for note in case.notes)
    written = read(case.folder / "init.extxyz").positions
    np.testing.assert_allclose(written, frames[0].positions, atol=1e-7)


def test_mistakes_on_the_command_line_have_an_exit_code(tmp_path):
    silicon(2).write(tmp_path / "a.extxyz")
    arguments = ["--structure", "a.extxyz", "--model", "some-name", "--seeds", "species Si"]
    done = mixpi("init", *arguments, "--potential", TERSOFF[0], "--potential", TERSOFF[1], "case",
                 cwd=tmp_path)  # fmt: skip
    assert done.returncode == 1 and done.stderr.startswith("mixpi: error: seeds: all 64 atoms")
    done = mixpi("init", "--help", cwd=tmp_path)
    assert done.returncode == 0 and "near 5.4 5.4 5.4 within 4" in done.stdout
