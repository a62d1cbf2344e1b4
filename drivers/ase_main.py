"""``ase_client.py`` once ase is there: its command line, and the life of the driver."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from ase import Atoms

from ..errors import MixpiError
from .ase_engine import AseEngine
from .client import run_driver


def main(argv: list[str] | None = None) -> int:
    """Run the driver as the command line says.

    Parameters
    ----------
    argv : list of str, optional
        Default: of this process.

    Returns
    -------
    int
        Exit code.
    """
    options = _parser().parse_args(argv)

    def make() -> AseEngine:
        engine = AseEngine(
            options.calculator,
            arguments=_arguments(options.arguments),
            folder=options.folder,
            species=options.species.split(",") if options.species else None,
            interaction_range=options.interaction_range,
            stress=options.stress,
        )
        engine.require(options.require.split(",") if options.require else ())
        return engine

    if options.describe:
        return _describe(make, options.trial)
    try:
        numbers = _structure(options.template, "template").numbers if options.template else None
        if not options.address:
            raise MixpiError("--address is needed: the name or host where i-PI listens")
    except MixpiError as error:
        print(f"ase: error: {error}", file=sys.stderr)
        return 1
    connection = {k: getattr(options, k) for k in ("address", "mode", "port", "deadline", "token")}
    return run_driver(make, numbers=numbers, label="ase", **connection)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ase_client.py", description="an ASE calculator, driven")
    parser.add_argument("calculator", help="module:factory, such as ase.calculators.emt:EMT")
    parser.add_argument("--arguments", default="{}", help="of the factory, as a JSON object")
    parser.add_argument("--folder", default=".", help="where a module lies that is not installed")
    parser.add_argument("--species", help="what the calculator knows, e.g. Si,He; others refused")
    parser.add_argument("--require", help="refuse to start unless these are among them")
    parser.add_argument("--interaction-range", type=float, help="Å, if it is known")
    parser.add_argument("--stress", action="store_true", help="ask for the stress, too")
    parser.add_argument(
        "--template", help="structure with the species: be an ordinary i-PI client of that system"
    )
    parser.add_argument("--describe", action="store_true", help="print what it is and end")
    parser.add_argument(
        "--try", dest="trial", metavar="FILE", help="with --describe: evaluate a structure once"
    )
    parser.add_argument("--address", help="unix: name behind /tmp/ipi_; inet: host")
    parser.add_argument("--mode", default="unix", choices=["unix", "inet"])
    parser.add_argument("--port", type=int, help="inet only")
    parser.add_argument("--token", metavar="FILE", help="secret shared with a server elsewhere")
    parser.add_argument("--deadline", type=float, default=60.0, help="s to keep trying to connect")
    return parser


def _describe(make: Callable[[], AseEngine], trial: str | None) -> int:
    """Say as JSON what the engine is, if it can evaluate what is to be tried."""
    import ase

    # the answer goes where it is expected; what libraries print, to the other stream
    sys.stdout.flush()
    answer = os.dup(1)
    os.dup2(2, 1)
    try:
        engine = make()
        if trial:
            atoms = _structure(trial, "structure")
            engine.evaluate(atoms.numbers, atoms.positions, atoms.cell.array)
    except MixpiError as error:
        print(f"ase: error: {error}", file=sys.stderr)
        return 1
    facts = engine.facts() | {
        "python": ".".join(map(str, sys.version_info[:3])),
        "ase": ase.__version__,
    }
    with os.fdopen(answer, "w") as stream:
        print(json.dumps(facts), file=stream)
    return 0


def _arguments(text: str) -> dict:
    """The arguments of the factory."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MixpiError(f"--arguments {text[:80]!r}: no JSON: {error}") from None
    if not isinstance(found, dict):
        raise MixpiError(f"--arguments {text[:80]!r}: a JSON object is needed, {{...}}")
    return found


def _structure(path: str, what: str) -> Atoms:
    from ase.io import read

    try:
        found = read(Path(path))
        return found[-1] if isinstance(found, list) else found
    except Exception as error:  # each format raises its own
        raise MixpiError(f"{what} {path}: {type(error).__name__}: {error}") from None
