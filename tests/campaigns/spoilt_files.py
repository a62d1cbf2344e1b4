"""What can be wrong with potentials, models, commands, and with files of any kind.

Each comes with the answer that is right: True in order, False to be refused, None either.
"""

# ruff: noqa: E501 - a line a case reads best

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from conftest import MODELS, command_driver

from .checked import MARK


#: Lines beside those of a good potential, the answer.
POTENTIALS: dict[str, tuple[list[str], bool | None]] = {
    **{line: (line.split("\n"), False) for line in (
        f"shell touch {MARK}", f"sh&\nell touch {MARK}", f'"shell" touch {MARK}',
        f"variable s string shell\n${{s}} touch {MARK}", f'if "1" then "shell touch {MARK}"',
        f"print x file {MARK}", f"log {MARK}", f"dump 1 all custom 1 {MARK} id", "jump SELF",
        f"write_data {MARK}", f"geturl file:///etc/hostname output {MARK}", "run 10", "quit",
        f"fix 1 all print 1 x file {MARK}", "plugin load evil.so", "variable x getenv HOME",
        "variable x file mixing.yaml", "python f here x", "include gone.in", "include /dev/zero",
        "include .", "include mixing.yaml", "pair_style python 4.0", "clear", "units real",
        "pair_coeff * * uf3 /dev/zero Si", "pair_coeff * * uf3 gone.uf3 Si", "atom_style charge",
        "pair_coeff * * uf3 si-uf3.uf3 C", "pair_coeff * * uf3 mixing.yaml Si", "pair_coeff 9 9 zbl 1 1",
        "pair_coeff 1 1 zbl 6 6", "pair_modify $(1:shell%.0f)", 'pair_modify "shift', "\x00",
        "pair_style nope", "x" * 3000, "pair_coeff * * uf3 " + "x" * 300 + ".uf3 Si", "set type 1 type 1",
        "pair_coeff * * uf3 'a;touch pwned;.gz' Si", "label x", "next x", "rerun x", "read_data x",
        "velocity all create 300 1", "change_box all x scale 2", "delete_atoms group all",
        "variable e equal 1\nvariable e python f", f"print x append {MARK}",
        f'pair_coeff * * uf3 "$(touch {MARK}).gz" Si', f"pair_coeff * * uf3 -o{MARK}.zst Si",
        f"pair_coeff * * uf3 '`touch {MARK}`.xz' Si", "variable x format y %s",
        "kim query a b", "message server md file x",
    )},
    **{line: (line.split("\n"), True) for line in (
        f"# shell touch {MARK}", "neighbor 1.5 bin", "pair_modify shift no", "", "   ",
        "variable a equal 14\npair_coeff 1 1 zbl $a $a", "special_bonds lj 1 1 1",
        "pair_coeff 1 1 &\n  zbl 14 14", "variable z string 14\npair_coeff 1 1 zbl ${z} ${z}",
        "pair_coeff 1 1 zbl $(10+4) 14", "neigh_modify one 4000", "\tneighbor\t1.0\tbin # ü",
        "thermo 10", "thermo_style custom step pe", "thermo_modify norm no", "timestep 0.001",
        "atom_modify sort 0 0.0", "processors 1 1 1", 'print "hello"', "variable a delete",
        'variable a equal "(1<2) && (2<3)"', "pair_coeff 1 1 zbl $(28/2:%.1f) $((2+(5))*2)",
    )},
}  # fmt: skip


def _sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def _locked(path: Path) -> None:
    path.write_text("x")
    path.chmod(0)


def _socket(path: Path) -> None:
    # by the folder's descriptor: the path is longer than a socket's may be
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


