"""``mixpi analyse``: what runs show, with error bars."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .cli_results import add_arrhenius, add_combine, add_compare, add_outputs, finish
from .errors import MixpiError


if TYPE_CHECKING:
    from .analysis.reflection import Fate
    from .analysis.tracks import Track
    from .analysis.trajectories import Trajectory


def add_analyse_command(commands: argparse._SubParsersAction, words: Sequence[str]) -> None:
    """Add ``analyse`` to the commands of the parser, and its kinds if it is asked for.

    Parameters
    ----------
    commands : argparse action
        Of the parser.
    words : sequence of str
        The command line.
    """
    analyse = commands.add_parser("analyse", help="observables of runs, with error bars")
    if words[:1] != ["analyse"]:
        return
    kinds = analyse.add_subparsers(required=True, metavar="KIND")
    _add_diffusion(kinds)
    add_arrhenius(kinds)
    _add_zones(kinds)
    _add_flux(kinds)
    _add_mean_force(kinds)
    add_compare(kinds)
    add_combine(kinds)
    _add_reflection(kinds)
    _add_line(kinds)


def _add_trajectories(parser: argparse.ArgumentParser, *, several: bool = True) -> None:
    parser.add_argument(
        "trajectory",
        type=Path,
        nargs="+" if several else None,
        help="mix.extxyz, or any that ASE reads" + (": one a run" if several else ""),
    )
    parser.add_argument(
        "--skip", type=float, default=0.0, metavar="fs", help="at the beginning (default: 0)"
    )
    parser.add_argument(
        "--spacing", type=float, metavar="fs", help="between frames (default: their 'time')"
    )


def _trajectories(arguments: argparse.Namespace) -> list[Trajectory]:
    from .analysis.trajectories import Trajectory

    paths = arguments.trajectory
    paths = paths if isinstance(paths, list) else [paths]
    for number, path in enumerate(paths):
        if path.resolve() in {other.resolve() for other in paths[:number]}:
            raise MixpiError(f"{path} is given twice: runs must know nothing of one another")
    return [Trajectory(path, arguments.spacing, arguments.skip) for path in paths]


def _add_diffusion(kinds: argparse._SubParsersAction) -> None:
    parser = kinds.add_parser(
        "diffusion", help="D of atoms, or of a defect, from trajectories or kept tracks (.npz)"
    )
    _add_trajectories(parser)
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--species", help="all atoms of it")
    who.add_argument("--atoms", type=int, nargs="+", help="numbers, from 0")
    who.add_argument(
        "--defect",
        choices=["sites", "coordination"],
        help="one interstitial or vacancy, by occupied sites (--lattice), or a dumbbell by "
        "coordination (--cutoff)",
    )
    parser.add_argument("--lattice", help="bcc, fcc, diamond, sc or a file of the perfect crystal")
    parser.add_argument("--host", help="species that the crystal is of")
    parser.add_argument("--cutoff", type=float, metavar="Å", help="of neighbours")
    parser.add_argument(
        "--averaged", type=int, default=3, metavar="FRAMES", help="of coordination (default: 3)"
    )
    parser.add_argument("--from", dest="first", type=float, metavar="fs", help="shortest lag")
    parser.add_argument("--to", dest="last", type=float, metavar="fs", help="longest lag")
    parser.add_argument("--jump", type=float, metavar="Å", help="length, for a bound without jumps")
    parser.add_argument(
        "--unwrap", action="store_true", help="positions are wrapped into the cell: follow them"
    )
    parser.add_argument(
        "--with-drift", action="store_true", help="do not take off what all other atoms move"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FILE.npz",
        help="keep the way of the atoms or the defect of one run, to be given in the place of its "
        "trajectory",
    )
    add_outputs(parser)
    parser.set_defaults(run=_diffusion)


def _diffusion(arguments: argparse.Namespace) -> int:
    from .analysis.diffusion import diffusion
    from .analysis.tracks import SUFFIX

    trajectories = _trajectories(arguments)
    keep = arguments.keep
    if keep and (len(trajectories) > 1 or keep.suffix != SUFFIX):
        raise MixpiError(f"--keep is for one run, and a file that ends in {SUFFIX}: not {keep}")
    tracks = [_track(trajectory, arguments) for trajectory in trajectories]
    if keep:
        tracks[0].write(keep)
    report = diffusion(tracks, first=arguments.first, last=arguments.last, jump=arguments.jump)
    return finish(report, arguments)


def _track(trajectory: Trajectory, arguments: argparse.Namespace) -> Track:
    from .analysis.defects import follow_by_coordination, follow_by_sites
    from .analysis.tracks import SUFFIX, follow_atoms, read_track

    if trajectory.path.suffix == SUFFIX:
        if any((trajectory.skip, trajectory.spacing, arguments.species, arguments.atoms,
                arguments.defect)):  # fmt: skip
            raise MixpiError(
                f"{trajectory.path} is a kept track: whose it is, and from when on, was said when "
                "it was made. Leave --species, --atoms, --defect, --skip and --spacing out"
            )
        return read_track(trajectory.path)
    _require_meaning(arguments)
    if arguments.defect == "sites":
        if arguments.lattice is None:
            raise MixpiError("--defect sites needs --lattice: bcc, fcc, diamond, sc or a file")
        return follow_by_sites(trajectory, arguments.lattice, arguments.host)
    if arguments.defect == "coordination":
        _require_frames(arguments.averaged)
        if arguments.cutoff is None:
            raise MixpiError("--defect coordination needs --cutoff, such as 3.3 for iron")
        return follow_by_coordination(trajectory, arguments.cutoff, averaged=arguments.averaged)
    if arguments.species is None and arguments.atoms is None:
        raise MixpiError("what diffuses? Say --species, --atoms or --defect")
    return follow_atoms(
        trajectory,
        species=arguments.species,
        indices=arguments.atoms or (),
        unwrap=arguments.unwrap,
        against_rest=not arguments.with_drift,
    )


def _require_meaning(arguments: argparse.Namespace) -> None:
    """Refuse options that the way of what is asked for does not depend on."""
    of_atoms = {"--unwrap": arguments.unwrap, "--with-drift": arguments.with_drift}
    of_sites = {"--lattice": arguments.lattice, "--host": arguments.host}
    others = {
        None: {**of_sites, "--cutoff": arguments.cutoff, "--jump": arguments.jump},
        "sites": {**of_atoms, "--cutoff": arguments.cutoff},
        "coordination": {**of_atoms, **of_sites},
    }
    given = [name for name, value in others[arguments.defect].items() if value]
    if given:
        what = f"--defect {arguments.defect}" if arguments.defect else "--species or --atoms"
        raise MixpiError(f"{' and '.join(given)} would do nothing with {what}: leave out")


def _add_zones(kinds: argparse._SubParsersAction) -> None:
    for name, text, units in (
        ("temperature", "temperature of core, blend, buffer and outside", "K"),
        ("drift", "how fast these temperatures rise", "K/ps"),
    ):
        parser = kinds.add_parser(name, help=text)
        _add_trajectories(parser, several=False)
        parser.add_argument("--target", type=float, metavar=units, help="tell how far zones are")
        parser.add_argument(
            "--free-centre",
            action="store_true",
            help="the centre of mass moves (<fixcom>False</fixcom>)",
        )
        add_outputs(parser)
        parser.set_defaults(run=_zones, kind=name)


def _zones(arguments: argparse.Namespace) -> int:
    from .analysis import zones

    (trajectory,) = _trajectories(arguments)
    function = {"temperature": zones.temperature, "drift": zones.drift}[arguments.kind]
    target = {} if arguments.target is None else {"target": arguments.target}
    report = function(trajectory, fixed_centre=not arguments.free_centre, **target)
    return finish(report, arguments)


def _add_flux(kinds: argparse._SubParsersAction) -> None:
    parser = kinds.add_parser(
        "flux", help="energy through the seam, of frames evaluated by the expensive potential"
    )
    _add_trajectories(parser, several=False)
    parser.add_argument(
        "--radius", type=float, required=True, metavar="Å", help="of the seam (the paper: 10)"
    )
    parser.add_argument(
        "--energy", default="energy", metavar="KEY", help="of the potential energy (energy)"
    )
    add_outputs(parser)
    parser.set_defaults(run=_flux)


def _flux(arguments: argparse.Namespace) -> int:
    from .analysis.zones import energies_of, flux

    (trajectory,) = _trajectories(arguments)
    times, energies = energies_of(trajectory, arguments.energy)
    report = flux(times, energies, arguments.radius, trajectory.path)
    return finish(report, arguments)


def _add_mean_force(kinds: argparse._SubParsersAction) -> None:
    parser = kinds.add_parser("mean-force", help="mean force along a bond or a direction")
    _add_trajectories(parser)
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--bond", type=int, nargs=2, metavar="ATOM", help="two atoms, from 0")
    way.add_argument("--direction", type=float, nargs=3, metavar="U", help="with --atoms")
    parser.add_argument("--atoms", type=int, nargs="+", help="that the force is on, from 0")
    parser.add_argument(
        "--reference", type=Path, metavar="FILE", help="what 'mean-force --json' wrote of one run"
    )
    add_outputs(parser)
    parser.set_defaults(run=_mean_force)


def _mean_force(arguments: argparse.Namespace) -> int:
    from .analysis.comparing import require_independent
    from .analysis.conditions import require_same
    from .analysis.mean_force import mean_force
    from .analysis.results import read_report

    band = reference = None
    if arguments.reference:
        reference = read_report(arguments.reference)
        band = (reference["force"].value, reference["force"].error)
    report = mean_force(
        _trajectories(arguments),
        bond=tuple(arguments.bond) if arguments.bond else None,
        atoms=arguments.atoms or (),
        direction=arguments.direction,
        band=band,
    )
    if reference:
        require_independent({"the run": report, "the reference": reference})
        require_same({"the run": report.conditions, "the reference": reference.conditions})
    return finish(report, arguments)


def _add_reflection(kinds: argparse._SubParsersAction) -> None:
    parser = kinds.add_parser(
        "reflection", help="fate of atoms that were shot at a surface, from trajectories or --json"
    )
    _add_trajectories(parser)
    parser.add_argument("--species", help="of the one atom that is shot")
    parser.add_argument("--axis", choices="xyz", default="z", help="normal of the surface (z)")
    parser.add_argument(
        "--surface", type=float, metavar="Å", help="(the highest other atom of the first frame)"
    )
    parser.add_argument(
        "--unwrap", action="store_true", help="positions are wrapped into the cell: follow them"
    )
    add_outputs(parser)
    parser.set_defaults(run=_reflection)


def _reflection(arguments: argparse.Namespace) -> int:
    from .analysis.reflection import reflection

    fates: list[Fate] = []
    files: list[str] = []
    for trajectory in _trajectories(arguments):
        some, theirs = _fates(trajectory, arguments)
        fates += some
        files += theirs
    if twice := next((file for file in files if files.count(file) > 1), None):
        raise MixpiError(f"{twice} is there twice: a shot counts once")
    return finish(reflection(fates, files), arguments)


def _fates(
    trajectory: Trajectory, arguments: argparse.Namespace
) -> tuple[list[Fate], tuple[str, ...]]:
    from .analysis.reflection import fate, kept_fates

    if trajectory.path.suffix == ".json":
        return kept_fates(trajectory.path)
    if arguments.species is None:
        raise MixpiError("what was shot? Say --species, such as He")
    one = fate(
        trajectory,
        arguments.species,
        axis="xyz".index(arguments.axis),
        surface=arguments.surface,
        unwrap=arguments.unwrap,
    )
    return [one], (str(trajectory.path),)


def _require_frames(averaged: int) -> None:
    if averaged < 1:
        raise MixpiError("--averaged is a number of frames, 1 at least")


def _add_line(kinds: argparse._SubParsersAction) -> None:
    parser = kinds.add_parser("line", help="velocity of a dislocation in a bcc crystal")
    _add_trajectories(parser, several=False)
    parser.add_argument(
        "--cutoff",
        type=float,
        required=True,
        metavar="Å",
        help="between the second and third shell: 1.207 lattice constants",
    )
    parser.add_argument("--glide", choices="xyz", default="x", help="direction of the glide (x)")
    parser.add_argument("--normal", choices="xyz", default="y", help="of the glide plane (y)")
    parser.add_argument(
        "--within",
        type=float,
        nargs=2,
        default=[float("-inf"), float("inf")],
        metavar="Å",
        help="bounds along the normal that leave surfaces out",
    )
    parser.add_argument(
        "--averaged", type=int, default=1, metavar="FRAMES", help="of positions (default: 1)"
    )
    add_outputs(parser)
    parser.set_defaults(run=_line)


def _line(arguments: argparse.Namespace) -> int:
    from .analysis.line import line_velocity

    _require_frames(arguments.averaged)
    (trajectory,) = _trajectories(arguments)
    report = line_velocity(
        trajectory,
        cutoff=arguments.cutoff,
        glide="xyz".index(arguments.glide),
        normal="xyz".index(arguments.normal),
        within=tuple(arguments.within),
        averaged=arguments.averaged,
    )
    return finish(report, arguments)
