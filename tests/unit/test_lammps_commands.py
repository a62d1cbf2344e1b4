"""A potential of somebody else's runs no program, writes no file, and is read in one way only."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time

import pytest
from conftest import silicon
from mixpi import MixpiError
from mixpi.drivers import lammps
from mixpi.drivers.lammps import LammpsSetup
from mixpi.drivers.lammps_driver import LammpsDriver
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
    "print at the end of a file": ('print "x" append pwned', NO_PART),
    "print in a variable": ("variable p string shell\n${p} print", NO_PART),
    "processors": ("processors * * * file pwned", NO_PART),
    "thermo behind a shell": ("shell thermo", NO_PART),
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
    "format": ("variable x format y %s", "a format is that of one number"),
    "format of two": ("variable x format y %.4f%n", "a format is that of one number"),
    "format of text": ("variable x format y;z %.4f", "has characters"),
    "delete of two": ("variable x delete y", "a variable of a potential has a value"),
    "another after a delete": (
        "variable p index zero\nvariable p delete\nvariable p index python\npair_style ${p} 4.0",
        "runs Python code",
    ),
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
    "python where there is a file of that name": (
        "pair_style hybrid/overlay zero 4.0 python 4.0",
        "runs Python code",
    ),
    "pickle of an accelerated ML-IAP": (
        "pair_style hybrid/overlay zero 4.0 mliap/kk unified evil.pkl 0",
        "which is code",
    ),
    "pickle of ML-IAP": ("pair_style mliap unified evil.pkl 0", "which is code"),
    "program of QUIP": (
        'pair_style quip\npair_coeff * * x "FilePot command=touch" 14',
        "lets QUIP",
    ),
    "device": (f"pair_coeff * * {os.devnull}", "is a device"),
    "packed file, formula in its name": (
        'pair_coeff * * "1-pots/$(touch pwned).gz"',
        "may give the name of a packed file to a shell",
    ),
    "packed file, variable in its name": (
        "variable f string '(x)'\npair_coeff * * a$f.xz",
        "may give the name of a packed file to a shell",
    ),
    "packed file, option": ("pair_coeff * * -opwned.zst", "may give the name of a packed file"),
    "packed file, option that is a file": ("pair_coeff * * -o.gz", "may give the name of a packed"),
    "packed file, redirected": ("pair_coeff * * 'a>pwned.bz2'", "may give the name of a packed"),
    "dollar in quotes": ('pair_coeff * * "$(touch)" Si', "a formula outside of quotes"),
    "variable in quotes": ('pair_coeff * * "${x}" Si', "a formula outside of quotes"),
    "dollar in a quoted formula": (
        'pair_style lepton 4.0\npair_coeff 1 1 "$(touch)*r" 3.0',
        "a formula outside of quotes",
    ),
    "another setting after lepton": (
        "pair_style lepton 4.0\npair_modify shift 'yes;'",
        "no other special characters",
    ),
    "formula that continues the line": (
        """variable 'a' equal 1& # it's\nneighbor 1.0 bin""",
        "no other special characters",
    ),
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
    for name in ("python", "unified", "-o.gz"):
        (tmp_path / name).touch()
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
    "variable a equal 1.5\npair_coeff 1 1 $(v_a*2.5:%.4f)",
    "variable a equal 1.5\nvariable f format a %-8.4f\npair_coeff 1 1 $f\nvariable a delete",
    "pair_coeff 1 1\nvariable x index a\nvariable x delete\nvariable x index 3\npair_coeff 1 1 $x",
    "pair_coeff 1 1 $(((1+2)*3)/10)\npair_coeff 1 1 $( ((1 + 2)*(3+(4-(2)))) )",
    'variable a equal 2\nvariable b equal "(v_a>1) && (v_a<3)"\npair_coeff 1 1 $(3+v_b)',
    "variable a equal (1>2)||(1<2)&&(3>2)\npair_coeff 1 1 $(v_a && (2|^1):%.1f)",
    "pair_style lepton 3.0\npair_coeff 1 1 k*(r-2)^2;k=1",
    "variable k equal 2\npair_style hybrid lepton 3.0\npair_coeff 1 1 lepton ${k}*(r-2)^2;k=1",
    """pair_style lepton 3.0\npair_coeff 1 1 'k*(r-2)^2; k=1.0'""",
])  # fmt: skip
def test_what_is_one_is_computed(text, tmp_path):
    run = tmp_path / "run"
    LammpsSetup([STYLE, text], None, tmp_path).write(silicon(1), run, ["run 0"])
    done = subprocess.run(
        lammps.command(), cwd=run, env=lammps.environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-500:]
    assert sorted(p.name for p in run.iterdir()) == ["lammps.data", "lammps.in", "lammps.log"]


