"""The forms in which people have a potential for LAMMPS → lines and files that can be copied."""

from __future__ import annotations

import json
import shutil

import pytest
from conftest import ROOT, TERSOFF
from mixpi.errors import MixpiError
from mixpi.init.cheap_potential import read_potential


POTENTIALS = ROOT / "ipi_inputs" / "potentials"


def lines_of(stem: str) -> list[str]:
    return json.loads((POTENTIALS / f"{stem}.json").read_text())["lammps"]


@pytest.mark.parametrize("suffix", ["json", "md", "yaml"])
@pytest.mark.parametrize("stem", ["si-uf3", "si-snap", "w-uf3", "w-snap", "fe-uf3"])
def test_what_distil_leaves_behind(stem, suffix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = read_potential(str(POTENTIALS / f"{stem}.{suffix}"))
    assert found.lines == lines_of(stem)
    assert found.species == (["He", "W"] if stem.startswith("w") else [stem[:2].title()])
    expected = json.loads((POTENTIALS / f"{stem}.json").read_text())["constrained"]["files"]
    assert set(found.files) == set(expected)
    assert all(path == (POTENTIALS / name).resolve() for name, path in found.files.items())


def test_configuration_of_a_mixed_simulation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case = ROOT / "ipi_inputs" / "w_he_md"
    found = read_potential(str(case / "mixing.yaml"))
    assert found.species == ["He", "W"] and set(found.files) == {
        "w-adp.eam.alloy",
        *(f"w-adp.{number}.adp" for number in (1, 2, 3)),
    }
    assert found.lines == lines_of("w-adp")
    (tmp_path / "my.yaml").write_text(
        "cheap:\n  lammps:\n    executable: lmp_mpi\n    potential: [pair_style lj/cut 4,"
        " pair_coeff * * 1 1]\n"
    )
    found = read_potential("my.yaml")
    assert found.species is None
    assert found.notes == ["warning: executable of my.yaml not carried over"]


def test_lines_and_files_of_lammps_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given in (TERSOFF, ["\n".join(TERSOFF)], [" # mine\n".join(TERSOFF)]):
        found = read_potential(given)
        assert found.lines == TERSOFF and found.species == ["Si"]
        assert found.files["Si.tersoff.modc"].is_file()
    for given in ("W_2940_2017_2.snap", "include W_2940_2017_2.snap"):
        found = read_potential(given)
        assert found.species == ["W"]
        assert set(found.files) == {"W_2940_2017_2.snapcoeff", "W_2940_2017_2.snapparam"}
        assert "pair_style hybrid/overlay zbl ${zblcutinner} ${zblcutouter} snap" in found.lines
        assert "variable zblz equal 74" in found.lines


def test_include_is_relative_to_the_file_that_names_it(tmp_path, monkeypatch):
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "far" / "pot.in").write_text("units metal\ninclude deep/more.in  # here\n")
    (tmp_path / "far" / "deep" / "more.in").write_text(
        "pair_style &\n  uf3 3\npair_coeff * * ../my.uf3 Si\n"
    )
    shutil.copy(POTENTIALS / "si-uf3.uf3", tmp_path / "far" / "my.uf3")
    monkeypatch.chdir(tmp_path)
    found = read_potential("far/pot.in")
    assert found.lines == ["pair_style uf3 3", "pair_coeff * * my.uf3 Si"]
    assert found.files == {"my.uf3": tmp_path / "far" / "my.uf3"}


def test_names_are_plain_and_each_file_has_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a ä/für Si.meam", "b/für Si.meam", "library", "input.xml", "meam", "Si"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    found = read_potential(
        [
            "pair_style hybrid/overlay meam meam",
            "pair_coeff * * meam 1 library Si 'a ä/für Si.meam' Si",
            "pair_coeff * * meam 2 ./library Si 'b/für Si.meam' Si",
            "pair_coeff * * meam 3 input.xml Si b/../input.xml Si",
        ],
        taken=["input.xml"],
    )
    assert found.lines[1:] == [
        "pair_coeff * * meam 1 library.potential Si f_r_Si.meam Si",
        "pair_coeff * * meam 2 library.potential Si f_r_Si-2.meam Si",
        "pair_coeff * * meam 3 input-2.xml Si input-2.xml Si",
    ]
    originals = {name: path.read_text() for name, path in found.files.items()}
    assert originals == {
        "library.potential": "library",
        "f_r_Si.meam": "a ä/für Si.meam",
        "f_r_Si-2.meam": "b/für Si.meam",
        "input-2.xml": "input.xml",
    }


