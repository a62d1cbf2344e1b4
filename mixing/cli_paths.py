"""The commands on paths: ``mixpi relax``, ``path``, ``neb`` and ``barrier``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_path_commands(commands: argparse._SubParsersAction) -> None:
    """Add them to the command line."""
    relax = commands.add_parser("relax", help="relax a structure on mixed forces")
    _add_common(relax, fmax=0.01, steps=1000, output="relaxed")
    relax.add_argument(
        "structure", type=Path, nargs="?", help="what is relaxed (default: the configuration's)"
    )
    relax.set_defaults(run=_relax)

    path = commands.add_parser("path", help="make a first guess of a path between two structures")
    path.add_argument("first", type=Path, help="structure at one end")
    path.add_argument("last", type=Path, help="structure at the other: same atoms, same order")
    path.add_argument("--images", type=int, default=9, help="with both ends (default: 9)")
    path.add_argument(
        "--method", default="idpp", help="idpp (interpolated distances, default) or linear"
    )
    path.add_argument(
        "--relax",
        type=Path,
        metavar="CONFIG",
        help="configuration (YAML or i-PI input): relax both ends on its mixed forces first",
    )
    path.add_argument("--fmax", type=float, default=0.01, help="of relaxed ends, eV/Å")
    path.add_argument("--output", type=Path, default=Path("path.extxyz"), help="(path.extxyz)")
    path.add_argument("--quiet", action="store_true", help="no progress")
    path.set_defaults(run=_path)

    neb = commands.add_parser("neb", help="find a minimum energy path on mixed forces")
    neb.add_argument("--images", type=Path, default=Path("path.extxyz"), help="(path.extxyz)")
    _add_common(neb, fmax=0.02, steps=500, output="neb")
    neb.add_argument("--spring", type=float, default=1.0, help="eV/Å² (default: 1)")
    neb.add_argument(
        "--climb",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="let the highest image climb to the saddle (default)",
    )
    neb.add_argument(
        "--tangents", choices=["improved", "plain"], default="improved", help="(improved)"
    )
    neb.set_defaults(run=_neb)

    barrier = commands.add_parser("barrier", help="the barrier of a path, by three ways")
    barrier.add_argument("config", type=Path, help="configuration (YAML), or an i-PI input")
    barrier.add_argument(
        "--images", default="neb.extxyz", help="what 'mixpi neb' has written (neb.extxyz)"
    )
    barrier.add_argument(
        "--expensive",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="evaluate each image by the expensive potential as a whole (default)",
    )
    barrier.add_argument("--output", default="barrier", help="name of the files (barrier)")
    barrier.set_defaults(run=_barrier)


def _add_common(parser: argparse.ArgumentParser, *, fmax: float, steps: int, output: str) -> None:
    parser.add_argument("config", type=Path, help="configuration (YAML), or an i-PI input")
    parser.add_argument(
        "--fmax", type=float, default=fmax, help=f"largest force at the end, eV/Å ({fmax:g})"
    )
    parser.add_argument("--steps", type=int, default=steps, help=f"at most ({steps})")
    parser.add_argument("--output", default=output, help=f"name of the files ({output})")
    parser.add_argument(
        "--everywhere",
        choices=["expensive", "cheap"],
        help="one potential on all atoms, for comparison",
    )
    parser.add_argument(
        "--afresh", action="store_true", help="begin anew, although there is a state to go on from"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")


def _say(text: str) -> None:
    print(f"mixpi: {text}", file=sys.stderr)


def _relax(arguments: argparse.Namespace) -> int:
    from .paths.relaxing import relax
    from .run.progress import StageProgress

    with StageProgress(quiet=arguments.quiet) as tell:
        done = relax(
            arguments.config,
            arguments.structure,
            fmax=arguments.fmax,
            steps=arguments.steps,
            output=arguments.output,
            kind=arguments.everywhere or "mixed",
            afresh=arguments.afresh,
            tell=tell,
            say=_say,
        )
    at_rest = "at rest" if done.converged else "NOT at rest"
    print(f"{at_rest} after {done.steps} steps: largest force {done.force:.4g} eV/Å")
    _print_files(done.files)
    return 0 if done.converged else _not_converged()


def _path(arguments: argparse.Namespace) -> int:
    from .paths.initial_path import write_path
    from .run.progress import StageProgress

    with StageProgress(quiet=arguments.quiet) as tell:
        path = write_path(
            arguments.first,
            arguments.last,
            arguments.output,
            images=arguments.images,
            method=arguments.method,
            relax=arguments.relax,
            fmax=arguments.fmax,
            tell=tell,
            say=_say,
        )
    print(f"{len(path)} images: {arguments.output}")
    return 0


def _neb(arguments: argparse.Namespace) -> int:
    from .paths.band import find_path
    from .run.progress import StageProgress

    with StageProgress(quiet=arguments.quiet) as tell:
        done = find_path(
            arguments.config,
            arguments.images,
            fmax=arguments.fmax,
            steps=arguments.steps,
            k=arguments.spring,
            climb=arguments.climb,
            method={"improved": "improvedtangent", "plain": "aseneb"}[arguments.tangents],
            output=arguments.output,
            kind=arguments.everywhere or "mixed",
            afresh=arguments.afresh,
            tell=tell,
            say=_say,
        )
    at_rest = "at rest" if done.converged else "NOT at rest"
    print(f"{at_rest} after {done.steps} steps: largest force {done.force:.4g} eV/Å")
    print(f"barrier by the energy estimate: {1e3 * done.profile.barrier:.2f} meV")
    print(f"barrier by the work of the forces: {1e3 * done.profile.barrier_by_work:.2f} meV")
    _print_files(done.files)
    return 0 if done.converged else _not_converged()


def _barrier(arguments: argparse.Namespace) -> int:
    from .paths.barrier import barrier

    found = barrier(
        arguments.config,
        arguments.images,
        expensive=arguments.expensive,
        output=arguments.output,
        say=_say,
    )
    print(f"(a) work of the forces:   {1e3 * found.profile.barrier_by_work:.2f} meV")
    print(f"(b) energy estimate:      {1e3 * found.profile.barrier:.2f} meV")
    if found.by_expensive is not None:
        print(f"(c) expensive potential:  {1e3 * found.by_expensive:.2f} meV")
    _print_files(found.files)
    return 0


def _print_files(files: list[Path]) -> None:
    for file in files:
        print(file)


def _not_converged() -> int:
    _say("call again to go on, with more --steps")
    return 1
