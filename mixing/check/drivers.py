"""Whether the drivers of a simulation can do what is asked of them."""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ase import Atoms
from ase.data import chemical_symbols

from ..config import DriverConfig
from ..drivers import lammps
from ..drivers.mace_files import file_hash, require_hash
from ..drivers.proof import read_token
from ..errors import MixpiError
from ..ipi.input import IpiInput
from ..regions.growth import Regions
from ..run.commands import (
    driver_command,
    driver_environment,
    lammps_command,
    lammps_setup,
    mace_command,
    model_path,
)
from ..run.processes import run_to_end
from ..sockets.addresses import claim


#: s; for LAMMPS to start and to read its files, and for each atom that it computes once.
LAMMPS_PATIENCE, LAMMPS_PER_ATOM = 120.0, 5e-3
#: s; for torch to be imported and a model to be loaded, also from a slow disk.
MACE_PATIENCE = 600.0
#: Characters of a command line that are shown.
MOST_OF_A_COMMAND = 200


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
    for pool in config.pools:
        socket = getattr(config, pool).socket
        if socket.token:
            read_token(socket.token)  # says what is wrong with it
        cleared = claim(socket)
        if cleared:
            yield cleared
    for pool in config.pools:
        driver: DriverConfig = getattr(config, pool)
        yield f"{pool}: {driver.kind}, {driver.count} driver(s)"
        if pool == "expensive":
            yield from _check_changing_sizes(driver, atoms, regions)
        yield from _check_driver(pool, ipi_input, atoms, load=load)
    if "expensive" not in config.pools:
        yield "expensive: not looked at, because with 'seeds: none' nothing is asked of it"


def _check_changing_sizes(driver: DriverConfig, atoms: Atoms, regions: Regions) -> Iterator[str]:
    """The cluster is another in every step: other atoms, another number of them."""
    if driver.lammps:
        if sum(regions.counts) < len(atoms):
            raise MixpiError(
                f"expensive: LAMMPS cannot compute the cluster ({sum(regions.counts)} of "
                f"{len(atoms)} atoms, others in each step): its fix ipi works on the whole system "
                "that it was started with. Use mace, or a command that answers NEEDINIT ('mixpi "
                "config' says how), or radii that make the whole system the cluster"
            )
        yield (
            "note: LAMMPS as the expensive driver works only as long as the cluster is the whole "
            "system, as it is at the start"
        )
    elif driver.command or driver.external:
        yield (
            f"note: the {driver.kind} of the expensive side must answer NEEDINIT before every "
            "evaluation, take the species from the INIT text and accept another number of atoms "
            "each time ('mixpi driver mace' does; fix ipi and ASE's SocketClient do not)"
        )


def _check_driver(pool: str, ipi_input: IpiInput, atoms: Atoms, *, load: bool) -> Iterator[str]:
    driver: DriverConfig = getattr(ipi_input.config, pool)
    if driver.external:
        return
    with tempfile.TemporaryDirectory() as folder:
        driver_command(pool, ipi_input, atoms, Path(folder))  # finds programs and files
    if driver.mace:
        yield from _check_model(ipi_input, driver)
    if not load:
        return
    if driver.lammps:
        yield from _try_lammps(pool, ipi_input, driver, atoms)
    elif driver.mace:
        yield from _try_mace(pool, ipi_input, driver, atoms)


def _check_model(ipi_input: IpiInput, driver: DriverConfig) -> Iterator[str]:
    """Say which file is about to be loaded, before it is."""
    path = Path(model_path(driver.mace, ipi_input.config_path.parent))
    if not path.is_file():
        yield f"note: {path} is a foundation model, which mace-torch gets from its own source"
        return
    found = file_hash(path)
    require_hash(found, driver.mace.sha256, path)
    if driver.mace.sha256:
        yield f"{path.name} has the sha256 that is expected"
    else:
        yield (
            f"{path.name} is a model, which is code: trust where it is from. To have any other "
            f"refused, write into mace:\n  sha256: {found}"
        )


def _try_lammps(
    pool: str, ipi_input: IpiInput, driver: DriverConfig, atoms: Atoms
) -> Iterator[str]:
    """Say which LAMMPS is run, and let it read the potential and compute once, without sockets."""
    with tempfile.TemporaryDirectory() as folder:
        setup = lammps_setup(driver.lammps, ipi_input.config_path.parent)
        setup.write(atoms, Path(folder), ["run 0"])
        argv = lammps_command(driver.lammps, ipi_input.config_path.parent)
        yield f"{pool}: runs {_shortened(shlex.join(argv))}"
        patience = LAMMPS_PATIENCE + LAMMPS_PER_ATOM * len(atoms)
        done = run_to_end(argv, patience, "LAMMPS", env=driver_environment(driver), cwd=folder)
    if done.returncode:
        raise lammps.failure(done.stdout + done.stderr)
    yield "LAMMPS computes this system"


def _try_mace(pool: str, ipi_input: IpiInput, driver: DriverConfig, atoms: Atoms) -> Iterator[str]:
    """Load the model in a process of its own and compare its species."""
    argv = [*mace_command(driver.mace, ipi_input.config_path.parent), "--describe"]
    done = run_to_end(
        argv, MACE_PATIENCE, f"{pool}: loading the model", env=driver_environment(driver)
    )
    if done.returncode:
        raise MixpiError(f"{pool}: {_last_error(done.stderr)}")
    try:
        facts = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise MixpiError(f"{pool}: loading the model ended without a word") from None
    missing = sorted(set(atoms.numbers.tolist()) - set(facts["numbers"]))
    if missing:
        raise MixpiError(
            f"the {pool} model does not know {' '.join(chemical_symbols[z] for z in missing)}, "
            f"which {ipi_input.config.structure} has; it was trained for "
            f"{' '.join(chemical_symbols[z] for z in facts['numbers'])}"
        )
    reach = facts["interaction_range"]
    yield f"the model loads; its interaction range is {reach:g} Å"
    buffer = ipi_input.config.regions.buffer
    if pool == "expensive" and buffer < reach / 2:
        yield (
            f"warning: a buffer of {buffer:g} Å is less than half the model's interaction range; "
            "forces in the region will differ visibly from those in the full cell"
        )


def _shortened(text: str) -> str:
    """A command line for a message: its beginning names the programs."""
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= MOST_OF_A_COMMAND else f"{text[: MOST_OF_A_COMMAND - 4]} ..."


def _last_error(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line]
    return (errors or lines or ["no message"])[-1].removeprefix("mixpi: error: ")
