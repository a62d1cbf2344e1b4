"""``mixpi run --runs``: several runs of one input."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .errors import MixpiError
from .run.stopping import Stops


def add_options_of_several(run: argparse.ArgumentParser) -> None:
    """Add the options for several runs to those of ``mixpi run``."""
    run.add_argument(
        "--runs",
        type=int,
        metavar="N",
        help="run it so many times, each with a seed and a folder of its own, with the expensive "
        "drivers shared by all; the same command again continues those that are not finished, and "
        "a larger number adds some",
    )
    run.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        help="with --runs: that the folders 1, 2, … are in (default: runs, beside the input)",
    )
    run.add_argument(
        "--at-once",
        type=int,
        metavar="K",
        help="with --runs: so many at a time (default: as there are cores for, two at least)",
    )


def refuse_options_of_several(arguments: argparse.Namespace) -> None:
    """Refuse what is for several runs alone.

    Raises
    ------
    MixpiError
        Which option.
    """
    for name in ("folder", "at_once"):
        if getattr(arguments, name) is not None:
            raise MixpiError(f"--{name.replace('_', '-')} is for several runs: give --runs, too")


def run_several(arguments: argparse.Namespace) -> int:
    """The command; its exit code."""
    from rich.console import Console

    from .runs.report import show, write
    from .runs.several import SeveralRuns, say_failures

    if arguments.reference:
        raise MixpiError("--reference is for one run: run one of the folders alone")
    several = SeveralRuns(
        arguments.input, arguments.runs, folder=arguments.folder, at_once=arguments.at_once
    )
    for note in several.notes:
        print(f"mixpi: {note}", file=sys.stderr)
    with Stops() as stops:
        found = several.execute(quiet=arguments.quiet, stops=stops)
        console = Console(width=None if sys.stdout.isatty() else 100, highlight=False)
        show(found, console)
        path = write(found, several.folder)
        console.print(f"report: {path}\nlogs:   {several.logs}", soft_wrap=True, markup=False)
        say_failures(found)
    outcomes = [one.outcome for one in found.runs]
    if all(outcome.status in ("finished", "stopped") for outcome in outcomes):
        return 0
    print("mixpi: the same command continues what is not finished", file=sys.stderr)
    if any(outcome.status == "failed" for outcome in outcomes):
        return 1
    return 128 + (stops.signum or next(o.signum for o in outcomes if o.signum))
