"""Configuration → the command lines of the driver processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ase import Atoms

from ..config import DriverConfig, LammpsConfig, MaceConfig, SocketConfig
from ..drivers import lammps
from ..drivers.mace import MODEL_SUFFIXES, MaceEngine
from ..drivers.programs import fill_in, find_program, launch_prefix, own_path, split_words
from ..errors import MixpiError
from ..files.user_files import special_kind
from ..ipi.input import IpiInput
from .processes import PYTHON_OUTPUT, Child


def driver_command(pool: str, ipi_input: IpiInput, atoms: Atoms, folder: Path) -> list[str]:
    """The command line of one driver, with the files it needs written.

    Parameters
    ----------
    pool : {"cheap", "expensive"}
        Which pool the driver is for.
    ipi_input : IpiInput
        The simulation.
    atoms : Atoms
        Its structure.
    folder : Path
        Where the driver will run.

    Returns
    -------
    list of str

    Raises
    ------
    MixpiError
        If a program or a file is missing.
    """
    driver: DriverConfig = getattr(ipi_input.config, pool)
    socket, home = driver.socket, ipi_input.config_path.parent
    if driver.lammps:
        serving = lammps.serving(address=socket.address, mode=socket.mode, port=socket.port)
        lammps_setup(driver.lammps, home).write(atoms, folder, serving)
        return lammps_command(driver.lammps, home)
    if driver.mace:
        return [
            *launch_prefix(driver.mace.launch, f"{pool}: mace: launch", home),
            *mace_command(driver.mace, home),
            *("--species", ",".join(sorted(set(atoms.symbols)))),
            # the cheap pool's structure is always the whole system
            *(
                ("--template", str((home / ipi_input.config.structure).resolve()))
                * (pool == "cheap")
            ),
            *socket_flags(socket),
        ]
    fields = {"address": socket.address, "port": socket.port, "mode": socket.mode}
    words = split_words(driver.command, f"{pool}: command")
    try:
        # filled in word by word: a value may hold spaces
        argv = [own_path(fill_in(word, fields), home) for word in words]
    except ValueError as error:
        raise MixpiError(
            f"{pool}: command: {error}; known fields: {sorted(fields)}; other braces are doubled"
        ) from None
    program = find_program(argv[0], home) if argv else None
    if program is None:
        raise MixpiError(f"{pool}: command: program {argv[0] if argv else ''!r} not found")
    return [program, *argv[1:]]


def start_driver(pool: str, ipi_input: IpiInput, atoms: Atoms, *, name: str, logs: Path) -> Child:
    """Start one driver, in a folder of its own and with a log of its own, both of its name.

    Parameters
    ----------
    pool : {"cheap", "expensive"}
        Which pool the driver is for.
    ipi_input : IpiInput
        The simulation.
    atoms : Atoms
        Its structure.
    name : str
        E.g. "cheap-0".
    logs : Path
        Where folder and log are.

    Raises
    ------
    MixpiError
        If a program or a file is missing.
    """
    folder = logs / name
    folder.mkdir(exist_ok=True)
    return Child(
        name,
        driver_command(pool, ipi_input, atoms, folder),
        cwd=folder,
        log=logs / f"{name}.log",
        env=driver_environment(getattr(ipi_input.config, pool)),
    )


def driver_environment(driver: DriverConfig) -> dict[str, str]:
    """The environment that a driver is started in."""
    if driver.lammps:
        return lammps.environment(driver.lammps.executable)
    env = os.environ | PYTHON_OUTPUT
    if driver.mace and driver.mace.threads:
        env["OMP_NUM_THREADS"] = str(driver.mace.threads)
    return env


def lammps_command(config: LammpsConfig, home: Path) -> list[str]:
    """The command line that starts LAMMPS as configured.

    Raises
    ------
    MixpiError
        If a program is not found.
    """
    return lammps.command(
        executable=config.executable,
        launch=config.launch,
        arguments=config.arguments,
        folder=home,
    )


def lammps_setup(config: LammpsConfig, home: Path) -> lammps.LammpsSetup:
    """LAMMPS's view of the configuration; potential files are looked for in ``home``."""
    return lammps.LammpsSetup(config.potential, config.species, home)


def mace_command(config: MaceConfig, home: Path) -> list[str]:
    """``mixpi driver mace`` with the flags that choose the model.

    Raises
    ------
    MixpiError
        If the model file is missing.
    """
    # -P: a torch.py where the driver is started is not torch
    argv = [sys.executable, "-P", "-m", "mixpi.cli", "driver", "mace"]
    argv += ["--model", model_path(config, home)]
    argv += ["--device", config.device, "--dtype", config.dtype]
    argv += ["--head", config.head] if config.head else []
    argv += ["--sha256", config.sha256] if config.sha256 else []
    return argv + (["--threads", str(config.threads)] if config.threads else [])


def mace_engine(config: MaceConfig, home: Path) -> MaceEngine:
    """The model of a configuration, loaded into this process.

    Raises
    ------
    MixpiError
        If it is missing or cannot be loaded.
    """
    return MaceEngine(
        model_path(config, home),
        device=config.device,
        dtype=config.dtype,
        threads=config.threads,
        head=config.head,
        sha256=config.sha256,
    )


def model_path(config: MaceConfig, home: Path) -> str:
    """The model's file, absolute, or the name of a foundation model.

    Raises
    ------
    MixpiError
        If the name is that of a file, and the file is missing.
    """
    given, model = home / config.model, own_path(config.model, home)
    if special := special_kind(given):
        raise MixpiError(f"model file {given} is {special}, no ordinary file (mace: model)")
    if model.endswith(MODEL_SUFFIXES) and not os.path.isfile(model):
        state = "is no file" if os.path.exists(given) else "does not exist"
        raise MixpiError(f"model file {given} {state} (mace: model)")
    if config.sha256 and not os.path.isfile(model):
        raise MixpiError(
            f"{model!r} is no file, so it cannot have a sha256 (mace: sha256): give the file that "
            "mace-torch has downloaded, or leave the sha256 out"
        )
    return model


def socket_flags(socket: SocketConfig) -> list[str]:
    """Flags of a Python driver that say where to connect."""
    flags = ["--address", socket.address, "--mode", socket.mode]
    if socket.port is not None:
        flags += ["--port", str(socket.port)]
    if socket.token is not None:
        flags += ["--token", socket.token]
    return [*flags, "--deadline", str(socket.connect_deadline)]
