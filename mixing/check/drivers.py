"""Whether the drivers of a simulation can do what is asked of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ase import Atoms

from ..blend.levels import CHEAP, EXPENSIVE, PARTS
from ..drivers.config import DriverConfig
from ..drivers.driver import known_engines
from ..drivers.proof import read_token
from ..errors import MixpiError
from ..ipi.input import IpiInput
from ..regions.growth import Regions
from ..run.starting import place_of
from ..sockets.addresses import claim
from .ranks import measure_ranks
from .room import cores_here


def check_drivers(
    ipi_input: IpiInput, atoms: Atoms, regions: Regions, *, load: bool
) -> Iterator[str]:
    """Look at both pools: programs, files, sockets, species.

    Parameters
    ----------
    ipi_input : IpiInput
        The simulation.
    atoms : Atoms
        Its structure.
    regions : Regions
        At the start.
    load : bool
        Also load the model and let LAMMPS read its potential (takes seconds).

    Yields
    ------
    str
        What was found.

    Raises
    ------
    MixpiError
        If a driver would fail.
    """
    config = ipi_input.config
    for pool in ipi_input.pools:
        socket = getattr(config, pool).socket
        if socket.token:
            read_token(socket.token)  # says what is wrong with it
        cleared = claim(socket)
        if cleared:
            yield cleared
    for pool in ipi_input.pools:
        driver: DriverConfig = getattr(config, pool)
        yield f"{pool}: {driver.kind}, {driver.count} driver(s)"
        yield from _check_room(pool, driver, _most_beads(pool, ipi_input))
        if pool != CHEAP.pool:
            yield from _check_changing_sizes(pool, driver, atoms, regions)
        # where no atom is a seed yet, what it will compute first is not known
        cluster = atoms[regions.cluster] if len(regions.cluster) else None
        first = atoms if pool == CHEAP.pool else cluster
        yield from _check_driver(pool, ipi_input, atoms, first, load=load)
    if load and CHEAP.pool in ipi_input.pools:
        yield from measure_ranks(ipi_input, atoms)
    for pool in (CHEAP.pool, EXPENSIVE.pool):
        if config.everywhere and pool not in ipi_input.pools:
            why = f"with 'seeds: {config.seeds}' nothing is asked of it"
            yield f"{pool}: not looked at, because {why}"


def _most_beads(pool: str, ipi_input: IpiInput) -> int:
    """Structures that a pool has at a time."""
    asking = [
        layer for layer in ipi_input.layers if pool in (level.pool for level in PARTS[layer.part])
    ]
    return max(map(ipi_input.beads_of, asking))


def _check_room(pool: str, configured: DriverConfig, beads: int) -> Iterator[str]:
    """Whether there are cores for all drivers, and structures."""
    cores, here = configured.driver.cores, cores_here()
    wanted = (cores or 0) * configured.count
    if wanted > here:
        many = f"{configured.count} drivers of {cores} each" if configured.count > 1 else ""
        yield (
            f"warning: {pool}: {wanted} cores are asked for by launch and threads"
            f"{f' ({many})' if many else ''}, and this machine has {here}: ranks that share a core "
            "are much slower than fewer ranks"
        )
    if configured.count > beads:
        each = "1 structure" if beads == 1 else f"{beads} structures"
        yield (
            f"note: {pool}: a pool has {each} at a time to compute, one for each bead: "
            f"{configured.count - beads} of {configured.count} drivers will idle until one of the "
            "others is lost"
        )


def _check_changing_sizes(
    pool: str, configured: DriverConfig, atoms: Atoms, regions: Regions
) -> Iterator[str]:
    """The cluster is another in every step: other atoms, another number of them."""
    why = configured.driver.whole_system_only
    if why and sum(regions.counts) < len(atoms):
        raise MixpiError(
            f"{pool}: {configured.kind} cannot compute the cluster ({sum(regions.counts)} of "
            f"{len(atoms)} atoms, others in each step): {why}. Use {known_engines()}, or a command "
            "that answers NEEDINIT ('mixpi config' says how), or radii that make the whole system "
            "the cluster"
        )
    if why:
        yield (
            f"note: {configured.kind} as the {pool} driver works only as long as the cluster is "
            "the whole system, as it is at the start"
        )
    elif configured.driver.unknown:
        yield (
            f"note: the {configured.kind} of the {pool} side must answer NEEDINIT before every "
            "evaluation, take the species from the INIT text and accept another number of atoms "
            "each time ('mixpi driver mace' does; fix ipi and ASE's SocketClient do not)"
        )


def _check_driver(
    pool: str, ipi_input: IpiInput, atoms: Atoms, first: Atoms | None, *, load: bool
) -> Iterator[str]:
    configured: DriverConfig = getattr(ipi_input.config, pool)
    if configured.external:
        return
    place, driver = place_of(pool, ipi_input, atoms), configured.driver
    place = replace(place, first=first)
    if pool != EXPENSIVE.pool and driver.wants_depths:
        raise MixpiError(
            f"{pool}: {configured.kind}: partial is for the expensive side: the cheap one "
            "evaluates the whole system"
        )
    with tempfile.TemporaryDirectory() as folder:
        driver.argv(place, Path(folder))  # finds programs and files
    yield from driver.look(place)
    if load:
        yield from driver.try_out(place)
