"""Files of LAMMPS potentials: found, linked under plain names, wherever they lie."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ase.build import bulk
from conftest import silicon
from mixpi import MixpiError
from mixpi.distil.lammps_engine import LammpsCalculator
from mixpi.drivers import lammps
from mixpi.drivers.lammps import LammpsSetup, potential_folders
from mixpi.drivers.lammps_potential import linked, read_lines


#: Characters that LAMMPS cuts at, substitutes or replaces.
ODD = "ü #1 $x ${y} 'q' \"d\" & * %s (a)"
#: Stillinger-Weber silicon: energy of :func:`silicon`, from LAMMPS's own folder.
SW = "pair_style sw"


@pytest.fixture(scope="module")
def si_sw() -> Path:
    return next(f for f in potential_folders() if (f / "Si.sw").is_file()) / "Si.sw"


@pytest.fixture(scope="module")
def wanted(si_sw) -> float:
    return energy([SW, "pair_coeff * * Si.sw Si"], si_sw.parent)


def energy(lines, folder, atoms=None) -> float:
    atoms = silicon(1) if atoms is None else atoms
    atoms.calc = LammpsCalculator(LammpsSetup(lines, None, Path(folder)))
    return atoms.get_potential_energy()


def as_driver(lines, folder, run: Path) -> None:
    """The program itself, in a folder of its own."""
    LammpsSetup(lines, None, folder).write(silicon(1), run, ["run 0"])
    done = subprocess.run(
        lammps.command(), cwd=run, env=lammps.environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-500:]
    assert "non-ASCII" not in done.stdout


PLACES = {
    "beside": ("Si.sw", "Si.sw"),
    "without a dot": ("silicon", "silicon"),
    "named as its element": ("Si", "Si"),
    "below": ("pots/Si.sw", "pots/Si.sw"),
    "without a dot, below": ("pots/sw", "pots/sw"),
    "spaces": ("my pots/my Si.sw", '"my pots/my Si.sw"'),
    "a quote": ("it's/Si.sw", "it's/Si.sw"),
    "both quotes": (f"{ODD}/Si.sw", f'"""{ODD}/Si.sw"""'),
    "no ASCII": ("pötentials/Sü.sw", "pötentials/Sü.sw"),
    "hash": ("pots#1/Si#2.sw", "pots#1/Si#2.sw"),
    "dollar": ("$pots/$Si.sw", "$pots/$Si.sw"),
    "named as mixpi's own": ("lammps.data", "lammps.data"),
    "variable": ("pots/Si.sw", "${where}/Si.sw"),
}


@pytest.mark.parametrize("place", PLACES)
def test_wherever_the_file_lies(place, tmp_path, si_sw, wanted):
    file, word = PLACES[place]
    for home in (tmp_path / "case", tmp_path / ODD):
        (home / file).parent.mkdir(parents=True)
        shutil.copy(si_sw, home / file)
        lines = ["variable where string pots", SW, f"pair_coeff * * {word} Si # {word}"]
        assert energy(lines, home) == pytest.approx(wanted, rel=1e-12)
        as_driver(lines, home, home / "logs" / "cheap-0")


def test_odd_temporary_folder(tmp_path, si_sw, wanted, monkeypatch):
    import tempfile

    (tmp_path / ODD).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ODD))
    before = os.getcwd()
    assert energy([SW, f"pair_coeff * * {si_sw} Si"], tmp_path) == pytest.approx(wanted)
    with pytest.raises(MixpiError, match=r"LAMMPS refused the potential: ERROR: .*nope"):
        energy(["pair_style nope"], tmp_path)
    assert os.getcwd() == before


def test_files_of_a_pair_style(tmp_path):
    """ML-IAP names its files in the line of the style."""
    own = next(f for f in potential_folders() if (f / "InP_JCPA2020.mliap.model").is_file())
    folder = tmp_path / "sub"
    folder.mkdir()
    for kind in ("model", "descriptor"):
        shutil.copy(own / f"InP_JCPA2020.mliap.{kind}", folder / kind)
    atoms = bulk("InP", "zincblende", a=5.9, cubic=True)
    found = []
    for model, descriptor in (
        ("InP_JCPA2020.mliap.model", "InP_JCPA2020.mliap.descriptor"),
        ("sub/model", "sub/descriptor"),
    ):
        mliap = f"mliap model linear {model} descriptor sna {descriptor}"
        lines = [f"pair_style {mliap}", "pair_coeff * * In P"]
        found.append(energy(lines, tmp_path, atoms.copy()))
    assert found[0] == pytest.approx(found[1], rel=1e-12) and abs(found[0]) > 1.0


def test_files_of_the_same_name(tmp_path, si_sw, wanted):
    """Each is the one that was meant; the second has another energy scale."""
    for name, scale in (("a", "2.1683"), ("b", "1.0")):
        (tmp_path / name).mkdir()
        text = si_sw.read_text().replace("2.1683", scale)
        (tmp_path / name / "Si.sw").write_text(text)
    shutil.copy(tmp_path / "b" / "Si.sw", tmp_path / "Si.sw")
    style = "pair_style hybrid/overlay sw sw sw"
    names = ("a/Si.sw", "b/Si.sw", "Si.sw")
    lines = [style, *(f"pair_coeff * * sw {k} {n} Si" for k, n in enumerate(names, 1))]
    assert energy(lines, tmp_path) == pytest.approx(wanted * (1 + 2 / 2.1683), rel=1e-9)


def test_nothing_of_the_user_is_replaced(tmp_path, si_sw):
    """Also where LAMMPS runs beside the configuration, twice."""
    shutil.copy(si_sw, tmp_path / "Si.sw")
    (tmp_path / "1-Si.sw").write_text("mine")
    (tmp_path / "p").mkdir()
    shutil.copy(si_sw, tmp_path / "p" / "Si.sw")
    lines = read_lines(["pair_coeff * * Si.sw Si", "pair_coeff * * p/Si.sw Si"], tmp_path)
    for _ in range(2):
        assert linked(lines, tmp_path) == ["pair_coeff * * Si.sw Si", "pair_coeff * * 2-Si.sw Si"]
    assert (tmp_path / "1-Si.sw").read_text() == "mine"
    assert not (tmp_path / "Si.sw").is_symlink()
    assert (tmp_path / "2-Si.sw").resolve() == tmp_path / "p" / "Si.sw"


def test_links_follow_the_configuration(tmp_path, si_sw):
    """A folder of an earlier run does not keep its potential."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.sw").write_text(name)
        (tmp_path / "run").mkdir(exist_ok=True)
        lines = read_lines(["pair_coeff * * x.sw Si"], tmp_path / name)
        assert linked(lines, tmp_path / "run") == ["pair_coeff * * x.sw Si"]
        assert (tmp_path / "run" / "x.sw").read_text() == name


