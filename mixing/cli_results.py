"""``mixpi analyse`` of what analyses have found: lines, means, and runs side by side."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import MixpiError


if TYPE_CHECKING:
    from .analysis.results import Report


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Where results go beside the terminal: ``--json`` and ``--picture``."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there, too")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw them (.png, .pdf, .svg)")


def finish(report: Report, arguments: argparse.Namespace) -> int:
    """Print what was found, and write it where :func:`add_outputs` was told; exit code 0."""
    from .analysis.pictures import draw_report

    print(report)
    if arguments.json:
        report.write(arguments.json)
    if arguments.picture:
        draw_report(report, arguments.picture)
    return 0


def add_arrhenius(kinds: argparse._SubParsersAction) -> None:
    """Add ``arrhenius`` to the kinds of ``mixpi analyse``."""
    parser = kinds.add_parser("arrhenius", help="activation energy, from D at several temperatures")
    parser.add_argument(
        "points", nargs="+", metavar="T=FILE", help="K and what 'diffusion --json' wrote there"
    )
    add_outputs(parser)
    parser.set_defaults(run=_arrhenius)


def _arrhenius(arguments: argparse.Namespace) -> int:
    from .analysis.arrhenius import arrhenius, coefficients_of
    from .analysis.results import read_report

    found = {}
    for point in arguments.points:
        text, _, path = point.partition("=")
        try:
            temperature = float(text)
        except ValueError:
            raise MixpiError(f"{point!r} is not T=FILE, such as 600=D_600.json") from None
        if temperature in found:
            raise MixpiError(f"{temperature:g} K is given twice: analyse its runs together")
        found[temperature] = read_report(path)
    files = [point.partition("=")[2] for point in arguments.points]
    line = arrhenius(coefficients_of(found))
    return finish(line.named(files), arguments)


def add_compare(kinds: argparse._SubParsersAction) -> None:
    """Add ``compare`` to the kinds of ``mixpi analyse``."""
    parser = kinds.add_parser("compare", help="results of several runs side by side")
    parser.add_argument(
        "runs", nargs="+", metavar="LABEL=FILE", help="what the same analysis wrote by --json"
    )
    parser.add_argument("--of", nargs="+", default=[], metavar="RESULT", help="(all in common)")
    parser.add_argument("--reference", metavar="LABEL", help="(the last one)")
    add_outputs(parser)
    parser.set_defaults(run=_compare)


def _compare(arguments: argparse.Namespace) -> int:
    from .analysis.comparing import compare
    from .analysis.results import read_report

    reports = {}
    for run in arguments.runs:
        label, equals, path = run.partition("=")
        if not equals or label in reports:
            raise MixpiError(f"{run!r} is not LABEL=FILE with a label of its own")
        reports[label] = read_report(path)
    return finish(compare(reports, arguments.of, arguments.reference), arguments)


def add_combine(kinds: argparse._SubParsersAction) -> None:
    """Add ``combine`` to the kinds of ``mixpi analyse``."""
    parser = kinds.add_parser("combine", help="independent runs of one simulation as one")
    parser.add_argument("runs", nargs="+", metavar="FILE", help="what one analysis wrote by --json")
    add_outputs(parser)
    parser.set_defaults(run=_combine)


def _combine(arguments: argparse.Namespace) -> int:
    from .analysis.combining import combine
    from .analysis.results import read_report

    return finish(combine({run: read_report(run) for run in arguments.runs}), arguments)
