"""``mixpi driver``: one driver process, started by hand or by the launcher."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from pathlib import Path

from .errors import MixpiError


def add_driver_commands(commands) -> None:
    """Add ``driver`` and its kinds to the commands of the parser."""
    driver = commands.add_parser("driver", help="start one driver by hand")
    kinds = driver.add_subparsers(required=True, metavar="KIND")
    _add_mace(kinds)
    _add_lammps(kinds)
    for kind, text in (("toy", "an analytic field"), ("zero", "no forces")):
        toy = kinds.add_parser(kind, help=f"{text}: for tests and timing")
        _add_socket_options(toy)
        toy.set_defaults(run=_drive_toy, kind=kind, serves=True)


def _add_mace(kinds) -> None:
    mace = kinds.add_parser("mace", help="a MACE model, on clusters or (--template) whole systems")
    mace.add_argument(
        "--model",
        required=True,
        help="model file (it is code: only one that you trust), or name of a foundation model",
    )
    mace.add_argument("--sha256", help="of the model file: refuse another one")
    mace.add_argument("--head", help="which head of a model with several")
    mace.add_argument("--device", default="cpu", help="cpu, cuda or cuda:<n> (default: cpu)")
    mace.add_argument("--dtype", default="float64", choices=["float64", "float32"])
    mace.add_argument("--threads", type=int, help="torch threads on the CPU")
    mace.add_argument(
        "--template",
        type=Path,
        help="structure with the species: be an ordinary i-PI client of that system",
    )
    mace.add_argument("--species", help="refuse to start unless the model knows these, e.g. Si,He")
    mace.add_argument("--describe", action="store_true", help="print what the model is and end")
    _add_socket_options(mace, required=False)
    mace.set_defaults(run=_drive_mace, serves=True, prints=True)


def _add_lammps(kinds) -> None:
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


def _drive_mace(arguments: argparse.Namespace) -> int:
    from .drivers.client import run_driver
    from .drivers.mace import MaceEngine
    from .structure import read_structure

    def engine() -> MaceEngine:
        made = MaceEngine(
            arguments.model,
            device=arguments.device,
            dtype=arguments.dtype,
            threads=arguments.threads,
            head=arguments.head,
            sha256=arguments.sha256,
        )
        made.require(arguments.species.split(",") if arguments.species else [])
        return made

    if arguments.describe:
        made = engine()
        facts = ("numbers", "interaction_range", "heads", "head", "sha256")
        print(json.dumps({fact: getattr(made, fact) for fact in facts}))
        return 0
    if not arguments.address:
        raise MixpiError("--address is needed: the name or host where i-PI listens")
    numbers = read_structure(arguments.template).numbers if arguments.template else None
    return run_driver(engine, numbers=numbers, label="mace", **_socket(arguments))


def _drive_toy(arguments: argparse.Namespace) -> int:
    from .drivers.client import run_driver
    from .drivers.toy import ToyEngine, ZeroEngine

    engine = {"toy": ToyEngine, "zero": ZeroEngine}[arguments.kind]
    return run_driver(engine, label=arguments.kind, **_socket(arguments))


def _drive_lammps(arguments: argparse.Namespace) -> int:
    from .ipi.input import read_ipi_input
    from .run.commands import driver_command, driver_environment
    from .structure import read_structure

    ipi_input = read_ipi_input(arguments.input)
    driver = getattr(ipi_input.config, arguments.pool)
    if driver.lammps is None:
        raise MixpiError(f"{ipi_input.config_path}: {arguments.pool} is no LAMMPS driver")
    atoms = read_structure(ipi_input.config_path.parent / ipi_input.config.structure)
    argv = driver_command(arguments.pool, ipi_input, atoms, arguments.folder)
    if arguments.write_only:
        print(shlex.join(argv))
        return 0
    os.chdir(arguments.folder)
    os.execvpe(argv[0], argv, driver_environment(driver))


def _socket(arguments: argparse.Namespace) -> dict:
    names = ("address", "mode", "port", "deadline", "token")
    return {name: getattr(arguments, name) for name in names}
