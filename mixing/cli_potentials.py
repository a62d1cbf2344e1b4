"""Commands about the two potentials: ``mixpi distil`` and ``calibrate``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from .errors import MixpiError


def add_potential_commands(commands: argparse._SubParsersAction) -> None:
    """Add ``distil`` and ``calibrate`` to the program's commands."""
    _add_distil(commands)
    _add_calibrate(commands)


def _add_distil(commands: argparse._SubParsersAction) -> None:
    distil = commands.add_parser(
        "distil", help="fit a cheap potential to the expensive one, under hard constraints"
    )
    distil.add_argument("config", type=Path, help="YAML file; 'mixpi config --distil' explains it")
    distil.add_argument(
        "--scan",
        action="store_true",
        help="compare several bases on the same data and write the cheapest that is good enough",
    )
    distil.add_argument(
        "--mismatch",
        type=float,
        metavar="eV/Å",
        help="with --scan: largest force error that is good enough (default: 1.5 times the "
        "smallest one)",
    )
    distil.add_argument("--quiet", action="store_true", help="no progress")
    distil.set_defaults(run=_distil)


def _add_calibrate(commands: argparse._SubParsersAction) -> None:
    calibrate = commands.add_parser(
        "calibrate", help="measure how wide the buffer must be, and how alike the potentials are"
    )
    calibrate.add_argument("input", type=Path, help="i-PI input (XML), or a RESTART")
    calibrate.add_argument(
        "--frame",
        metavar="FILE[@INDEX]",
        help="thermal snapshots of the system, e.g. md.pos_0.extxyz@-12: for the last twelve; "
        "without @ the last one only (default: a short run of the cheap potential)",
    )
    calibrate.add_argument("--check-frame", metavar="FILE", help="snapshot to check the answer on")
    calibrate.add_argument("--buffers", type=float, nargs="+", metavar="Å", help="buffers to try")
    calibrate.add_argument(
        "--tolerance", type=float, default=0.005, help="weighted rms error, eV/Å (default: 0.005)"
    )
    calibrate.add_argument("--temperature", type=float, help="K (default: the input's)")
    calibrate.add_argument("--snapshots", type=int, default=12, help="of the run (default: 12)")
    calibrate.add_argument(
        "--full-atoms",
        type=int,
        help="atoms that the reference may have (default: 3000 on a CPU, 15000 by symmetrix, "
        "50000 by LAMMPS; 10000 on a GPU)",
    )
    calibrate.add_argument(
        "--partial",
        action="store_true",
        help="also look for the radii of partial evaluation (mace: partial) that are good enough "
        "for the least work",
    )
    calibrate.add_argument("--quiet", action="store_true", help="no progress")
    calibrate.set_defaults(run=_calibrate)


def _calibrate(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from .calibrate.calibration import calibrate
    from .calibrate.report import show, write
    from .run.progress import StageProgress

    with StageProgress(quiet=arguments.quiet) as tell:
        found = calibrate(
            arguments.input,
            frame=arguments.frame,
            check_frame=arguments.check_frame,
            buffers=arguments.buffers,
            tolerance=arguments.tolerance,
            temperature=arguments.temperature,
            snapshots=arguments.snapshots,
            full_atoms=arguments.full_atoms,
            partial=arguments.partial,
            tell=tell,
        )
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    show(found, console)
    for path in write(found, arguments.input.parent):
        console.print(os.path.relpath(path))
    return 0


def _distil(arguments: argparse.Namespace) -> int:
    from .distil import (
        as_markdown,
        distil,
        scan,
        scan_as_markdown,
        write_report,
        write_scan,
    )
    from .run.progress import StageProgress

    if arguments.mismatch is not None and not arguments.scan:
        raise MixpiError("--mismatch is for --scan: it says which of several bases is good enough")
    files: list[Path] = []
    with StageProgress(quiet=arguments.quiet) as tell:
        if arguments.scan:
            scanned = scan(arguments.config, mismatch=arguments.mismatch, tell=tell)
            result = scanned.result
        else:
            result = distil(arguments.config, tell=tell)
    if arguments.scan:
        print(scan_as_markdown(scanned))
        files += write_scan(scanned, arguments.config.parent / scanned.config.output)
    if result is not None:
        folder = arguments.config.parent / result.config.output
        files += [*result.constrained.written.files, *write_report(result, folder)]
        print(as_markdown(result).rstrip())
    for path in files:
        print(os.path.relpath(path))
    return 0 if result is not None and result.usable else 1
