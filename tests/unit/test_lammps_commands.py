"""A potential of somebody else's runs no program, writes no file, and is read in one way only."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time

import pytest
from conftest import silicon
from mixpi import MixpiError
from mixpi.commands import lammps_command
from mixpi.config import LammpsConfig
from mixpi.drivers import lammps
from mixpi.drivers.lammps import LammpsSetup
from mixpi.drivers.lammps_potential import linked, read_lines


STYLE, COEFF = "pair_style zero 4.0", "pair_coeff * *"
NO_PART = "is no part of a potential"
ATTACKS = {
    "shell": ("shell touch pwned", NO_PART),
    "shell, continued": ("sh&\nell touch pwned", NO_PART),
    "shell, continued with a tab": ("shell&\n\ttouch pwned", NO_PART),
    "shell in quotes": ('"shell" touch pwned', NO_PART),
    "shell behind a comment": ("# harmless\nshell touch pwned", NO_PART),
    "shell behind an open quote": ('pair_modify shift "yes\nshell touch pwned', NO_PART),
    "shell in a variable": ("variable s string shell\n${s} touch pwned", NO_PART),
    "shell in a variable of one letter": ("variable s index shell\n$s touch pwned", NO_PART),
    "a part of it in a variable": ("variable s index hell\ns$s touch pwned", NO_PART),
    "all of it in a variable": ('variable s index "shell touch pwned"\n${s}', NO_PART),
    "shell in a formula": ("$(1:shell%.0f) touch pwned", NO_PART),
    "formatted formula": ("pair_modify $(1:shell%.0f)", "'$' begins a variable"),
    "if": ('if "1 > 0" then "shell touch pwned"', NO_PART),
    "print to a file": ('print "x" file pwned', NO_PART),
    "print": ("print hello", NO_PART),
    "log": ("log pwned", NO_PART),
    "dump": ("dump 1 all custom 1 pwned id", NO_PART),
    "write_data": ("write_data pwned", NO_PART),
    "pair_write": ("pair_write 1 1 10 r 1 2 pwned x", NO_PART),
    "geturl": ("geturl file:///etc/hostname output pwned", NO_PART),
    "jump": ("jump SELF", NO_PART),
    "label": ("label again", NO_PART),
    "run": ("run 10", NO_PART),
    "fix": ("fix 1 all print 1 x file pwned", NO_PART),
    "plugin": ("plugin load evil.so", NO_PART),
    "python": ('python f here """\nimport os\n"""', NO_PART),
    "partition": ("partition yes 1 shell touch pwned", NO_PART),
    "upper case": ("SHELL touch pwned", NO_PART),
    "getenv": ("variable x getenv HOME", "other kinds read files"),
    "file": ("variable x file data", "other kinds read files"),
    "variable of python": ("variable x python f", "other kinds read files"),
    "format": ("variable x format y %s", "other kinds read files"),
    "delete": ("variable x delete", "a variable of a potential has a value"),
    "quote in a variable": ("""variable x string 'a"b'""", "has characters"),
    "hash in a variable": ("variable x string 'a#b'", "has characters"),
    "labelmap": ("labelmap write pwned", "only 'labelmap atom'"),
    "include of two": ("include a b", "include takes the name of one file"),
    "python's pair style": ("pair_style python 4.0", "runs Python code"),
    "within a hybrid": ("pair_style hybrid/overlay zero 4.0 python 4.0", "runs Python code"),
    "in a variable": (
        "variable p string python\npair_style hybrid/overlay zero 4.0 ${p} 4.0",
        "runs Python code",
    ),
    "pickle of ML-IAP": ("pair_style mliap unified evil.pkl 0", "which is code"),
    "program of QUIP": (
        'pair_style quip\npair_coeff * * x "FilePot command=touch" 14',
        "lets QUIP",
    ),
    "device": (f"pair_coeff * * {os.devnull}", "is a device"),
    "semicolon": ("pair_coeff * * 'a;touch pwned'", "no other special characters"),
    "backtick": ("pair_coeff * * `touch`", "no other special characters"),
    "quote in a word": ('pair_coeff * * a"b', "no other special characters"),
    "unknown variable": ("pair_modify shift $?x", "no other special characters"),
    "unicode's quote": ("pair_coeff * * “x”", "no other special characters"),
    "unicode's line end": ("pair_modify shift yes\u2028shell touch pwned", "special characters"),
    "form feed": ("pair_modify shift yes\fshell touch pwned", "special characters"),
    "carriage return": ("pair_modify shift yes\rx\x00", "special characters"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("included", [False, True])
def test_what_is_no_potential_is_refused(attack, included, tmp_path):
    text, message = ATTACKS[attack]
    lines = [STYLE, text, COEFF]
    if included:
        (tmp_path / "mine.in").write_text("\n".join(lines), encoding="utf-8", newline="")
        lines = ["include mine.in"]
    with pytest.raises(MixpiError) as error:
        LammpsSetup(lines, None, tmp_path).write(silicon(1), tmp_path / "run", [])
    assert message in str(error.value) and len(str(error.value)) < 1000
    assert not (tmp_path / "run" / "lammps.in").exists()


@pytest.mark.parametrize("text", [
    "variable z equal 14\npair_modify shift yes\npair_coeff * * # shell touch pwned",
    "variable s string yes\npair_modify &\n  shift ${s}\npair_coeff * *",
    "variable a index 3.5\nvariable b equal ${a}+0.5\npair_style zero $b\npair_coeff * *",
    "special_bonds lj 1 1 1\nneighbor 1.5 bin\npair_coeff 1 1 $(2.0+1.5)",
])  # fmt: skip
def test_what_is_one_is_computed(text, tmp_path):
    run = tmp_path / "run"
    LammpsSetup([STYLE, text], None, tmp_path).write(silicon(1), run, ["run 0"])
    done = subprocess.run(
        lammps.command(), cwd=run, env=lammps.environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-500:]
    assert sorted(p.name for p in run.iterdir()) == ["lammps.data", "lammps.in", "lammps.log"]


def test_what_lammps_gets_has_no_comments_and_no_line_ends(tmp_path):
    lines = read_lines([f"{STYLE} # 1", "pair_coeff &", " *\t*   "], tmp_path)
    assert linked(lines, tmp_path) == [STYLE, COEFF]


@pytest.mark.parametrize("flags", [
    "-var s shell", "-in evil", "-i evil", "-log pwned", "-screen pwned", "-sc pwned",
    "-restart2data a b", "-r2info a", "--in evil", "-mdi '-role ENGINE'", "-cite pwned",
    "-plog pwned", "-partition 1",
])  # fmt: skip
def test_flags_that_name_files_are_refused(flags, tmp_path):
    with pytest.raises(MixpiError, match=r"lammps: arguments: .* is not passed on"):
        lammps_command(LammpsConfig(potential=["x"], arguments=flags), tmp_path)


@pytest.mark.parametrize("flags", [
    "-k on g 1 -sf kk", "-pk omp 4 -sf omp", "-screen none -nb", "-pk gpu -1",
])  # fmt: skip
def test_flags_that_say_how_it_computes_stay(flags, tmp_path):
    words = lammps_command(LammpsConfig(potential=["x"], arguments=flags), tmp_path)
    assert words[1 : 1 + len(flags.split())] == flags.split()


@pytest.mark.parametrize("text", [
    "pair_modify '" + "a" * 3000 + ";'", "pair_modify " + "$(" * 1900, "pair_modify &#" * 250 + '"',
    "x&\n" * 200_000, "&\n" * 400_000, "pair_modify " + "x" * 10_000, "#" * 900_000,
    '"""' * 100_000, "variable a string a\n" * 20_000, "pair_modify shift yes\n" * 30_000,
])  # fmt: skip
def test_long_lines_take_no_long_time(text, tmp_path):
    (tmp_path / "their.in").write_text(text)
    start = time.monotonic()
    with contextlib.suppress(MixpiError):
        linked(read_lines(["include their.in"], tmp_path), tmp_path)
    assert time.monotonic() - start < 20.0  # a second on a quiet machine