def test_copies_where_there_are_no_links(tmp_path, si_sw, wanted, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    assert energy([SW, f"pair_coeff * * {si_sw} Si"], tmp_path) == pytest.approx(wanted)


def test_words_that_are_no_files_stay(tmp_path):
    """A file or folder beside the configuration may have the name of a style or an element."""
    for name in ("sw", "Si", "1", "hybrid", "linear", "zero"):
        (tmp_path / name).touch()
    (tmp_path / "eam").mkdir()
    (tmp_path / "eam" / "alloy").touch()
    (tmp_path / "lj").mkdir()
    (tmp_path / "run").mkdir()
    wanted = [
        "pair_style hybrid/overlay sw eam/alloy zero 5.0",
        "pair_coeff * * sw Si.sw Si",
        "pair_coeff 1 1 zero",
        'variable x equal "1 + 2"',
    ]
    (tmp_path / "Si.sw").touch()
    assert linked(read_lines(wanted, tmp_path), tmp_path / "run") == wanted


def test_quotes_stay(tmp_path):
    lines = ['pair_style lepton 5.0', 'pair_coeff 1 1 lepton "k*(r-1.5)^2/2.0; k=1.0"']  # fmt: skip
    assert linked(read_lines(lines, tmp_path), tmp_path) == lines


@pytest.mark.parametrize("line", [
    "pair_coeff * * Gone.sw Si", "pair_coeff * * ../gone/Gone.sw Si", "include Gone.sw",
    "pair_style mliap model linear Gone.sw descriptor sna Gone.sw",
    "pair_coeff * * sub dir/Gone.sw Si",
])  # fmt: skip
def test_missing_files(tmp_path, line):
    with pytest.raises(MixpiError, match=r"potential file '.*Gone.sw' does not exist") as caught:
        LammpsSetup([line], None, tmp_path).write(silicon(1), tmp_path / "run", [])
    assert str(tmp_path) in str(caught.value) and str(potential_folders()[0]) in str(caught.value)


@pytest.mark.parametrize("line", [
    "pair_coeff * * 1.0 2.5", "pair_coeff * * 1.e5 .5", "pair_coeff * * zbl 14.0 14.0",
])  # fmt: skip
def test_numbers_are_no_missing_files(tmp_path, line):
    read_lines(["pair_style hybrid zbl 1 2", line], tmp_path)


class TestInclude:
    def test_of_lammps_itself(self):
        """A distributed SNAP file, against its lines written out."""
        atoms = bulk("W", cubic=True) * (2, 2, 2)
        atoms.rattle(0.1, seed=3)
        lines = [
            "pair_style hybrid/overlay zbl 4 4.8 snap",
            "pair_coeff 1 1 zbl 74 74",
            "pair_coeff * * snap W_2940_2017_2.snapcoeff W_2940_2017_2.snapparam W",
        ]
        included = energy(["include W_2940_2017_2.snap"], ".", atoms.copy())
        assert included == pytest.approx(energy(lines, ".", atoms), rel=1e-12)

    def test_its_species_are_compared(self):
        atoms = bulk("W", cubic=True) * (2, 2, 2)
        atoms.symbols[3] = "He"
        lines = ["include W_2940_2017_2_He_JW2013.snap"]
        with pytest.raises(MixpiError, match=r"W NULL' takes atoms of He for W.*\[W, He\]"):
            energy(lines, ".", atoms)
        atoms.calc = LammpsCalculator(LammpsSetup(lines, ["W", "He"]))
        assert atoms.get_potential_energy() < -100

    def test_files_beside_the_included_one(self, tmp_path, si_sw, wanted):
        folder = tmp_path / "pots" / ODD
        (folder / "deep er").mkdir(parents=True)
        shutil.copy(si_sw, folder / "deep er" / "mine")
        (folder / "deep er" / "inner.mod").write_text("pair_coeff * * mine Si\n")
        (folder / "outer.mod").write_text(
            'pair_style & # two\n  sw\ninclude "deep er/inner.mod"\n', encoding="utf-8"
        )
        lines = [f'include """pots/{ODD}/outer.mod"""']
        assert energy([lines[0]], tmp_path) == pytest.approx(wanted, rel=1e-12)
        as_driver(lines, tmp_path, tmp_path / "run")

    def test_itself(self, tmp_path):
        (tmp_path / "a.mod").write_text("include b.mod\n")
        (tmp_path / "b.mod").write_text("include a.mod\n")
        with pytest.raises(MixpiError, match=r"a\.mod includes itself"):
            read_lines(["include a.mod"], tmp_path)


def test_a_file_that_no_potential_can_be_is_not_read(tmp_path):
    with (tmp_path / "huge.sw").open("wb") as stream:
        stream.truncate(100 * 2**30)
    with pytest.raises(MixpiError, match=r"102,400 MiB, more than the 2,048 MiB"):
        read_lines(["pair_style sw", "pair_coeff * * huge.sw Si"], tmp_path)
