"""Lines of a potential that contradict LAMMPS's atom types are refused, all others obeyed."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase import Atoms
from ase.build import bulk
from mixpi import MixpiError
from mixpi.distil.lammps_engine import LammpsCalculator
from mixpi.drivers.lammps import LammpsSetup, potential_folders
from mixpi.drivers.lammps_potential import read_lines
from mixpi.drivers.lammps_species import require_order


#: Files that the lines below name; what is in them does not matter here.
FILES = (
    "WHe.eam.alloy", "W.snapcoeff", "W.snapparam", "library.meam", "WHe.meam", "model.yace",
    "ffield.reax", "ffield.eim", "nodot", "He", "gap.xml", "a.table", "m.mliap", "d.mliap",
    "COH.aip",
)  # fmt: skip

REFUSED = {
    "eam/alloy": ["pair_style eam/alloy", "pair_coeff * * WHe.eam.alloy W He"],
    "accelerated": ["pair_style eam/alloy/omp", "pair_coeff * * WHe.eam.alloy W He"],
    "in quotes": ["pair_style eam/alloy", "pair_coeff * * 'WHe.eam.alloy' \"W\" 'He'"],
    "a file without a dot": ["pair_style eam/alloy", "pair_coeff * * nodot W He"],
    "a file called He": ["pair_style eam/alloy", "pair_coeff * * He W He"],
    "ranges": ["pair_style eam/alloy", "pair_coeff 1*2 *2 WHe.eam.alloy W He"],
    "one for both": ["pair_style eam/alloy", "pair_coeff * * WHe.eam.alloy W W"],
    "another element": ["pair_style eam/alloy", "pair_coeff * * WHe.eam.alloy He Mo"],
    "NULL": ["pair_style snap", "pair_coeff * * W.snapcoeff W.snapparam W NULL"],
    "two files": ["pair_style snap", "pair_coeff * * W.snapcoeff W.snapparam W He"],
    "continued": ["pair_style snap", "pair_coeff * * W.snapcoeff &", "W.snapparam W &", " He"],
    "lines in one": ["pair_style snap\npair_coeff * * W.snapcoeff W.snapparam W He # He W"],
    "no file": ["pair_style mliap model linear m.mliap descriptor sna d.mliap",
                "pair_coeff * * W He"],
    "meam": ["pair_style meam", "pair_coeff * * library.meam He W WHe.meam W He"],
    "meam without parameters": ["pair_style meam", "pair_coeff * * library.meam He W NULL W He"],
    "eim": ["pair_style eim", "pair_coeff * * He W ffield.eim W He"],
    "reaxff": ["pair_style reaxff NULL", "pair_coeff * * ffield.reax W He"],
    "pace": ["pair_style pace product", "pair_coeff * * model.yace W He"],
    "an unknown style": ["pair_style grace", "pair_coeff * * model.yace W He"],
    "quip": ["pair_style quip", 'pair_coeff * * gap.xml "Potential xml_label=G" 74 2'],
    "hdnnp": ['pair_style hdnnp 6.0 dir "./" emap "1:W,2:He"', "pair_coeff * * 6.0"],
    "hybrid": ["pair_style hybrid eam/alloy lj/cut 3.0",
               "pair_coeff * * eam/alloy WHe.eam.alloy W NULL", "pair_coeff 2 2 lj/cut 1 2"],
    "numbered": ["pair_style hybrid/overlay snap snap",
                 "pair_coeff * * snap 1 W.snapcoeff W.snapparam NULL W",
                 "pair_coeff * * snap 2 W.snapcoeff W.snapparam W NULL"],
    "one type": ["pair_style hybrid/overlay snap", "pair_coeff 2 2 snap W.snapcoeff He"],
    "scaled": ["pair_style hybrid/scaled 0.5 eam/alloy 0.5 snap",
               "pair_coeff * * eam/alloy WHe.eam.alloy W He"],
    "zbl": ["pair_style zbl 1 2", "pair_coeff 1 1 74 74"],
    "zbl, another pair": ["pair_style zbl 1 2", "pair_coeff 1 2 2 2"],
    "zbl, numbered": ["pair_style hybrid/overlay zbl 1 2 zbl 3 4", "pair_coeff 2 2 zbl 1 2 2"],
    "zbl, both at once": ["pair_style hybrid/overlay zbl 1 2", "pair_coeff * * zbl 74 74"],
    "zbl, variable": ["variable z equal 74", "pair_style zbl 1 2", "pair_coeff 1 1 ${z} $z"],
    "names in a variable": ["variable els string 'W He'", "pair_style eam/alloy",
                            "pair_coeff * * WHe.eam.alloy ${els}"],
    "names nobody knows": ["pair_style eam/alloy", "pair_coeff * * WHe.eam.alloy ${els}"],
    "too few": ["pair_style eam/alloy", "pair_coeff * * WHe.eam.alloy W"],
    "too many": ["pair_style eam/alloy", "pair_coeff * * WHe.eam.alloy He W He"],
    "labels": ["labelmap atom 1 W 2 He", "pair_style lj/cut 3", "pair_coeff W W 1 2"],
}  # fmt: skip

OBEYED = {
    "eam/alloy": ["pair_style eam/alloy", "pair_coeff * * WHe.eam.alloy He W  # not W He"],
    "NULL": ["pair_style snap", "pair_coeff * * W.snapcoeff W.snapparam NULL W"],
    "a file called He": ["pair_style eam/alloy", "pair_coeff * * He He W"],
    "meam": ["pair_style meam", "pair_coeff * * library.meam W He WHe.meam He W"],
    "meam without parameters": ["pair_style meam", "pair_coeff * * library.meam W He NULL He W"],
    "eim": ["pair_style eim", "pair_coeff * * W He ffield.eim He W"],
    "labels of the file": ["pair_style snap", "pair_coeff * * W.snapcoeff W.snapparam He1 W1"],
    "a label and an element": ["pair_style saip", "pair_coeff * * COH.aip Ow W"],
    "numbers": ["pair_style lj/cut 5.0", "pair_coeff * * 1.0 2.0", "pair_coeff 1 2 1.0 2.0 4.0"],
    "keyword": ["pair_style hybrid table linear 100 zero 5.0", "pair_coeff 1 2 table a.table He",
                "pair_coeff * * zero"],
    "zbl": ["pair_style zbl 1 2", "pair_coeff 1 2 74 2", "pair_coeff 1 1 2.0 2.0",
            "pair_coeff 2 1 74 2", "pair_coeff 2 2 74 74"],
    "zbl, mended": ["pair_style zbl 1 2", "pair_coeff * * 2 2", "pair_coeff 1 2 2 74",
                    "pair_coeff 2 2 74 74"],
    "quip": ["pair_style quip", 'pair_coeff * * gap.xml "Potential xml_label=G" 2 74'],
    "hdnnp": ['pair_style hdnnp 6.0 dir "./" emap "1:He,2:W"', "pair_coeff * * 6.0"],
    "overlay": ["pair_style hybrid/overlay snap zbl 1 2 zero 5",
                "pair_coeff * * snap W.snapcoeff W.snapparam NULL W", "pair_coeff 1 1 zbl 2 2",
                "pair_coeff * * zero"],
    "names in a variable": ["variable els string 'He W'", "pair_style eam/alloy",
                            "pair_coeff * * WHe.eam.alloy ${els}"],
    "numbers from LAMMPS": ["variable e equal 0.5*3", "pair_style lj/cut 5.0",
                            "pair_coeff * * ${e} $(v_e + 1)"],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in FILES:
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize("name", REFUSED)
def test_refused(folder, name):
    with pytest.raises(MixpiError) as caught:
        require_order(read_lines(REFUSED[name], folder), ["He", "W"])
    assert "atom types are, in order, He W" in str(caught.value) or "$" in str(caught.value)


@pytest.mark.parametrize("name", OBEYED)
def test_obeyed(folder, name):
    require_order(read_lines(OBEYED[name], folder), ["He", "W"])


@pytest.mark.parametrize("names, wanted, order", [
    ("W He", "species: [W, He]", "He W"),
    ("W NULL", "species: [W, He]", "NULL W"),
    ("NULL He", "species: [W, He]", "He NULL"),
])  # fmt: skip
def test_both_ways_out(folder, names, wanted, order):
    """Following either piece of the advice makes the contradiction go away."""
    lines = ["pair_style snap", f"pair_coeff * * W.snapcoeff W.snapparam {names}"]
    with pytest.raises(MixpiError) as caught:
        require_order(read_lines(lines, folder), ["He", "W"])
    assert wanted in str(caught.value) and f"... {order}'" in str(caught.value)
    require_order(read_lines(lines, folder), ["W", "He"])
    lines[1] = f"pair_coeff * * W.snapcoeff W.snapparam {order}"
    require_order(read_lines(lines, folder), ["He", "W"])


def test_three_species(folder):
    lines = ["pair_style pace", "pair_coeff * * model.yace O H C"]
    with pytest.raises(MixpiError, match=r"species: \[O, H, C\]"):
        require_order(read_lines(lines, folder), ["C", "H", "O"])
    require_order(read_lines(lines, folder), ["O", "H", "C"])


@pytest.mark.parametrize("species, message", [
    (("Si", "Xx"), "Xx in LAMMPS's species: no chemical symbol"),
    (("Si", "X"), "X in LAMMPS's species: no chemical symbol"),
    (("si",), "si in LAMMPS's species: no chemical symbol"),
    (("Si", "Ge", "Si"), "Si is there twice"),
    (("Ge",), "the structure has Si, which is not in"),
])  # fmt: skip
def test_species_are_elements(tmp_path, species, message):
    setup = LammpsSetup(["pair_style zero 3.0", "pair_coeff * *"], species)
    with pytest.raises(MixpiError, match=message):
        setup.write(bulk("Si"), tmp_path, [])


def test_unknown_atoms_are_refused(tmp_path):
    atoms = Atoms("SiX", [[0, 0, 0], [2, 2, 2]], cell=[4, 4, 4], pbc=True)
    with pytest.raises(MixpiError, match="X in LAMMPS's species"):
        LammpsSetup(["pair_style zero 3.0", "pair_coeff * *"]).write(atoms, tmp_path, [])


def alloy(*symbols: str) -> Atoms:
    atoms = bulk("Ni", cubic=True, a=3.6) * (2, 2, 2)
    atoms.symbols = [symbols[k % len(symbols)] for k in range(len(atoms))]
    atoms.rattle(0.05, seed=1)
    return atoms


#: Of LAMMPS's own files: style, file and names, and what else belongs to it.
REAL = {
    "eam/alloy": ("eam/alloy", "CuNi.eam.alloy", "Cu Ni"),
    "eam/fs": ("eam/fs", "Fe_mm.eam.fs", "Fe"),
    "tersoff": ("tersoff", "GaN.tersoff", "Ga N"),
    "sw": ("sw", "GaN.sw", "Ga N"),
    "meam": ("meam", "library.meam Si C SiC.meam", "C Si"),
    "snap": ("snap", "WBe_Wood_PRB2019.snapcoeff WBe_Wood_PRB2019.snapparam", "W Be"),
    "mliap": (
        "mliap model linear InP_JCPA2020.mliap.model descriptor sna InP_JCPA2020.mliap.descriptor",
        "", "P In",
    ),
    "vashishta": ("vashishta", "InP.vashishta", "P In"),
    "gw": ("gw", "SiC.gw", "Si C"),
    "polymorphic": ("polymorphic", "GaN_sw.poly", "N Ga"),
    "eim": ("eim", "Na Cl ffield.eim", "Na Cl"),
    "airebo": ("airebo 3.0", "CH.airebo", "H C"),
    "eam/cd": ("eam/cd", "FeCr.cdeam", "Fe Cr"),
    "eam/he": ("eam/he", "PdHHe.eam.he", "Pd H He"),
    "adp": ("adp", "AlCu.adp", "Al Cu"),
}  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_real_styles(name):
    """With any order of types the energy is the same; other names are refused."""
    style, files, names = REAL[name]
    symbols = names.split()

    def energy(types, *, species):
        atoms = alloy(*symbols)
        lines = [f"pair_style {style}", f"pair_coeff * * {files} {' '.join(types)}"]
        atoms.calc = LammpsCalculator(LammpsSetup(lines, species))
        return atoms.get_potential_energy()

    wanted = energy(symbols, species=symbols)
    assert abs(wanted) > 0.1
    assert energy(sorted(symbols), species=None) == pytest.approx(wanted, rel=1e-12)
    if len(symbols) > 1:
        with pytest.raises(MixpiError, match=r"takes atoms of \w+ for \w+"):
            energy(sorted(symbols, reverse=True), species=None)


@pytest.mark.parametrize("style, files, names", [
    ("snap", "InP_JCPA2020.snapcoeff InP_JCPA2020.snapparam", "In P"),
    ("meam/spline", "TiO.meam.spline", "Ti O"),
])  # fmt: skip
def test_styles_that_go_by_the_order_of_the_file(style, files, names):
    symbols = names.split()
    for order in (symbols, symbols[::-1]):
        atoms = alloy(*symbols)
        lines = [f"pair_style {style}", f"pair_coeff * * {files} {' '.join(order)}"]
        atoms.calc = LammpsCalculator(LammpsSetup(lines, order))
        if order == symbols:
            assert atoms.get_potential_energy() < -100
            continue
        with pytest.raises(MixpiError, match=rf"species: \[{', '.join(symbols)}\]"):
            atoms.get_potential_energy()


def test_single_element_eam_files():
    """Funcfl files know their element by its number."""
    folder = next(f for f in potential_folders() if (f / "Cu_u3.eam").is_file())
    lines = ["pair_style eam", "pair_coeff 1 1 Cu_u3.eam", "pair_coeff 2 2 Ni_u3.eam"]
    require_order(read_lines(lines, folder), ["Cu", "Ni"])
    with pytest.raises(MixpiError, match=r"'pair_coeff 1 1 Cu_u3.eam'.*numbers 29 and 29"):
        require_order(read_lines(lines, folder), ["Ni", "Cu"])
    with pytest.raises(MixpiError, match=r"atom types 2 \(Ni\)"):
        require_order(read_lines([lines[0], "pair_coeff * * Cu_u3.eam"], folder), ["Cu", "Ni"])