KINDS_OF_FILE: dict[str, Callable[[Path], None]] = {
    "missing": lambda path: None,
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to random numbers": lambda path: path.symlink_to("/dev/urandom"),
    "a link to nothing": lambda path: path.symlink_to("/dev/null"),
    "a link to the terminal": lambda path: path.symlink_to("/dev/tty"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nowhere": lambda path: path.symlink_to("nowhere"),
    "a socket": _socket,
    "unreadable": _locked,
    "empty": lambda path: path.touch(),
    "binary": lambda path: path.write_bytes(np.random.default_rng(3).bytes(5000)),
    "this Python": lambda path: path.symlink_to(sys.executable),
    "a long line": lambda path: path.write_text("x" * 20_000_000),
    "64 MiB of zeros": lambda path: _sparse(path, 2**26),
    "100 GiB of zeros": lambda path: _sparse(path, 100 * 2**30),
    "an empty archive": lambda path: path.write_bytes(b"PK\x05\x06" + bytes(18)),
    "a pickle": lambda path: path.write_bytes(pickle.dumps({"a": 1})),
    "HTML": lambda path: path.write_text("<html>404</html>"),
    "a pointer of Git LFS": lambda path: path.write_text("version https://git-lfs.x/1\n"),
}
ORDINARY = {
    "empty", "binary", "this Python", "a long line", "64 MiB of zeros", "100 GiB of zeros",
    "an empty archive", "a pickle", "HTML", "a pointer of Git LFS",
}  # fmt: skip


class _Evil:
    """Runs a command when it is loaded."""

    def __reduce__(self):
        return os.system, (f"touch {MARK}",)


def _flip(data: bytes, where: float) -> bytes:
    at = int(where * len(data))
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


#: What is done to the model, the answer, whether the configuration has its hash.
CHANGES_OF_A_MODEL = {
    "the same": (lambda data, _where: data, True),
    "cut": (lambda data, where: data[: int(where * len(data))], False),
    "flipped": (_flip, None),
    "longer": (lambda data, _where: data + b"\0", None),
    "a pickle that runs a program": (lambda *_: pickle.dumps(_Evil()), False),
}
BROKEN_MODELS: dict[str, tuple[Callable, bool | None, bool]] = {
    **{f"{name}, hashed": (change, name == "the same", True)
       for name, (change, _) in CHANGES_OF_A_MODEL.items()},
    # without a hash a model is trusted, as it must be: what it runs is its own
    **{name: (change, accept, False) for name, (change, accept) in CHANGES_OF_A_MODEL.items()
       if "program" not in name},
}  # fmt: skip


@functools.cache
def hash_of_the_model() -> str:
    return hashlib.sha256((MODELS / "si-tiny.model").read_bytes()).hexdigest()


_TOY = command_driver("zero")
COMMANDS: list[tuple[str, bool | None]] = [
    (_TOY, True),
    (f"{_TOY} '{{{{}}}}'", True),
    *((f"{_TOY} {field}", False) for field in (
        "{0}", "{", "}", "{}", "{address.__class__}", "{address.__class__.__mro__}", "{adress}",
        "{address!r}", "{port:1000000000}", "{address:>999999999}", "{mode[0]}", "{address!z}",
        "{address:{port}}", "'", '"', "\\", "\x00", "\ud800", "{\u0661}",
    )),
    *((command, False) for command in (
        "", " ", "gone", "gone {address}", "/", ".", "./gone", "/dev/null", "init.extxyz",
        "x" * 30_000, "~gone/x", "\n", "#", "'' x", "a\x00b", "{address}",
    )),
]  # fmt: skip

#: Modules that this or a started Python imports.
SHADOWS = [
    "torch.py", "json.py", "numpy.py", "mixpi/__init__.py", "mixpi/cli.py", "yaml.py", "ase.py",
    "ipi/__init__.py", "mace/__init__.py", "scipy/__init__.py", "sitecustomize.py", "e3nn.py",
    "usercustomize.py", "pickle.py", "argparse.py", "io.py", "matplotlib.py", "pydantic.py",
    "logging.py", "lammps/__init__.py", "ipi_probe.py", "contextlib.py", "inspect.py",
    "logs/expensive-0/torch.py", "encodings/__init__.py", "site.py", "os.py", "resource.py",
]  # fmt: skip


def leaves_a_mark() -> str:
    return f"open({MARK!r}, 'w').close()\nraise SystemExit('a file of the folder was imported')\n"


#: Given instead of an input.
ARGUMENTS = [
    "pipe", "folder", "loop", "gone.xml", "", ".", "/", "/dev/zero", "/dev/null", "/dev/stdin",
    "mixing.yaml", "init.extxyz", "mixing_pes.py", "x" * 300, "a/" * 3000, "\udcff.xml", "in\nput",
    "../" * 50 + "dev/zero", "/proc/self/mem", "http://localhost/input.xml",
]  # fmt: skip