@pytest.mark.parametrize(
    ("lines", "species"),
    [
        (["pair_coeff * * alloy.eam Ni Al"], ["Ni", "Al"]),
        (["pair_coeff * * eam/fs a.fs W NULL", "pair_coeff * * tersoff b.t NULL Si"], ["W", "Si"]),
        (["pair_coeff * * lib.meam Si C sic.meam C Si"], ["C", "Si"]),
        (["pair_coeff * * a.tersoff Si Si"], None),
        (["pair_coeff * * eam/fs a.fs W NULL"], None),
        (["pair_coeff 1 1 1.0 2.0"], None),
        (["pair_coeff * * 1.0 2.0"], None),
    ],
)
def test_order_of_types_from_the_names_in_the_lines(lines, species, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("alloy.eam", "a.fs", "b.t", "lib.meam", "sic.meam", "a.tersoff"):
        (tmp_path / name).touch()
    found = read_potential(["pair_style some", *lines])
    assert found.species == species
    assert read_potential(["pair_style some", *lines], species=["H", "O"]).species == ["H", "O"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("missing.json", "neither a file nor a LAMMPS line"),
        ("my missing.json", "neither a file nor a LAMMPS line"),
        ("", "no pair_style line in ''"),
        ([], "no pair_style line in nothing"),
        ("pair_coeff * * 1.0 2.0", "no pair_style line"),
        (
            ["pair_style uf3 3", "pair_coeff * * my.uf3 Si"],
            "potential file 'my.uf3' does not exist",
        ),
        (["pair_style uf3 3", "include my.in"], "potential file 'my.in' does not exist"),
        (["pair_style lj/cut 4", "fix 1 all nve"], "'fix 1 all nve' is no part of a potential"),
        (["pair_style lj/cut 4", "units real"], "computes in metal units"),
        (["pair_style lj/cut 4", "pair_coeff * * ./far/"], "is a folder: only files are copied"),
        ("other.json", "is no report of mixpi distil"),
        ("broken.json", "is no report of mixpi distil"),
        ("other.md", "holds no YAML block"),
        ("other.yaml", "has no 'cheap: lammps: potential:'"),
        ("broken.yaml", "is not valid YAML"),
        ("twice.yaml", "the key 'potential' stands twice"),
        ("distil.yaml", "run 'mixpi distil distil.yaml' first"),
        ("loop.in", "includes itself"),
        ("binary.in", "binary.in is not a text file in UTF-8"),
    ],
)
def test_what_is_wrong_is_said(given, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "far").mkdir()
    (tmp_path / "other.json").write_text("[1, 2]")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other.md").write_text("# nothing\n```yaml\nname: x\n```\n")
    (tmp_path / "twice.yaml").write_text(
        "cheap: {lammps: {potential: [pair_style zero 3], potential: [pair_style zero 4]}}\n"
    )
    (tmp_path / "other.yaml").write_text("cheap: {external: true}\n")
    (tmp_path / "broken.yaml").write_text("a: [")
    (tmp_path / "distil.yaml").write_text("name: my\nbasis: {uf3: {cutoff: 5}}\n")
    (tmp_path / "loop.in").write_text("pair_style lj/cut 4\ninclude loop.in\n")
    (tmp_path / "binary.in").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MixpiError) as error:
        read_potential(given)
    assert message in str(error.value)


def test_unusable_potential_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = {"lammps": ["pair_style lj/cut 4"], "species": ["Si"], "usable": False}
    (tmp_path / "a.json").write_text(json.dumps(report))
    assert "should not be used" in read_potential("a.json").notes[0]
