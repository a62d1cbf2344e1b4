"""``mixpi check``: find what is wrong with a simulation before it runs."""

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
from .config import POOLS, DriverConfig
from .drivers import lammps
from .errors import MixpiError
from .ipi_input import IpiInput, read_ipi_input
from .regions import Regions, build_regions
from .structure import read_structure


#: Above this share of the atoms a cluster saves nothing worth the trouble.
LARGE_CLUSTER = 0.5


def check(path: str | Path, *, drivers: bool = True) -> Iterator[str]:
    """Validate an i-PI input with everything that it needs.

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
        with "warning:", that deserves a thought.

    Raises
    ------
    MixpiError
        At the first thing that would make the run fail or give wrong forces.
    """
    ipi_input = read_ipi_input(path)
    config = ipi_input.config
    yield f"{ipi_input.path.name}: {ipi_input.total_steps} steps, {ipi_input.beads} bead(s)"
    _check_input(ipi_input)

    atoms = read_structure(ipi_input.config_path.parent / config.structure)
    _check_same_atoms(ipi_input, atoms)
    yield f"{config.structure}: {len(atoms)} atoms, {atoms.symbols.formula}"

    regions = starting_regions(ipi_input, atoms)
    yield from _describe_regions(ipi_input, atoms, regions)

    for pool in POOLS:
        cleared = claim(getattr(config, pool).socket)
        if cleared:
            yield cleared
    for pool in POOLS:
        driver = getattr(config, pool)
        yield f"{pool}: {driver.kind}, {driver.count} driver(s)"
        yield from _check_driver(pool, ipi_input, atoms, load=drivers)


def starting_regions(ipi_input: IpiInput, atoms: Atoms) -> Regions:
    """The regions of the structure as it is in its file.

    Raises
    ------
    MixpiError
        If a seed or a radius is wrong.
    """
    config = ipi_input.config
    try:
        return build_regions(
            atoms.positions, atoms.cell.array, config.seed_indices, **config.regions.model_dump()
        )
    except (ValueError, IndexError) as error:
        raise MixpiError(f"{ipi_input.config_path}: {error}") from None


def _check_input(ipi_input: IpiInput) -> None:
    if (ipi_input.folder / "EXIT").exists():
        raise MixpiError(
            f"{ipi_input.folder / 'EXIT'} is there, from when a run was stopped: i-PI would stop "
            "again at once. Remove it"
        )
    if ipi_input.first_step >= ipi_input.total_steps:
        raise MixpiError(
            f"{ipi_input.path.name} has done all its {ipi_input.total_steps} steps: raise "
            "<total_steps> to go on"
        )
    if ipi_input.barostat:
        raise MixpiError(
            f"{ipi_input.path.name} has dynamics mode='{ipi_input.barostat}', a barostat: mixed "
            "forces have no virial, so the pressure would be meaningless. Use nve or nvt at the "
            "lattice constant of the expensive potential"
        )
    if ipi_input.unsupported_motion:
        raise MixpiError(
            f"{ipi_input.path.name} has {ipi_input.unsupported_motion}: mixed forces have no "
            "energy, and what needs one would go wrong without a word. Molecular dynamics works: "
            "<dynamics mode='nve'> or 'nvt'"
        )
    if not ipi_input.pes_path.is_file():
        raise MixpiError(
            f"pes_path {ipi_input.pes_path} does not exist: it must hold the lines\n"
            "  from mixpi.ipi_pes import MixingPES\n"
            '  __DRIVER_NAME__, __DRIVER_CLASS__ = "mixpi", "MixingPES"'
        )
    if ipi_input.systems > 1:
        raise MixpiError(
            f"{ipi_input.path.name} has {ipi_input.systems} systems: one mixing layer serves one "
            "system (its beads share a region)"
        )
    if ipi_input.batch_size != ipi_input.beads:
        raise MixpiError(
            f"{ipi_input.path.name} has {ipi_input.beads} bead(s) but <batch_size> "
            f"{ipi_input.batch_size} in the mixing layer's <ffdirect>: all beads must come "
            f"together, so write <batch_size>{ipi_input.beads}</batch_size>"
        )


def _check_same_atoms(ipi_input: IpiInput, atoms: Atoms) -> None:
    name = ipi_input.config.structure
    if ipi_input.structure_file is None:
        names = (ipi_input.root.findtext(".//beads/names") or "").strip(" []\n")
        symbols = [n.strip() for n in names.split(",") if n.strip()]
        if symbols and symbols != list(atoms.symbols):
            raise MixpiError(f"{name} has other atoms than {ipi_input.path.name}")
        return
    path, mode = ipi_input.structure_file
    if not path.is_file():
        raise MixpiError(f"{ipi_input.path.name} reads atoms from {path}, which does not exist")
    if mode == "ase":
        symbols = list(read_structure(path).symbols)
    elif mode == "xyz":
        lines = path.read_text().splitlines()
        symbols = [line.split()[0] for line in lines[2 : 2 + int(lines[0])]]
    else:
        return
    if symbols != list(atoms.symbols):
        raise MixpiError(
            f"{name} ({len(atoms)} atoms) and {path.name} ({len(symbols)} atoms), which i-PI "
            "reads, must hold the same atoms in the same order"
        )


def _describe_regions(ipi_input: IpiInput, atoms: Atoms, regions: Regions) -> Iterator[str]:
    core, blend, buffer = regions.counts
    cluster = core + blend + buffer
    yield f"regions: {core} core, {blend} blend, {buffer} buffer of {len(atoms)} atoms"
    if ipi_input.config.seeds == "none":
        yield "warning: no seeds: every force will be cheap"
    elif cluster > LARGE_CLUSTER * len(atoms):
        yield (
            f"warning: the cluster is {cluster / len(atoms):.0%} of the atoms: mixing gains "
            "little; use a larger cell or smaller radii"
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
            argv, cwd=folder, env=driver_environment(driver), capture_output=True, text=True
        )
    if done.returncode:
        raise lammps.failure(done.stdout + done.stderr)
    yield "LAMMPS computes this system"


def _try_mace(pool: str, ipi_input: IpiInput, driver: DriverConfig, atoms: Atoms) -> Iterator[str]:
    """Load the model in a process of its own and compare its species."""
    argv = [*mace_command(driver.mace, ipi_input.config_path.parent), "--describe"]
    done = subprocess.run(argv, env=driver_environment(driver), capture_output=True, text=True)
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
    return (errors or lines or ["no message"])[-1]
