"""Whether the drivers of a simulation can do what is asked of them."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ase import Atoms
from ase.data import chemical_symbols

from .addresses import claim
from .commands import driver_command, driver_environment, lammps_command, lammps_setup, mace_command
from .config import DriverConfig
from .drivers import lammps
from .errors import MixpiError
from .ipi_input import IpiInput
from .processes import dying_with_us
from .regions import Regions


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
        cleared = claim(getattr(config, pool).socket)
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
    if not load:
        return
    if driver.lammps:
        yield from _try_lammps(ipi_input, driver, atoms)
    elif driver.mace:
        yield from _try_mace(pool, ipi_input, driver, atoms)


def _try_lammps(ipi_input: IpiInput, driver: DriverConfig, atoms: Atoms) -> Iterator[str]:
    """Let LAMMPS read the potential and compute once, without sockets."""
    with tempfile.TemporaryDirectory() as folder:
        setup = lammps_setup(driver.lammps, ipi_input.config_path.parent)
        setup.write(atoms, Path(folder), ["run 0"])
        argv = lammps_command(driver.lammps, ipi_input.config_path.parent)
        done = subprocess.run(
            dying_with_us(argv),
            cwd=folder,
            env=driver_environment(driver),
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise lammps.failure(done.stdout + done.stderr)
    yield "LAMMPS computes this system"


def _try_mace(pool: str, ipi_input: IpiInput, driver: DriverConfig, atoms: Atoms) -> Iterator[str]:
    """Load the model in a process of its own and compare its species."""
    argv = [*mace_command(driver.mace, ipi_input.config_path.parent), "--describe"]
    done = subprocess.run(
        dying_with_us(argv), env=driver_environment(driver), capture_output=True, text=True
    )
    if done.returncode:
        raise MixpiError(f"{pool}: {_last_error(done.stderr)}")
    facts = json.loads(done.stdout.strip().splitlines()[-1])
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


def _last_error(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line]
    return (errors or lines or ["no message"])[-1].removeprefix("mixpi: error: ")
