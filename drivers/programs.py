"""Programs that drivers are started with: words of a command line, and where they lie."""

from __future__ import annotations

import os
import shlex
import shutil
import string
import sys
from collections.abc import Mapping
from pathlib import Path

from ..errors import MixpiError


#: Launchers of batch systems, and others whose programs run on other machines.
ELSEWHERE = frozenset({"srun", "ssh", "jsrun", "aprun", "flux", "prun", "mpprun", "ibrun"})
#: Launchers that start ranks here unless they are told of hosts, and their flags.
MPI_LAUNCHERS = frozenset({"mpirun", "mpiexec", "mpiexec.hydra", "orterun", "prterun"})
RANKS_FLAGS = frozenset({"-n", "-np", "--np", "--n", "-c"})
HOSTS_FLAGS = frozenset(
    {"-H", "-host", "--host", "-hosts", "-hostfile", "--hostfile", "-machinefile", "-f"}
    | {"--machinefile"}
)


def split_words(text: str, key: str) -> list[str]:
    """Words of a command line, quoted as in a shell.

    Parameters
    ----------
    text : str
        The command line.
    key : str
        Where it stands in the configuration, for the message.

    Returns
    -------
    list of str

    Raises
    ------
    MixpiError
        If a quote is not closed.
    """
    try:
        return shlex.split(text)
    except ValueError as error:
        raise MixpiError(f"{key}: {text!r}: {error}") from None


def fill_in(word: str, fields: Mapping[str, object]) -> str:
    """A word of a command with its fields filled in; ``{{`` and ``}}`` are braces.

    Only plain fields: Python's own formatting would also reach into objects, and make a text
    of a gigabyte of ``{port:1000000000}``.

    Raises
    ------
    ValueError
        If a brace is open, or a field is another.
    """
    parts = []
    for text, name, form, conversion in string.Formatter().parse(word):
        parts.append(text)
        if name is None:
            continue
        if name not in fields or form or conversion:
            raise ValueError(f"{{{name[:40]}}} is no field")
        parts.append(str(fields[name]))
    return "".join(parts)


def own_path(name: str, folder: Path) -> str:
    """A file's path made absolute if it lies in a folder; other names as they are."""
    candidate = folder / os.path.expanduser(name)
    # not resolved: the python of a virtual environment is a link that must stay one
    return os.path.abspath(candidate) if os.path.isfile(candidate) else name


def own_argument(word: str, folder: Path) -> str:
    """A word made absolute if it is the name of a file in a folder, with a path or an ending.

    Not a bare word: "4", "cpu" and "srun" may be files, too.
    """
    return own_path(word, folder) if {".", os.sep} & set(word) else word


def find_program(name: str, folder: Path | None = None) -> str | None:
    """Absolute path of a program: beside this Python, on the PATH, or in the folder.

    As in a shell, a bare name that the PATH knows is not taken from the folder: a file "mpirun"
    among somebody's inputs is not what is meant.
    """
    name = os.path.expanduser(name)
    if os.sep not in name:
        beside = Path(sys.executable).parent / name
        found = str(beside) if os.path.isfile(beside) and os.access(beside, os.X_OK) else None
        found = found or shutil.which(name)
        if found:
            return os.path.abspath(found)
    own = own_path(name, folder) if folder else name
    program = os.path.isabs(own) and os.path.isfile(own) and os.access(own, os.X_OK)
    found = own if program else shutil.which(name)
    # drivers run in folders of their own
    return os.path.abspath(found) if found else None


def ranks_here(launch: str, key: str) -> int | None:
    """How many copies of a program a launch prefix starts on this machine.

    Parameters
    ----------
    launch : str
        As configured.
    key : str
        Where it stands in the configuration, for the message.

    Returns
    -------
    int or None
        None where they run on other machines, or it does not say how many.

    Raises
    ------
    MixpiError
        If a quote is not closed.
    """
    words = split_words(launch, key)
    names = [os.path.basename(word) for word in words]
    if ELSEWHERE & set(names):
        return None
    # before it may stand "nice", "env A=1" and the like
    begin = next((at for at, name in enumerate(names) if name in MPI_LAUNCHERS), None)
    if begin is None:
        return 1
    if any(word.partition("=")[0] in HOSTS_FLAGS for word in words[begin:]):
        return None
    for at, word in enumerate(words[begin:], begin):
        flag, equals, number = word.partition("=")
        if flag in RANKS_FLAGS:
            number = number if equals else "".join(words[at + 1 : at + 2])
            return int(number) if number.isdecimal() else None
    return None


def launch_prefix(launch: str, key: str, folder: Path | None = None) -> list[str]:
    """The words that a launch prefix puts before a program, e.g. "srun --gpus 1".

    Parameters
    ----------
    launch : str
        As configured; files in it that have an ending or a path are found in the folder.
    key : str
        Where it stands in the configuration, for the message.
    folder : Path, optional
        Of the configuration.

    Returns
    -------
    list of str

    Raises
    ------
    MixpiError
        If its program is not found.
    """
    words = split_words(launch, key)
    if not words:
        return []
    program = find_program(words[0], folder)
    if program is None:
        raise MixpiError(f"launch prefix {words[0]!r} not found ({key})")
    return [program, *(own_argument(w, folder) if folder else w for w in words[1:])]
