"""ASE calculators in a Python of their own: how its driver is started, and what it says."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ase import Atoms

from ..errors import MixpiError
from ..run.processes import run_to_end
from .programs import find_program, own_argument


#: The script, which needs ase alone.
CLIENT = Path(__file__).with_name("ase_client.py")
#: s; torch and a model may come from a slow disk.
PATIENCE = 600.0


def ase_command(
    calculator: str,
    *,
    arguments: Mapping[str, object] | None = None,
    python: str | None = None,
    folder: Path = Path("."),
    species: Sequence[str] | None = None,
    interaction_range: float | None = None,
    stress: bool = False,
) -> list[str]:
    """The command line of an ASE driver, but for where it connects.

    Parameters
    ----------
    calculator, arguments, species, interaction_range, stress
        As for :class:`mixpi.drivers.ase_engine.AseEngine`. Arguments that are files in the
        folder become absolute, since drivers run in folders of their own.
    python : str, optional
        Python of the calculator's environment, or the folder of that environment. Default:
        the Python of mixpi.
    folder : Path
        Of the configuration.

    Returns
    -------
    list of str

    Raises
    ------
    MixpiError
        If there is no such program, or an argument cannot be handed over.
    """
    try:
        text = json.dumps(_absolute(dict(arguments or {}), folder), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise MixpiError(
            f"arguments of the calculator {calculator}: {error}; numbers, text, lists and the "
            "like can be handed over, other objects are made in a function of your own"
        ) from None
    argv = [_program(python, folder), str(CLIENT), calculator]
    argv += ["--arguments", text, "--folder", os.path.abspath(folder)]
    argv += ["--species", ",".join(species)] if species else []
    argv += ["--interaction-range", f"{interaction_range!r}"] if interaction_range else []
    return argv + ["--stress"] * stress


def describe(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    structure: Atoms | None = None,
    patience: float = PATIENCE,
) -> dict:
    """What the calculator of a command is: it is made once, in its own Python.

    Parameters
    ----------
    command : sequence of str
        Of :func:`ase_command`, with ``--require`` for species that there must be.
    environment : mapping
        Of the driver.
    structure : Atoms, optional
        Evaluated once, too; many calculators fail only then.
    patience : float
        s.

    Returns
    -------
    dict
        ``evaluated_by`` (name of its class), ``numbers`` (or None), ``interaction_range`` (Å or
        None), ``has_site_energies``, ``python`` and ``ase`` (versions).

    Raises
    ------
    MixpiError
        If the program is no Python, has no ase, or the calculator cannot be made or fails.
    """
    argv = [*command, "--describe"]
    with tempfile.TemporaryDirectory(prefix="mixpi-") as folder:
        if structure is not None and len(structure):
            plain = Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=True)
            plain.write(Path(folder) / "first.extxyz")
            argv += ["--try", str(Path(folder) / "first.extxyz")]
        try:
            done = run_to_end(argv, patience, "the ASE calculator", env=environment)
        except OSError as error:
            raise MixpiError(f"python {command[0]}: {error.strerror}") from None
    try:
        found = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        found = None
    if done.returncode == 0 and isinstance(found, dict):
        return found
    _, marked, said = done.stderr.partition("ase: error: ")
    if marked:
        raise MixpiError(said.strip())
    said = (done.stderr + done.stdout).strip()[-800:]
    raise MixpiError(
        f"{command[0]} is no Python that can run an ASE calculator (exit code "
        f"{done.returncode}){': ' + said if said else ''}"
    )


def _program(python: str | None, folder: Path) -> str:
    if python is None:
        return sys.executable
    place = folder / os.path.expanduser(python)
    inside = place / "bin" / "python"
    if place.is_dir():
        if not inside.exists():
            raise MixpiError(
                f"python: {python}: the folder {place} has no bin/python: is it a virtual "
                "environment?"
            )
        # not resolved: a link from the environment must stay one
        return os.path.abspath(inside)
    # a bare name is that of a program on the PATH, not of the one beside mixpi's own Python
    own = os.path.abspath(place) if os.sep in python else python
    found = find_program(own) if os.sep in python else shutil.which(python)
    if found is None:
        state = "is not executable" if place.is_file() else "does not exist"
        raise MixpiError(
            f"python: {python}: {own} {state}: give the Python of the calculator's environment, "
            "e.g. /path/to/venv/bin/python, or the folder of that environment"
        )
    return found


def _absolute(value: Any, folder: Path) -> Any:
    """Names of files in the folder made absolute, wherever they stand in a value."""
    if isinstance(value, str):
        return own_argument(value, folder)
    if isinstance(value, Mapping):
        return {key: _absolute(item, folder) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_absolute(item, folder) for item in value]
    return value
