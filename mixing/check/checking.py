"""``mixpi check``: find what is wrong with a simulation before it runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ase import Atoms

from ..errors import MixpiError
from ..ipi.input import IpiInput, read_ipi_input
from ..ipi.run_regions import make_mixer
from ..ipi.view import ask_ipi
from ..output.checkpoints import Checkpoint, newest_checkpoint, read_checkpoint, way_on
from ..output.continuing import OutputFile, last_steps
from ..regions.growth import Regions
from ..regions.region_config import RegionConfig
from ..structure import read_structure
from .drivers import check_drivers
from .dynamics import check_dynamics
from .input import check_forces_named, check_kind, check_view
from .loads import check_loads
from .seeds import describe_seeds
from .structure import check_structure
from .thermostat import check_thermostat


#: Above this share of the atoms a cluster saves nothing worth the trouble.
LARGE_CLUSTER = 0.5


def check(path: str | Path, *, drivers: bool = True) -> Iterator[str]:
    """Validate an i-PI input with everything that it needs.

    i-PI itself parses and binds the input, in a process of its own
    (:func:`mixpi.ipi.view.ask_ipi`); what it understood is compared with the file and
    with the configuration.

    Parameters
    ----------
    path : path-like
        The i-PI input.
    drivers : bool
        Also load the model and let LAMMPS read its potential (takes seconds).

    Yields
    ------
    str
        What was found: a line about each thing that is in order, or, beginning
        with "note:", that is good to know, or, with "warning:", that deserves a thought.

    Raises
    ------
    MixpiError
        At the first thing that would make the run fail or give wrong forces.
    """
    ipi_input = read_ipi_input(path)
    config = ipi_input.config
    yield f"{ipi_input.path.name}: {ipi_input.total_steps} steps, {ipi_input.all_beads} bead(s)"
    yield from _earlier_run(ipi_input)
    check_kind(ipi_input)
    atoms = read_structure(ipi_input.config_path.parent / config.structure)
    check_forces_named(ipi_input)
    view = ask_ipi(ipi_input.path)
    yield from check_view(ipi_input, view)
    yield from check_structure(ipi_input, view, atoms)
    yield from describe_seeds(config, atoms)
    regions = starting_regions(ipi_input, atoms)
    yield from _describe_regions(ipi_input, atoms, regions)
    yield from check_thermostat(ipi_input, view, regions)
    yield from check_dynamics(ipi_input, view, atoms)
    yield from check_loads(ipi_input, view)
    yield from check_drivers(ipi_input, atoms, regions, load=drivers)


def _earlier_run(ipi_input: IpiInput) -> Iterator[str]:
    """Offer the newest state of a run that was begun here and has not ended."""
    if read_checkpoint(ipi_input.path):
        return  # it is being continued
    if newest := newest_state(ipi_input):
        way = way_on(newest, ipi_input.folder, inside=True)
        yield (
            f"note: an earlier run here has done {newest.step} of {newest.total_steps} steps: "
            f"'{way}' continues it; a new one puts its files aside"
        )


def newest_state(ipi_input: IpiInput) -> Checkpoint | None:
    """The newest whole state of a run that was begun in a folder and has not ended."""
    folder = ipi_input.folder
    steps = OutputFile(folder / ipi_input.config.output.steps, frames=False, stride=1)
    done = max(last_steps(steps), default=0)
    return newest_checkpoint(folder, ipi_input.checkpoint_names, up_to=done)


def starting_regions(ipi_input: IpiInput, atoms: Atoms) -> Regions:
    """The regions of the structure as it is in its file.

    Raises
    ------
    MixpiError
        If a seed or a radius is wrong.
    """
    config = ipi_input.config
    try:
        # of a committee nothing is known yet but what a run starts with
        mixer = make_mixer(config, atoms, still=not config.by_spread)
        return mixer.plan([atoms.positions], [atoms.cell.array], step=0).regions
    except (ValueError, MixpiError) as error:
        raise MixpiError(f"{ipi_input.config_path}: {error}") from None


def _describe_regions(ipi_input: IpiInput, atoms: Atoms, regions: Regions) -> Iterator[str]:
    core, blend, buffer = regions.counts
    cluster = core + blend + buffer
    yield f"regions: {core} core, {blend} blend, {buffer} buffer of {len(atoms)} atoms"
    yield from _describe_memory(ipi_input.config.regions)
    config = ipi_input.config
    if config.everywhere:
        yield f"note: seeds: {config.seeds}: every force will be {config.everywhere}"
    elif cluster > LARGE_CLUSTER * len(atoms) and not config.starts_with_all:
        yield (
            f"warning: the cluster is {cluster / len(atoms):.0%} of the atoms: mixing gains "
            "little; use a larger cell or smaller radii"
        )


def _describe_memory(regions: RegionConfig) -> Iterator[str]:
    """What the weights of a step depend on beside its atoms."""
    if not regions.every:
        yield "weights: those of the first step, throughout"
    elif regions.every > 1:
        yield f"weights: rebuilt every {regions.every} steps"
    if regions.tau_in or regions.tau_out:
        yield f"hysteresis: weights rise within {regions.tau_in:g} fs, fall in {regions.tau_out:g}"
    if regions.leave:
        yield f"hysteresis: atoms enter the core at {regions.core:g} Å, leave at {regions.leave:g}"
    if regions.groups:
        yield f"groups: atoms with the same '{regions.groups}' are in a region together"
