"""The command line: each command is a thin twin of a function of the package."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ._version import __version__
from .cli_analyse import add_analyse_command
from .cli_drivers import add_driver_commands
from .cli_paths import add_path_commands
from .cli_potentials import add_potential_commands
from .cli_runs import add_options_of_several, refuse_options_of_several, run_several
from .errors import MixpiError
from .output.checkpoints import way_on
from .regions.grammar import GRAMMAR
from .run.stopping import Halted, Stops, ending_as_ctrl_c
from .streams import Unbreakable, unbreakable_output, wait_for_no_reader


if TYPE_CHECKING:
    from .run.outcome import Outcome
    from .run.running import Run


#: Atoms up to which the speed-up is measured without being asked for.
LARGEST_TIMED = 20_000


def main(argv: list[str] | None = None) -> int:
    """Run a command; the exit code.

    Parameters
    ----------
    argv : list of str, optional
        Command line without the program's name.

    Returns
    -------
    int
        0 done, 1 failed (the message is on stderr), 2 wrong usage, 128 + n ended by
        signal n. It does not depend on what becomes of the output, but for commands that
        do nothing except print: 1 if that could not be written. A reader that has had
        enough (``| head``) is no failure.
    """
    with unbreakable_output() as output:
        words = sys.argv[1:] if argv is None else argv
        try:
            arguments = _parser(words).parse_args(words)
            # a driver has signal handlers of its own
            driver = hasattr(arguments, "serves")
            with contextlib.nullcontext() if driver else ending_as_ctrl_c():
                code = arguments.run(arguments)
            return code or _lost(arguments, output)
        except Halted as stop:  # its state is kept
            print(f"mixpi: {stop}", file=sys.stderr)
            return 128 + stop.signum
        except MixpiError as error:
            print(f"mixpi: error: {error}", file=sys.stderr)
            return 1
        except OSError as error:  # a full disk, a folder that is gone
            print(f"mixpi: error: {_in_words(error)}", file=sys.stderr)
            return 1
        except KeyboardInterrupt as stop:
            return 128 + (stop.args[0] if stop.args else signal.SIGINT)


def _in_words(error: OSError) -> str:
    where = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{where}"


def _lost(arguments: argparse.Namespace, output: Unbreakable) -> int:
    """The exit code for output that did not arrive, of a command that has done nothing else."""
    output.flush()
    if output.lost is None or isinstance(output.lost, BrokenPipeError):
        return 0
    print(f"mixpi: cannot write the output: {_in_words(output.lost)}", file=sys.stderr)
    return int(hasattr(arguments, "prints"))


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mixpi",
        description="Expensive machine-learned forces where they matter, cheap ones elsewhere.",
    )
    parser.add_argument("--version", action="version", version=f"mixpi {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    _add_init(commands)

    run = commands.add_parser("run", help="run an i-PI input with its drivers")
    run.add_argument("input", type=Path, help="i-PI input (XML), or a RESTART")
    run.add_argument("--quiet", action="store_true", help="no progress")
    run.add_argument(
        "--reference",
        action=argparse.BooleanOptionalAction,
        help="at the end, measure mixed and all-expensive evaluations in turns, for the speed-up "
        f"in the report (default: up to {LARGEST_TIMED} atoms)",
    )
    add_options_of_several(run)
    run.set_defaults(run=_run)

    check = commands.add_parser("check", help="validate everything without running")
    check.add_argument("input", type=Path, help="i-PI input (XML), or a RESTART")
    check.add_argument("--fast", action="store_true", help="do not load the model nor start LAMMPS")
    check.set_defaults(run=_check)

    plot = commands.add_parser("plot", help="draw regions, temperature, times and the cell")
    plot.add_argument("input", type=Path, help="i-PI input of a run")
    plot.set_defaults(run=_plot)

    add_analyse_command(commands, words)

    add_path_commands(commands)

    add_potential_commands(commands)

    config = commands.add_parser("config", help="print every key of the YAML file with its meaning")
    config.add_argument("--distil", action="store_true", help="of the file of 'mixpi distil'")
    config.set_defaults(run=_config, prints=True)

    add_driver_commands(commands, words)
    return parser


def _add_init(commands: argparse._SubParsersAction) -> None:
    init = commands.add_parser(
        "init",
        help="write a folder with all that a simulation needs",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"SEEDS is one of\n{GRAMMAR}",
    )
    init.add_argument("folder", type=Path, metavar="DIR", help="the folder to write")
    init.add_argument(
        "--structure", required=True, metavar="FILE", help="any format that ASE reads"
    )
    init.add_argument(
        "--model", required=True, help="MACE model file (is copied), or name of a foundation model"
    )
    init.add_argument(
        "--potential",
        required=True,
        action="append",
        metavar="FILE|LINE",
        help="cheap potential: report of mixpi distil (.json, .md), YAML or LAMMPS file, or a "
        "LAMMPS line (repeat for more); files that it names are copied",
    )
    init.add_argument("--seeds", required=True, help="which atoms are expensive, in words (below)")
    init.add_argument("--temperature", type=float, default=300.0, help="K (default: 300)")
    init.add_argument(
        "--species",
        help="elements in the order of LAMMPS's atom types, e.g. He,W (default: the potential's)",
    )
    init.add_argument("--steps", type=int, default=1000, help="default: 1000")
    init.add_argument("--timestep", type=float, default=1.0, help="fs (default: 1)")
    init.add_argument("--ensemble", choices=["nvt", "nve"], default="nvt", help="default: nvt")
    init.add_argument("--device", default="cpu", help="of the model: cpu, cuda or cuda:<n>")
    init.add_argument("--head", help="of a model with several")
    init.add_argument("--force", action="store_true", help="write into a folder that is not empty")
    init.set_defaults(run=_init)


def _init(arguments: argparse.Namespace) -> int:
    from .init.initialising import init_case

    names = "structure model potential seeds temperature steps timestep ensemble device head force"
    case = init_case(
        arguments.folder,
        species=arguments.species.replace(",", " ").split() if arguments.species else None,
        **{name: getattr(arguments, name) for name in names.split()},
    )
    for note in case.notes:
        print(note)
    print(
        f"\n{case.folder} is ready; next:\n"
        f"  cd {shlex.quote(str(case.folder))}\n"
        "  mixpi check input.xml        # loads the model, lets LAMMPS compute once\n"
        "  mixpi calibrate input.xml    # how wide must the buffer be?\n"
        "  mixpi run input.xml\n"
        "  mixpi plot input.xml"
    )
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from .run.running import Run

    wait_for_no_reader()
    if arguments.runs is not None:
        return run_several(arguments)
    refuse_options_of_several(arguments)
    run = Run(arguments.input)
    for note in run.notes:
        print(f"mixpi: {note}", file=sys.stderr)
    # from here on a signal does not hide what has become of the run
    with Stops() as stops:
        outcome = run.execute(quiet=arguments.quiet, stops=stops)
        timed = stops if outcome.status == "finished" else None
        reported = _report(run, outcome, arguments, timed=timed)
        if outcome.status == "finished":
            return 0 if reported else 1
        print(f"mixpi: {outcome.status}: {outcome.message}", file=sys.stderr)
        checkpoint = run.evidence.newest_checkpoint()
        if checkpoint:
            command = way_on(checkpoint, run.ipi_input.folder)
            print(f"mixpi: continue with: {command}", file=sys.stderr)
        if outcome.signum:
            return 128 + outcome.signum
        return 0 if outcome.status == "stopped" else 1


def _report(
    run: Run, outcome: Outcome, arguments: argparse.Namespace, *, timed: Stops | None
) -> bool:
    """Write and print what the run tells; whether there was anything to tell.

    ``timed``: the speed-up may be measured, unless a signal has been heard by this.
    """
    from rich.console import Console

    from .analysis.report import report_run, write_report
    from .analysis.report_text import show

    folder = run.ipi_input.folder
    try:
        if not run.evidence.is_new(run.ipi_input.config.output.steps):
            raise MixpiError("the run did not get as far as its first forces")
        report = report_run(run.ipi_input, outcome)
        path = write_report(report, folder)
        if timed and timed.signum is None and _reference_wanted(arguments, run):
            _add_reference(report, run, quiet=arguments.quiet, stops=timed)
            write_report(report, folder)
        console = Console(width=None if sys.stdout.isatty() else 100, highlight=False)
        show(report, console)
        console.print(f"report: {path}\nlogs:   {run.logs}", soft_wrap=True, markup=False)
    except MixpiError as error:
        print(f"mixpi: {error}", file=sys.stderr)
        return False
    except OSError as error:  # what the run has done is done
        print(f"mixpi: no report: {_in_words(error)}", file=sys.stderr)
    return True


def _reference_wanted(arguments: argparse.Namespace, run: Run) -> bool:
    if arguments.reference is None:
        return len(run.atoms) <= LARGEST_TIMED and run.ipi_input.config.mixes
    return arguments.reference


def _add_reference(report: dict, run: Run, *, quiet: bool, stops: Stops) -> None:
    """Measure the speed-up; what goes wrong there does not spoil the run."""
    from .analysis.report import add_speed_up
    from .run.progress import StageProgress
    from .run.speed_up import measure_speed_up

    if not quiet:
        print("mixpi: the run is done; measuring its speed-up", file=sys.stderr, flush=True)
    own = 1e-3 * report["overhead_ms"]["median"] / report["beads"]
    try:
        with StageProgress(quiet=quiet) as tell:
            found = measure_speed_up(run.ipi_input, run.logs, own=own, tell=tell, stops=stops)
        add_speed_up(report, found)
    except MixpiError as error:
        report["speed_up_not_measured"] = str(error)


def _check(arguments: argparse.Namespace) -> int:
    from .check.checking import check

    for line in check(arguments.input, drivers=not arguments.fast):
        print(line)
    print("all in order")
    return 0


def _plot(arguments: argparse.Namespace) -> int:
    from .analysis.plotting import plot
    from .ipi.input import read_ipi_input

    def say(text: str) -> None:
        print(f"mixpi: {text}", file=sys.stderr)

    for path in plot(read_ipi_input(arguments.input), say=say):
        print(path)
    return 0


def _config(arguments: argparse.Namespace) -> int:
    from .config import MixingConfig
    from .config_help import describe_config
    from .distil.config import DistilConfig

    print(describe_config(DistilConfig if arguments.distil else MixingConfig))
    return 0


if __name__ == "__main__":
    sys.exit(main())
