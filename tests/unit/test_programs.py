"""Command lines of drivers: words, quotes and paths as they were meant."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from conftest import driver_argv
from mixpi import MixpiError
from mixpi.drivers.lammps import serving
from mixpi.drivers.lammps_driver import LammpsDriver
from mixpi.drivers.programs import find_program, launch_prefix


ODD = "ü #1 $x 'q' \"d\" & * %s (a)"


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('#!/bin/sh\nexec "$@"\n')
    path.chmod(0o755)
    return path


def argv(case, pool: str) -> list[str]:
    case.write()
    return driver_argv(case, pool)


def test_command_in_an_odd_folder(make_case):
    case = make_case(folder=ODD)
    wrap, data = program(case.folder / "my driver.sh"), case.folder / "the data"
    data.touch()
    case.config["cheap"].update(
        command="'my driver.sh' \"the data\" --at={address} '{{\"a\": 1}}' 'a  b'",
        socket={"address": "two words"},
    )
    assert argv(case, "cheap") == [
        str(wrap), str(data), "--at=two words", '{"a": 1}', "a  b",
    ]  # fmt: skip


def test_launch_prefixes(make_case, tiny_model):
    for launch, words in (("'./wrap it.sh' -n 4", ["-n", "4"]), ("'wrap it.sh' 'a b'", ["a b"])):
        case = make_case(
            folder=f"{ODD}{len(words)}",
            cheap={"lammps": {**LAMMPS, "launch": launch}},
            expensive={"mace": {"model": str(tiny_model), "launch": launch}},
        )
        wrap = program(case.folder / "wrap it.sh")
        (case.folder / "4").touch()  # not what is meant by -n 4
        for pool in ("cheap", "expensive"):
            assert argv(case, pool)[: len(words) + 1] == [str(wrap), *words]


LAMMPS = {"potential": ["pair_style zero 3.0", "pair_coeff * *"]}


@pytest.mark.parametrize("pool, section, key", [
    ("cheap", {"lammps": {**LAMMPS, "launch": "it's"}}, "launch"),
    ("cheap", {"lammps": {**LAMMPS, "arguments": "it's"}}, "arguments"),
    ("expensive", {"mace": {"model": "medium-mpa-0", "launch": "it's"}}, "launch"),
    ("cheap", {"command": "it's"}, "command"),
])  # fmt: skip
def test_open_quotes(make_case, pool, section, key):
    case = make_case(**{pool: section})
    with pytest.raises(MixpiError, match=rf"{key}: \"it's\": No closing quotation"):
        argv(case, pool)


def test_missing_launchers(make_case, tiny_model):
    case = make_case(expensive={"mace": {"model": str(tiny_model), "launch": "no_srun -n 4"}})
    with pytest.raises(MixpiError, match=r"launch prefix 'no_srun' not found \(expensive: mace"):
        argv(case, "expensive")


@pytest.mark.parametrize("command", [
    "{adress}", "{}", "{address.x}", "{0}", "{", "{address!z}", "{address.__class__}",
    "{address!r}", "{port:1000000000}", "{mode[0]}", "{address:{port}}",
])  # fmt: skip
def test_wrong_braces(make_case, command):
    case = make_case(cheap={"command": f"{sys.executable} {command}"})
    with pytest.raises(MixpiError, match=r"known fields: \['address', 'mode', 'port'\]"):
        argv(case, "cheap")


def test_programs_are_found_for_another_folder(tmp_path, monkeypatch):
    """Drivers run elsewhere: relative paths would lead nowhere."""
    own = program(tmp_path / "bin" / "own")
    monkeypatch.chdir(tmp_path)
    assert find_program("bin/own") == find_program("./bin/own", tmp_path / "gone") == str(own)
    assert find_program("own", tmp_path / "bin") == str(own)
    (tmp_path / "sh").write_text("no program, though it has the name of one")
    assert find_program("sh", tmp_path).endswith("/sh") and find_program("sh", tmp_path) != str(
        tmp_path / "sh"
    )
    assert find_program("/") is None and find_program("./bin") is None
    program(tmp_path / "env")  # what the PATH knows is not taken from a folder of others
    assert find_program("env", tmp_path) == shutil.which("env")
    assert find_program("./env", tmp_path) == str(tmp_path / "env")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert launch_prefix("~/bin/own x", "here") == [str(own), "x"]
    config = LammpsDriver(potential=["x"], executable="bin/own", arguments="-pk omp '4 5'")
    words = config.program(tmp_path)
    assert words[0] == str(own) and words[4:7] == ["-pk", "omp", "4 5"]
    assert os.path.isabs(find_program("i-pi"))


def test_addresses_are_one_word_for_lammps():
    assert serving(address="two words")[0] == "fix ipi all ipi 'two words' 1 unix"
    assert serving(address="a#$b")[0] == "fix ipi all ipi 'a#$b' 1 unix"
    assert serving(address="mixpi-1_a.b")[0] == "fix ipi all ipi mixpi-1_a.b 1 unix"
    assert serving(address="::1", mode="inet", port=31415)[0] == "fix ipi all ipi ::1 31415"