def test_what_says_nothing_about_the_potential_is_left_out(tmp_path):
    """The end of a usual ``potential.mod``; mixpi has its own output."""
    lines = [
        STYLE, COEFF, "min_style cg", "min_modify dmax ${dmax} line quadratic", "thermo 1",
        "thermo_style custom step temp pe press pxx", "thermo_modify norm no", "timestep 0.001",
        "atom_modify sort 0 0.0", "processors 1 * *", 'print "E = ${e}; no file"', "echo both",
    ]  # fmt: skip
    assert linked(read_lines(lines, tmp_path), tmp_path) == [STYLE, COEFF]


@pytest.mark.parametrize("name", ["python/Si.sw", "unified/Ta06A.mliap.model", "mliappy/x.mliap"])
def test_folders_named_like_what_runs_code(name, tmp_path):
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).touch()
    style = f"pair_style mliap model linear {name} descriptor sna {name}"
    text = linked(read_lines([style, f"pair_coeff * * {name}"], tmp_path), tmp_path)
    linked_name = f"1-{os.path.basename(name)}"
    assert text == [style.replace(name, linked_name), f"pair_coeff * * {linked_name}"]


def test_names_of_packed_files_are_plain(tmp_path):
    """LAMMPS may give them to a shell."""
    for name in ("$(touch pwned).gz", "`touch pwned`.bz2", "a b.xz", "plain.gz"):
        (tmp_path / name).touch()
        lines = read_lines([f"pair_coeff * * '{name}'"], tmp_path)
        assert re.fullmatch(
            r"pair_coeff \* \* [\w.-]+|pair_coeff \* \* 'plain.gz'", *linked(lines, tmp_path)
        )


def test_what_lammps_gets_has_no_comments_and_no_line_ends(tmp_path):
    lines = read_lines([f"{STYLE} # 1", "pair_coeff &", " *\t*   "], tmp_path)
    assert linked(lines, tmp_path) == [STYLE, COEFF]


@pytest.mark.parametrize("flags", [
    "-var s shell", "-in evil", "-i evil", "-log pwned", "-screen pwned", "-sc pwned",
    "-restart2data a b", "-r2info a", "--in evil", "-mdi '-role ENGINE'", "-cite pwned",
    "-plog pwned", "-partition 1", "--log pwned", "---log none", "-cite", "-reorder custom evil",
    "-log", "-c pwned", "-l pwned", "--screen pwned", "-skiprun",
])  # fmt: skip
def test_flags_that_name_files_are_refused(flags, tmp_path):
    with pytest.raises(MixpiError, match=r"lammps: arguments: .* is not passed on"):
        LammpsDriver(potential=["x"], arguments=flags).program(tmp_path)


@pytest.mark.parametrize("flags", [
    "-k on g 1 -sf kk", "-pk omp 4 -sf omp", "-screen none -nb", "-pk gpu -1", "--suffix omp",
    "-log none", "-l none -sc none", "-cite none", "-c screen", "-reorder nth 2", "--log none",
])  # fmt: skip
def test_flags_that_say_how_it_computes_stay(flags, tmp_path):
    words = LammpsDriver(potential=["x"], arguments=flags).program(tmp_path)
    assert words[-2 - len(flags.split()) : -2] == flags.split()


def test_without_a_log(tmp_path):
    LammpsSetup([STYLE, COEFF], None, tmp_path).write(silicon(1), tmp_path, ["run 0"])
    argv = lammps.command(arguments="-log none -cite screen -screen none -reorder nth 1")
    subprocess.run(argv, cwd=tmp_path, env=lammps.environment(), check=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lammps.data", "lammps.in"]


@pytest.mark.full
@pytest.mark.parametrize("text", [
    "pair_modify '" + "a" * 3000 + ";'", "pair_modify " + "$(" * 1900, "pair_modify &#" * 250 + '"',
    "pair_modify $(" + "()" * 1900, "pair_modify " + "$(((a" * 700, "pair_modify $(" + "a(" * 1900,
    "x&\n" * 200_000, "&\n" * 400_000, "pair_modify " + "x" * 10_000, "#" * 900_000,
    '"""' * 100_000, "variable a string a\n" * 20_000, "pair_modify shift yes\n" * 30_000,
])  # fmt: skip
def test_long_lines_take_no_long_time(text, tmp_path):
    (tmp_path / "their.in").write_text(text)
    start = time.process_time()
    with contextlib.suppress(MixpiError):
        linked(read_lines(["include their.in"], tmp_path), tmp_path)
    assert time.process_time() - start < 20.0  # a second or two
