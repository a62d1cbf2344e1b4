"""``mixpi driver``: one driver process, started by hand or by the launcher."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import MixpiError


if TYPE_CHECKING:
    from .drivers.engine_driver import EngineDriver


#: Kinds that need nothing of the registry, whose modules take a third of a second to load.
LIGHT = ("toy", "zero", "lammps")


def add_driver_commands(commands: argparse._SubParsersAction, words: Sequence[str]) -> None:
    """Add ``driver`` to the commands of the parser, and its kinds if it is asked for.

    Parameters
    ----------
    commands : argparse action
        Of the parser.
    words : sequence of str
        The command line.
    """
    driver = commands.add_parser("driver", help="start one driver by hand")
    if words[:1] != ["driver"]:
        return
    kinds = driver.add_subparsers(required=True, metavar="KIND")
    if not (words[1:2] and words[1] in LIGHT):
        from .drivers.config import KINDS
        from .drivers.engine_driver import EngineDriver

        for kind in KINDS.values():
            if issubclass(kind, EngineDriver):
                _add_engine(kinds, kind)
    _add_lammps(kinds)
    for name, text in (("toy", "an analytic field"), ("zero", "no forces")):
        toy = kinds.add_parser(name, help=f"{text}: for tests and timing")
        _add_socket_options(toy)
        toy.set_defaults(run=_drive_toy, kind=name, serves=True)


def _add_engine(kinds: argparse._SubParsersAction, kind: type[EngineDriver]) -> None:
    engine = kinds.add_parser(kind.kind.replace("_", "-"), help=kind.help)
    kind.add_flags(engine)
    engine.add_argument(
        "--template",
        type=Path,
        help="structure with the species: be an ordinary i-PI client of that system",
    )
    engine.add_argument("--require", help="refuse to start unless it knows these, e.g. Si,He")
    engine.add_argument(
        "--bulk", type=Path, help="structure of the whole system, for partial evaluation"
    )
    engine.add_argument(
        "--home", type=Path, default=Path("."), help="where files are looked for (default: here)"
    )
    engine.add_argument("--describe", action="store_true", help="print what it is and end")
    _add_socket_options(engine, required=False)
    engine.set_defaults(run=_drive_engine, kind=kind, serves=True, prints=True)


def _add_lammps(kinds: argparse._SubParsersAction) -> None:
    lmp = kinds.add_parser(
        "lammps", help="LAMMPS with fix ipi, as an i-PI input's YAML describes it"
    )
    lmp.add_argument("input", type=Path, help="i-PI input (XML) that names the YAML file")
    lmp.add_argument("--pool", default="cheap", choices=["cheap", "expensive"])
    lmp.add_argument("--folder", type=Path, default=Path("lammps"), help="where it runs")
    lmp.add_argument("--write-only", action="store_true", help="write its files, start nothing")
    lmp.set_defaults(run=_drive_lammps, serves=True, prints=True)


def _add_socket_options(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    parser.add_argument(
        "--address", required=required, help="unix: name behind /tmp/ipi_; inet: host"
    )
    parser.add_argument("--mode", default="unix", choices=["unix", "inet"])
    parser.add_argument("--port", type=int, help="inet only")
    parser.add_argument(
        "--token", type=Path, metavar="FILE", help="secret shared with a server on another host"
    )
    parser.add_argument(
        "--deadline", type=float, default=60.0, help="s to keep trying to connect (default: 60)"
    )
    parser.add_argument(
        "--reconnect",
        action="store_true",
        help="after a connection that was lost (a link was cut, the server died) try again, for "
        "--deadline s each time; without it the driver then ends",
    )


def _drive_engine(arguments: argparse.Namespace) -> int:
    from .structure import read_structure

    section, home = arguments.kind.from_flags(arguments), arguments.home
    require = arguments.require.split(",") if arguments.require else []
    if arguments.describe:
        print(json.dumps(section.maker(home, require, arguments.bulk)().facts()))
        return 0
    if not arguments.address:
        raise MixpiError("--address is needed: the name or host where i-PI listens")
    numbers = read_structure(arguments.template).numbers if arguments.template else None
    return section.serve(home, require, arguments.bulk, numbers=numbers, **_socket(arguments))


def _drive_toy(arguments: argparse.Namespace) -> int:
    from .drivers.client import run_driver
    from .drivers.toy import ToyEngine, ZeroEngine

    engine = {"toy": ToyEngine, "zero": ZeroEngine}[arguments.kind]
    return run_driver(engine, label=arguments.kind, **_socket(arguments))


def _drive_lammps(arguments: argparse.Namespace) -> int:
    from .drivers.lammps_driver import LammpsDriver
    from .ipi.input import read_ipi_input
    from .run.starting import place_of
    from .structure import read_structure

    ipi_input = read_ipi_input(arguments.input)
    driver = getattr(ipi_input.config, arguments.pool).driver
    if not isinstance(driver, LammpsDriver):
        raise MixpiError(f"{ipi_input.config_path}: {arguments.pool} is no LAMMPS driver")
    atoms = read_structure(ipi_input.config_path.parent / ipi_input.config.structure)
    argv = driver.argv(place_of(arguments.pool, ipi_input, atoms), arguments.folder)
    if arguments.write_only:
        print(shlex.join(argv))
        return 0
    os.chdir(arguments.folder)
    os.execvpe(argv[0], argv, driver.environment())


def _socket(arguments: argparse.Namespace) -> dict:
    names = ("address", "mode", "port", "deadline", "token", "reconnect")
    return {name: getattr(arguments, name) for name in names}
