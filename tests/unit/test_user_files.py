"""Files of others: pipes, devices, gigabytes and bombs are refused in words, soon."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
import yaml
from campaigns.good_folder import good
from campaigns.spoilt_files import KINDS_OF_FILE
from campaigns.spoilt_xml import XML_TEXTS
from campaigns.spoilt_yaml import YAML_TEXTS
from conftest import silicon
from mixpi import MixpiError
from mixpi.config import load_config
from mixpi.drivers.mace_files import file_hash
from mixpi.files.user_files import require_file
from mixpi.ipi.input import read_ipi_input
from mixpi.structure import read_structure


#: s of a processor; each takes a fraction of one, or a few.
SOON = 20.0
#: What is good YAML, of which only the values are refused, or something later.
NAMES = {"date", "tag of bytes", "tag of a set", "very long text"}


@pytest.fixture
def soon():
    start = time.process_time()
    yield
    assert time.process_time() - start < SOON


@pytest.mark.parametrize("name", [name for name in YAML_TEXTS if not name.startswith("100,000")])
def test_yaml(name, tmp_path, soon):
    change, accept = YAML_TEXTS[name]
    path = tmp_path / "mixing.yaml"
    path.write_bytes(change(yaml.safe_dump(good(engines=False).config)))
    if accept:
        load_config(path)
    elif accept is False and name not in NAMES:
        with pytest.raises(MixpiError) as error:
            load_config(path)
        assert str(path) in str(error.value) and len(str(error.value)) < 2000


@pytest.mark.parametrize("name", XML_TEXTS)
def test_xml(name, tmp_path, soon):
    change, accept = XML_TEXTS[name]
    good(engines=False).write(tmp_path / "case")
    path = tmp_path / "case" / "input.xml"
    path.write_bytes(change(path.read_text()))
    try:
        read_ipi_input(path)
    except MixpiError as error:
        assert accept is not True and len(str(error)) < 2000


@pytest.mark.parametrize("kind", [k for k in KINDS_OF_FILE if not k.startswith("unreadable")])
def test_kinds_of_files(kind, tmp_path, soon):
    path = tmp_path / "a.extxyz"
    KINDS_OF_FILE[kind](path)
    for read in (read_structure, load_config, read_ipi_input):
        with pytest.raises(MixpiError) as error:
            read(path)
        assert str(path) in str(error.value)


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 3000, "a\0b", "\ud800"])
def test_names_of_no_file(name, tmp_path):
    with pytest.raises(MixpiError, match=r"cannot read|ASE cannot read|does not exist"):
        read_structure(tmp_path / name)
    with pytest.raises(MixpiError, match=r"cannot read"):
        require_file(tmp_path / name, "structure")


def test_a_file_that_is_too_large(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert require_file(tmp_path / "a", "it", largest=5) == 5
    with pytest.raises(MixpiError, match="more than the"):
        require_file(tmp_path / "a", "it", largest=4)
    with pytest.raises(MixpiError, match="is a pipe"):
        os.mkfifo(tmp_path / "p")
        file_hash(tmp_path / "p")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[10, 0, 0], [0, 10, 0], [0, 0, 1e-3]], "nearly flat"),
        ([[10, 0, 0], [1e6, 10, 0], [0, 0, 10]], "cell vector of 1e"),
        ([[1e7, 0, 0], [0, 10, 0], [0, 0, 10]], "cell vector of 1e"),
        ([[1.5, 0, 0], [0, 1.5, 0], [0, 0, 1.5]], "no matter is so dense"),
    ],
)
def test_cells_of_no_matter(rows, message, tmp_path):
    atoms = silicon()
    atoms.set_cell(np.array(rows))
    atoms.write(tmp_path / "a.extxyz")
    with pytest.raises(MixpiError, match=message):
        read_structure(tmp_path / "a.extxyz")


def test_a_packed_bomb_and_an_old_pickle(tmp_path, monkeypatch):
    import gzip

    from mixpi import structure

    monkeypatch.setattr(structure, "LARGEST", 2**22)
    (tmp_path / "a.extxyz.gz").write_bytes(gzip.compress(bytes(2**24)))
    with pytest.raises(MixpiError, match="unpacks to more than"):
        read_structure(tmp_path / "a.extxyz.gz")
    (tmp_path / "a.traj").write_bytes(b"PickleTrajectory" + bytes(100))
    with pytest.raises(MixpiError, match="would run whatever code"):
        read_structure(tmp_path / "a.traj")
    packed = tmp_path / "b.extxyz.gz"
    silicon().write(packed)
    assert len(read_structure(packed)) == 64


def test_blank_lines_of_lammps_data(tmp_path, soon):
    (tmp_path / "a.data").write_text("x\n\n8 atoms\n0 5 xlo xhi\n" + "\n" * 1_000_000)
    with pytest.raises(MixpiError, match="without 'Masses'"):
        read_structure(tmp_path / "a.data")
